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
readers and sweepers, in one process or in several on one file system. Two exceptions make trainings fast:
a content that is stored *unsynced* has its name before it is synced, and one that is *recycled* gives its file
to a later one (:mod:`grid.storage.blobs.recycling`).
"""

# Names are strings here: every report needs a dozen, and a Path costs ten times as much.
# ruff: noqa: PTH108, PTH110, PTH116

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from pathlib import Path
from urllib.parse import SplitResult, unquote

from grid.concurrency.offload import offload
from grid.storage.blobs.blob import Blob, check_digest
from grid.storage.blobs.buffers import WHOLE, Buffers
from grid.storage.blobs.disk import close, make_directory, put_if_absent, sync_directory
from grid.storage.blobs.file_partials import FilePartials
from grid.storage.blobs.group import GroupCommit
from grid.storage.blobs.interface import BlobStore, SupportsCache, SupportsUnsynced
from grid.storage.blobs.keeping import Keeping
from grid.storage.blobs.locks import LockedFile, sweep_directory
from grid.storage.blobs.marks import FileMarks
from grid.storage.blobs.quarantine import FileQuarantine, Why
from grid.storage.blobs.reached import read_reached, write_reached
from grid.storage.blobs.reader import FileReader, map_file
from grid.storage.blobs.recent import RecentContents
from grid.storage.blobs.recycling import RecycledFiles
from grid.storage.blobs.temporary import TemporaryFile, commit_files
from grid.storage.blobs.writer import FileBlobWriter
from syft_ext.errors import InvalidConfig, NotFound, Unavailable

__all__ = ["FileBlobStore", "open_url"]

logger = logging.getLogger(__name__)

IDENTITY = "store.id"
REACHED = "store.reached"
MARKS = "store.spent"
KEEPING = "store.keeping"


def open_url(url: SplitResult, *, make: bool) -> FileBlobStore:
    """The store at ``file:///path``. Raises :class:`InvalidConfig` for another form, :class:`NotFound` if it is
    not there and is not to be made."""
    path = Path(unquote(url.path))
    if url.netloc not in ("", "localhost") or url.query or url.fragment or not path.is_absolute():
        raise InvalidConfig("contents: a folder is named as file:///absolute/path", field="contents")
    if not make and not (path / "contents").is_dir():
        raise NotFound("there is no content store in that folder yet")
    return FileBlobStore(path, sweep=False)


class FileBlobStore(BlobStore):
    """Blobs in a local directory (or one shared by replicas, if its file system honours ``flock``)."""

    def __init__(self, root: Path, *, sweep: bool = True) -> None:
        """``sweep``: remove at once what writers that died left in it."""
        self.root = root
        self.contents = root / "contents"
        self._contents = str(self.contents)
        self.temporary = root / "temporary"
        for directory in (self.contents, self.temporary):
            make_directory(directory)
        sync_directory(root)
        self.buffers = Buffers()
        self._recent = RecentContents(self.buffers)
        self._recycled = RecycledFiles(self.temporary)
        self._group: GroupCommit[TemporaryFile | None] = GroupCommit(self._commit_group)
        self._not_durable: set[TemporaryFile] = set()
        self._broken = False
        self._keeping = Keeping(root / KEEPING)
        self._quarantine = FileQuarantine(root / "quarantine", self.contents, root / "uploads", self._keeping)
        self._marks = FileMarks(root / MARKS)
        self._partials = FilePartials(root / "uploads", self.contents, self.commit, self._quarantine)
        if sweep:
            self.sweep()

    def identity(self, proposed: str | None = None) -> str | None:
        if proposed is not None:
            put_if_absent(self.root / IDENTITY, proposed.encode())
        try:
            return (self.root / IDENTITY).read_text().strip()
        except FileNotFoundError:
            return None

    def reached(
        self, database_id: str | None = None, epoch: int = 0, *, anew: bool = False
    ) -> tuple[str, int] | None:
        path = self.root / REACHED
        return read_reached(path) if database_id is None else write_reached(path, database_id, epoch, anew)

    def create(self, size: int | None = None) -> FileBlobWriter:
        buffer = self.buffers.take(size) if size is not None and size <= self.buffers.size else None
        return FileBlobWriter(self, buffer)

    @property
    def partials(self) -> FilePartials:
        return self._partials

    @property
    def unsynced(self) -> SupportsUnsynced:
        return self

    @property
    def cache(self) -> SupportsCache:
        return self

    @property
    def quarantine(self) -> FileQuarantine:
        return self._quarantine

    @property
    def marks(self) -> FileMarks:
        return self._marks

    unsynced_limit = WHOLE

    def store_unsynced(self, content: bytes | bytearray) -> Blob:
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

    def open(self, digest: str, *, hold: bool = False) -> FileReader:
        if not hold:
            return FileReader(self._open(digest))
        held = self._take(digest)
        return FileReader(held.fd, held)

    def map(self, digest: str, *, hold: bool = False) -> memoryview:
        """As the base class does it, without an object in between: every report comes through here."""
        if hold:
            held = self._take(digest)
            return map_file(held.fd)
        fd = self._open(digest)
        try:
            return map_file(fd)
        finally:
            close(fd)

    def size(self, digest: str) -> int:
        return self._status(digest).st_size

    def stamp(self, digest: str) -> object:
        status = self._status(digest)
        return status.st_ino, status.st_size, status.st_mtime_ns

    def exists(self, digest: str) -> bool:
        return os.path.exists(self._name(digest)) or self._quarantine.give_back(digest)

    def _status(self, digest: str) -> os.stat_result:
        try:
            return os.stat(self._name(digest))
        except FileNotFoundError:
            self._bring_back(digest)
            return self._status(digest)

    def _bring_back(self, digest: str) -> None:
        """What is asked for is needed after all. Raises :class:`NotFound` if it does not wait anywhere."""
        if not self._quarantine.give_back(digest):
            raise NotFound("there is no such content") from None

    def hold(self, digest: str) -> Blob:
        file = self._take(digest)
        file.share()
        return Blob(digest, file.size, file)

    def _take(self, digest: str) -> LockedFile:
        while (file := LockedFile.take(self._name(digest))) is None:
            self._bring_back(digest)
        return file

    def delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        *,
        recycle: bool = False,
        unknown: bool = False,
    ) -> int:
        self._settle()
        with self._keeping.removing() as for_good:
            why: Why = "unknown" if unknown else "dropped"
            return self._delete_all(digests, confirm, recycle, why, for_good)

    def _delete_all(
        self,
        digests: Iterable[str],
        confirm: Callable[[list[str]], Collection[str]],
        recycle: bool,
        why: Why,
        for_good: bool,
    ) -> int:
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
                if recycle and for_good:
                    if self._recycled.add(held[digest]):
                        del held[digest]
                    else:
                        os.unlink(self._name(digest))
                else:
                    self._quarantine.take(self._name(digest), why, for_good=for_good)
            return len(removed)
        finally:
            for file in held.values():
                file.close()

    def drop_page_cache(self, digests: Iterable[str]) -> None:
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
        """Give memory and spare files back that were not used lately, or all of them."""
        if everything:
            self._recent.trim()
        self.buffers.trim(everything=everything)
        self._recycled.trim(everything=everything)

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
            self._bring_back(digest)
            return self._open(digest)

    def written(self, memory: bytearray, file: TemporaryFile, remember: bool) -> None:
        """Nobody needs ``memory`` any more for the content of ``file``, which has its digest if all went well."""
        if remember and file.digest:
            self._recent.put(file.digest, memory, file.size)
        else:
            self.buffers.give(memory)

    def recent(self, digest: str) -> memoryview | None:
        return self._recent.find(digest)

    def forget(self, digests: Iterable[str]) -> None:
        for digest in digests:
            self._recent.drop(digest)

    def recycled_file(self, size: int) -> LockedFile | None:
        """A file of ``size`` bytes to write over, if one is there."""
        return self._recycled.take(size)

    def commit(self, file: TemporaryFile) -> Blob:
        """Give a finished file its final name, together with all others that are waiting for it."""
        self._group.submit(file)
        assert file.kept is not None
        return Blob(file.digest, file.size, file.kept)

    def _commit_group(self, items: list[TemporaryFile | None]) -> list[BaseException | None]:
        files = [file for file in items if file is not None]
        errors = dict(zip(files, commit_files(files), strict=True))
        try:
            with self._recycled.names_synced():
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
        """What was put off was done, or failed: what a failed sync has lost, no later one brings back."""
        self._not_durable.discard(file)
        if file.kept is not None:
            file.kept.close()  # its caller has a lock of its own
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
