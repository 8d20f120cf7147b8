"""Domains' transparency logs, witnessed: a copy that only grows, and a signature for what continues it.

Whoever shows two people two logs needs all witnesses that either of them asks for to help. A Domain's head that
does not fit is kept: its signature proves that there were two views.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from grid.key_host.core import HostCore, Turn
from grid.key_host.tables import KeyHostLogCopy, KeyHostRound, KeyHostWitnessed
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.transparency.log import LogEntry, TreeHead
from syft_ext.confidential.transparency.merkle import leaf_hash, root_of
from syft_ext.errors import BadRequest, Forbidden, KeyRefused, NotFound
from syft_ext.messages import key_host as m

__all__ = ["MOST_ENTRIES", "log_copy", "witness"]

MOST_ENTRIES = 16_384
"""Of one log: what a Domain publishes are policies, programs and hosts."""


def witness(
    core: HostCore, signed: Signed[TreeHead], first: int, entries: Sequence[bytes]
) -> Signed[TreeHead]:
    """The head, signed by this host, if it continues all that was signed before.

    Raises :class:`KeyRefused`: ``wrong-size`` where ``entries`` do not begin where the copy ends, ``two-views``
    where head and copy do not fit; :class:`Forbidden` for a Domain that has no rounds here.
    """
    head = signed.open(TreeHead, signed.signer)
    if head.log != signed.signer:
        raise BadRequest("the head of a log is signed by its keeper")
    leaves = [leaf_hash(LogEntry.decode(entry).encode()) for entry in entries]
    with core.turn() as turn:
        turn.require_running()
        refusal = _take(turn, signed, head, first, list(zip(entries, leaves, strict=True)))
    if refusal is not None:  # the conflict that it is about is kept
        raise refusal
    return Signed.make(head, core.identity)


def _take(
    turn: Turn, signed: Signed[TreeHead], head: TreeHead, first: int, new: list[tuple[bytes, bytes]]
) -> KeyRefused | None:
    session, log = turn.session, head.log.hex()
    rounds = select(KeyHostRound.context).where(KeyHostRound.domain_key == log).limit(1)
    if session.scalar(rounds) is None:
        raise Forbidden("this host signs the logs of Domains that have rounds here")
    row = session.get(KeyHostWitnessed, log)
    size = 0 if row is None else row.size
    known = _leaves(session, log)
    if head.size <= size:
        if root_of(known[: head.size]) == head.root:
            return None
        assert row is not None
        row.conflict = row.conflict or signed.encode()
        return KeyRefused("the log shows another beginning than this host has signed", reason="two-views")
    if first != size:
        return KeyRefused(f"this host has {size} entries of the log", reason="wrong-size", size=size)
    if size + len(new) != head.size or head.size > MOST_ENTRIES:
        raise BadRequest("these are not the entries up to the head")
    if root_of([*known, *(leaf for _, leaf in new)]) != head.root:
        return KeyRefused("the log does not continue what this host has signed", reason="two-views")
    session.add_all(
        KeyHostLogCopy(log=log, sequence=size + at, entry=entry, leaf=leaf)
        for at, (entry, leaf) in enumerate(new, 1)
    )
    if row is None:
        session.add(KeyHostWitnessed(log=log, size=head.size, head=signed.encode(), conflict=None))
    else:
        row.size, row.head = head.size, signed.encode()
    return None


def _leaves(session: Session, log: str) -> list[bytes]:
    query = select(KeyHostLogCopy.leaf).where(KeyHostLogCopy.log == log).order_by(KeyHostLogCopy.sequence)
    return [*session.scalars(query)]


def log_copy(session: Session, log: str, offset: int, limit: int) -> m.LogCopy:
    """This host's copy. Raises :class:`NotFound` for a log of which it has none."""
    row = session.get(KeyHostWitnessed, log)
    if row is None:
        raise NotFound("this host has signed nothing of such a log")
    entries = (
        select(KeyHostLogCopy.entry)
        .where(KeyHostLogCopy.log == log, KeyHostLogCopy.sequence > offset)
        .order_by(KeyHostLogCopy.sequence)
        .limit(limit)
    )
    return m.LogCopy(
        entries=[*session.scalars(entries)], size=row.size, head=row.head, conflict=row.conflict or b""
    )
