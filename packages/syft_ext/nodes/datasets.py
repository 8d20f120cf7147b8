"""Datasets of a Domain: registered by their owners with schema and mock, found by everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from syft_ext.client.collection import Collection
from syft_ext.client.objects import Objects, RemoteObject
from syft_ext.client.transfer import download, save
from syft_ext.display.table import Table, fields_table, size, when
from syft_ext.errors import BadRequest, GridError, NotFound
from syft_ext.messages.datasets import (
    PUBLISHED,
    Asset,
    AssetView,
    Column,
    CreateDataset,
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
from syft_ext.nodes.found import to_be_asked_for
from syft_ext.store.content import decode

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller
    from syft_ext.client.requests import DataRequest
    from syft_ext.sources.content import PartsContent
    from syft_ext.sources.parts import ColumnMetadata

__all__ = ["GENERATE", "Dataset", "DatasetAsset", "Datasets"]

PAGE = 1000
GENERATE = "generate"
"""As a mock: let the Domain make one from the schema."""


class DatasetAsset:
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
    def mock(self) -> Any:
        """Download the mock: made-up data of the same form. Raises NotFound when there is none."""
        if not self.view.has_mock:
            raise NotFound(f"{self._dataset.name}/{self.name} has no mock")
        message = GetMock(dataset_id=self._dataset.id, asset=self.name)
        view: MockView
        view, content = download(self.client, message, f"mock of {self.name}")
        return decode(view.kind, memoryview(content))

    @property
    def data(self) -> Any:
        """Download the private data: for their owner, and whoever the owner lets read them."""
        with to_be_asked_for(self.name, "read"):
            return Objects(self.client).get(self.object_id)

    def save(self, path: str | Path) -> Path:
        """Download the private data to a file (safetensors) without holding them in memory."""
        with to_be_asked_for(self.name, "read"):
            return save(self.client, GetObject(object_id=self.object_id), Path(path), self.name)

    def request(self, reason: str, scope: Literal["read", "compute", "statistics"] = "read") -> DataRequest:
        """Ask its owner (or a reviewer) to let you read it, compute on it or have statistics of it."""
        from syft_ext.client.requests import Requests

        return Requests(self.client).create(self.object_id, reason, scope)

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
    ) -> DatasetAsset:
        """Put other content in its place (a new version), or another mock, or change what is said of it.

        Args:
            data, mock, schema, columns: as of :meth:`Datasets.create`. What the schema said of columns is kept
                unless ``schema`` says otherwise.
            note: what is new in this version.
            delete_old: delete the content that this replaces. Otherwise it stays for whoever was given it.
        """
        from syft_ext.nodes.asset_content import open_content

        label, store, kept = f"{self._dataset.name}/{self.name}", Objects(self.client), list[RemoteObject]()
        generate = isinstance(mock, str) and mock == GENERATE
        metadata = _metadata(self.view) if schema is None else schema
        changes: dict[str, Any] = {"note": note, "delete_old": delete_old, "description": description}
        try:
            if data is not None:
                content = open_content(data, metadata, label, columns)
                kept.append(store.put_content(content, description=label))
                changes |= {"object_id": kept[-1].id, "columns": content.columns}
            elif schema is not None:
                changes["columns"] = [
                    _with(column, schema.get(column.name, {})) for column in self.view.columns
                ]
            if mock is not None and not generate:
                stand_in = open_content(mock, metadata, f"mock of {label}", None)
                kept.append(store.put_content(stand_in, description=f"mock of {label}"))
                changes["mock_id"] = kept[-1].id
            message = UpdateAsset(dataset_id=self._dataset.id, asset=self.name, **changes)
            self._take(self.client.call(message, timeout=600.0))
        except BaseException:
            for item in kept:
                _forget(item)
            raise
        return self.make_mock() if generate else self

    def make_mock(self, rows: int = 100, seed: int = 0) -> DatasetAsset:
        """Let the Domain make a mock from the schema: the right types and shapes, made-up numbers within the
        published bounds and categories."""
        message = MakeMock(dataset_id=self._dataset.id, asset=self.name, rows=rows, seed=seed)
        return self._take(self.client.call(message))

    def publish_statistics(self, statistics: Mapping[str, Sequence[str]] | Sequence[str]) -> DatasetAsset:
        """Let everybody who sees the schema see these statistics; they replace what was published before.

        Args:
            statistics: column → some of count, missing, sum, mean, variance, std, min, max; a list: of every
                column of numbers; ``{}``: none any more.
        """
        if not isinstance(statistics, Mapping):
            single = [column.name for column in self.view.columns if not column.shape]
            statistics = {name: list(statistics) for name in single}
        message = PublishStatistics(
            dataset_id=self._dataset.id,
            asset=self.name,
            statistics={name: list(each) for name, each in statistics.items()},  # type: ignore[arg-type]
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
                column.description or _words(column.categories),
                [f"{name} {_number(value)}" for name, value in view.statistics.get(column.name, {}).items()],
            )
            for column in view.columns
        ]
        form = f"{view.dtype} {view.shape}, " if view.dtype else ""
        count = f"{view.rows:,} rows, " if view.rows is not None else ""
        title = f"{self._dataset.name}/{self.name}: {form}{count}{size(view.size or 0)}"
        note = "a mock can be downloaded: .mock" if view.has_mock else ""
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
        return f"<Dataset {self.name!r} at {self.client.name}, {len(self.view.assets)} assets, id {self.id}>"

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
        """By id, or by exact name (the newest of that name)."""
        reply: DatasetList = self.client.call(ListDatasets(name=dataset_id, limit=1))
        if reply.datasets:
            return Dataset(self.client, reply.datasets[0])
        return Dataset(self.client, self.client.call(GetDataset(dataset_id=dataset_id)))

    def create(
        self,
        name: str,
        assets: Any = None,
        *,
        mock: Any = None,
        description: str = "",
        tags: Sequence[str] = (),
        subjects: str = "",
        schema: ColumnMetadata | None = None,
        columns: Sequence[str] | None = None,
        statistics: Mapping[str, Sequence[str]] | Sequence[str] = (),
        mock_rows: int = 100,
        mock_seed: int = 0,
        visibility: str = "public",
        published: Sequence[str] = PUBLISHED,
        viewers: Sequence[str] = (),
    ) -> Dataset:
        """Upload data of yours and describe them, so that others find them. Nobody else may read the data.

        Args:
            assets: the data: a tensor, an array, a data frame (pandas, Polars), a torch dataset, a
                :class:`~pathlib.Path` of a file (CSV, Parquet, .npy, .npz, safetensors) or of a folder of images;
                or several of these by name. None: the data stay with the owner's Workers; the Domain keeps the
                mock, and no rows of data in the mock's form. Files are read and sent a few megabytes at a time;
                what was interrupted goes on where it stopped when this is called again.
            mock: made-up data of the same form, which others may download, for several assets by name;
                "generate": the Domain makes one for each, from the schema alone.
            subjects: a note on whom the data are about.
            schema: what there is to say of columns: name → ``{"unit": …, "description": …, "low": …, "high": …,
                "categories": […]}``. A column of text needs its categories, whose numbers are then kept.
            columns: only these columns (of files and frames).
            statistics: what everybody may see who sees the schema: see :meth:`DatasetAsset.publish_statistics`.
                Needs a single asset.
            mock_rows, mock_seed: of a generated mock.
            visibility: "public" (Networks find it too), "users", or "private" (you and ``viewers``).
            published: what others see of it (:data:`syft_ext.messages.datasets.PUBLISHED`).

        Raises:
            BadRequest: the data are no numbers, or do not have the same columns as the mock.
            Forbidden: your role may not upload data, or the site's policy does not let such statistics out.
        """
        from syft_ext.nodes.asset_content import open_asset

        generate = isinstance(mock, str) and mock == GENERATE
        parts, mocks = _parts(assets), {} if generate else _parts(mock)
        if assets is not None and not set(mocks) <= set(parts):
            raise BadRequest(f"mock: by name, as the data are: {', '.join(parts)}")
        if statistics and len(parts) != 1:
            raise BadRequest("statistics: of several assets, publish them one by one")
        store, kept = Objects(self.client), list[RemoteObject]()
        made: Dataset | None = None
        try:
            contents = {
                part: open_asset(name, part, parts.get(part), mocks.get(part), schema or {}, columns)
                for part in parts or mocks
            }
            known = {column.name for content, _ in contents.values() for column in content.columns}
            if not set(schema or {}) <= known:
                raise BadRequest(f"schema: the columns are {', '.join(sorted(known))}")
            message = CreateDataset(
                name=name,
                description=description,
                tags=list(tags),
                subjects=subjects,
                assets=[self._asset(store, kept, name, part, *each) for part, each in contents.items()],
                visibility=visibility,  # type: ignore[arg-type]  # the node checks both
                published=list(published),  # type: ignore[arg-type]
                viewers=list(viewers),
            )
            made = Dataset(self.client, self.client.call(message))
            for asset in made.assets:
                if statistics:
                    asset.publish_statistics(statistics)
                if generate:
                    asset.make_mock(mock_rows, mock_seed)
            return self.get(made.id) if statistics or generate else made
        except BaseException:
            if made is not None:
                _forget(made)
            for item in kept:  # no data without a dataset stay behind
                _forget(item)
            raise

    @staticmethod
    def _asset(
        store: Objects,
        kept: list[RemoteObject],
        dataset: str,
        part: str,
        content: PartsContent,
        stand_in: PartsContent | None,
    ) -> Asset:
        """Upload one asset and its mock; what was uploaded goes into ``kept``."""
        label = f"{dataset}/{part}"
        kept.append(store.put_content(content, description=label))
        data, mock_id = kept[-1], None
        if stand_in is not None:
            kept.append(store.put_content(stand_in, description=f"mock of {label}"))
            mock_id = kept[-1].id
        return Asset(name=part, object_id=data.id, mock_id=mock_id, columns=content.columns)

    def update(self, dataset_id: str, **changes: Any) -> Dataset:
        """As :meth:`Dataset.update`, by id."""
        return self.get(dataset_id).update(**changes)

    def delete(self, dataset_id: str, *, objects: bool = False) -> None:
        """Delete one by id or name; with ``objects``, its private data and mocks too."""
        self.get(dataset_id).delete(objects=objects)

    def key(self, item: Dataset) -> tuple[str, ...]:
        return (item.id, item.name)

    def row(self, item: Dataset) -> tuple[Any, ...]:
        return (item.name, item.description, item.tags, [view.name for view in item.view.assets], item.id)


def _parts(value: Any) -> Mapping[str, Any]:
    """Assets by name; what has no name is called "data"."""
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"data": value}


def _metadata(view: AssetView) -> dict[str, dict[str, Any]]:
    """What the schema says of columns, beyond their form."""
    return {column.name: _about(column) for column in view.columns}


def _about(column: Column) -> dict[str, Any]:
    names = ("unit", "description", "low", "high", "categories")
    return {name: value for name in names if (value := getattr(column, name)) not in ("", None, [])}


def _with(column: Column, metadata: Mapping[str, Any]) -> Column:
    return Column(name=column.name, dtype=column.dtype, shape=column.shape, **{**_about(column), **metadata})


def _words(categories: Sequence[str]) -> str:
    return ", ".join(f"{place} {word}" for place, word in enumerate(categories))


def _number(value: float | None) -> str:
    return "kept back" if value is None else f"{value:.6g}"


def _forget(item: RemoteObject | Dataset) -> None:
    with suppress(GridError):  # the error that brought us here says more
        item.delete()
