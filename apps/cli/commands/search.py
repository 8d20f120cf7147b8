"""``grid search``: datasets and models, by what is said of them."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_rows

__all__ = ["COMMANDS", "search"]

COMMANDS = {
    "search": "Search a Network (all its Domains) or one Domain.",
}


@click.command(
    help="""Search datasets and models by WORDS that occur in them.

\b
At a Network, all its Domains are asked at once; those that do not answer in
time are named on standard error. At a Domain, that Domain is searched.

\b
Examples:
  grid search breast cancer
  grid search --tag oncology --kind dataset --url http://localhost:5000 --format json
  grid search --column age --min-rows 1000
"""
)
@click.argument("words", nargs=-1)
@click.option("--tag", "tags", multiple=True, help="A tag that must be there. Can be repeated.")
@click.option("--name", default="", help="The exact name.")
@click.option("--column", "columns", multiple=True, help="A column that must be there. Can be repeated.")
@click.option(
    "--kind", type=click.Choice(["dataset", "model", "object"]), default=None, help="Only such things."
)
@click.option("--min-bytes", type=click.IntRange(0), default=None, help="Of a published size, at least this.")
@click.option("--max-bytes", type=click.IntRange(0), default=None, help="Of a published size, at most this.")
@click.option("--min-rows", type=click.IntRange(0), default=None, help="Published rows, at least so many.")
@click.option("--max-rows", type=click.IntRange(0), default=None, help="Published rows, at most so many.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many."
)
@url_option
@format_option
def search(words: tuple[str, ...], url: str, form: str, **query: Any) -> None:
    query = {name: list(value) if isinstance(value, tuple) else value for name, value in query.items()}
    query["kind"] = query["kind"] or ""
    with open_client(url, "network", "domain") as client:
        found = client.search(" ".join(words), **query)  # type: ignore[attr-defined]  # both of them have it
    for note in getattr(found, "notes", ()):
        click.echo(f"note: {note.domain}: {note.error}", err=True)
    rows = [
        {
            "name": hit.name,
            "kind": hit.kind,
            "domain": hit.domain_name,
            "address": hit.domain_address,
            "domain_id": hit.source.domain_id,
            "description": hit.description,
            "tags": hit.tags,
            "id": hit.id,
            "assets": [asset.item for asset in hit.assets],
        }
        for hit in found
    ]
    columns = ("name", "kind", "domain", "description", "tags", "address")
    print_rows(rows, columns, form, empty="Nothing found.")
