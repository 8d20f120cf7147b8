"""The services of the catalogue: objects and datasets; uploads and search are in their own modules."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from sqlalchemy.orm import Session

from grid.access.viewer import Viewer, viewer_of
from grid.catalogue.dataset_search import DatasetSearch
from grid.catalogue.datasets import DatasetManager
from grid.catalogue.derived import DerivedManager
from grid.catalogue.objects import ObjectManager, within_quota
from grid.catalogue.schemas import lineage_of
from grid.catalogue.search import ObjectSearch, SearchService, offer
from grid.catalogue.uploads import UploadService
from grid.node import Context, Download, Node, Service, handles
from grid.quotas.enforcing import require_fit
from grid.statistics.guarded.desk import GuardedDesk
from syft_ext.errors import Conflict, GridError, NotFound
from syft_ext.messages import Empty
from syft_ext.messages import datasets as d
from syft_ext.messages import objects as o

__all__ = ["SERVICES", "DatasetService", "ObjectService"]


def _viewer_loader(ctx: Context) -> Callable[[Session], Viewer]:
    return lambda session: viewer_of(session, ctx.principal)


class ObjectService(Service):
    """The operations on objects; which objects an operation touched is noted for the audit log."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._objects = ObjectManager(node.db, node.blobs, node.clock)

    @handles(o.PutObject)
    def put(self, ctx: Context, message: o.PutObject) -> o.ObjectView:
        with self.node.db.read() as session:
            viewer = viewer_of(session, ctx.principal)
        return self._objects.put(viewer, message, ctx.body)

    @handles(o.ListObjects)
    def list(self, ctx: Context, message: o.ListObjects) -> o.ObjectList:
        return o.ObjectList(objects=self._objects.find(_viewer_loader(ctx), message))

    @handles(o.DescribeObject)
    def describe(self, ctx: Context, message: o.DescribeObject) -> o.ObjectView:
        return self._objects.describe(_viewer_loader(ctx), message.object_id)

    @handles(o.GetObject)
    def get(self, ctx: Context, message: o.GetObject) -> Download:
        content, grants = self._objects.read(_viewer_loader(ctx), message.object_id)
        for grant in grants:
            ctx.note(grant=grant)
        return content

    @handles(o.UpdateObject)
    def update(self, ctx: Context, message: o.UpdateObject) -> o.ObjectView:
        return self._objects.update(_viewer_loader(ctx), message)

    @handles(o.DeleteObject)
    def delete(self, ctx: Context, message: o.DeleteObject) -> Empty:
        self._objects.delete(_viewer_loader(ctx), message.object_id)
        return Empty()


class DatasetService(Service):
    """The operations on datasets. It registers datasets and objects as what searches find."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._objects = ObjectManager(node.db, node.blobs, node.clock)
        self._datasets = DatasetManager(node.db, node.blobs, node.clock)
        self._derived = DerivedManager(node, self._datasets, GuardedDesk(node, lineage_of))

    def start(self) -> None:
        self._datasets.reindex()
        offer(self.node, DatasetSearch(self.node.db))
        offer(self.node, ObjectSearch(self.node))

    @handles(d.CreateDataset)
    def create(self, ctx: Context, message: d.CreateDataset) -> d.DatasetView:
        return self._datasets.create(_viewer_loader(ctx), message)

    @handles(d.ListDatasets)
    def list(self, ctx: Context, message: d.ListDatasets) -> d.DatasetList:
        return d.DatasetList(datasets=self._datasets.all(_viewer_loader(ctx), message))

    @handles(d.GetDataset)
    def get(self, ctx: Context, message: d.GetDataset) -> d.DatasetView:
        return self._datasets.get(_viewer_loader(ctx), message.dataset_id)

    @handles(d.GetMock)
    def mock(self, ctx: Context, message: d.GetMock) -> Download:
        return self._datasets.mock(_viewer_loader(ctx), message.dataset_id, message.asset)

    @handles(d.UpdateDataset)
    def update(self, ctx: Context, message: d.UpdateDataset) -> d.DatasetView:
        return self._datasets.update(_viewer_loader(ctx), message)

    @handles(d.UpdateAsset)
    def update_asset(self, ctx: Context, message: d.UpdateAsset) -> d.DatasetView:
        view, before = self._datasets.update_asset(_viewer_loader(ctx), message)
        ctx.note(before, *([message.object_id] if message.object_id else []))
        if message.delete_old and message.object_id not in (None, before):
            self._delete_unused(ctx, before)
        return self._datasets.get(_viewer_loader(ctx), view.id)

    @handles(d.PublishStatistics)
    def publish_statistics(self, ctx: Context, message: d.PublishStatistics) -> d.DatasetView:
        named = ",".join(f"{column}:{'+'.join(names)}" for column, names in message.statistics.items())
        ctx.note(asset=message.asset, statistics=named[:1000])
        if message.exact:
            ctx.note(exact=True)
        view, object_id = self._derived.publish(_viewer_loader(ctx), message)
        ctx.note(object_id)
        return view

    @handles(d.MakeMock)
    def make_mock(self, ctx: Context, message: d.MakeMock) -> d.DatasetView:
        made = self._derived.mock(_viewer_loader(ctx), message)
        described = o.PutObject(kind=made.content.kind, description=made.label)
        with self.node.db.read() as session:
            require_fit(session, ctx.principal.id, "objects", size=made.content.size, number=1)
        info = self._objects.store.put_stream(
            self._objects.describe_new(ctx.principal.id, described), made.content.pieces(), within_quota
        )
        ctx.note(info.id)
        change = d.UpdateAsset(dataset_id=message.dataset_id, asset=message.asset, mock_id=info.id)
        try:
            view, _ = self._datasets.update_asset(_viewer_loader(ctx), change)
        except GridError:
            self._delete_unused(ctx, info.id)
            raise
        if made.replaces is not None:
            self._delete_unused(ctx, made.replaces)
        return view

    @handles(d.DeleteDataset)
    def delete(self, ctx: Context, message: d.DeleteDataset) -> Empty:
        objects = self._datasets.delete(_viewer_loader(ctx), message.dataset_id)
        for object_id in objects if message.objects else []:
            self._delete_unused(ctx, object_id)
        return Empty()

    def _delete_unused(self, ctx: Context, object_id: str) -> None:
        """Unless another dataset uses it, or it is gone already."""
        with suppress(Conflict, NotFound):
            self._objects.delete(_viewer_loader(ctx), object_id)


#: What a Domain needs to have data.
SERVICES: tuple[type[Service], ...] = (SearchService, ObjectService, UploadService, DatasetService)
