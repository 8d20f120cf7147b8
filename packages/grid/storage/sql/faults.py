"""Which errors of a database pass by themselves, so that the same transaction will do when the fault is over, and
which never will: the database is damaged."""

from __future__ import annotations

import sqlite3

from sqlalchemy.exc import DBAPIError

from syft_ext.errors import DatabaseDamaged, Unavailable

__all__ = ["damaged", "passing"]

_SQLITE = {
    sqlite3.SQLITE_FULL: ("the node's disk is full", "ENOSPC"),
    sqlite3.SQLITE_BUSY: ("another process keeps the database locked", "locked"),
    sqlite3.SQLITE_LOCKED: ("another process keeps the database locked", "locked"),
    # A full disk too: the log's index grows by a file that is mapped.
    sqlite3.SQLITE_IOERR: ("the disk of the database fails", "EIO"),
    sqlite3.SQLITE_CANTOPEN: ("the database file cannot be opened", "open"),
    sqlite3.SQLITE_NOMEM: ("the node has no memory for its database", "ENOMEM"),
}
"""By SQLite's primary result code (sqlite.org/rescode.html)."""
_POSTGRESQL = {
    "08": ("the database cannot be reached", "lost"),
    "57P": ("the database cannot be reached", "lost"),
    "53100": ("the database's disk is full", "ENOSPC"),
    "53200": ("the database has no memory", "ENOMEM"),
    "53": ("the database has no room for another connection", "busy"),
    "55P03": ("another process keeps the database locked", "locked"),
    "57014": ("the database took too long", "slow"),
    "58": ("the disk of the database fails", "EIO"),
}
"""By the beginning of a SQLSTATE (PostgreSQL's documentation, appendix A); the first that fits."""
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_DAMAGED_STATES = {"XX001", "XX002"}
"""PostgreSQL: data_corrupted, index_corrupted."""
_READ_ONLY = ("the database cannot be written", "read-only")


def passing(error: BaseException, *, writing: bool = False) -> Unavailable | None:
    """What ``error`` is to callers while it lasts, with ``reason`` in ``extra``; None for what will not pass.

    ``writing``: who was refused may write: so the disk was mounted read-only, or the server is a standby now.
    A refused conflict (a deadlock, say) is none of these: whoever began the transaction runs it again.
    """
    invalidated = isinstance(error, DBAPIError) and error.connection_invalidated
    driver = error.orig if isinstance(error, DBAPIError) else error
    if writing and _is_read_only(driver):
        return Unavailable(_READ_ONLY[0], reason=_READ_ONLY[1])
    found = _of_sqlite(driver) if isinstance(driver, sqlite3.Error) else None
    if found is None and isinstance(error, DBAPIError):
        # psycopg gives no SQLSTATE when it could not reach the server.
        state = getattr(driver, "sqlstate", "")
        kinds = {kind.__name__ for kind in type(driver).__mro__}
        if invalidated or (state is None and kinds & {"OperationalError", "InterfaceError"}):
            state = state or "08"
        found = next(
            (said for prefix, said in _POSTGRESQL.items() if state and state.startswith(prefix)), None
        )
        if found is None and invalidated:
            found = _POSTGRESQL["08"]
    return None if found is None else Unavailable(found[0], reason=found[1])


def damaged(error: BaseException) -> DatabaseDamaged | None:
    """What ``error`` is where the database says that its own pages are not what they were; None for all others."""
    driver = error.orig if isinstance(error, DBAPIError) else error
    code = getattr(driver, "sqlite_errorcode", None)
    if code is None and getattr(driver, "sqlstate", None) not in _DAMAGED_STATES:
        return None
    if code is not None and code & 0xFF not in _DAMAGED:
        return None
    return DatabaseDamaged(
        f"the database is damaged ({driver}): nothing was changed. Restore it from a backup"
        " (`grid backup restore`); `grid verify` says what is damaged"
    )


def _of_sqlite(error: sqlite3.Error) -> tuple[str, str] | None:
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else _SQLITE.get(code & 0xFF)


def _is_read_only(error: BaseException | None) -> bool:
    code = getattr(error, "sqlite_errorcode", None)
    if code is not None:
        return bool(code & 0xFF == sqlite3.SQLITE_READONLY)
    return getattr(error, "sqlstate", None) == "25006"
