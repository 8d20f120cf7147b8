"""Datasets of a Domain: registered by their owners with schema and mock, found by everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from syft_ext.client.collection import Collection
from syft_ext.client.objects import Objects
from syft_ext.client.requestable import Requestable
from syft_ext.client.transfer import download, save
from syft_ext.display.table import Table, fields_table, size, when
from syft_ext.dp.columns import ColumnOf
from syft_ext.errors import NotFound
from syft_ext.ids import is_id
from syft_ext.messages.datasets import (
    AssetView,
    Column,
    DatasetList,
    DatasetView,
    DeleteDataset,
    GetDataset,
    GetMock,
    ListDatasets,
    MakeMock,
    MockView,
    PublishStatistics,
    UpdateAsset,
    UpdateDataset,
)
from syft_ext.messages.objects import GetObject
from syft_ext.messages.parameters import parameters_of
from syft_ext.messages.vocabulary import (
    ColumnMetadata,
    Decimal,
    Delimiter,
    Encoding,
    Missing,
    MockOptions,
    TableOptions,
    Thousands,
)
from syft_ext.nodes.found import to_be_asked_for
from syft_ext.nodes.registration import GENERATE, NewDataset, Provisional, checked_text, generated
from syft_ext.readable import readable
from syft_ext.store.content import decode

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = ["GENERATE", "Dataset", "DatasetAsset", "Datasets"]

PAGE = 1000
_TEXT = TableOptions()


class MockTable(dict[str, Any]):
    """A mock of several columns by name, with what is published of them.

    Attributes:
        columns: the schema: words, units and ranges of the real data, which made-up numbers need not have.
    """

    def __init__(self, values: Mapping[str, Any], columns: Sequence[Column]) -> None:
        super().__init__(values)
        self.columns = list(columns)


class DatasetAsset(Requestable):
    """One part of a dataset. Its data stay at the Domain; its mock can be had by everybody who sees it."""

    def __init__(self, client: Caller, dataset: DatasetView, view: AssetView) -> None:
        self.client, self.view = client, view
        self._dataset = dataset

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def object_id(self) -> str:
        """Names the private data, in plans and requests."""
        return self.view.object_id

    @property
    def shape(self) -> tuple[int, ...] | None:
        """Of the private tensor. None of a table, and where it is not published."""
        return None if self.view.shape is None else tuple(self.view.shape)

    @property
    def dtype(self) -> str | None:
        """Of the private tensor, as torch names it (``float32``). None as for :attr:`shape`."""
        return self.view.dtype

    @property
    def mock(self) -> Any:
        """Download the mock: made-up data of the same form, of a table a :class:`MockTable`. Raises NotFound when
        there is none."""
        if not self.view.has_mock:
            raise NotFound(f"{self._dataset.name}/{self.name} has no mock")
        message = GetMock(dataset_id=self._dataset.id, asset=self.name)
        view: MockView
        view, content = download(self.client, message, f"mock of {self.name}")
        found = decode(view.kind, memoryview(content))
        return MockTable(found, self.view.columns) if isinstance(found, dict) else found

    @property
    def data(self) -> Any:
        """Download the private data: for their owner, and whoever the owner lets read them."""
        with to_be_asked_for(self.name, "read"):
            return Objects(self.client).get(self.object_id)

    def save(self, path: str | Path) -> Path:
        """Download the private data to a file (safetensors) without holding them in memory."""
        with to_be_asked_for(self.name, "read"):
            return save(self.client, GetObject(object_id=self.object_id), Path(path), self.name)

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        return self.client, self.object_id

    @property
    def statistics(self) -> dict[str, dict[str, float | None]]:
        """Column → statistic → number, of those that the owner publishes."""
        return self.view.statistics

    @property
    def versions(self) -> Table:
        """When its content changed, and what of it."""
        rows = [
            (
                each.number,
                when(each.created_at),
                each.changed,
                each.note,
                each.rows,
                each.object_id or "deleted",
            )
            for each in self.view.versions
        ]
        title = f"Versions of {self._dataset.name}/{self.name}"
        return Table(title, ("version", "from", "changed", "note", "rows", "object"), rows)

    # -- for its owner ------------------------------------------------------------------------------

    def update(
        self,
        data: Any = None,
        *,
        mock: Any = None,
        note: str = "",
        description: str | None = None,
        schema: ColumnMetadata | None = None,
        columns: Sequence[str] | None = None,
        delete_old: bool = False,
        encoding: Encoding = _TEXT.encoding,
        delimiter: Delimiter = _TEXT.delimiter,
        decimal: Decimal = _TEXT.decimal,
        thousands: Thousands = _TEXT.thousands,
        missing: Missing = _TEXT.missing,
    ) -> DatasetAsset:
        """Put other content in its place (a new version), or another mock, or change what is said of it.

        Args:
            data, mock, schema, columns, encoding, delimiter, decimal, thousands, missing: as of
                :meth:`Datasets.create`. What the schema said of columns is kept unless ``schema`` says otherwise.
            note: what is new in this version.
            delete_old: delete the content that this replaces. Otherwise it stays for whoever was given it.
        """
        from syft_ext.nodes.asset_content import open_content, text_of  # needs numpy

        given = {"encoding": encoding, "delimiter": delimiter, "decimal": decimal}
        text = checked_text({**given, "thousands": thousands, "missing": missing})
        label, generate = f"{self._dataset.name}/{self.name}", generated(mock)
        metadata = _metadata(self.view) if schema is None else schema
        changes: dict[str, Any] = {"note": note, "delete_old": delete_old, "description": description}
        with Provisional(self.client) as made:
            if data is not None:
                content = open_content(data, metadata, label, columns, text)
                changes |= {"object_id": made.upload(content, label), "columns": content.columns}
                if content.notes and description is None:
                    changes["description"] = "; ".join(content.notes)
            elif schema is not None:
                changes["columns"] = [
                    _with(column, schema.get(column.name, {})) for column in self.view.columns
                ]
            if mock is not None and not generate:
                stand_in = open_content(mock, metadata, f"mock of {label}", None, text_of(mock, text))
                changes["mock_id"] = made.upload(stand_in, f"mock of {label}")
            message = UpdateAsset(dataset_id=self._dataset.id, asset=self.name, **changes)
            self._take(self.client.call(message, timeout=600.0))
        return self.make_mock() if generate else self

    @parameters_of(MockOptions)
    def make_mock(self, options: MockOptions) -> DatasetAsset:
        """Let the Domain make a mock from the schema: the right types and shapes, made-up numbers within the
        published bounds and categories."""
        message = MakeMock(dataset_id=self._dataset.id, asset=self.name, rows=options.rows, seed=options.seed)
        return self._take(self.client.call(message))

    def publish_statistics(
        self, statistics: Mapping[str, Sequence[str]] | Sequence[str], *, exact: bool = False
    ) -> DatasetAsset:
        """Let everybody who sees the schema see these statistics; they replace what was published before.

        Args:
            statistics: column → some of count, missing, sum, mean, variance, std, min, max (of words: count and
                missing); a list: of every column of numbers, and what there is of it of words; ``{}``: none any
                more. Of a guarded table they carry noise, and are charged to its ledger.
            exact: of a guarded table, exact numbers, on your word: what is guaranteed of its statistics does not
                hold for them. Of one version only, ever.
        """
        if not isinstance(statistics, Mapping):
            of_words = [name for name in statistics if name in ("count", "missing")]
            statistics = {
                column.name: of_words if column.categories else list(statistics)
                for column in self.view.columns
                if not column.shape
            }
        message = PublishStatistics(
            dataset_id=self._dataset.id,
            asset=self.name,
            statistics={name: list(each) for name, each in statistics.items()},  # type: ignore[arg-type]
            exact=exact,
        )
        return self._take(self.client.call(message, timeout=600.0))

    def _take(self, dataset: DatasetView) -> DatasetAsset:
        self._dataset = dataset
        self.view = next(view for view in dataset.assets if view.name == self.name)
        return self

    # -- showing itself -----------------------------------------------------------------------------

    def pointer(self, environment: str = "") -> Any:
        """A pointer to the private data, to compute with where they are, if their owner lets you."""
        from syft_ext.pointers.stored import pointer

        with to_be_asked_for(self.name, "compute"):
            return pointer(self.client, self.object_id, environment)

    def column(self, name: str) -> ColumnOf:
        """One of its columns, to ask private queries of."""
        client = self.client
        return ColumnOf(lambda: client, client.id, client.name, self.object_id, name)

    def table(self) -> Table:
        """Its columns as the schema has them, with published statistics."""
        view = self.view
        rows = [
            (
                column.name,
                column.dtype,
                "×".join(map(str, column.shape)) or "scalar",
                column.unit,
                "" if column.low is None else f"{_number(column.low)} to {_number(column.high)}",
                "; ".join(filter(None, [column.description, _words(column.categories)])),
                [f"{name} {_number(value)}" for name, value in view.statistics.get(column.name, {}).items()],
            )
            for column in view.columns
        ]
        form = f"{view.dtype} {view.shape}, " if view.dtype else ""
        count = f"{view.rows:,} rows, " if view.rows is not None else ""
        title = f"{self._dataset.name}/{self.name}: {form}{count}{size(view.size or 0)}"
        note = "a mock can be downloaded: .mock" if view.has_mock else ""
        note = "; ".join(filter(None, [view.description, note]))
        if (view.version or 1) > 1:
            note = "; ".join(filter(None, [note, f"version {view.version}: .versions"]))
        headings = ("column", "type", "shape", "unit", "range", "description", "statistics")
        return Table(title, headings, rows, note)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Dataset:
    """A dataset as you may see it. ``dataset["asset"]`` is one of its assets."""

    def __init__(self, client: Caller, view: DatasetView) -> None:
        self.client, self.view = client, view

    @property
    def id(self) -> str:
        return self.view.id

    @property
    def name(self) -> str:
        return self.view.name

    @property
    def description(self) -> str:
        return self.view.description

    @property
    def tags(self) -> list[str]:
        return self.view.tags

    @property
    def assets(self) -> list[DatasetAsset]:
        """The parts that you are shown; empty where its owner does not publish them."""
        return [DatasetAsset(self.client, self.view, view) for view in self.view.assets]

    def __getitem__(self, name: str | int) -> DatasetAsset:
        if isinstance(name, int):
            return self.assets[name]
        for asset in self.assets:
            if asset.name == name:
                return asset
        names = ", ".join(view.name for view in self.view.assets)
        raise NotFound(f"dataset {self.name!r} has no asset {name!r}; it has: {names or 'none'}")

    def _ipython_key_completions_(self) -> list[str]:
        return [view.name for view in self.view.assets]

    def update(self, **changes: Any) -> Dataset:
        """Change name, description, tags, subjects, visibility, published or viewers."""
        self.view = self.client.call(UpdateDataset(dataset_id=self.id, **changes))
        return self

    def delete(self, *, objects: bool = False) -> None:
        """Delete it; with ``objects``, its private data and mocks too."""
        self.client.call(DeleteDataset(dataset_id=self.id, objects=objects))

    def table(self) -> Table:
        """What is published of the dataset."""
        view = self.view
        assets = [
            f"{asset.name} {asset.shape or ''} ({'with' if asset.has_mock else 'no'} mock)"
            for asset in view.assets
        ]
        fields = [
            ("description", view.description),
            ("tags", view.tags),
            *([("about", view.subjects)] if view.subjects else []),
            *([("owner", view.owner)] if view.owner else []),
            ("assets", "; ".join(assets)),
            ("columns", [column.name for asset in view.assets for column in asset.columns]),
            *([("visible to", view.visibility)] if view.visibility else []),
            ("updated", when(view.updated_at)),
            ("id", view.id),
        ]
        return fields_table(f"Dataset {view.name} at {self.client.name}", fields)

    def __repr__(self) -> str:
        count = len(self.view.assets)
        return readable(f"<Dataset {self.name!r} at {self.client.name}, {count} assets, id {self.id}>")

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Datasets(Collection[Dataset]):
    """The datasets at a Domain that you may find, newest first."""

    title = "Datasets"
    headings = ("name", "description", "tags", "assets", "id")

    def all(self, *, mine: bool = False) -> list[Dataset]:
        """All that you may find; ``mine``: only your own."""
        found: list[DatasetView] = []
        while True:
            reply: DatasetList = self.client.call(ListDatasets(mine=mine, limit=PAGE, offset=len(found)))
            found += reply.datasets
            if len(reply.datasets) < PAGE:
                return [Dataset(self.client, view) for view in found]

    def get(self, dataset_id: str) -> Dataset:
        """By id, by exact name, or by how an id begins.

        Raises :class:`NotFound`, and :class:`~syft_ext.errors.Ambiguous` where several have the name.
        """
        if is_id(dataset_id):
            return Dataset(self.client, self.client.call(GetDataset(dataset_id=dataset_id)))
        reply: DatasetList = self.client.call(ListDatasets(name=dataset_id, limit=PAGE))
        named = [Dataset(self.client, view) for view in reply.datasets]
        return self.choose(named or self.all(), dataset_id)

    def __getitem__(self, which: int | str) -> Dataset:
        """By position, or as :meth:`get`."""
        return self.get(which) if isinstance(which, str) else self.all()[which]

    @parameters_of(NewDataset)
    def create(self, new: NewDataset) -> Dataset:
        """Upload data of yours and describe them, so that others find them. Nobody else may read the data.

        Where anything fails on the way, nothing of it stays.

        Args:
            assets: the data: a tensor, an array, a data frame (pandas, Polars), a torch dataset, a
                :class:`~pathlib.Path` of a file (CSV, Parquet, .npy, .npz, safetensors) or of a folder of images;
                or several of these by name. None: the data stay with the owner's Workers; the Domain keeps the
                mock, and no rows of data in the mock's form. Files are read and sent a few megabytes at a time;
                what was interrupted goes on where it stopped when this is called again.
            mock: made-up data of the same form, which others may download, for several assets by name;
                "generate": the Domain makes one for each, from the schema alone.
            schema: what there is to say of columns: name → ``{"unit": …, "description": …, "low": …, "high": …,
                "categories": […]}``. A column of text needs its categories, whose numbers are then kept; a
                categorical has its own. What lies outside of bounds or categories is refused, with its row. Times
                are counts since 1970 of the ``unit`` (µs, s, d, …); ``timezone`` says where those without a zone
                were taken, ``format`` how a CSV writes them (as of ``strptime``). ``dtype``: another type than
                int64, float64 or bool.
            columns: only these columns (of files and frames).
            encoding, delimiter, decimal, thousands, missing: how a CSV is written, where it is not in UTF-8 with
                decimal points; nothing of this is guessed.
            person: the column of numbers that says who a row is about, where several rows can be about one person:
                guarded statistics then protect persons, not rows. rows_per_person: how many rows of each person
                count, at most; the noise grows with it.
            statistics: what everybody may see who sees the schema: see :meth:`DatasetAsset.publish_statistics`.
                Needs a single asset.

        Raises:
            BadRequest: the data are no numbers, or do not have the same columns as the mock.
            Forbidden: your role may not upload data, or the site's policy does not let such statistics out.
        """
        with Provisional(self.client) as made:
            dataset, generate = Dataset(self.client, made.dataset(new)), generated(new.mock)
            for asset in dataset.assets:
                if new.statistics:
                    asset.publish_statistics(new.statistics)
                if generate:
                    asset.make_mock(new.mock_rows, new.mock_seed)
            return self.get(dataset.id) if new.statistics or generate else dataset

    def update(self, dataset_id: str, **changes: Any) -> Dataset:
        """As :meth:`Dataset.update`, by id."""
        return self.get(dataset_id).update(**changes)

    def delete(self, dataset_id: str, *, objects: bool = False) -> None:
        """Delete one by id or name; with ``objects``, its private data and mocks too."""
        self.get(dataset_id).delete(objects=objects)

    def key(self, item: Dataset) -> tuple[str, ...]:
        return (item.id, item.name)

    def told_apart(self, item: Dataset) -> str:
        owner = f"of {item.view.owner}, " if item.view.owner else ""
        return f"{owner}{when(item.view.updated_at)}"

    def row(self, item: Dataset) -> tuple[Any, ...]:
        return (item.name, item.description, item.tags, [view.name for view in item.view.assets], item.id)


def _metadata(view: AssetView) -> dict[str, dict[str, Any]]:
    """What the schema says of columns, beyond their form."""
    return {column.name: _about(column) for column in view.columns}


def _about(column: Column) -> dict[str, Any]:
    names = ("unit", "description", "low", "high", "categories", "rows_per_person")
    about = {name: value for name in names if (value := getattr(column, name)) not in ("", None, [])}
    if not column.rows_per_person:
        del about["rows_per_person"]
    return about


def _with(column: Column, metadata: Mapping[str, Any]) -> Column:
    return Column(name=column.name, dtype=column.dtype, shape=column.shape, **{**_about(column), **metadata})


def _words(categories: Sequence[str]) -> str:
    return ", ".join(f"{place} {word or '(missing)'}" for place, word in enumerate(categories))


def _number(value: float | None) -> str:
    return "kept back" if value is None else f"{value:.6g}"
