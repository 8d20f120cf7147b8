"""Who may be counted once more: participations and separation, per subject, over a scope and its authorities."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.key_host.denials import DeniedHere
from grid.key_host.policies import ScopeLimits
from grid.key_host.tables import KeyHostParticipation, KeyHostScope
from syft_ext.confidential.certificates import names_of
from syft_ext.confidential.manifest import CheckedEntry
from syft_ext.errors import KeyRefused

__all__ = ["check_entries", "ineligible"]

_AT_ONCE = 500
"""Names in one statement: SQLite and PostgreSQL both take as many."""


def ineligible(
    session: Session, scope: bytes, limits: ScopeLimits, entries: Sequence[CheckedEntry], denied: DeniedHere
) -> list[tuple[CheckedEntry, str]]:
    """Entries with which a manifest would be refused, and why: ``denied``, ``participations``, ``separation``.

    The round that they are for would be the next that is granted in the scope; rounds that are never granted do
    not bring two of somebody's apart.
    """
    step = (session.scalar(select(KeyHostScope.rounds).where(KeyHostScope.id == scope.hex())) or 0) + 1
    names = [names_of(entry.certificate.subject, limits.authorities) | {entry.person} for entry in entries]
    before = _before(session, scope, [each for known in names for each in known])
    found = []
    for entry, known in zip(entries, names, strict=True):
        rows = [before[each.hex()] for each in known if each.hex() in before]
        count, last = sum(each for each, _ in rows), max((step for _, step in rows), default=None)
        if denied.denies(entry, known):
            found.append((entry, "denied"))
        elif count >= limits.participations:
            found.append((entry, "participations"))
        elif last is not None and step - last < limits.separation:
            found.append((entry, "separation"))
    return found


def check_entries(
    session: Session, scope: bytes, limits: ScopeLimits, entries: Sequence[CheckedEntry], denied: DeniedHere
) -> None:
    """Raise :class:`KeyRefused` with the reason of the first that may not be counted."""
    for entry, reason in ineligible(session, scope, limits, entries, denied):
        raise KeyRefused(
            f"the participant of assignment {entry.upload.assignment} cannot be counted: {reason}",
            reason=reason,
            assignment=entry.upload.assignment,
        )


def _before(session: Session, scope: bytes, persons: Iterable[bytes]) -> dict[str, tuple[int, int]]:
    """How often each took part, and in which step last."""
    names = [person.hex() for person in persons]
    found: dict[str, tuple[int, int]] = {}
    for start in range(0, len(names), _AT_ONCE):
        rows = session.execute(
            select(KeyHostParticipation.person, func.count(), func.max(KeyHostParticipation.step))
            .where(
                KeyHostParticipation.scope_id == scope.hex(),
                KeyHostParticipation.person.in_(names[start : start + _AT_ONCE]),
            )
            .group_by(KeyHostParticipation.person)
        )
        found |= {person: (count, last) for person, count, last in rows}
    return found
