"""``grid budget``: what noisy statistics may cost each user."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record, print_rows

if TYPE_CHECKING:
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "budget"]

COMMANDS = {
    "budget": "What noisy statistics may cost whom.",
}


@click.group(
    help="""How much epsilon noisy statistics may cost each user in all.

\b
Examples:
  grid budget show
  grid budget grant USER_ID 1.5
"""
)
def budget() -> None:
    pass


@budget.command("show", help="Your own budget.")
@url_option
@format_option
def show_own(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        print_record(msgspec.to_builtins(cast("DomainClient", client).budget.get()), form)


@budget.command("list", help="The budgets of all who were granted one.")
@url_option
@format_option
def list_budgets(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        rows = msgspec.to_builtins(cast("DomainClient", client).budget.all(limit=1000))
    print_rows(rows, ("user_id", "granted", "spent", "left"), form, empty="None.")


@budget.command(help="Let a user spend EPSILON in all, with what they have spent already.")
@click.argument("user_id")
@click.argument("epsilon", type=click.FloatRange(min=0))
@url_option
@format_option
def grant(user_id: str, epsilon: float, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        print_record(msgspec.to_builtins(cast("DomainClient", client).budget.grant(user_id, epsilon)), form)
