"""``grid search``: datasets and models, by what is said of them."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.options import options_of
from apps.cli.output import format_option, print_rows, say
from syft_ext.messages.vocabulary import SearchOptions

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
@options_of(SearchOptions, skip=("text",))
@url_option
@format_option
def search(words: tuple[str, ...], url: str, form: str, **query: Any) -> None:
    with open_client(url, "network", "domain") as client:
        found = client.search(" ".join(words), **query)  # type: ignore[attr-defined]  # both of them have it
    for note in getattr(found, "notes", ()):
        say(f"note: {note.domain}: {note.error}", err=True)
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
