"""Resumable uploads of users, and the objects that they become."""

from __future__ import annotations

import threading

from grid.catalogue.access import Viewer
from grid.catalogue.objects import ObjectManager, view_of
from grid.node import Context, Node, Service, handles
from grid.storage.uploads import Uploads
from syft_ext.errors import NotFound
from syft_ext.messages import Empty
from syft_ext.messages import objects as m

__all__ = ["UploadService"]

_SWEEP_EVERY = 3600.0


class UploadService(Service):
    """Every upload belongs to the user who began it; for others it does not exist."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._uploads = Uploads(node.db, node.blobs, node.clock)
        self._objects = ObjectManager(node.db, node.blobs, node.clock)
        self._swept_at = 0.0
        self._sweeping = threading.Lock()

    def start(self) -> None:
        self._sweep()

    def _sweep(self) -> None:
        """Remove abandoned uploads, at most once an hour."""
        now = self.node.clock.now()
        with self._sweeping:
            if now - self._swept_at < _SWEEP_EVERY:
                return
            self._swept_at = now
        self._uploads.sweep()

    @handles(m.BeginUpload)
    def begin(self, ctx: Context, message: m.BeginUpload) -> m.UploadView:
        self._sweep()
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

    @handles(m.FinishUpload)
    def finish(self, ctx: Context, message: m.FinishUpload) -> m.ObjectView:
        viewer = Viewer(ctx.principal.id, frozenset({ctx.principal.id}))
        try:
            self._own(ctx, message.upload_id)
            return self._finish(viewer, message)
        except NotFound:
            made = self._objects.made_from(viewer, message.upload_id)
            if made is None:
                raise
            return made  # the first answer was lost, or the call came twice at once

    def _finish(self, viewer: Viewer, message: m.FinishUpload) -> m.ObjectView:
        with self._uploads.finish(message.upload_id) as blob:
            # The object takes the upload's id: that is what makes it possible to repeat this.
            info = self._objects.describe_new(viewer.user_id, message, object_id=message.upload_id)
            stored = self._objects.store.put_blob(info, blob)
            with self.node.db.transaction() as session:
                self._uploads.forget(session, message.upload_id)
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
