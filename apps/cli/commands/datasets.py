"""``grid dataset``: what a data owner does with datasets from a terminal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.options import options_of
from apps.cli.output import ago, format_option, print_done, print_record, print_rows, say, say_json
from syft_ext.messages.vocabulary import MockOptions, Publication, TableOptions

if TYPE_CHECKING:
    from syft_ext.nodes.datasets import DatasetAsset
    from syft_ext.nodes.domain import DomainClient

__all__ = ["COMMANDS", "dataset"]

COMMANDS = {
    "dataset": "Add, describe, change and list datasets of a Domain.",
}

SOURCE = click.Path(exists=True, path_type=Path)
_schema_option = click.option(
    "--schema",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='Of columns, as JSON: {"age": {"unit": "years"}, "sex": {"categories": ["f", "m"]}, '
    '"seen": {"unit": "s", "timezone": "Europe/Berlin"}}; low, high, description, format and dtype too.',
)
_columns_option = click.option(
    "--column", "columns", multiple=True, help="Only this column. Can be repeated."
)


@click.group(help=COMMANDS["dataset"])
def dataset() -> None:
    pass


@dataset.command(
    "add",
    help="""Upload data of yours to a Domain and describe them, so that others find them.

\b
FILE is a .csv, .parquet, .npy, .npz or .safetensors, or a folder of images (one
folder per class, or images only). It is converted and sent a few megabytes at a
time; run the command again to go on where it was interrupted.
Without --data the data stay where they are (with your Workers), and only the
description and the mock go to the Domain.

\b
Examples:
  grid dataset add breast-cancer --description "569 biopsies" --tag oncology --mock mock.csv
  grid dataset add patients --data patients.parquet --schema schema.json --mock generate
""",
)
@click.argument("name")
@click.option("--data", type=SOURCE, help="Upload this file or folder.")
@click.option("--mock", default="", help='Made-up data of the same form: a file, or "generate".')
@_schema_option
@_columns_option
@click.option("--person", default="", help="The column that says who a row is about.")
@click.option(
    "--rows-per-person", type=click.IntRange(min=1), help="How many rows of each person count in statistics."
)
@options_of(TableOptions)
@options_of(Publication)
@url_option
@format_option
def dataset_add(
    name: str,
    data: Path | None,
    mock: str,
    schema: Path | None,
    columns: tuple[str, ...],
    person: str,
    rows_per_person: int | None,
    url: str,
    form: str,
    **fields: Any,
) -> None:
    from syft_ext.nodes.registration import GENERATE

    with open_client(url, "domain") as client:
        created = _domain(client).datasets.create(
            name,
            data,
            mock=_mock(mock, GENERATE),
            schema=_schema(schema),
            columns=list(columns) or None,
            person=person,
            rows_per_person=rows_per_person or 0,
            **fields,
        )
        record = {"id": created.id, "name": created.name, "assets": [each.name for each in created.assets]}
    print_record(record, form)


def _mock(text: str, generate: str) -> Path | str | None:
    if not text or text == generate:
        return text or None
    if not Path(text).exists():
        raise click.UsageError(f'--mock: there is no file {text}; give one, or "{generate}"')
    return Path(text)


def _schema(path: Path | None) -> dict[str, dict[str, Any]] | None:
    if path is None:
        return None
    try:
        found = json.loads(path.read_text())
    except ValueError as error:
        raise click.UsageError(f"{path.name} is no JSON: {error}") from error
    if not isinstance(found, dict) or not all(isinstance(each, dict) for each in found.values()):
        raise click.UsageError(f'{path.name}: {{"column": {{"unit": …}}, …}} is needed')
    return found


def _domain(client: Any) -> DomainClient:
    from syft_ext.nodes.domain import DomainClient

    assert isinstance(client, DomainClient)
    return client


def _asset(client: Any, name: str, asset: str) -> DatasetAsset:
    found = _domain(client).datasets.get(name)
    return found[asset] if asset else found[0]


_asset_option = click.option("--asset", default="", help="Which asset. [default: the first one]")


@dataset.command("show", help="A dataset as you may see it: columns, statistics, versions.")
@click.argument("name")
@url_option
@format_option
def dataset_show(name: str, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = _domain(client).datasets.get(name)
        if form == "json":
            print_record(msgspec.to_builtins(found.view), form)
            return
        say(repr(found.table()), lines=True)
        for asset in found.assets:
            say(f"\n{asset!r}", lines=True)
            if asset.view.versions:
                say(f"\n{asset.versions!r}", lines=True)


@dataset.command("update", help="Give an asset of yours other content: a new version. FILE as in `add`.")
@click.argument("name")
@click.argument("file", type=SOURCE)
@_asset_option
@click.option("--note", default="", help="What is new.")
@_schema_option
@_columns_option
@click.option("--delete-old", is_flag=True, help="Delete the content that this replaces.")
@options_of(TableOptions)
@url_option
@format_option
def dataset_update(
    name: str,
    file: Path,
    asset: str,
    note: str,
    schema: Path | None,
    columns: tuple[str, ...],
    delete_old: bool,
    url: str,
    form: str,
    **text: Any,
) -> None:
    with open_client(url, "domain") as client:
        changed = _asset(client, name, asset).update(
            file,
            note=note,
            schema=_schema(schema),
            columns=list(columns) or None,
            delete_old=delete_old,
            **text,
        )
        print_done(f"version {changed.view.version}", form)


@dataset.command(
    "statistics",
    help="""Let everybody see statistics of an asset of yours; they replace what was published before.

