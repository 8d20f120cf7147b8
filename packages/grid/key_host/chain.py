"""The ledger's rows: each is hashed with the one before it, so that whoever has seen one knows all before it."""

from __future__ import annotations

from typing import ClassVar, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.key_host.tables import KeyHostLedgerRow
from syft_ext.confidential.canonical import Count, Digest, Nonce, Statement, Time
from syft_ext.confidential.rounds import Head

__all__ = ["NOTHING", "LedgerEntry", "append", "hash_at", "head_of", "is_whole"]

NOTHING = bytes(32)
"""Where a digest of an entry says nothing, and what stands before the first row."""


class LedgerEntry(Statement, frozen=True):
    """What happened.

    Attributes:
        what: "grant" (charged ``rho``, in 10^−9, to ``scope``), "release" (of ``output``), "recover" (``scope``
            holds the new incarnation).
        context: the round's. persons: digest of those who took part.
    """

    statement: ClassVar[str] = "ledger entry"

    what: Literal["grant", "release", "recover"]
    at: Time
    context: Digest = NOTHING
    manifest: Digest = NOTHING
    output: Digest = NOTHING
    scope: Digest = NOTHING
    persons: Digest = NOTHING
    rho: Count = 0


class LedgerStep(Statement, frozen=True):
    """What a row's hash is over."""

    statement: ClassVar[str] = "ledger row"

    sequence: Count
    previous: Digest
    entry: LedgerEntry


def head_of(session: Session, incarnation: Nonce) -> Head:
    """Where the ledger stands."""
    last = session.execute(
        select(KeyHostLedgerRow.sequence, KeyHostLedgerRow.hash)
        .order_by(KeyHostLedgerRow.sequence.desc())
        .limit(1)
    ).first()
    if last is None:
        return Head(incarnation=incarnation, sequence=0, hash=NOTHING)
    return Head(incarnation=incarnation, sequence=last.sequence, hash=bytes.fromhex(last.hash))


def append(session: Session, incarnation: Nonce, entry: LedgerEntry) -> Head:
    """Add a row; where the ledger stands then."""
    before = head_of(session, incarnation)
    step = LedgerStep(sequence=before.sequence + 1, previous=before.hash, entry=entry)
    session.add(
        KeyHostLedgerRow(
            sequence=step.sequence,
            previous=before.hash.hex(),
            body=entry.encode(),
            hash=step.digest().hex(),
        )
    )
    session.flush()
    return Head(incarnation=incarnation, sequence=step.sequence, hash=step.digest())


def hash_at(session: Session, sequence: int) -> bytes | None:
    """The hash of the row ``sequence``; of none for 0, None where there is no such row."""
    if sequence == 0:
        return NOTHING
    found = session.scalar(select(KeyHostLedgerRow.hash).where(KeyHostLedgerRow.sequence == sequence))
    return None if found is None else bytes.fromhex(found)


def is_whole(session: Session) -> bool:
    """Whether each row fits the one before it, from the first on."""
    rows = select(KeyHostLedgerRow).order_by(KeyHostLedgerRow.sequence).execution_options(yield_per=1000)
    before = NOTHING
    for sequence, row in enumerate(session.scalars(rows), 1):
        step = LedgerStep(sequence=sequence, previous=before, entry=LedgerEntry.decode(row.body))
        if (row.sequence, row.previous, row.hash) != (sequence, before.hex(), step.digest().hex()):
            return False
        before = step.digest()
    return True
