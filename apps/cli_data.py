"""``grid search``, ``grid dataset``, ``grid training``: what a data owner and a scientist do from a terminal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from apps.cli_client import open_client, url_option
from apps.cli_output import ago, format_option, print_record, print_rows

__all__ = ["dataset", "search", "training"]


@click.command(
    help="""Search datasets and models by WORDS that occur in them.

\b
At a Network, all its Domains are asked at once; those that do not answer in
time are named on standard error. At a Domain, that Domain is searched.

\b
Examples:
  grid search breast cancer
  grid search --tag oncology --kind dataset --url http://localhost:5000 --format json
"""
)
@click.argument("words", nargs=-1)
@click.option("--tag", "tags", multiple=True, help="A tag that must be there. Can be repeated.")
@click.option("--name", default="", help="The exact name.")
@click.option("--kind", type=click.Choice(["dataset", "model"]), default=None, help="Only such things.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many."
)
@url_option
@format_option
def search(
    words: tuple[str, ...],
    tags: tuple[str, ...],
    name: str,
    kind: str | None,
    limit: int,
    url: str,
    form: str,
) -> None:
    from syft_ext.client.domain import DomainClient

    query: dict[str, Any] = {"tags": list(tags), "name": name, "kind": kind or "", "limit": limit}
    with open_client(url, "network", "domain") as client:
        if isinstance(client, DomainClient):
            rows = _search_domain(client, " ".join(words), query)
        else:
            rows = _search_network(client, " ".join(words), query)
    columns = ("name", "kind", "domain", "description", "tags", "address")
    print_rows(rows, columns, form, empty="Nothing found.")


def _search_network(client: Any, text: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    from syft_ext.messages.network import SearchNetwork

    reply = client.call(SearchNetwork(text=text, **query), timeout=90.0)
    for note in reply.notes:
        click.echo(f"note: {note.domain}: {note.error}", err=True)
    return [
        {
            "name": hit.name,
            "kind": hit.kind,
            "domain": hit.domain_name,
            "address": hit.domain_address,
            "domain_id": hit.domain_id,
            "description": hit.item.get("description", ""),
            "tags": hit.item.get("tags", []),
            "id": hit.item.get("id", ""),
        }
        for hit in reply.results
    ]


def _search_domain(client: Any, text: str, query: dict[str, Any]) -> list[dict[str, Any]]:
    from syft_ext.messages.datasets import SearchQuery

    reply = client.call(SearchQuery(text=text, **query))
    return [
        {
            "name": entry.name,
            "kind": entry.kind,
            "domain": client.name,
            "address": client.address,
            "domain_id": client.id,
            "description": entry.description,
            "tags": entry.tags,
            "id": entry.id,
        }
        for entry in reply.entries
    ]


# -- datasets ------------------------------------------------------------------------------------------


@click.group()
def dataset() -> None:
    """Add and list datasets of a Domain."""


@dataset.command(
    "add",
    help="""Describe data of yours at a Domain, so that others find it.

\b
Without --data the data stay where they are (with your Workers), and only the
description and the mock go to the Domain. FILE is a .csv, .npz or .safetensors.

\b
Examples:
  grid dataset add breast-cancer --description "569 biopsies" --tag oncology --mock mock.csv
  grid dataset add sensors --data sensors.npz --visibility users
""",
)
@click.argument("name")
@click.option(
    "--data", type=click.Path(exists=True, dir_okay=False, path_type=Path), help="Upload this file."
)
@click.option(
    "--mock",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help="Made-up data of the same form.",
)
@click.option("--description", default="", help="What it is.")
@click.option("--tag", "tags", multiple=True, help="A tag. Can be repeated.")
@click.option(
    "--visibility",
    type=click.Choice(["public", "users", "private"]),
    default="public",
    show_default=True,
    help="Who finds it: Networks too, whoever is logged in, or you.",
)
@url_option
@format_option
def dataset_add(
    name: str,
    data: Path | None,
    mock: Path | None,
    description: str,
    tags: tuple[str, ...],
    visibility: str,
    url: str,
    form: str,
) -> None:
    from syft_ext.client.domain import DomainClient

    with open_client(url, "domain") as client:
        assert isinstance(client, DomainClient)
        created = client.datasets.create(
            name,
            None if data is None else _tensors(data),
            mock=None if mock is None else _tensors(mock),
            description=description,
            tags=tags,
            visibility=visibility,
        )
        record = {"id": created.id, "name": created.name, "assets": [each.name for each in created.assets]}
    print_record(record, form)


def _tensors(path: Path) -> Any:
    """The file's columns or arrays, as the SDK takes them."""
    if path.suffix.lower() == ".safetensors":
        from syft_ext.tensors import decode_tensors

        return decode_tensors(path.read_bytes())
    if path.suffix.lower() == ".npz":
        import numpy as np

        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    if path.suffix.lower() == ".csv":
        return {"data": _columns(path)}
    raise click.UsageError(f"{path.name}: a .csv, .npz or .safetensors is needed")


def _columns(path: Path) -> dict[str, Any]:
    """Each column of a CSV as an array: int64 where all of it is whole numbers, else float64 (nothing is rounded
    to fewer digits than the file has)."""
    import csv

    import numpy as np

    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header, rows = next(reader, []), list(reader)
    try:
        columns = list(zip(*rows, strict=True)) if rows else [()] * len(header)
        return {name.strip(): _numbers(values, np) for name, values in zip(header, columns, strict=True)}
    except ValueError as error:
        raise click.UsageError(f"{path.name}: {error}; every column must hold numbers") from error


def _numbers(values: Sequence[str], np: Any) -> Any:
    try:
        return np.array([int(value) for value in values], dtype=np.int64)
    except (ValueError, OverflowError):
        return np.array([float(value) for value in values], dtype=np.float64)


@dataset.command("list", help="The datasets of a Domain that you may find.")
@click.option("--mine", is_flag=True, help="Only your own.")
@url_option
@format_option
def dataset_list(mine: bool, url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.datasets import ListDatasets

    with open_client(url, "domain") as client:
        found = client.call(ListDatasets(mine=mine, limit=1000)).datasets
    rows = [
        msgspec.to_builtins(each)
        | {"assets": [asset.name for asset in each.assets], "added": ago(each.created_at)}
        for each in found
    ]
    columns = ("name", "description", "tags", "assets", "added", "id")
    print_rows(rows, columns, form, empty="No datasets.")


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
