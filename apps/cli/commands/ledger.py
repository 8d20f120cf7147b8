"""``grid ledger``: what statistics of a table of yours told, and what they may tell."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record, print_rows, print_text

if TYPE_CHECKING:
    from syft_ext.nodes.domain import DomainClient
    from syft_ext.statistics.ledgers import Ledger

__all__ = ["COMMANDS", "ledger"]

COMMANDS = {
    "ledger": "What statistics of your tables told of their rows, and what they may tell.",
}


@click.group(
    help="""What statistics of a guarded table told everybody, and what they may tell.

\b
There is one ledger for all versions of a table and all users. TABLE is DATASET,
or DATASET/ASSET. A percentage is of all that
statistics may ever tell of its rows to everybody together: at 100 % only what
was asked before is answered again, until you grant more.

\b
Examples:
  grid ledger list
  grid ledger show patients
  grid ledger grant patients 8
"""
)
def ledger() -> None:
    pass


@ledger.command("list", help="All of your tables that anybody asked about, the most used first.")
@url_option
@format_option
def list_ledgers(url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        ledgers = cast("DomainClient", client).ledger
        listed = ledgers.all()
        if form == "table" and listed:
            print_text(repr(ledgers))
            return
        found = [msgspec.to_builtins(each.view) for each in listed]
    print_rows(found, (), form, empty="Nobody has asked about a table of yours.")


@ledger.command("show", help="What was told to whom, and what is left.")
@click.argument("table")
@url_option
@format_option
def show_ledger(table: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _print(_ledger(client, table), form)


@ledger.command("grant", help="Let statistics of TABLE tell EPSILON in all, with what they told already.")
@click.argument("table")
@click.argument("epsilon", type=click.FloatRange(min=0, min_open=True))
@url_option
@format_option
def grant_ledger(table: str, epsilon: float, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _print(_ledger(client, table).grant(epsilon), form)


def _ledger(client: Any, table: str) -> Ledger:
    domain = cast("DomainClient", client)
    name, _, asset = table.partition("/")
    found = domain.datasets[name]
    return domain.ledger[found[asset] if asset else found]


def _print(found: Ledger, form: str) -> None:
    import msgspec

    if form == "json":
        print_record(msgspec.to_builtins(found.view), form)
    else:
        print_text(repr(found))
