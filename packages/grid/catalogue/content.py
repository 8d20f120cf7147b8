"""Content on its way to a caller: read in pieces beside the event loop, never whole in memory."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator

from grid.concurrency.offload import Lock, offload
from grid.concurrency.views import is_read
from grid.node import Download
from grid.storage.blobs.interface import BlobStore
from syft_ext.messages import Reply

__all__ = ["SharedContents", "download"]

CHUNK = 512 << 10
SHARED = 2 << 20
"""Bytes of the largest content that is kept in memory for all who ask for it."""
_KEPT = 8 << 20
_SPARE = 2
"""Contents that went and whose memory may be used again."""


class _OpenContent:
    """Holds the content from the check of the permission on: deleting the object does not cut the answer off."""

    def __init__(self, blobs: BlobStore, digest: str) -> None:
        self._reader = blobs.open(digest)

    def chunks(self, start: int, stop: int) -> Iterator[bytes]:
        while start < stop:
            piece = offload(self._reader.read, start, min(start + CHUNK, stop))
            if not piece:
                raise OSError("the content is shorter than its description")
            start += len(piece)
            yield piece

    def __del__(self) -> None:
        if hasattr(self, "_reader"):
            self._reader.close()


def download(blobs: BlobStore, digest: str, size: int, reply: Reply) -> Download:
    """The answer ``reply`` with the content of ``digest``; raises :class:`NotFound` if it is not there."""
    return Download(reply, _OpenContent(blobs, digest).chunks, size, digest)


class SharedContents:
    """Contents that many callers ask for at the same time, as the workers of a cycle do for its model.

    Small ones are read once, or put here by who made them, and stay in memory, the latest ``kept`` bytes.
    """

    def __init__(self, blobs: BlobStore, kept: int = _KEPT) -> None:
        self._blobs, self._room = blobs, kept
        self._reading = Lock()
        self._contents: OrderedDict[str, bytes | bytearray] = OrderedDict()
        self._spare: list[bytearray] = []

    def room(self, size: int) -> bytearray:
        """Memory for a content of ``size`` bytes that will be put here, with anything in it.

        That of a content which went, if nobody reads it any more: of fresh memory each page costs a fault.
        """
        with self._reading:
            for index, spare in enumerate(self._spare):
                if len(spare) == size and not is_read(spare):
                    return self._spare.pop(index)
        return bytearray(size)

    def download(self, digest: str, size: int, reply: Reply) -> Download:
        """As :func:`download`."""
        if size > SHARED:
            return download(self._blobs, digest, size, reply)
        view = self._look_at(digest)
        if view is None:
            with self._reading:  # whoever waited finds it
                view = self._look_at(digest) or memoryview(self._read(digest, size))
        return Download(reply, lambda start, stop: iter((view[start:stop],)), size, digest)

    def _look_at(self, digest: str) -> memoryview | None:
        content = self._contents.get(digest)
        if content is None:
            return None
        view = memoryview(content)  # from now on its memory is not used again; was it before?
        return view if self._contents.get(digest) is content else None

    def put(self, digest: str, content: bytes | bytearray) -> None:
        """Keep a content that was just stored, and that nobody changes any more."""
        with self._reading:
            if len(content) <= SHARED and digest not in self._contents:
                self._keep(digest, content)

    def _read(self, digest: str, size: int) -> bytes:
        content = offload(self._blobs.read_range, digest, 0, size)
        self._keep(digest, content)
        return content

    def _keep(self, digest: str, content: bytes | bytearray) -> None:
        self._contents[digest] = content
        self._room -= len(content)
        while self._room < 0:
            _, oldest = self._contents.popitem(last=False)
            self._room += len(oldest)
            if isinstance(oldest, bytearray):
                self._spare = [*self._spare[-_SPARE + 1 :], oldest]
