"""Resumable uploads of users, and the objects that they become."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from sqlalchemy.orm import Session

from grid.access.viewer import Viewer
from grid.catalogue.conversion import convert
from grid.catalogue.objects import ObjectManager, view_of, within_quota
from grid.concurrency.offload import offload
from grid.node import Context, Node, Service, handles
from grid.quotas.enforcing import require_room
from grid.storage.objects.references import collect
from grid.storage.objects.uploads import Uploads
from syft_ext.errors import NotFound
from syft_ext.messages import Empty
from syft_ext.messages import objects as m
from syft_ext.store.objects import ObjectInfo

__all__ = ["UploadService"]


class UploadService(Service):
    """Every upload belongs to the user who began it; for others it does not exist."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._uploads = Uploads(
            node.db,
            node.blobs,
            node.clock,
            admit=lambda session, owner: require_room(session, owner, "uploads"),
        )
        self._objects = ObjectManager(node.db, node.blobs, node.clock)

    def tidy(self) -> int:
        return offload(self._uploads.sweep)

    @handles(m.BeginUpload)
    def begin(self, ctx: Context, message: m.BeginUpload) -> m.UploadView:
        upload_id = self._uploads.begin(message.size, owner=ctx.principal.id, digest=message.digest or None)
        return m.UploadView(upload_id=upload_id, size=message.size, received=0)

    @handles(m.AppendUpload)
    def append(self, ctx: Context, message: m.AppendUpload) -> m.UploadView:
        size = self._own(ctx, message.upload_id).size
        received = self._uploads.append(message.upload_id, message.offset, ctx.body)
        return m.UploadView(upload_id=message.upload_id, size=size, received=received)

    @handles(m.UploadStatus)
    def status(self, ctx: Context, message: m.UploadStatus) -> m.UploadView:
        return self._own(ctx, message.upload_id)

    @handles(m.ListUploads)
    def list(self, ctx: Context, message: m.ListUploads) -> m.UploadList:
        found = self._uploads.unfinished(ctx.principal.id, message.digest or None)
        return m.UploadList(
            uploads=[
                m.UploadView(upload_id=each.id, size=each.size, received=each.received) for each in found
            ]
        )

    @handles(m.FinishUpload)
    def finish(self, ctx: Context, message: m.FinishUpload) -> m.ObjectView:
        return self._made(ctx, message, partial(self._finish, message=message))

    def _made(
        self, ctx: Context, message: m.FinishUpload | m.ConvertUpload, make: Callable[[Viewer], m.ObjectView]
    ) -> m.ObjectView:
        """What ``make`` makes of an upload, or what it made before: the object takes the upload's id."""
        viewer = Viewer(ctx.principal.id, frozenset({ctx.principal.id}))
        try:
            self._own(ctx, message.upload_id)
            return make(viewer)
        except NotFound:
            made = self._objects.made_from(viewer, message.upload_id)
            if made is None:
                raise
            return made  # the first answer was lost, or the call came twice at once

    def _finish(self, viewer: Viewer, message: m.FinishUpload) -> m.ObjectView:
        with self._uploads.finish(message.upload_id) as blob:
            # The object takes the upload's id: that is what makes it possible to repeat this.
            info = self._objects.describe_new(viewer.user_id, message, object_id=message.upload_id)
            stored = self._objects.store.put_blob(info, blob, self._instead_of(message.upload_id))
        return view_of(stored, viewer)

    def _instead_of(self, upload_id: str) -> Callable[[Session, ObjectInfo], None]:
        """In the transaction that makes the object: the upload goes, so that its bytes are counted once."""

        def write(session: Session, info: ObjectInfo) -> None:
            self._uploads.forget(session, upload_id)
            within_quota(session, info)

        return write

    @handles(m.ConvertUpload)
    def convert(self, ctx: Context, message: m.ConvertUpload) -> m.ObjectView:
        return self._made(ctx, message, partial(self._convert, message=message))

    def _convert(self, viewer: Viewer, message: m.ConvertUpload) -> m.ObjectView:
        described = m.PutObject(
            kind="tensor" if message.format == "npy" else "tensors",
            description=message.description,
            tags=message.tags,
            searchable=message.searchable,
            readers=message.readers,
            finders=message.finders,
        )
        with (
            self._uploads.finish(message.upload_id) as uploaded,
            convert(self.node.blobs, uploaded, message, self.node.home, self.node.gate) as table,
        ):
            info = self._objects.describe_new(viewer.user_id, described, object_id=message.upload_id)
            stored = self._objects.store.put_blob(info, table, self._instead_of(message.upload_id))
        collect(self.node.db, self.node.blobs, [uploaded.digest], owner=viewer.user_id)
        return view_of(stored, viewer)

    @handles(m.AbortUpload)
    def abort(self, ctx: Context, message: m.AbortUpload) -> Empty:
        self._own(ctx, message.upload_id)
        self._uploads.abort(message.upload_id)
        return Empty()

    def _own(self, ctx: Context, upload_id: str) -> m.UploadView:
        status = self._uploads.status(upload_id)
        if status.owner != ctx.principal.id:
            raise NotFound("there is no such upload", id=upload_id)
        return m.UploadView(upload_id=upload_id, size=status.size, received=status.received)
