"""Associations in the database: every change is a compare-and-set on the status."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, bindparam, delete, func, select, update
from sqlalchemy.orm import Session

from grid.network.handshake import Transcript
from grid.network.tables import Association
from grid.storage.sql.cache import CommitScopedCache
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, NotFound, TooManyRequests
from syft_ext.identity import node_id_of
from syft_ext.ids import new_id

__all__ = ["Peer", "Registry"]

_ASSOCIATED = PreparedStatement(
    select(Association.node_id, Association.kind, Association.name, Association.direction)
    .where(Association.verify_key == bindparam("verify_key"), Association.status == "accepted")
    .order_by(Association.created_at, Association.id)
    .limit(1)
)
_PRESENTED = PreparedStatement(
    select(
        Association.kind,
        Association.direction,
        Association.node_id,
        Association.verify_key,
        Association.name,
        Association.address,
        Association.decided_at,
        Association.last_seen,
        Association.reported,
    )
    .where(
        Association.direction == "incoming",
        Association.status == "accepted",
        Association.kind == bindparam("kind"),
    )
    .order_by(Association.created_at.desc(), Association.id)
)


class Peer(NamedTuple):
    """What of an :class:`Association` is needed to ask the peer something."""

    kind: str
    direction: str
    node_id: str
    verify_key: str
    name: str
    address: str
    decided_at: float | None
    last_seen: float | None
    reported: str


class Registry:
    """The associations of one node."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock
        self._known = CommitScopedCache(db)

    # -- reading ------------------------------------------------------------------------------------

    def list(self, *conditions: ColumnElement[bool]) -> Sequence[Association]:
        """Matching rows, newest first."""
        query = select(Association).where(*conditions)
        with self._db.read() as session:
            return session.scalars(query.order_by(Association.created_at.desc(), Association.id)).all()

    def get(self, association_id: str) -> Association:
        """Raises :class:`NotFound`."""
        with self._db.read() as session:
            row = session.get(Association, association_id)
        if row is None:
            raise NotFound("there is no such association")
        return row

    def by_key(self, verify_key: str, *, direction: str = "") -> Association | None:
        """The association with this key; an accepted one before others."""
        query = select(Association).where(Association.verify_key == verify_key)
        if direction:
            query = query.where(Association.direction == direction)
        with self._db.read() as session:
            rows = session.scalars(query).all()
        return min(rows, key=lambda row: row.status != "accepted", default=None)

    def associated(self, verify_key: str) -> Any:
        """(node_id, kind, name, direction) of the accepted association with this key; None if there is none.

        Asked for every message of another node: what is known is taken until something was committed.
        """
        return self._known.get(
            verify_key, lambda: self._db.query(_ASSOCIATED, {"verify_key": verify_key}).first()
        )

    def accepted(self, direction: str, kind: str | None = None) -> Sequence[Association]:
        """The accepted associations of a direction ("incoming", "outgoing"), with nodes of this kind if given."""
        conditions = [Association.direction == direction, Association.status == "accepted"]
        if kind is not None:
            conditions.append(Association.kind == kind)
        return self.list(*conditions)

    def presented(self, kind: str) -> Sequence[Peer]:
        """The nodes of ``kind`` that this one accepted, newest first; remembered as :meth:`associated` is."""
        return self._known.get(
            (_PRESENTED, kind),
            lambda: [Peer(*row) for row in self._db.query(_PRESENTED, {"kind": kind}).all()],
        )

    # -- incoming -----------------------------------------------------------------------------------

    def receive(
        self, transcript: Transcript, note: str, *, accept: bool, max_pending: int, origin: str = ""
    ) -> Association:
        """Record a request whose handshake succeeded; what was accepted or denied before stays so.

        ``origin`` is the network that it came from. When ``max_pending`` requests wait already, the oldest from
        whichever network has most makes room; raises :class:`TooManyRequests` when that is ``origin`` itself.
        """

        def record(session: Session) -> Association:
            row = session.scalar(_with("incoming", transcript.requester_key))
            if row is None:
                row = self._new("incoming", transcript.requester_key)
                session.add(row)
            row.kind, row.name, row.address = transcript.kind, transcript.name, transcript.address
            if row.status == "revoked":
                row.status = "pending"
            if row.status != "pending":
                return row
            row.note, row.reason, row.created_at = note, "", self._clock.now()
            row.origin = origin[:64]
            row.decided_at, row.decided_by = None, ""
            if accept:
                row.status, row.decided_at, row.decided_by = "accepted", self._clock.now(), "auto_accept"
                row.last_seen = self._clock.now()
                return row
            session.flush()
            _make_room(session, row, max_pending)
            return row

        return self._db.run(record)

    def decide(self, association_id: str, status: str, by: str, reason: str = "") -> Association:
        """Accept ("accepted") or deny ("denied") an incoming request.

        Raises :class:`NotFound`, or :class:`Conflict` when its state does not allow that.
        """
        allowed = ("pending", "denied") if status == "accepted" else ("pending",)

        def decide(session: Session) -> Association:
            row = session.get(Association, association_id)
            if row is None or row.direction != "incoming":
                raise NotFound("there is no such request")
            changed = session.execute(
                update(Association)
                .where(Association.id == association_id, Association.status.in_(allowed))
                .values(status=status, decided_at=self._clock.now(), decided_by=by, reason=reason)
            )
            if changed.rowcount != 1:  # type: ignore[attr-defined]
                raise Conflict(f"the request is {row.status}", status=row.status)
            session.refresh(row)
            return row

        return self._db.run(decide)

    def heartbeat(self, verify_key: str, **values: Any) -> None:
        """Record that an associated node is alive, and what it said of itself."""

        def beat(session: Session) -> None:
            session.execute(
                update(Association)
                .where(
                    Association.direction == "incoming",
                    Association.verify_key == verify_key,
                    Association.status == "accepted",
                )
                .values(last_seen=self._clock.now(), **values)
            )

        self._db.run(beat)

    # -- outgoing -----------------------------------------------------------------------------------

    def requested(
        self, hub_key: str, *, kind: str, name: str, address: str, own_address: str, note: str
    ) -> Association:
        """Record that we asked the node ``hub_key`` and proved ``own_address`` to it."""

        def record(session: Session) -> Association:
            row = session.scalar(_with("outgoing", hub_key))
            if row is None:
                row = self._new("outgoing", hub_key)
                session.add(row)
            if row.status in ("denied", "revoked"):
                row.status, row.reason = "pending", ""
            row.kind, row.name, row.address, row.own_address = kind, name, address, own_address
            row.note = note or row.note
            return row

        return self._db.run(record)

    def settle(self, verify_key: str, direction: str, status: str, reason: str = "") -> bool:
        """Take over what the peer says became of the association; False when nothing changed.

        A peer can end an association or answer a request of ours; it cannot make itself accepted by us.
        """

        def settle(session: Session) -> bool:
            before = ["pending", "accepted", "denied", "revoked"] if direction == "outgoing" else ["accepted"]
            if direction == "incoming" and status != "revoked":
                return False
            changed = session.execute(
                update(Association)
                .where(
                    Association.direction == direction,
                    Association.verify_key == verify_key,
                    Association.status.in_([each for each in before if each != status]),
                )
                .values(status=status, reason=reason, decided_at=self._clock.now(), decided_by="peer")
            )
            return bool(changed.rowcount)  # type: ignore[attr-defined]

        return self._db.run(settle)

    def reached(self, association_id: str) -> None:
        """Our heartbeat was answered."""

        def reached(session: Session) -> None:
            session.execute(
                update(Association)
                .where(Association.id == association_id)
                .values(last_seen=self._clock.now(), reported="online")
            )

        self._db.run(reached)

    # -- both ---------------------------------------------------------------------------------------

    def delete(self, association_id: str) -> Association:
        """Forget an association; from now on its peer is a stranger. Raises :class:`NotFound`."""

        def remove(session: Session) -> Association:
            row = session.get(Association, association_id)
            if row is None:
                raise NotFound("there is no such association")
            session.execute(delete(Association).where(Association.id == association_id))
            return row

        return self._db.run(remove)

    def _new(self, direction: str, verify_key: str) -> Association:
        return Association(
            id=new_id(),
            direction=direction,
            status="pending",
            verify_key=verify_key,
            node_id=node_id_of(verify_key),
            kind="",
            name="",
            address="",
            own_address="",
            note="",
            reason="",
            created_at=self._clock.now(),
            decided_at=None,
            decided_by="",
            last_seen=None,
            reported="online",
            version="",
            load={},
            counts={},
        )


def _make_room(session: Session, row: Association, max_pending: int) -> None:
    """Keep no more than ``max_pending`` requests, ``row`` among them: keys are free, networks are not."""
    pending = (Association.direction == "incoming", Association.status == "pending")
    count = func.count()
    by_origin = select(Association.origin, count).where(*pending).group_by(Association.origin)
    counts: dict[str, int] = {row[0]: row[1] for row in session.execute(by_origin)}
    if sum(counts.values()) <= max_pending:
        return
    largest = max(counts, key=counts.__getitem__)
    if counts[row.origin] == counts[largest]:
        raise TooManyRequests("too many requests wait for this node's admin")
    oldest = select(Association.id).where(*pending, Association.origin == largest)
    first = session.scalars(oldest.order_by(Association.created_at, Association.id).limit(1)).one()
    session.execute(delete(Association).where(Association.id == first))


def _with(direction: str, verify_key: str) -> Select[Association]:
    return select(Association).where(Association.direction == direction, Association.verify_key == verify_key)
