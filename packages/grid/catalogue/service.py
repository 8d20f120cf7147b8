"""The services of the catalogue: objects and datasets; uploads and search are in their own modules."""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy.orm import Session

from grid.catalogue.access import Viewer, viewer_of
from grid.catalogue.datasets import DatasetManager
from grid.catalogue.models import ModelSource
from grid.catalogue.objects import ObjectManager
from grid.catalogue.search import ObjectSource, SearchService
from grid.catalogue.uploads import UploadService
from grid.node import Context, Download, Node, Service, handles
from syft_ext.errors import Conflict, NotFound
from syft_ext.messages import Empty
from syft_ext.messages import datasets as d
from syft_ext.messages import objects as o

__all__ = ["SERVICES", "DatasetService", "ObjectService"]


def _look(ctx: Context) -> Callable[[Session], Viewer]:
    return lambda session: viewer_of(session, ctx.principal)


class ObjectService(Service):
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
        return o.ObjectList(objects=self._objects.find(_look(ctx), message))

    @handles(o.DescribeObject)
    def describe(self, ctx: Context, message: o.DescribeObject) -> o.ObjectView:
        return self._objects.describe(_look(ctx), message.object_id)

    @handles(o.GetObject)
    def get(self, ctx: Context, message: o.GetObject) -> Download:
        content, grants = self._objects.read(_look(ctx), message.object_id)
        for grant in grants:
            ctx.note(grant=grant)
        return content

    @handles(o.UpdateObject)
    def update(self, ctx: Context, message: o.UpdateObject) -> o.ObjectView:
        return self._objects.update(_look(ctx), message)

    @handles(o.DeleteObject)
    def delete(self, ctx: Context, message: o.DeleteObject) -> Empty:
        self._objects.delete(_look(ctx), message.object_id)
        return Empty()


class DatasetService(Service):
    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._objects = ObjectManager(node.db, node.blobs, node.clock)
        self._datasets = DatasetManager(node.db, node.blobs, node.clock)

    def start(self) -> None:
        search = self.node.service(SearchService)
        assert isinstance(search, SearchService)
        search.add(self._datasets)
        search.add(ObjectSource(self.node))
        search.add(ModelSource(self.node.db))

    @handles(d.CreateDataset)
    def create(self, ctx: Context, message: d.CreateDataset) -> d.DatasetView:
        return self._datasets.create(_look(ctx), message)

    @handles(d.ListDatasets)
    def list(self, ctx: Context, message: d.ListDatasets) -> d.DatasetList:
        return d.DatasetList(datasets=self._datasets.all(_look(ctx), message))

    @handles(d.GetDataset)
    def get(self, ctx: Context, message: d.GetDataset) -> d.DatasetView:
        return self._datasets.get(_look(ctx), message.dataset_id)

    @handles(d.GetMock)
    def mock(self, ctx: Context, message: d.GetMock) -> Download:
        return self._datasets.mock(_look(ctx), message.dataset_id, message.asset)

    @handles(d.UpdateDataset)
    def update(self, ctx: Context, message: d.UpdateDataset) -> d.DatasetView:
        return self._datasets.update(_look(ctx), message)

    @handles(d.DeleteDataset)
    def delete(self, ctx: Context, message: d.DeleteDataset) -> Empty:
        objects = self._datasets.delete(_look(ctx), message.dataset_id)
        for object_id in objects if message.objects else []:
            try:
                self._objects.delete(_look(ctx), object_id)
            except (Conflict, NotFound):
                continue  # another dataset uses it, or two assets shared it
        return Empty()


#: What a Domain needs to have data.
SERVICES: tuple[type[Service], ...] = (SearchService, ObjectService, UploadService, DatasetService)
