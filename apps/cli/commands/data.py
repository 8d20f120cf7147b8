"""``grid search`` and ``grid training``: what a scientist does from a terminal."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.options import options_of
from apps.cli.output import format_option, print_rows
from syft_ext.messages.vocabulary import SearchOptions

__all__ = ["search", "training"]


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


# -- trainings -----------------------------------------------------------------------------------------


@click.group()
def training() -> None:
    """List, watch and cancel trainings."""


@training.command("list", help="The trainings of a Domain, newest first.")
@url_option
@format_option
def training_list(url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.federated import ListProcesses

    with open_client(url, "domain") as client:
        found = client.call(ListProcesses()).processes
    rows = [
        msgspec.to_builtins(each) | {"cycles": f"{each.cycles_completed}/{each.num_cycles or '∞'}"}
        for each in found
    ]
    columns = ("name", "version", "status", "cycles", "admitted", "reported", "owner", "process_id")
    print_rows(rows, columns, form, empty="No trainings.")


@training.command(
    "watch",
    help="""Follow a training until it ends: rounds, participants, loss.

\b
WHICH is NAME, NAME/VERSION, or the training's id.
""",
)
@click.argument("which")
@click.option("--timeout", type=float, default=None, help="Stop watching after so many seconds.")
@url_option
@format_option
def training_watch(which: str, timeout: float | None, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = _find(client, which)
        metrics = found.watch(timeout=timeout)
        status = found.view.status
    rows = [msgspec.to_builtins(cycle) for cycle in metrics]
    columns = ("cycle", "status", "admitted", "reported", "samples", "loss", "accuracy")
    print_rows(rows, columns, form, empty=f"The training is {status}.")


@training.command("cancel", help="End a training for good; its checkpoints stay. WHICH as in `watch`.")
@click.argument("which")
@click.option("--reason", default="", help="What its history says.")
@url_option
def training_cancel(which: str, reason: str, url: str) -> None:
    with open_client(url, "domain") as client:
        _find(client, which).cancel(reason)
    click.echo("cancelled")


def _find(client: Any, which: str) -> Any:
    """The training that NAME, NAME/VERSION or an id names."""
    from syft_ext.errors import NotFound

    name, separator, version = which.rpartition("/")
    for each in client.trainings.all():
        if which in (each.id, each.name) or (separator and (each.name, each.version) == (name, version)):
            return each
    raise NotFound(f"there is no training {which!r}")
