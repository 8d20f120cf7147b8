"""The Domain's transparency log: what is published of policies, programs and key hosts, in a tree that only grows.

RFC 6962. One head of each size is signed, with the entry that makes it so. Nothing of what protects an update
rests on it; a Domain that shows two people two policies, or takes one back, is found out by it.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import delete, func, insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.confidential.tables import ConfidentialLogHead, ConfidentialLogRow, ConfidentialLogWitness
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.transparency.log import Inclusion, LogEntry, LogShown, TreeHead, Witnessed
from syft_ext.confidential.transparency.merkle import (
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    root_of,
)
from syft_ext.errors import Conflict, InvalidStatement, NotFound, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages.confidential import LogKind

__all__ = ["DomainLog", "Publication", "publications_of"]

_TRIES = 8
_Row, _Head, _Witness = ConfidentialLogRow, ConfidentialLogHead, ConfidentialLogWitness


@dataclass(frozen=True, slots=True)
class Publication:
    """What is to be in the log. ``subject``: digest or key."""

    kind: LogKind
    subject: bytes
    detail: str = ""


def publications_of(policy: ConfidentialPolicy) -> list[Publication]:
    """What a policy publishes: itself, and the hosts that it names."""
    hosts = [Publication("host", host.key, f"{host.name} {host.url}"[:1024]) for host in policy.hosts]
    return [*hosts, Publication("policy", policy.digest())]


class DomainLog:
    """Keeps the log, and proves what is in it."""

    def __init__(self, database: Database, identity: Identity, clock: Clock) -> None:
        self._database, self._identity, self._clock = database, identity, clock
        self.key = key_of(identity)

    # -- written

    def publish(self, what: Iterable[Publication]) -> int:
        """See to it that each is in the log, once; how many entries it has then."""
        wanted = list(what)
        for _ in range(_TRIES):
            try:
                with self._database.transaction(durable=True) as session:
                    return self._append(session, [each for each in wanted if not _has(session, each)])
            except IntegrityError:  # another process was first; its entries count
                continue
        raise Unavailable("others write to the log without a pause")

    def _append(self, session: Session, new: Sequence[Publication]) -> int:
        at = int(self._clock.now())
        entries = [LogEntry(each.kind, each.subject, at, each.detail) for each in new]
        leaves = _leaves_of(session, _size(session))
        for entry in entries:
            leaves.append(leaf_hash(entry.encode()))
            self._write(session, entry, leaves, at)
        return len(leaves)

    def _write(self, session: Session, entry: LogEntry, leaves: Sequence[bytes], at: int) -> None:
        head = TreeHead(self.key, len(leaves), root_of(leaves), at)
        session.execute(
            insert(_Row).values(
                number=len(leaves) - 1,
                kind=entry.kind,
                subject=entry.subject.hex(),
                entry=entry.encode(),
                leaf=leaves[-1],
            )
        )
        signed = Signed.make(head, self._identity).encode()
        session.execute(insert(_Head).values(size=head.size, signed=signed))

    def witnessed(self, host: bytes, signed: Signed[TreeHead]) -> None:
        """Keep a host's signature of a head of this log. Raises what a signature that does not hold raises, and
        :class:`InvalidStatement` for one of anything else: participants would take it for another view."""
        head = signed.open(TreeHead, host)
        with self._database.transaction() as session:
            own = session.scalar(select(_Head.signed).where(_Head.size == head.size))
            if own is None or Signed[TreeHead].decode(own).open(TreeHead, self.key) != head:
                raise InvalidStatement("what a witness signed is no head of this log")
            place = (_Witness.size == head.size, _Witness.host == host.hex())
            session.execute(delete(_Witness).where(*place))
            session.execute(insert(_Witness).values(size=head.size, host=host.hex(), signed=signed.encode()))

    def adopt(self, entries: Sequence[bytes], signed: Signed[TreeHead]) -> None:
        """Take up entries that were lost with a newer database, from a witness: up to a head that this Domain
        signed. What was published since is published again behind them.

        Raises :class:`Conflict` where a witness has signed what would go.
        """
        head = signed.open(TreeHead, self.key)
        leaves = [leaf_hash(LogEntry.decode(entry).encode()) for entry in entries]
        if head.log != self.key or head.size != len(leaves) or head.root != root_of(leaves):
            raise InvalidStatement("these are not the entries of the head that this Domain has signed")
        with self._database.transaction(durable=True) as session:
            own = _leaves_of(session, _size(session))
            same = next(
                (at for at, pair in enumerate(zip(own, leaves, strict=False)) if pair[0] != pair[1]), None
            )
            kept = min(len(own), len(leaves)) if same is None else same
            if kept == len(leaves):
                return
            beyond = session.scalar(select(func.count()).select_from(_Witness).where(_Witness.size > kept))
            if kept < len(own) and beyond:
                raise Conflict("witnesses have signed two histories of this log: it cannot be one any more")
            later = session.scalars(select(_Row.entry).where(_Row.number >= kept).order_by(_Row.number)).all()
            session.execute(delete(_Row).where(_Row.number >= kept))
            session.execute(delete(_Head).where(_Head.size > kept))
            for entry in map(LogEntry.decode, entries[kept:]):
                kept += 1
                self._write(session, entry, leaves[:kept], head.at)
            session.execute(delete(_Head).where(_Head.size == head.size))
            session.execute(insert(_Head).values(size=head.size, signed=signed.encode()))
            again = [LogEntry.decode(each) for each in later]
            publications = [Publication(each.kind, each.subject, each.detail) for each in again]
            self._append(session, [each for each in publications if not _has(session, each)])

    # -- read

    def size(self) -> int:
        """How many entries there are."""
        with self._database.read() as session:
            return _size(session)

    def entries(self, offset: int, limit: int) -> tuple[list[bytes], int]:
        """Entries from number ``offset`` on, and how many there are in all."""
        query = select(_Row.entry).where(_Row.number >= offset).order_by(_Row.number).limit(limit)
        with self._database.read() as session:
            return [*session.scalars(query)], _size(session)

    def head(self, size: int = 0) -> Witnessed:
        """The head of ``size`` entries (0: of all), with the signatures that there are of it.

        Raises :class:`NotFound` for a size that the log has not had.
        """
        with self._database.read() as session:
            return _witnessed(session, size or _size(session))

    def standing(self) -> dict[str, int]:
        """How far each host that signed anything has signed, by its key in hex."""
        query = select(_Witness.host, func.max(_Witness.size).label("size")).group_by(_Witness.host)
        with self._database.read() as session:
            return {row.host: row.size for row in session.execute(query)}

    def hosts(self) -> dict[str, str]:
        """The key hosts that were published: names by keys in hex."""
        with self._database.read() as session:
            entries = [
                LogEntry.decode(each)
                for each in session.scalars(select(_Row.entry).where(_Row.kind == "host"))
            ]
        return {each.subject.hex(): each.detail.rpartition(" ")[0] for each in entries}

    def inclusion(self, subject: bytes, size: int = 0, kind: LogKind | None = None) -> Inclusion:
        """That the first entry about ``subject`` is in the log of ``size`` entries; 0: of all.

        Raises :class:`NotFound`.
        """
        with self._database.read() as session:
            return self._inclusion(session, subject, size or _size(session), kind)

    def _inclusion(self, session: Session, subject: bytes, size: int, kind: LogKind | None) -> Inclusion:
        query = select(_Row.number, _Row.entry).where(_Row.subject == subject.hex(), _Row.number < size)
        if kind is not None:
            query = query.where(_Row.kind == kind)
        found = session.execute(query.order_by(_Row.number).limit(1)).first()
        if found is None:
            raise NotFound("nothing in the log is about that")
        proof = inclusion_proof(_leaves_of(session, size), found.number)
        return Inclusion(LogEntry.decode(found.entry), found.number, tuple(proof))

    def consistency(self, first: int, second: int = 0) -> list[bytes]:
        """That the log of ``first`` entries is the beginning of that of ``second``; 0: of all.

        Raises :class:`NotFound` for sizes that it has not had, in this order.
        """
        with self._database.read() as session:
            size = _size(session)
            if not 1 <= first <= (second or size) <= size:
                raise NotFound("the log has not had these sizes, in this order")
            return consistency_proof(_leaves_of(session, second or size), first)

    def shown(self, policy: bytes, since: int, hosts: Collection[bytes]) -> LogShown:
        """What a participant is shown: the head with the most signatures of ``hosts`` that is no older than what
        the participant has seen, and that the policy of this digest is under it.

        Raises :class:`Unavailable` where there is none yet.
        """
        names = [host.hex() for host in hosts]
        signed = select(_Witness.size, func.count()).where(_Witness.host.in_(names)).group_by(_Witness.size)
        with self._database.read() as session:
            number = session.scalar(
                select(func.min(_Row.number)).where(_Row.subject == policy.hex(), _Row.kind == "policy")
            )
            size = _size(session)
            if number is None:
                raise Unavailable("the policy is not in the log yet")
            least = max(number + 1, since)
            counts = {each: count for each, count in session.execute(signed) if least <= each <= size}
            if not counts:
                raise Unavailable("no key host has signed the log with this policy yet")
            best = max(counts, key=lambda each: (counts[each], each))
            leaves = _leaves_of(session, best)
            way = consistency_proof(leaves, since) if 1 <= since < best else []
            return LogShown(
                _witnessed(session, best), self._inclusion(session, policy, best, "policy"), tuple(way)
            )


def _size(session: Session) -> int:
    newest = session.scalar(select(func.max(_Row.number)))
    return 0 if newest is None else newest + 1


def _leaves_of(session: Session, size: int) -> list[bytes]:
    """The leaves of the first ``size`` entries."""
    return [*session.scalars(select(_Row.leaf).where(_Row.number < size).order_by(_Row.number))]


def _has(session: Session, what: Publication) -> bool:
    same = (_Row.kind == what.kind, _Row.subject == what.subject.hex())
    return session.scalar(select(_Row.number).where(*same).limit(1)) is not None


def _witnessed(session: Session, size: int) -> Witnessed:
    head = session.scalar(select(_Head.signed).where(_Head.size == size))
    if head is None:
        raise NotFound("the log has not had this size")
    signatures = session.scalars(
        select(_Witness.signed).where(_Witness.size == size).order_by(_Witness.host).limit(64)
    )
    return Witnessed(Signed.decode(head), tuple(Signed.decode(each) for each in signatures))
