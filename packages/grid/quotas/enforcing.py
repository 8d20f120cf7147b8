"""The two questions that everything asks which keeps something for a user.

:func:`require_fit` before the work: would so much more fit? :func:`require_room` as the last thing of the
transaction that keeps it: does it, with what others of the same user's calls have kept by now? The first spares
work and disk, the second is what holds.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from sqlalchemy import Connection, bindparam, func, select
from sqlalchemy.orm import Session

from grid.quotas.limits import limits_of
from grid.quotas.usage import TOTAL, kinds, usage_of
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import QuotaExceeded

__all__ = ["limited", "require_fit", "require_room", "room_for"]

Transaction = Session | Connection | DriverConnection
_LOCK = PreparedStatement(select(func.pg_advisory_xact_lock(func.hashtext(bindparam("owner")))))


def require_room(transaction: Transaction, owner: str | None, kind: str, *, size: int = 0) -> None:
    """Raise :class:`QuotaExceeded` if ``owner`` now keeps more of ``kind`` than they may.

    ``size``: bytes more that the transaction will write after this, in an update of a row.

    Call it after everything else of the transaction: those of one owner wait for each other from here on
    (SQLite has one writer anyway), so that of two that come at once the later one sees what the earlier kept.
    What has no owner is the node's own.
    """
    if owner is None:
        return
    connection = _driver(transaction)
    if connection.dialect.name == "postgresql":
        _LOCK.run(connection, {"owner": f"quota:{owner}"})
    _require(connection, owner, kind, size, 0)


def require_fit(
    transaction: Transaction, owner: str | None, kind: str, *, size: int = 0, number: int = 0
) -> None:
    """Raise :class:`QuotaExceeded` if ``size`` bytes and ``number`` things more of ``kind`` would be too much."""
    if owner is not None:
        _require(_driver(transaction), owner, kind, size, number)


def room_for(transaction: Transaction, owner: str, kind: str) -> int | None:
    """Bytes that ``owner`` may still keep of ``kind``, at least 0; None: no limit."""
    connection = _driver(transaction)
    limits, used = limits_of(connection, owner), usage_of(connection, owner, kind)
    names = (kinds()[kind].size, TOTAL)
    left = [limit - used[name] for name in names if (limit := limits[name][0]) is not None]
    return max(0, min(left)) if left else None


def limited(
    chunks: Iterable[bytes | bytearray | memoryview], room: int | None, kind: str
) -> Iterator[bytes | bytearray | memoryview]:
    """The same bytes; raises :class:`QuotaExceeded` at the first that is beyond ``room``."""
    left = room
    for chunk in chunks:
        if left is not None:
            left -= memoryview(chunk).nbytes
            if left < 0:
                name = kinds()[kind].size
                what = name.replace("_", " ")
                raise QuotaExceeded(
                    f"that is more than the {room} bytes that your quota of {what} has left",
                    quota=name,
                    left=room,
                )
        yield chunk


def _require(connection: DriverConnection, owner: str, kind: str, size: int, number: int) -> None:
    used, limits = usage_of(connection, owner, kind), limits_of(connection, owner)
    counted = kinds()[kind]
    for name, more in ((counted.name, number), (counted.size, size), (TOTAL, size)):
        if name not in used:
            continue
        limit = limits[name][0]
        if limit is not None and used[name] + more > limit:
            raise _exceeded(name, limit, used=used[name] if more else None)


def _exceeded(name: str, limit: int | None, used: int | None = None) -> QuotaExceeded:
    """``used`` is what was kept before; the quota's owner is told, and it is theirs."""
    extra = {} if used is None else {"used": used}
    what = name.replace("_", " ")
    return QuotaExceeded(
        f"your quota of {what} is {limit}: that would be more", quota=name, limit=limit, **extra
    )


def _driver(transaction: Transaction) -> DriverConnection:
    if isinstance(transaction, DriverConnection):
        return transaction
    if isinstance(transaction, Session):
        transaction.flush()
        return DriverConnection(transaction.connection())
    return DriverConnection(transaction)
