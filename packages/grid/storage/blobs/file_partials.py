"""Partial contents in the file store: one file each, which becomes the content's without being copied."""

from __future__ import annotations

import os
import shutil
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from grid.concurrency.offload import offload
from grid.storage.blobs.blob import Blob
from grid.storage.blobs.disk import make_directory
from grid.storage.blobs.locks import LockedFile, sweep_directory
from grid.storage.blobs.partials import PartialContent, PartialContents
from grid.storage.blobs.quarantine import FileQuarantine
from grid.storage.blobs.temporary import TemporaryFile
from syft_ext.errors import BadRequest, Conflict, NotFound, Unavailable
from syft_ext.ids import check_id

__all__ = ["FilePartials"]

_HASHES = 256


class FilePartials(PartialContents):
    """Args:
    commit: gives a finished file its final name, in ``contents``.
    quarantine: where those go that nobody wants.
    """

    def __init__(
        self,
        directory: Path,
        contents: Path,
        commit: Callable[[TemporaryFile], Blob],
        quarantine: FileQuarantine,
    ) -> None:
        self._quarantine = quarantine
        self._directory, self._contents, self.commit = directory, contents, commit
        make_directory(directory)
        # Hashes of partial files, as long as this process goes on with them.
        self._hashes: OrderedDict[str, tuple[Any, int]] = OrderedDict()

    def open(self, name: str) -> FilePartial:
        self._bring_back(name)
        locked = LockedFile(str(self._path(name)), os.O_RDWR | os.O_CREAT | os.O_APPEND)
        if not locked.lock_alone():
            raise Conflict("the upload is in use")
        file = TemporaryFile(self._directory, self._contents, locked)
        known = self._hashes.pop(name, None)
        if known is not None and known[1] == locked.size:
            file.continue_from(known)
        else:
            offload(file.resume)
        return FilePartial(self, name, file, locked)

    def keep_hash(self, name: str, state: tuple[Any, int]) -> None:
        """Remember the hash of what is there, for whoever goes on with it."""
        self._hashes[name] = state
        if len(self._hashes) > _HASHES:
            self._hashes.popitem(last=False)

    def _bring_back(self, name: str) -> None:
        if not self._path(name).exists():
            self._quarantine.give_back(name, "uploads", "abandoned")

    def size(self, name: str) -> int:
        self._bring_back(name)
        try:
            return self._path(name).stat().st_size
        except FileNotFoundError:
            return 0

    def discard(self, name: str, *, owner: str | None = None) -> None:
        self._hashes.pop(name, None)
        if owner is None:
            self._path(name).unlink(missing_ok=True)
        else:
            with suppress(FileNotFoundError):  # nothing came, or somebody else dropped it at the same time
                self._quarantine.take_abandoned(self._path(name), owner)

    def sweep(self, keep: Callable[[str], bool]) -> int:
        return sweep_directory(self._directory, keep, lambda path: self._quarantine.take(path, "uploads"))

    def check_room(self, size: int) -> None:
        if size > shutil.disk_usage(self._directory).free:
            raise Unavailable("the node's disk has no room for the upload")

    def _path(self, name: str) -> Path:
        return self._directory / check_id(name)


class FilePartial(PartialContent):
    """The file, locked: nobody else appends to it."""

    def __init__(self, partials: FilePartials, name: str, file: TemporaryFile, locked: LockedFile) -> None:
        self._partials, self._name = partials, name
        self._file: TemporaryFile | None = file
        self._locked: LockedFile | None = locked

    @property
    def size(self) -> int:  # type: ignore[override]
        """Bytes that have arrived, by the file itself: also what was appended before a restart."""
        return self._opened().size

    def append(self, data: memoryview) -> None:
        offload(self._opened().append, data)

    def finish(self, digest: str | None = None) -> Blob:
        file = self._opened()
        found = offload(file.finish, memoryview(b""))
        if digest is not None and digest != found:
            raise BadRequest("the content is not what its digest says", expected=digest, found=found)
        if not file.share():
            raise NotFound("the upload was aborted", id=self._name)
        blob = self._partials.commit(file)
        self._locked = None  # the lock is the content's now, and its owner's
        return blob

    def close(self) -> None:
        file, self._file = self._file, None
        locked, self._locked = self._locked, None
        if file is not None and locked is not None and file.size == locked.size:
            # Else a write failed half-way, and the hash is not the file's.
            self._partials.keep_hash(self._name, file.state())

    def _opened(self) -> TemporaryFile:
        if self._file is None:
            raise ValueError("the partial content is closed")
        return self._file
