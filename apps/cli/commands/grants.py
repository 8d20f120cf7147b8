"""``grid grants``: what was allowed to whom."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_done, print_rows

__all__ = ["COMMANDS", "grants"]

COMMANDS = {
    "grants": "What was allowed to whom.",
}


@click.group(help=COMMANDS["grants"])
def grants() -> None:
    pass


@grants.command("list", help="The newest first.")
@url_option
@format_option
def list_grants(url: str, form: str) -> None:
    domain = _domain(url)
    collection, found = domain.grants, domain.grants.all()
    rows = [dict(zip(collection.headings, collection.row(item), strict=True)) for item in found]
    if form == "table":
        known = domain.users.addresses() if found else {}
        rows = [row | {"user": known.get(row["user"], row["user"])} for row in rows]
    print_rows(rows, collection.headings, form, empty="No grants.")


@grants.command("revoke", help="End a grant; it acts at once.")
@click.argument("grant_id")
@url_option
@format_option
def revoke_grant(grant_id: str, url: str, form: str) -> None:
    print_done(_domain(url).grants.revoke(grant_id).state, form)


def _domain(url: str) -> Any:
    return open_client(url, "domain")
