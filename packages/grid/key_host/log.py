"""The host's public log, written: one signed entry for each decision of the operator, chained."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.key_host.chain import NOTHING
from grid.key_host.core import HostCore, Turn
from grid.key_host.tables import KeyHostLogRow
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.transparency.host_log import HostLogEntry, LogAction

__all__ = ["last_entry", "log_entries", "log_size", "write_log"]


def write_log(
    core: HostCore, turn: Turn, action: LogAction, *, policy: bytes = NOTHING, what: str = ""
) -> None:
    """Add an entry, in the transaction that does what it says."""
    last = turn.session.scalars(
        select(KeyHostLogRow).order_by(KeyHostLogRow.sequence.desc()).limit(1)
    ).first()
    entry = HostLogEntry(
        host=core.key,
        sequence=1 if last is None else last.sequence + 1,
        previous=NOTHING if last is None else bytes.fromhex(last.hash),
        at=turn.at,
        action=action,
        policy=policy,
        what=what[:512],
        incarnation=turn.incarnation,
    )
    signed = Signed.make(entry, core.identity)
    turn.session.add(
        KeyHostLogRow(
            sequence=entry.sequence,
            statement=signed.body,
            signature=signed.signature,
            hash=entry.digest().hex(),
        )
    )
    turn.session.flush()


def last_entry(session: Session) -> bytes:
    """The digest of the newest entry; 32 zero bytes where there is none."""
    found = session.scalar(select(KeyHostLogRow.hash).order_by(KeyHostLogRow.sequence.desc()).limit(1))
    return NOTHING if found is None else bytes.fromhex(found)


def log_entries(core: HostCore, session: Session, offset: int, limit: int) -> Sequence[bytes]:
    """Signed entries, encoded, from the one after ``offset`` on."""
    rows = select(KeyHostLogRow).where(KeyHostLogRow.sequence > offset).order_by(KeyHostLogRow.sequence)
    return [
        Signed[HostLogEntry](body=row.statement, signer=core.key, signature=row.signature).encode()
        for row in session.scalars(rows.limit(limit))
    ]


def log_size(session: Session) -> int:
    """How many entries there are."""
    return session.scalar(select(func.count()).select_from(KeyHostLogRow)) or 0