\b
TICKS are column=statistic,statistic…, of count, missing, sum, mean, variance,
std, min and max. Without any, none is shown any more. Of a guarded table they
carry noise and are charged to its ledger, like what anybody asks.

\b
Example:
  grid dataset statistics patients age=count,mean,std bmi=mean
""",
)
@click.argument("name")
@click.argument("ticks", nargs=-1)
@_asset_option
@click.option(
    "--exact", is_flag=True, help="Of a guarded table: exact numbers, on your word. Of one version, ever."
)
@url_option
@format_option
def dataset_statistics(
    name: str, ticks: tuple[str, ...], asset: str, exact: bool, url: str, form: str
) -> None:
    wanted = {}
    for tick in ticks:
        column, separator, names = tick.partition("=")
        if not separator or not names:
            raise click.UsageError(f"{tick!r}: column=statistic,… is needed")
        wanted[column] = names.split(",")
    with open_client(url, "domain") as client:
        published = _asset(client, name, asset).publish_statistics(wanted, exact=exact)
    if form == "json":
        say_json(published.statistics)
    else:
        say(repr(published), lines=True)


@dataset.command("mock", help="Let the Domain make a mock of an asset of yours from its schema alone.")
@click.argument("name")
@_asset_option
@options_of(MockOptions)
@url_option
@format_option
def dataset_mock(name: str, asset: str, rows: int, seed: int, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _asset(client, name, asset).make_mock(rows, seed)
    print_done("made", form)


@dataset.command("delete", help="Delete a dataset of yours.")
@click.argument("name")
@click.option("--objects", is_flag=True, help="Its data, mocks and earlier versions, too.")
@url_option
@format_option
def dataset_delete(name: str, objects: bool, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        _domain(client).datasets.delete(name, objects=objects)
    print_done("deleted", form)


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


@dataset.command(
    "uploads", help="Your uploads that are not finished; an abandoned one is removed after a week."
)
@click.option("--abort", "aborted", default="", help="Give up the upload with this id.")
@url_option
@format_option
def dataset_uploads(aborted: str, url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.objects import AbortUpload, ListUploads

    with open_client(url, "domain") as client:
        if aborted:
            client.call(AbortUpload(upload_id=aborted))
        found = client.call(ListUploads()).uploads
    rows = [msgspec.to_builtins(each) for each in found]
    print_rows(rows, ("upload_id", "received", "size"), form, empty="No unfinished uploads.")
