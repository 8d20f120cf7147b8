"""SQLite's own count of commits."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from grid.concurrency.offload import native_lock

__all__ = ["ChangeCounter"]

_BUSY_SECONDS = 0.05


class ChangeCounter:
    """Says whether the database at ``path`` was changed, by a connection that never changes it itself.

    ``PRAGMA data_version`` is another number on a connection as soon as any other connection, of any process,
    has committed (sqlite.org/pragma.html).
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._opened = 0
        self._lock = native_lock()  # held for a few microseconds: nothing is waited for under it

    def read(self) -> int | None:
        """The number now; None when the database cannot be read at the moment."""
        with self._lock:
            try:
                if self._connection is None:
                    self._opened += 1  # its numbers begin anew
                    self._connection = sqlite3.connect(
                        f"{self._path.resolve().as_uri()}?mode=ro",
                        uri=True,
                        timeout=_BUSY_SECONDS,
                        isolation_level=None,
                        check_same_thread=False,
                    )
                row = self._connection.execute("PRAGMA data_version").fetchone()
            except sqlite3.Error:
                return None
        return self._opened << 32 | int(row[0])

    def close(self) -> None:
        """Let go of the file; :meth:`read` opens it again."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None
