"""The chain in the database: appending to it, and reading it in order."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
from sqlalchemy import LargeBinary, String, cast, insert, select, true, update
from sqlalchemy.orm import Session

from grid.audit.tables import AuditEntry, AuditHead
from grid.storage.sql.dialect import table_of
from syft_ext.audit.entries import Entry, genesis_previous, seal

__all__ = ["Draft", "append", "entries", "lock_head", "read_head"]

Value = str | int | float | bool

_COLUMNS = tuple(table_of(AuditEntry).columns)
_TABLE, _HEAD = table_of(AuditEntry), table_of(AuditHead)
_PAGE = 2000
_MAX_TEXT, _MAX_IDS = 1000, 1000
_encode = msgspec.json.Encoder(order="sorted").encode


@dataclass(slots=True)
class Draft:
    """What an entry says, before it has a place in the chain."""

    at: float
    actor_kind: str
    actor_id: str
    actor_name: str
    operation: str
    outcome: str = "ok"
    objects: Sequence[str] = ()
    grants: Sequence[str] = ()
    detail: Mapping[str, Value] = field(default_factory=dict)


def append(session: Session, node_id: str, drafts: Iterable[Draft], now: float) -> tuple[int, str]:
    """Add entries at the end of the chain; the new last entry's number and hash.

    The head's row is locked until the transaction ends, so that replicas take turns.
    """
    seq, last = lock_head(session)
    if seq < 0:
        seq, last, drafts = -1, genesis_previous(node_id), [_genesis(node_id, now), *drafts]
    rows = []
    for draft in drafts:
        seq += 1
        entry = seal(_entry(draft, seq, last))
        last = entry.hash
        rows.append(_row(entry))
    if rows:
        session.execute(insert(_TABLE), rows)
        session.execute(update(_HEAD).values(seq=seq, hash=last))
    return seq, last


def lock_head(session: Session) -> tuple[int, str]:
    """As :func:`read_head`, and nobody else appends or archives until the transaction ends."""
    seq, last = session.execute(select(_HEAD.c.seq, _HEAD.c.hash).with_for_update()).one()
    return int(seq), str(last)


def entries(session: Session, first: int | None = None, last: int | None = None) -> Iterator[Entry]:
    """The entries in the database in order, a page at a time: all of them, or just those from ``first`` to
    ``last``."""
    position, columns = (-1 if first is None else first - 1), _columns(session)
    bound = true() if last is None else _TABLE.c.seq <= last
    while True:
        after = select(*columns).where(_TABLE.c.seq > position, bound)
        rows = session.execute(after.order_by(_TABLE.c.seq).limit(_PAGE)).all()
        yield from map(_entry_of, rows)
        if len(rows) < _PAGE:
            return
        position = rows[-1].seq


def read_head(session: Session) -> tuple[int, str]:
    """Number and hash of the last entry, as the head's row says; -1 when there is none."""
    seq, last = session.execute(select(_HEAD.c.seq, _HEAD.c.hash)).one()
    return int(seq), str(last)


def _columns(session: Session) -> list[Any]:
    """What is selected. SQLite gives texts as bytes: a byte that makes no text must be found, not fail."""
    if session.get_bind().dialect.name != "sqlite":
        return list(_COLUMNS)
    texts = (column for column in _COLUMNS if isinstance(column.type, String))
    casts = {column.name: cast(column, LargeBinary).label(column.name) for column in texts}
    return [casts.get(column.name, column) for column in _COLUMNS]


def _entry_of(row: Any) -> Entry:
    values = {name: _as_written(value) for name, value in row._mapping.items()}
    for name in ("objects", "grants", "detail"):
        values[name] = msgspec.Raw(str(values[name]).encode())
    return Entry(**values)


def _as_written(value: Any) -> Any:
    return value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else value


def _row(entry: Entry) -> dict[str, Any]:
    values = msgspec.structs.asdict(entry)
    for name in ("objects", "grants", "detail"):
        values[name] = bytes(values[name]).decode()
    return values


def _entry(draft: Draft, seq: int, previous: str) -> Entry:
    return Entry(
        seq=seq,
        at=float(draft.at),
        actor_kind=draft.actor_kind,
        actor_id=_text(draft.actor_id, 64),
        actor_name=_text(draft.actor_name, 255),
        operation=_text(draft.operation, 64),
        objects=_ids(draft.objects),
        grants=_ids(draft.grants),
        outcome=draft.outcome,
        detail=msgspec.Raw(_encode({_text(key): _value(value) for key, value in draft.detail.items()})),
        previous=previous,
    )


def _genesis(node_id: str, now: float) -> Draft:
    return Draft(now, "system", node_id, "", "audit.begin", objects=[node_id])


def _ids(ids: Sequence[str]) -> msgspec.Raw:
    """A JSON list; one that is too long ends by saying how many there were."""
    kept = [_text(each) for each in ids[:_MAX_IDS]]
    if len(ids) > _MAX_IDS:
        kept.append(f"… {len(ids)} in all")
    return msgspec.Raw(_encode(kept))


def _value(value: Value) -> Value:
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 1 << 63):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    return _text(str(value))


def _text(text: str, limit: int = _MAX_TEXT) -> str:
    """Text that every database and encoding takes: no NUL, no half characters, not too long."""
    return str(text)[:limit].replace("\0", "�").encode("utf-8", "replace").decode()
