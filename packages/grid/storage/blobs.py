"""Content in files, named by its BLAKE3 digest.

    with blobs.create() as writer:
        for chunk in body:
            writer.write(chunk)
        blob = writer.commit()             # durable: hashed, synced, linked, directory synced
    with blob, db.transaction() as session:  # the blob cannot be collected while it is held
        record(session, blob)
        session.execute(insert(Report).values(blob_digest=blob.digest, …))

A writer fills a temporary file; ``commit`` syncs it and links it to its final name only if that name is
free, so a crash leaves the whole object or nothing, and equal contents are one file. Every temporary file
and every blob in somebody's hands carries a shared ``flock``: the kernel drops it when the process dies,
and nothing is removed that cannot be locked exclusively. That is the whole protocol between writers,
readers and sweepers, in one process or in several on one file system.
"""

# Names are strings here: every report needs a dozen, and a Path costs ten times as much.
# ruff: noqa: PTH108, PTH110, PTH116

from __future__ import annotations

import contextlib
import logging
import mmap
import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

from grid.offload import offload
from grid.storage.blob import Blob, LockedFile, check_digest
from grid.storage.buffers import WHOLE, Buffers
from grid.storage.disk import close, make_directory, sync_directory
from grid.storage.group import GroupCommit
from grid.storage.latest import Latest
from grid.storage.spares import Spares
from grid.storage.temporary import TemporaryFile, commit_files
from syft_ext.errors import BadRequest, NotFound, Unavailable
from syft_ext.transport import PayloadReader

__all__ = ["Blob", "BlobStore", "BlobWriter", "FileBlobStore"]

logger = logging.getLogger(__name__)

#: What a writer gathers before it goes to the disk. Every concurrent upload has such a buffer.
BUFFER_BYTES = 128 << 10
_MAP_NORESERVE = 0x4000  # Linux; Python 3.11 does not name it


Check = Callable[[memoryview], None]


class BlobWriter(ABC):
    """Takes content in chunks. Leaving its ``with`` block without :meth:`commit` drops everything.

    Attributes:
        size: bytes written so far.
        whole: all of the content stays in memory until it is committed.
    """

    size: int
    whole: bool

    @abstractmethod
    def write(self, chunk: bytes | bytearray | memoryview) -> None:
        """Append a chunk. Raises :class:`Unavailable` when the disk is full."""

    def receive(self, body: Iterable[bytes | bytearray | memoryview]) -> Iterator[memoryview]:
        """Append what ``body`` brings. Each piece is handed out to be looked at: an exception drops all.

        A piece is valid until the next one is asked for.
        """
        for piece in body:
            view = memoryview(piece).cast("B")
            yield view
            self.write(view)

    @abstractmethod
    def commit(
        self, digest: str | None = None, check: Check | None = None, *, remember: bool = False
    ) -> Blob:
        """Make the content durable. Raises :class:`BadRequest` if it is not what ``digest`` says.

        Args:
            remember: it will be read soon (:meth:`BlobStore.latest`).
            check: looks at the whole content, beside the event loop: what it raises refuses it.
        """

    @abstractmethod
    def abort(self) -> None:
        """Drop what was written; does nothing after :meth:`commit`."""

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.abort()


