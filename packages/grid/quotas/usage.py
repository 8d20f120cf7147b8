"""How much a user keeps, by kind: summed up from the rows that refer to it. There are no counters to get wrong."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import ClauseElement, bindparam, func, select

from grid.storage.objects.tables import ObjectRow, UploadRow
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.prepared import PreparedStatement

__all__ = ["OWNER", "TOTAL", "Kind", "count_with", "kinds", "register_kind", "usage_of"]

#: The parameter of a kind's statement: whose things are counted.
OWNER = "owner"
#: The quota of the bytes of all kinds together.
TOTAL = "stored_bytes"


@dataclass(frozen=True, slots=True)
class Kind:
    """Things of one kind that users keep.

    Attributes:
        name: how it is called, and the quota of how many there are.
        size: the quota of their bytes; "" for what has none worth counting.
        statement: selects ``size`` (bytes, 0 if there are none) and ``number`` of the user :data:`OWNER`.
    """

    name: str
    size: str
    statement: PreparedStatement

    @classmethod
    def of(cls, name: str, statement: ClauseElement, *, size: str = "") -> Kind:
        return cls(name, size, PreparedStatement(statement))


_OBJECTS = Kind.of(
    "objects",
    select(func.coalesce(func.sum(ObjectRow.size), 0).label("size"), func.count().label("number")).where(
        ObjectRow.owner == bindparam(OWNER)
    ),
    size="object_bytes",
)
_UPLOADS = Kind.of(
    "uploads",
    select(func.coalesce(func.sum(UploadRow.size), 0).label("size"), func.count().label("number")).where(
        UploadRow.owner == bindparam(OWNER)
    ),
    size="upload_bytes",
)
_KINDS: dict[str, Kind] = {kind.name: kind for kind in (_OBJECTS, _UPLOADS)}


_FURTHER: dict[str, dict[str, PreparedStatement]] = {}


def register_kind(kind: Kind) -> None:
    """Let a room above say how things of its own are counted; the same again changes nothing."""
    _KINDS[kind.name] = kind


def count_with(name: str, further: str, statement: ClauseElement) -> None:
    """Let a room above count bytes of its own with the kind ``name``; the same again changes nothing.

    Args:
        further: what they are of. statement: selects ``size`` of the user :data:`OWNER`.
    """
    _FURTHER.setdefault(name, {}).setdefault(further, PreparedStatement(statement))


def kinds() -> dict[str, Kind]:
    """The kinds that are counted, by name."""
    return dict(_KINDS)


def usage_of(connection: DriverConnection, owner: str, *names: str) -> dict[str, int]:
    """How much ``owner`` keeps, by the names of the quotas; of the kinds ``names``, or of all.

    With a kind that has bytes come the bytes of all kinds together.
    """
    wanted = [_KINDS[name] for name in names] or list(_KINDS.values())
    summed = any(kind.size for kind in wanted)
    used: dict[str, int] = {TOTAL: 0} if summed else {}
    for kind in _KINDS.values():
        if kind not in wanted and not (summed and kind.size):
            continue
        row = kind.statement.run(connection, {OWNER: owner}).first()
        if kind in wanted:
            used[kind.name] = int(row.number)
        if not kind.size:  # nothing of it has bytes, and its statement tells none
            continue
        size = int(row.size) + sum(
            int(each.run(connection, {OWNER: owner}).first().size)
            for each in _FURTHER.get(kind.name, {}).values()
        )
        if kind in wanted:
            used[kind.size] = size
        used[TOTAL] += size
    return used
