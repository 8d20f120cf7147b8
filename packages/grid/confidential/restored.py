"""Rounds in a database that was restored: the output that there was stays the only one.

What a mark says of a training's newest output is kept beside the contents, and outlives the database. Where the
older one has the same manifest, the very output is put back, and opened again; where it has another, or none yet,
the hosts have given the round's key away already: it is over, and the cycle gets another round.
"""

from __future__ import annotations

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from grid.confidential.tables import ConfidentialOutput, ConfidentialRound
from grid.spending.record import Facts, Spent
from grid.storage.objects.tables import BlobRow

__all__ = ["MARKS", "facts_of", "put_right"]

MARKS = "confidential output"
_OVER = "its key hosts know more of it than this database, which was restored"
_ALIVE = ("asked", "opened", "bound", "closed")


def facts_of(output: ConfidentialOutput, manifest: str) -> Facts:
    """What is written down of an output: enough to have it opened again."""
    return {
        "sequence": output.sequence,
        "manifest": manifest,
        "digest": output.digest,
        "size": output.size,
        "release": output.release.hex(),
        "sessions": output.sessions.hex(),
        "stored_at": output.stored_at,
    }


def put_right(session: Session, spent: Spent, everything: bool) -> int:
    """As :data:`grid.spending.record.PutRight` says."""
    changed = sum(_put_back(session, process_id, facts) for process_id, facts in spent.of(MARKS).items())
    session.flush()
    if everything:
        over = update(ConfidentialRound).where(ConfidentialRound.state.in_(_ALIVE))
        changed += session.execute(over.values(state="failed", reason=_OVER)).rowcount  # type: ignore[attr-defined]
    return changed


def _put_back(session: Session, process_id: str, facts: Facts) -> int:
    sequence = int(facts["sequence"])
    later = update(ConfidentialRound).where(
        ConfidentialRound.process_id == process_id,
        ConfidentialRound.sequence <= sequence,
        ConfidentialRound.state.in_(_ALIVE),
    )
    row = session.get(ConfidentialRound, (process_id, sequence))
    same = row is not None and row.manifest_digest == facts["manifest"]
    if same:
        later = later.where(ConfidentialRound.sequence < sequence)
    changed: int = session.execute(later.values(state="failed", reason=_OVER)).rowcount  # type: ignore[attr-defined]
    known = select(ConfidentialOutput.digest).where(
        ConfidentialOutput.process_id == process_id, ConfidentialOutput.sequence == sequence
    )
    if not same or session.scalar(known) is not None:
        return changed
    if session.get(BlobRow, facts["digest"]) is None:
        session.add(BlobRow(digest=facts["digest"], size=facts["size"]))
        session.flush()
    session.add(
        ConfidentialOutput(
            process_id=process_id,
            sequence=sequence,
            digest=facts["digest"],
            size=facts["size"],
            blob_digest=facts["digest"],
            release=bytes.fromhex(facts["release"]),
            sessions=bytes.fromhex(facts["sessions"]),
            stored_at=facts["stored_at"],
            released_at=None,
        )
    )
    return changed + 1