class BlobStore(ABC):
    """Immutable contents under their BLAKE3 digest (64 lower-case hex digits).

    Every method that takes a digest raises :class:`BadRequest` if it is none, and :class:`NotFound` if
    there is no such content.
    """

    @abstractmethod
    def create(self, size: int | None = None) -> BlobWriter:
        """A writer for new content; ``size``: at most so many bytes will come, if that is known."""

    @abstractmethod
    def open(self, digest: str) -> BinaryIO:
        """The content as a file, to be closed by the caller."""

    @abstractmethod
    def map(self, digest: str, *, hold: bool = False) -> memoryview:
        """The content without copying it. Changes to the view stay in this process, page by page.

        Args:
            hold: nobody deletes it as long as there is a view on it.
        """

    @abstractmethod
    def latest(self, digest: str) -> memoryview | None:
        """A content that was committed with ``remember`` a moment ago, to be read in memory; None if it went."""

    @abstractmethod
    def forget(self, digests: Iterable[str]) -> None:
        """These need not be remembered any longer (:meth:`latest`)."""

    @abstractmethod
    def size(self, digest: str) -> int:
        """Bytes of content."""

    @abstractmethod
    def exists(self, digest: str) -> bool:
        """Whether the content is here."""

    @abstractmethod
    def hold(self, digest: str) -> Blob:
        """A content that is here already, held so that a transaction can refer to it."""

    @abstractmethod
    def delete(self, digest: str, confirm: Callable[[], bool] = lambda: True) -> bool:
        """Remove content that nobody holds, if ``confirm`` (asked under the lock) agrees; whether it did."""

    @abstractmethod
    def cool(self, digests: Iterable[str]) -> None:
        """Those of these contents that are here will hardly be read again: no memory need be spent on them."""

    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
    ) -> int:
        """Remove the contents that nobody holds and that ``confirm`` names, asked with them under the locks.

        Args:
            recycle: whoever reads these contents holds them: the room of small ones is for new contents.

        Returns how many were removed.
        """
        return sum(self.delete(digest, lambda d=digest: d in confirm([d])) for digest in digests)  # type: ignore[misc]

    @abstractmethod
    def digests(self) -> Iterator[str]:
        """All contents, in no order."""

    @abstractmethod
    def sweep(self) -> int:
        """Remove what writers that died left behind; returns how many."""

    @abstractmethod
    def check(self) -> None:
        """Raise :class:`Unavailable` when a content that was kept (:meth:`keep`) could not be made durable."""

    @abstractmethod
    def trim(self, *, everything: bool = False) -> None:
        """Give up room that is kept for contents to come: what was not needed for a while, or ``everything``."""

    def keep(self, content: bytes | bytearray) -> Blob:
        """Store a content of :data:`WHOLE` bytes at most, which nobody changes any more, before it is durable.

        It survives the death of the process. What it takes to make it again after a power cut stays:
        nothing is deleted, by this process, before all that was kept is durable.
        """
        return self.put((content,))

    def put(self, chunks: Iterable[bytes | bytearray | memoryview], digest: str | None = None) -> Blob:
        """Write and commit ``chunks``."""
        with self.create() as writer:
            for chunk in chunks:
                writer.write(chunk)
            return writer.commit(digest)

    def read_range(self, digest: str, start: int, stop: int | None = None) -> bytes:
        """Bytes ``start`` to ``stop`` (exclusive; None is the end). Raises :class:`BadRequest` outside."""
        size = self.size(digest)
        stop = size if stop is None else stop
        if not 0 <= start <= stop <= size:
            raise BadRequest("the range lies outside the content", start=start, stop=stop, size=size)
        with self.open(digest) as file:
            file.seek(start)
            return file.read(stop - start)


