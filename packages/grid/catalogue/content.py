"""Content on its way to a caller: read in pieces beside the event loop, never whole in memory."""

from __future__ import annotations

import os
from collections.abc import Iterator

from grid.node import Download
from grid.offload import offload
from grid.storage.blobs import BlobStore
from syft_ext.messages import Reply

__all__ = ["download"]

CHUNK = 512 << 10


class _OpenContent:
    """Holds the file from the check of the permission on: deleting the object does not cut the answer off."""

    def __init__(self, blobs: BlobStore, digest: str) -> None:
        self._file = blobs.open(digest)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        descriptor = self._file.fileno()
        while start < stop:
            piece = offload(os.pread, descriptor, min(CHUNK, stop - start), start)
            if not piece:
                raise OSError("the content is shorter than its description")
            start += len(piece)
            yield piece

    def __del__(self) -> None:
        if hasattr(self, "_file"):
            self._file.close()


def download(blobs: BlobStore, digest: str, size: int, reply: Reply) -> Download:
    """The answer ``reply`` with the content of ``digest``; raises :class:`NotFound` if it is not there."""
    return Download(reply, _OpenContent(blobs, digest).chunks, size, digest)
