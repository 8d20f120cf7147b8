"""Datasets of a Domain: registered by their owners with schema and mock, found by everybody else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from syft_ext.client.collection import Collection
from syft_ext.client.display import Table, fields_table, size, when
from syft_ext.client.objects import Objects, RemoteObject
from syft_ext.client.tabular import as_data, schema_of
from syft_ext.client.transfer import download
from syft_ext.errors import BadRequest, GridError, NotFound
from syft_ext.messages.datasets import (
    PUBLISHED,
    Asset,
    AssetView,
    CreateDataset,
    DatasetList,
    DatasetView,
    DeleteDataset,
    GetDataset,
    GetMock,
    ListDatasets,
    MockView,
    SearchEntry,
    UpdateDataset,
)
from syft_ext.store.content import decode

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient

__all__ = ["Dataset", "DatasetAsset", "Datasets", "Found"]

PAGE = 1000


class DatasetAsset:
    """One part of a dataset. Its data stay at the Domain; its mock can be had by everybody who sees it."""

    def __init__(self, client: NodeClient, dataset: DatasetView, view: AssetView) -> None:
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
        """Download the private data: for their owner, and whoever he lets read them."""
        return Objects(self.client).get(self.object_id)

    def table(self) -> Table:
        view = self.view
        rows = [
            (c.name, c.dtype, "×".join(map(str, c.shape)) or "scalar", c.unit, c.description)
            for c in view.columns
        ]
        form = f"{view.dtype} {view.shape}, " if view.dtype else ""
        title = f"{self._dataset.name}/{self.name}: {form}{size(view.size or 0)}"
        note = "a mock can be downloaded: .mock" if view.has_mock else ""
        return Table(title, ("column", "type", "shape", "unit", "description"), rows, note)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Dataset:
    """A dataset as you may see it. ``dataset["asset"]`` is one of its assets."""

    def __init__(self, client: NodeClient, view: DatasetView) -> None:
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
        """Change ``name``, ``description``, ``tags``, ``visibility``, ``published`` or ``viewers``."""
        self.view = self.client.call(UpdateDataset(dataset_id=self.id, **changes))
        return self

    def delete(self, *, objects: bool = False) -> None:
        """Delete it; with ``objects``, its private data and mocks too."""
        self.client.call(DeleteDataset(dataset_id=self.id, objects=objects))

    def table(self) -> Table:
        view = self.view
        assets = [
            f"{asset.name} {asset.shape or ''} ({'with' if asset.has_mock else 'no'} mock)"
            for asset in view.assets
        ]
        fields = [
            ("description", view.description),
            ("tags", view.tags),
            ("owner", view.owner),
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
        schema: Mapping[str, Mapping[str, Any]] | None = None,
        visibility: str = "public",
        published: Sequence[str] = PUBLISHED,
        viewers: Sequence[str] = (),
    ) -> Dataset:
        """Upload data of yours and describe them, so that others find them. Nobody else may read the data.

        Args:
            assets: the data: a tensor, an array or a data frame; or several by name. None: the data stay with
                the owner's Workers; the Domain keeps the mock, and no rows of data in the mock's form.
            mock: made-up data of the same form, which others may download; for several assets by name.
            schema: what there is to say of columns: name → ``{"unit": …, "description": …}``.
            visibility: "public" (Networks find it too), "users", or "private" (you and ``viewers``).
            published: what others see of it (:data:`syft_ext.messages.datasets.PUBLISHED`).

        Raises:
            BadRequest: the data are no numbers, or do not have the same columns as the mock.
            Forbidden: your role may not upload data.
        """
        parts, mocks = _parts(assets), _parts(mock)
        if assets is not None and not set(mocks) <= set(parts):
            raise BadRequest(f"mock: by name, as the data are: {', '.join(parts)}")
        store, kept = Objects(self.client), list[RemoteObject]()
        try:
            described = [
                self._asset(store, kept, name, part, parts.get(part), mocks.get(part), schema or {})
                for part in parts or mocks
            ]
            known = {column.name for asset in described for column in asset.columns}
            if not set(schema or {}) <= known:
                raise BadRequest(f"schema: the columns are {', '.join(sorted(known))}")
            message = CreateDataset(
                name=name,
                description=description,
                tags=list(tags),
                assets=described,
                visibility=visibility,  # type: ignore[arg-type]  # the node checks both
                published=list(published),  # type: ignore[arg-type]
                viewers=list(viewers),
            )
            return Dataset(self.client, self.client.call(message))
        except BaseException:
            for item in kept:  # no data without a dataset stay behind
                _forget(item)
            raise

    def _asset(
        self,
        store: Objects,
        kept: list[RemoteObject],
        dataset: str,
        part: str,
        value: Any,
        mock: Any,
        said: Mapping[str, Mapping[str, Any]],
    ) -> Asset:
        """Upload one asset and its mock; what was uploaded goes into ``kept``."""
        label = f"{dataset}/{part}"
        stand_in = None if mock is None else as_data(mock, f"mock of {label}")
        content = as_data(value, label) if value is not None or stand_in is None else _no_rows(stand_in)
        columns = schema_of(content, part, said)
        if stand_in is not None and _form(columns) != _form(schema_of(stand_in, part, {})):
            raise BadRequest(f"the mock of {label} has other columns, types or shapes than the data")
        data = store.put(content, description=label)
        kept.append(data)
        mock_id = None
        if stand_in is not None:
            kept.append(store.put(stand_in, description=f"mock of {label}"))
            mock_id = kept[-1].id
        return Asset(name=part, object_id=data.id, mock_id=mock_id, columns=columns)

    def update(self, dataset_id: str, **changes: Any) -> Dataset:
        return self.get(dataset_id).update(**changes)

    def delete(self, dataset_id: str, *, objects: bool = False) -> None:
        """Delete one by id or name; with ``objects``, its private data and mocks too."""
        self.get(dataset_id).delete(objects=objects)

    def key(self, item: Dataset) -> tuple[str, ...]:
        return (item.id, item.name)

    def row(self, item: Dataset) -> tuple[Any, ...]:
        return (item.name, item.description, item.tags, [view.name for view in item.view.assets], item.id)


class Found(list[SearchEntry]):
    """What a search at a Domain found, newest first."""

    def table(self) -> Table:
        rows = [(e.name, e.kind, e.tags, e.description, e.id) for e in self]
        return Table(f"{len(self)} found", ("name", "kind", "tags", "description", "id"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _parts(value: Any) -> Mapping[str, Any]:
    """Assets by name; what has no name is called "data"."""
    if value is None:
        return {}
    return value if isinstance(value, Mapping) else {"data": value}


def _no_rows(mock: Any) -> Any:
    if isinstance(mock, Mapping):
        return {name: _no_rows(tensor) for name, tensor in mock.items()}
    return mock[:0] if mock.ndim else mock


def _form(columns: list[Any]) -> list[tuple[Any, ...]]:
    return [(column.name, column.dtype, column.shape) for column in columns]


def _forget(item: RemoteObject) -> None:
    with suppress(GridError):  # the error that brought us here says more
        item.delete()
