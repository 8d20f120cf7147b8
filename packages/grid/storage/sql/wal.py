"""SQLite's write-ahead log: synced and folded back into the database by real threads, off the event loop.

SQLite would do both inside a commit, and each waits for the disk, with the event loop inside it.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import suppress
from pathlib import Path

from grid.concurrency.offload import Lock, start_thread
from grid.storage.blobs.disk import clear_errors, sync_directory
from grid.storage.blobs.group import GroupCommit

__all__ = ["WriteAheadLog"]

CHECKPOINT_BYTES = 4 << 20
LONGEST_BYTES = 64 << 20
"""A log that is longer is made short at once, and not only folded back."""
_PATIENCE = 2.0  # seconds for which readers are waited for
_LOOK_EVERY = 64  # commits


class WriteAheadLog:
    """Keeps the log of the database at ``path`` short, and makes it durable when asked."""

    def __init__(self, path: Path) -> None:
        self._database = path
        self._path = path.with_name(path.name + "-wal")
        self._commits = 0
        self._checkpoint_lock = Lock()
        self._checkpointing = False
        self._named = False
        self._group: GroupCommit[None] = GroupCommit(self._sync)

    def committed(self) -> None:
        """Count a commit; start a checkpoint when the log has become long. Called by one writer at a time."""
        self._commits += 1
        if self._commits % _LOOK_EVERY or self._checkpointing:
            return
        if self._path.exists() and self._path.stat().st_size > CHECKPOINT_BYTES:
            self._checkpointing = True
            self._checkpoint_lock.acquire()
            start_thread(self._checkpoint)

    def sync(self) -> None:
        """Return when all that was committed before the call is on the disk (one sync for many callers)."""
        self._group.submit(None)

    def fold(self) -> None:
        """Write the log back into the database and cut it: what was overwritten is in it no more.

        Where a reader holds on to it for longer than a moment, that is left to the next time.
        """
        with self._checkpoint_lock, suppress(sqlite3.Error):
            connection = sqlite3.connect(self._database, timeout=_PATIENCE)
            try:
                connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            finally:
                connection.close()

    def close(self) -> None:
        """Wait for a checkpoint that is under way."""
        with self._checkpoint_lock:
            pass

    def _sync(self, waiting: list[None]) -> list[BaseException | None]:
        with clear_errors():
            fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
            try:
                os.fdatasync(fd)
            finally:
                os.close(fd)
            if not self._named:
                sync_directory(self._path.parent)
                self._named = True
        return [None] * len(waiting)

    def _checkpoint(self) -> None:
        try:
            long = self._path.stat().st_size > LONGEST_BYTES
            connection = sqlite3.connect(self._database, timeout=_PATIENCE if long else 0)
            try:
                # Passive: waits for nobody. What a reader still needs stays for the next time. Where there always
                # is one, the log would grow for ever: then writers wait a moment for the readers that are there.
                mode = "TRUNCATE" if long else "PASSIVE"
                connection.execute(f"PRAGMA wal_checkpoint({mode})")
            finally:
                connection.close()
        except (sqlite3.Error, FileNotFoundError):
            pass  # the log only grows until the next try; the commits in it are safe
        finally:
            self._checkpointing = False
            self._checkpoint_lock.release()
