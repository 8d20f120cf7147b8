"""Files on their way to become blobs, and the group commit that makes them so."""

# Names are strings here: every report needs a dozen, and a Path costs ten times as much.
# ruff: noqa: PTH108

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from blake3 import blake3

from grid.storage.blobs.disk import clear_errors, start_writeback, write_all
from grid.storage.blobs.interface import Check
from grid.storage.blobs.locks import LockedFile

__all__ = ["TemporaryFile", "commit_files"]

_WRITEBACK_BYTES = 1 << 20
_READ_BYTES = 1 << 20


class TemporaryFile:
    """A file on its way to become a blob, hashed as it grows. One thread at a time uses it.

    Nothing here runs on the event loop: opening, writing and removing a file all wait when the file
    system commits its journal, which is just what the syncing thread makes it do. Whoever still uses the
    object keeps its descriptor open (:class:`LockedFile`), also after the writer was killed.
    """

    def __init__(self, directory: Path, contents: Path, partial: LockedFile | None = None) -> None:
        """A new file in ``directory``, or a ``partial`` one that stays until its owner removes it."""
        self._directory, self._contents = directory, contents
        self._file, self._owned = partial, partial is None
        self._final = ""
        self._hash = blake3()
        self._unwritten = 0
        self._removed = False
        self._recycled_file: Callable[[int], LockedFile | None] = lambda size: None
        self._whole: tuple[memoryview, Callable[[], None], Check | None] | None = None
        self.digest = ""
        self.size = 0
        self.kept: LockedFile | None = None  # the content under its final name

    def hold(
        self,
        content: memoryview,
        release: Callable[[], None],
        check: Check | None = None,
        recycled_file: Callable[[int], LockedFile | None] = lambda size: None,
    ) -> None:
        """Have the group commit check, hash and write the whole ``content``; it calls ``release`` afterwards.

        Args:
            recycled_file: gives a file of so many bytes to write over, if there is one.
        """
        self._whole = content, release, check
        self._recycled_file = recycled_file

    def append(self, data: memoryview) -> None:
        """Write ``data`` at the end; the kernel begins to bring it to the disk now and then."""
        file = self._opened()
        write_all(file.fd, data)
        self._hash.update(data)
        self.size += len(data)
        self._unwritten += len(data)
        if self._unwritten >= _WRITEBACK_BYTES:
            start_writeback(file.fd)
            self._unwritten = 0

    def _opened(self) -> LockedFile:
        if self._file is None:
            self._file = LockedFile.create(self._directory)
            if self._removed:  # the writer was killed meanwhile
                self.remove()
        return self._file

    def resume(self) -> None:
        """Hash what a partial file holds already."""
        assert self._file is not None
        self._hash, self.size = blake3(), 0
        while data := os.pread(self._file.fd, _READ_BYTES, self.size):
            self._hash.update(data)
            self.size += len(data)

    def continue_from(self, state: tuple[blake3, int]) -> None:
        """As :meth:`resume`, with what :meth:`state` returned when the file was as long as it is now."""
        self._hash, self.size = state

    def state(self) -> tuple[blake3, int]:
        """What :meth:`continue_from` takes, so that a partial file need not be hashed again."""
        return self._hash, self.size

    def finish(self, rest: memoryview) -> str:
        """Append the rest; returns the digest of the whole."""
        self.append(rest)
        return self._name()

    def look_at(self, check: Check) -> None:
        """Have ``check`` look at what was written."""
        if self.size:  # nothing cannot be mapped
            check(memoryview(mmap.mmap(self._opened().fd, self.size, prot=mmap.PROT_READ)))
        else:
            check(memoryview(b""))

    def _name(self) -> str:
        self.digest = self._hash.hexdigest()
        self._final = f"{self._contents}/{self.digest}"
        return self.digest

    def share(self) -> bool:
        """Let others lock the partial file too, as one must with content; whether it still has its name."""
        assert self._file is not None
        return self._file.lock()

    @property
    def begun(self) -> bool:
        """Whether there is a file yet."""
        return self._file is not None

    def remove(self) -> None:
        """Take the temporary name away, also one that another thread is just making."""
        self._removed = True
        if self._file is not None and self._owned:
            with suppress(FileNotFoundError):
                os.unlink(self._file.path)

    def link_first(self) -> None:
        """Give a whole content (:meth:`hold`) its name before it is synced. A group commit does that later."""
        try:
            with clear_errors():
                self._write_whole()
                self.link()
        finally:
            self.remove()

    # The three steps of a group commit.

    def start(self) -> None:
        """First: have the data on their way to the disk, unless the content is there already."""
        if self._whole is not None:
            self._write_whole()
        elif self.kept is None:
            self._find()
            if self.kept is None:
                start_writeback(self._opened().fd)

    def _write_whole(self) -> None:
        """Write the content; it gets its digest while the disk is at work."""
        assert self._whole is not None
        (content, release, check), self._whole = self._whole, None
        try:
            if check is not None:
                check(content)
            self._file = self._recycled_file(len(content))
            fd = self._opened().fd
            write_all(fd, content)
            start_writeback(fd)
            self._hash.update(content)
            self.size = len(content)
            self._name()
        finally:
            release()
        self._find()

    def _find(self) -> None:
        """Take the content that has the name already, if it is what its name says.

        A small one may have got its name before it was synced: after a power cut it can be anything. And any disk
        may have lost some of it: who brings it again heals it.
        """
        found = LockedFile.take(self._final)
        if found is None or self._equals(found):
            self.kept = found
            if found is not None:
                found.share()
        else:
            with suppress(FileNotFoundError):
                os.unlink(self._final)

    def _equals(self, other: LockedFile) -> bool:
        mine, start = self._opened().fd, 0
        if other.size != self.size:
            return False
        while start < self.size:
            piece = os.pread(mine, _READ_BYTES, start)
            if not piece or piece != os.pread(other.fd, len(piece), start):
                return False
            start += len(piece)
        return True

    def sync(self) -> None:
        """Also what was here: whoever kept it, in this process or another, may not have synced it yet."""
        os.fdatasync((self.kept or self._opened()).fd)

    def link(self) -> None:
        """Last: give the synced file its final name, or take the one that has it."""
        while self.kept is None:
            assert self._file is not None
            try:
                os.link(self._file.path, self._final)
                self.kept = self._file
            except FileExistsError:  # somebody was faster, or is just removing it
                self._find()
                if self.kept is not None:
                    self.sync()


def commit_files(files: list[TemporaryFile]) -> list[BaseException | None]:
    """Sync the files of a group and link them to their final names; one error or None per file.

    Runs in a real thread. All writing is started before the first sync waits for any of it: the first
    sync then commits the file system's journal for the whole group.
    """
    errors: list[BaseException | None] = [None] * len(files)

    def each(step: Callable[[TemporaryFile], None]) -> None:
        for index, file in enumerate(files):
            if errors[index] is None:
                try:
                    with clear_errors():
                        step(file)
                except Exception as error:
                    errors[index] = error

    each(TemporaryFile.start)
    each(TemporaryFile.sync)
    each(TemporaryFile.link)
    for file in files:
        file.remove()
    return errors
