"""One content on its way into the file store: in memory if it is small, else piece by piece to the disk."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Protocol

from grid.concurrency.offload import offload
from grid.storage.blobs.blob import Blob
from grid.storage.blobs.buffers import Buffers
from grid.storage.blobs.interface import BlobWriter, Check
from grid.storage.blobs.locks import LockedFile
from grid.storage.blobs.temporary import TemporaryFile
from syft_ext.errors import BadRequest
from syft_ext.transport import PayloadReader

__all__ = ["FileBlobWriter", "WriterStore"]

#: What a writer gathers before it goes to the disk. Every concurrent upload has such a buffer.
BUFFER_BYTES = 128 << 10


class WriterStore(Protocol):
    """What a writer needs of the store that made it.

    Attributes:
        temporary: the directory of its files until they are committed; contents: that of the final names.
        buffers: where a buffer goes back to.
    """

    temporary: Path
    contents: Path
    buffers: Buffers

    def written(self, memory: bytearray, file: TemporaryFile, remember: bool) -> None:
        """Nobody needs ``memory`` any more for the content of ``file``."""

    def recycled_file(self, size: int) -> LockedFile | None:
        """A file of ``size`` bytes to write over, if one is there."""

    def commit(self, file: TemporaryFile) -> Blob:
        """Give a finished file its final name, durably."""


class FileBlobWriter(BlobWriter):
    """Args: ``whole``: of the store's buffers: what is written stays in it until it is committed, or full."""

    def __init__(self, store: WriterStore, whole: bytearray | None = None) -> None:
        self._store = store
        self._file: TemporaryFile | None = TemporaryFile(store.temporary, store.contents)
        self._buffer = bytearray()
        self._whole = whole
        self.size = 0

    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        if self._file is None:
            raise ValueError("the writer is closed")
        view = memoryview(chunk).cast("B")
        if self._whole is not None:
            if self.size + len(view) <= len(self._whole):
                self._whole[self.size : self.size + len(view)] = view
                self.size += len(view)
                return
            self._spill(self._whole)
        self.size += len(view)
        if self._buffer or len(view) < BUFFER_BYTES:
            self._buffer += view
            if len(self._buffer) < BUFFER_BYTES:
                return
            view, self._buffer = memoryview(self._buffer), bytearray()
        self._append(view)

    def _append(self, view: memoryview) -> None:
        assert self._file is not None
        try:
            offload(self._file.append, view)
        except BaseException:
            self.abort()
            raise

    def _spill(self, whole: bytearray) -> None:
        """More comes than was announced: go on piece by piece."""
        self._append(memoryview(whole)[: self.size])
        self._let_go()

    def _let_go(self) -> None:
        if self._whole is not None:
            whole, self._whole = self._whole, None
            self._store.buffers.give(whole)

    def receive(self, body: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
        """As :meth:`BlobWriter.receive`; what a :class:`PayloadReader` brings is read where it stays."""
        while self._whole is not None and isinstance(body, PayloadReader) and self.size < len(self._whole):
            view = memoryview(self._whole)[self.size :]
            count = body.readinto(view)
            if not count:
                return
            yield view[:count]
            self.size += count
        yield from super().receive(body)

    @property
    def whole(self) -> bool:  # type: ignore[override]
        """Whether all of the content is in memory: nothing is on the disk yet."""
        return self._whole is not None

    def commit(
        self, digest: str | None = None, check: Check | None = None, *, remember: bool = False
    ) -> Blob:
        if self._file is None:
            raise ValueError("the writer is closed")
        if self._whole is not None and digest is not None:
            self._spill(self._whole)  # what is not as it should be must not get a name
        file = self._file
        if self._whole is not None:
            whole, self._whole = self._whole, None
            # Even when this greenlet is killed: the buffer is free when the syncing thread is done with it.
            done = partial(self._store.written, whole, file, remember)
            file.hold(memoryview(whole)[: self.size], done, check, self._store.recycled_file)
        else:
            self._finish(file, digest, check)
        self._file = None  # from here on the syncing thread removes the temporary name
        return self._store.commit(file)

    def _finish(self, file: TemporaryFile, digest: str | None, check: Check | None) -> None:
        try:
            found = offload(file.finish, memoryview(self._buffer))
            if digest is not None and digest != found:
                raise BadRequest("the content is not what its digest says", expected=digest[:64], found=found)
            if check is not None:
                offload(file.look_at, check)
        except BaseException:
            self.abort()
            raise

    def abort(self) -> None:
        self._let_go()
        if self._file is not None:
            file, self._file = self._file, None
            if file.begun:
                offload(file.remove)
            else:
                file.remove()
