"""``grid quotas``: how much users may keep at a Domain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_rows

if TYPE_CHECKING:
    from syft_ext.messages.quotas import QuotaUse
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "quotas"]

COMMANDS = {
    "quotas": "How much users may keep at a Domain.",
}

_AMOUNT = re.compile(r"([0-9]{1,15}|[0-9]{1,3}(?:,[0-9]{3}){1,4})([kMGT]B)?")
_UNITS = {"": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12}
_SET = ("name", "limit", "set_for", "role", "email")


@click.group(
    help="""How much users may keep at a Domain: bytes and numbers, by kind.

\b
Examples:
  grid quotas show
  grid quotas set --role User training_bytes=2GB uploads=10
  grid quotas set --user ann@lab.example stored_bytes=none
  grid quotas reset --role User uploads
"""
)
def quotas() -> None:
    pass


@quotas.command(help="Your own, and how much of them you use; with --user, another's.")
@click.option("--user", "user_id", default=None, help="E-mail or id of the user.")
@url_option
@format_option
def show(user_id: str | None, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        found = cast("DomainClient", client).quotas
        print_uses(found.mine() if user_id is None else found.of(user_id), form)


@quotas.command("list", help="What was set, for everybody, for roles and for users.")
@url_option
@format_option
def list_settings(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        rows = msgspec.to_builtins(cast("DomainClient", client).quotas.settings())
    _print_settings(rows, form)


@quotas.command("set", help='Set quotas, NAME=VALUE each; VALUE is a number, a size ("2GB") or "none".')
@click.argument("values", nargs=-1, required=True)
@click.option("--user", "user_id", default=None, help="E-mail or id of the user they are for.")
@click.option("--role", default=None, help="Name of the role they are for. [neither: everybody]")
@url_option
@format_option
def change(values: tuple[str, ...], user_id: str | None, role: str | None, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = cast("DomainClient", client).quotas.set(
            user_id=user_id, role=role, **cast("Any", dict(map(_value, values)))
        )
        _print_settings(msgspec.to_builtins(found), form)


@quotas.command(help="Take settings back: the next wider one holds again.")
@click.argument("names", nargs=-1, required=True)
@click.option("--user", "user_id", default=None, help="E-mail or id of the user they were for.")
@click.option("--role", default=None, help="Name of the role they were for. [neither: everybody]")
@url_option
@format_option
def reset(names: tuple[str, ...], user_id: str | None, role: str | None, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = cast("DomainClient", client).quotas.set(user_id=user_id, role=role, reset=names)
        _print_settings(msgspec.to_builtins(found), form)


def _print_settings(rows: list[dict[str, Any]], form: str) -> None:
    from syft_ext.client.quotas import amount

    if form == "table":
        rows = [row | {"limit": amount(row["name"], row["limit"])} for row in rows]
    print_rows(rows, _SET, form, empty="Nothing is set: all are the defaults.")


def print_uses(uses: list[QuotaUse], form: str) -> None:
    """A user's quotas, for people with units."""
    import msgspec

    from syft_ext.client.quotas import amount

    rows: list[dict[str, Any]] = msgspec.to_builtins(uses)
    if form == "table":
        for row in rows:
            row |= {key: amount(row["name"], row[key]) for key in ("used", "limit")}
    print_rows(rows, ("name", "used", "limit", "set_for"), form, empty="There are none here.")


def _value(text: str) -> tuple[str, int | None]:
    name, _, value = text.partition("=")
    if value == "none":
        return name, None
    found = _AMOUNT.fullmatch(value)
    if found is None:
        raise click.BadParameter(f"{text!r} is not NAME=VALUE: a number, a size as 500MB, or none")
    return name, int(found[1].replace(",", "")) * _UNITS[found[2] or ""]
