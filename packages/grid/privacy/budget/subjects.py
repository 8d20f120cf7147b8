"""Ledgers of data subjects, over all datasets of a Domain: who has nothing left is left out (a privacy filter).

V. Feldman, T. Zrnic, "Individual privacy accounting via a Rényi filter", 2021: what a release tells of a person
counts for that person, and leaving out whoever would exceed their total keeps it for everybody, however releases
are chosen. Persons are known by HMAC-SHA-256 under a key of the node, which is the id of their ledger: whoever
reads the database learns no name.

The record of what was spent does not name every subject of every release; it knows what was released in all.
That is the ledger of :data:`RELEASED`: ``spent`` is what all releases cost one after the other, and follows the
record when an older database is put right (:mod:`grid.catalogue.restored`); ``granted`` is the same as far as
this database knows of whom it was. Their difference counts as spent of everybody.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.privacy.budget.ledger import ledger_of, note_ledger
from grid.privacy.budget.ledger_tables import PrivacyLedger
from grid.spending.keeping import check_newest
from grid.storage.sql.dialect import insert, table_of

__all__ = ["RELEASED", "charge_subjects", "subject_digest"]

RELEASED = "subjects:released"
"""The member by which the ledger of all releases is found."""
_AT_ONCE = 500
"""Rows of one statement, below the number of parameters that every SQLite takes."""


def subject_digest(key: bytes, called: str) -> str:
    """What stands for a subject in the database: the same for the same number or word in every table of the
    Domain."""
    return hmac.digest(key, called.encode(), "sha256")[:16].hex()


def charge_subjects(
    session: Session, subjects: Mapping[int, Iterable[str]], cost: int, total: int, *, now: float
) -> set[str]:
    """Take ``cost`` from each subject who has so much left; those who had.

    Args:
        subjects: by what else was told of them already (of their tables, by other releases), in the units of
            ledgers.
        total: what may be told of anybody.

    Releases wait for each other at the ledger of :data:`RELEASED`: two that race for the last of a subject's total
    cannot both have it.
    """
    released = ledger_of(session, [RELEASED], now=now)
    forgotten = released.spent - (released.granted or 0)
    paid: set[str] = set()
    for told, members in subjects.items():
        most = total - forgotten - told
        # A digest of exact statistics stands there where nobody knows what was spent: then all of it was.
        if cost > most or released.exact_digest is not None:
            continue
        ordered = list(members)
        for start in range(0, len(ordered), _AT_ONCE):
            part = ordered[start : start + _AT_ONCE]
            over = select(PrivacyLedger.id).where(
                PrivacyLedger.id.in_(part), PrivacyLedger.spent + cost > most
            )
            paid.update(set(part) - set(session.scalars(over)))
    table = table_of(PrivacyLedger)
    fixed = {"spent": cost, "created_at": now, "changed_at": now, "changed_by": ""}
    taken = insert(session, table).on_conflict_do_update(
        index_elements=[table.c.id], set_={"spent": table.c.spent + cost}
    )
    if paid:
        session.execute(taken, [{"id": each, **fixed} for each in sorted(paid)])
    check_newest(session)
    released.granted, released.spent = (released.granted or 0) + cost, released.spent + cost
    session.flush()
    note_ledger(session, released)
    return paid
