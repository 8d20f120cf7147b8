"""``grid policy``: what a Domain demands of all that leaves it."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record

if TYPE_CHECKING:
    from syft_ext.messages.policy import PolicyView
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "policy"]

COMMANDS = {
    "policy": "What a Domain demands of all that leaves it.",
}


@click.group(
    help="""What a Domain's owner demands of everything that leaves it.

\b
Examples:
  grid policy show
  grid policy set policy.toml

\b
policy.toml (what is not in it has its default):
  min_rows = 10
  statistics_epsilon = 0.1
"""
)
def policy() -> None:
    pass


@policy.command(help="The policy, when it was set and by whom.")
@url_option
@format_option
def show(url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _print(cast("DomainClient", client).policy.get(), form)


@policy.command("set", help="Replace the policy by that in FILE, as TOML or JSON. Only the Owner may.")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@url_option
@format_option
def change(file: Path, url: str, form: str) -> None:
    values = _read(file)
    with open_client(url, "domain") as client:
        _print(cast("DomainClient", client).policy.replace(values), form)


def _read(file: Path) -> dict[str, Any]:
    """The document in ``file``: JSON if it is called so, else TOML."""
    try:
        text = file.read_text("utf-8")
        values = json.loads(text) if file.suffix == ".json" else tomllib.loads(text)
    except ValueError as error:
        raise click.ClickException(f"{file}: {error}") from error
    if not isinstance(values, dict):
        raise click.ClickException(f"{file}: a policy is a table of fields")
    return values


def _print(view: PolicyView, form: str) -> None:
    import msgspec

    fields = msgspec.to_builtins(view)
    print_record({**fields.pop("policy"), **fields}, form)