class FileBlobStore(BlobStore):
    """Blobs in a local directory (or one shared by replicas, if its file system honours ``flock``)."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.contents = root / "contents"
        self._contents = str(self.contents)
        self.temporary = root / "temporary"
        for directory in (self.contents, self.temporary):
            make_directory(directory)
        sync_directory(root)
        self.buffers = Buffers()
        self._latest = Latest(self.buffers)
        self._spares = Spares(self.temporary)
        self._group: GroupCommit[TemporaryFile | None] = GroupCommit(self._commit_group)
        self._not_durable: set[TemporaryFile] = set()
        self._broken = False
        self.sweep()

    def create(self, size: int | None = None) -> FileBlobWriter:
        buffer = self.buffers.take(size) if size is not None and size <= self.buffers.size else None
        return FileBlobWriter(self, buffer)

    def keep(self, content: bytes | bytearray) -> Blob:
        if len(content) > WHOLE:
            raise ValueError(f"{len(content)} bytes: larger contents are written piece by piece")
        file = TemporaryFile(self.temporary, self.contents)
        file.hold(memoryview(content), lambda: None)
        offload(file.link_first)
        assert file.kept is not None
        blob = Blob(file.digest, file.size, file.kept.duplicate())
        self._not_durable.add(file)
        self._group.leave(file)
        return blob

    def open(self, digest: str) -> BinaryIO:
        return os.fdopen(self._open(digest), "rb")

    def map(self, digest: str, *, hold: bool = False) -> memoryview:
        held = LockedFile.take(self._name(digest)) if hold else None
        if hold and held is None:
            raise NotFound("there is no such content")
        fd = (
            self._open(digest) if held is None else held.fd
        )  # the map has a descriptor of its own of the same
        try:
            size = os.fstat(fd).st_size
            if size == 0:  # cannot be mapped
                return memoryview(b"")
            # Private and writable: torch cannot see that a buffer is read-only, and an in-place operation
            # on a read-only page would kill the node. No reserve: content may be larger than memory.
            flags = mmap.MAP_PRIVATE | _MAP_NORESERVE
            return memoryview(mmap.mmap(fd, size, flags, mmap.PROT_READ | mmap.PROT_WRITE))
        finally:
            if held is None:
                close(fd)

    def size(self, digest: str) -> int:
        try:
            return os.stat(self._name(digest)).st_size
        except FileNotFoundError:
            raise NotFound("there is no such content") from None

    def exists(self, digest: str) -> bool:
        return os.path.exists(self._name(digest))

    def hold(self, digest: str) -> Blob:
        file = LockedFile.take(self._name(digest))
        if file is None:
            raise NotFound("there is no such content")
        file.share()
        return Blob(digest, file.size, file)

    def delete(self, digest: str, confirm: Callable[[], bool] = lambda: True) -> bool:
        self._settle()
        try:
            file = LockedFile(self._name(digest))
        except FileNotFoundError:
            return False
        try:
            if not file.lock_alone() or not confirm():
                return False
            os.unlink(self._name(digest))
            return True
        finally:
            file.close()

    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
    ) -> int:
        self._settle()
        held: dict[str, LockedFile] = {}
        try:
            for digest in digests:
                with contextlib.suppress(FileNotFoundError):
                    file = self._to_delete(digest, recycle)
                    if file.lock_alone():
                        held[digest] = file
                    else:
                        file.close()
            removed = [digest for digest in confirm(list(held)) if digest in held]
            for digest in removed:
                if recycle and self._spares.add(held[digest]):
                    del held[digest]
                else:
                    os.unlink(self._name(digest))
            return len(removed)
        finally:
            for file in held.values():
                file.close()

    def cool(self, digests: Iterable[str]) -> None:
        for digest in digests:
            with contextlib.suppress(NotFound):
                fd = self._open(digest)
                try:
                    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
                finally:
                    close(fd)

    def _to_delete(self, digest: str, recycle: bool) -> LockedFile:
        if recycle:
            with contextlib.suppress(PermissionError):  # it is shared
                return LockedFile(self._name(digest), os.O_RDWR)
        return LockedFile(self._name(digest))

    def digests(self) -> Iterator[str]:
        with os.scandir(self.contents) as entries:
            yield from (entry.name for entry in entries)

    def trim(self, *, everything: bool = False) -> None:
        if everything:
            self._latest.trim()
        self.buffers.trim(everything=everything)
        self._spares.trim(everything=everything)

    def sweep(self) -> int:
        self.trim()
        return sweep_directory(self.temporary)

    def path(self, digest: str) -> Path:
        """The file of a digest; raises :class:`BadRequest` if it is none."""
        return self.contents / check_digest(digest)

    def _name(self, digest: str) -> str:
        """As :meth:`path`; made of a string for a tenth of the time."""
        return f"{self._contents}/{check_digest(digest)}"

    def _open(self, digest: str) -> int:
        try:
            return os.open(self._name(digest), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            raise NotFound("there is no such content") from None

    def written(self, memory: bytearray, file: TemporaryFile, remember: bool) -> None:
        """Nobody needs ``memory`` any more for the content of ``file``, which has its digest if all went well."""
        if remember and file.digest:
            self._latest.put(file.digest, memory, file.size)
        else:
            self.buffers.give(memory)

    def latest(self, digest: str) -> memoryview | None:
        return self._latest.find(digest)

    def forget(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._latest.drop(digest)

    def spare(self, size: int) -> LockedFile | None:
        """A file of ``size`` bytes to write over, if one is there."""
        return self._spares.take(size)

    def commit(self, file: TemporaryFile) -> Blob:
        """Give a finished file its final name, together with all others that are waiting for it."""
        self._group.submit(file)
        assert file.kept is not None
        return Blob(file.digest, file.size, file.kept)

    def _commit_group(self, items: list[TemporaryFile | None]) -> list[BaseException | None]:
        files = [file for file in items if file is not None]
        errors = dict(zip(files, commit_files(files), strict=True))
        try:
            with self._spares.names_synced():
                sync_directory(self.contents)
        except BaseException as error:
            errors = dict.fromkeys(files, error)
            raise
        finally:
            for file in files:
                if file in self._not_durable:
                    self._kept_for_good(file, errors[file])
        return [None if file is None else errors[file] for file in items]

    def _kept_for_good(self, file: TemporaryFile, error: BaseException | None) -> None:
        """What :meth:`keep` put off was done, or failed: what a failed sync has lost, no later one brings back."""
        self._not_durable.discard(file)
        if file.kept is not None:
            file.kept.close()  # its caller has a lock of his own
        if error is not None:
            self._broken = True
            logger.critical("content %s is not durable", file.digest, exc_info=error)

    def _settle(self) -> None:
        """Return when what was kept is durable. Raises :class:`Unavailable` when that failed."""
        if self._not_durable:
            self._group.submit(None)  # all of it is in this group or an earlier one
        self.check()

    def check(self) -> None:
        if self._broken:
            raise Unavailable("the disk failed: nothing is deleted")


class FileBlobWriter(BlobWriter):
    """Args: ``whole``: of the store's buffers: what is written stays in it until it is committed, or full."""

    def __init__(self, store: FileBlobStore, whole: bytearray | None = None) -> None:
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
            file.hold(memoryview(whole)[: self.size], done, check, self._store.spare)
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


def sweep_directory(directory: Path, keep: Callable[[str], bool] = lambda name: False) -> int:
    """Remove the files of a directory that nobody holds and ``keep`` does not want; returns how many."""
    removed = 0
    for path in list(directory.iterdir()):
        try:
            file = LockedFile(str(path))
        except FileNotFoundError:
            continue
        if file.lock_alone() and not keep(path.name):
            path.unlink()
            removed += 1
        file.close()
    return removed
