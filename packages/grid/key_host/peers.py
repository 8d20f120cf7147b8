"""Other hosts: which of their keys were given up, and rollback, noticed.

What other hosts have seen of this one is held against its own rows, and the other way round.

A host that was restored lacks rows that others saw, or grew others in their place: it stops. What a peer states of
itself must not be before what was seen of it. A recovered host has another incarnation, and begins anew.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from grid.key_host.chain import hash_at
from grid.key_host.core import Turn
from grid.key_host.tables import KeyHostPeer, KeyHostSuccession
from syft_ext.confidential.rounds import Head
from syft_ext.confidential.sessions import HostHead, SessionStatement
from syft_ext.errors import KeyRefused

__all__ = ["check_end", "ended", "heirs", "learn", "lost_row", "remembered"]


def remembered(session: Session, hosts: Sequence[bytes]) -> tuple[HostHead, ...]:
    """The newest head that was seen of each of ``hosts``, in their order; of some, none may have been."""
    rows = session.scalars(
        select(KeyHostPeer)
        .where(KeyHostPeer.host.in_([host.hex() for host in hosts]))
        .order_by(KeyHostPeer.number)
    )
    newest = {row.host: row for row in rows}
    return tuple(
        HostHead(host=host, head=_head(newest[host.hex()])) for host in hosts if host.hex() in newest
    )


def _head(row: KeyHostPeer) -> Head:
    return Head(
        incarnation=bytes.fromhex(row.incarnation), sequence=row.sequence, hash=bytes.fromhex(row.hash)
    )


def lost_row(turn: Turn, own: bytes, statements: Sequence[SessionStatement]) -> str:
    """Why the ledger here is not what a peer has seen of it; "" where it is."""
    for statement in statements:
        for seen in statement.peers:
            if seen.host != own or seen.head.incarnation.hex() in turn.state.past.split():
                continue  # of an earlier incarnation: the recovery has learned what was lost
            peer = statement.host.hex()[:12]
            if seen.head.incarnation != turn.incarnation:
                return f"the host {peer}… has seen an incarnation of this host that it does not know of"
            found = hash_at(turn.session, seen.head.sequence)
            if found is None:
                return (
                    f"the host {peer}… has seen row {seen.head.sequence} of this ledger, which is not there"
                )
            if found != seen.head.hash:
                return f"the host {peer}… has seen another row {seen.head.sequence} of this ledger"
    return ""


def learn(turn: Turn, own: bytes, statements: Sequence[SessionStatement]) -> None:
    """Remember how far the others are.

    Raises :class:`KeyRefused` (``peer-rolled-back``) where one is not as far as somebody has seen it.
    """
    stated = {statement.host: statement for statement in statements if statement.host != own}
    for statement in statements:
        for seen in statement.peers:
            other = stated.get(seen.host)
            if other is not None:
                _compare(seen.head, other.head, seen.host)
    for host, statement in stated.items():
        _remember(turn.session, host, statement)


def _compare(seen: Head, stated: Head, host: bytes) -> None:
    """Of another incarnation nothing can be said here: which one is newer knows who saw both."""
    if seen.incarnation != stated.incarnation:
        return
    if stated.sequence < seen.sequence or (stated.sequence == seen.sequence and stated.hash != seen.hash):
        raise _rolled_back(host)


def _remember(session: Session, host: bytes, statement: SessionStatement) -> None:
    head, name = statement.head, host.hex()
    row = session.get(KeyHostPeer, (name, head.incarnation.hex()))
    newest = session.scalar(select(func.max(KeyHostPeer.number)).where(KeyHostPeer.host == name))
    if row is None:
        session.add(
            KeyHostPeer(
                host=name,
                incarnation=head.incarnation.hex(),
                number=1 if newest is None else newest + 1,
                sequence=head.sequence,
                hash=head.hash.hex(),
                seen_at=statement.at,
            )
        )
        return
    if row.number != newest:
        raise _rolled_back(host)  # it is what it was before a recovery
    if head.sequence == row.sequence and head.hash.hex() != row.hash:
        raise _rolled_back(host)
    if head.sequence < row.sequence:
        if statement.at >= row.seen_at:
            raise _rolled_back(host)
        return  # an older statement than the one that is remembered
    row.sequence, row.hash, row.seen_at = head.sequence, head.hash.hex(), max(row.seen_at, statement.at)


def check_end(session: Session, host: bytes, head: Head) -> None:
    """Hold where a host says that it ended, for another key, against what was seen of it: nobody who follows it
    begins before that.

    Raises :class:`KeyRefused` (``peer-rolled-back``).
    """
    row = session.get(KeyHostPeer, (host.hex(), head.incarnation.hex()))
    if row is None:
        return  # it recovered since, or was never seen
    newest = session.scalar(select(func.max(KeyHostPeer.number)).where(KeyHostPeer.host == host.hex()))
    stands = (head.sequence, head.hash.hex())
    if (
        row.number != newest
        or stands[0] < row.sequence
        or (stands[0] == row.sequence and stands[1] != row.hash)
    ):
        raise _rolled_back(host)


def _rolled_back(host: bytes) -> KeyRefused:
    return KeyRefused(
        f"the ledger of the host {host.hex()[:12]}… is older than what was seen of it",
        reason="peer-rolled-back",
    )


def heirs(session: Session) -> dict[bytes, bytes]:
    """Old key → new key, as far as this host knows."""
    rows = session.execute(select(KeyHostSuccession.old, KeyHostSuccession.new))
    return {bytes.fromhex(row.old): bytes.fromhex(row.new) for row in rows}


def ended(session: Session, keys: Iterable[bytes]) -> str:
    """Why nothing is done for a policy with these keys; "" where none of them was given up, or is in two hands."""
    names = [key.hex() for key in keys]
    rows = session.scalars(
        select(KeyHostSuccession).where(
            KeyHostSuccession.old.in_(names)
            | (KeyHostSuccession.new.in_(names) & KeyHostSuccession.conflict.is_not(None))
        )
    )
    for row in rows:
        if row.conflict is not None:
            return f"the key host {row.old[:12]}… named two successors: its key is in two hands"
        return f"the key {row.old[:12]}… of a key host was given up, for {row.new[:12]}…"
    return ""
