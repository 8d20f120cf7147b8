"""Who a caller is as a participant of trainings, and whether they still are.

An identity is a text: ``user:`` and the id of an account that somebody here made, ``worker:`` and the key of a
Worker that somebody here accepted. ``self:`` stands before those that nobody here knows: accounts that were signed
up for where that is open, Workers that were accepted without anybody's looking. They take part, but where a number
of participants is demanded they are none of them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import bindparam, literal, select

from grid.access.policy import current_policy
from grid.accounts.tables import User
from grid.federated.consent.identities import SELF
from grid.federated.state.invitation_tables import Guest
from grid.federated.state.machines.assignment import AssignmentStatus
from grid.federated.state.tables import Assignment, Cycle, Worker
from grid.network.tables import Association
from grid.node import Principal
from grid.storage.sql.cache import CommitScopedCache
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Forbidden, InvalidToken, Unauthenticated

__all__ = ["Participants"]

_USER = PreparedStatement(
    select(User.signed_up).where(User.id == bindparam("user_id"), User.disabled_at.is_(None))
)
_WORKER = PreparedStatement(
    select(Association.status, Association.decided_by, Association.kind).where(
        Association.verify_key == bindparam("verify_key"), Association.direction == "incoming"
    )
)
_GUEST = PreparedStatement(
    select(Guest.id, Guest.status, Guest.counts).where(
        Guest.process_id == bindparam("process_id"), Guest.verify_key == bindparam("verify_key")
    )
)
_GUEST_BY_ID = PreparedStatement(select(Guest.status).where(Guest.id == bindparam("guest_id")))
_ACCEPTED = PreparedStatement(
    select(Association.name, Association.verify_key, Association.kind, Association.decided_by)
    .where(Association.status == "accepted", Association.direction == "incoming")
    .order_by(Association.name, Association.verify_key)
)
_NAMED = (
    select(Worker.id, User.email, Association.name, Guest.name.label("guest"), Guest.verify_key)
    .select_from(Worker)
    .outerjoin(User, Worker.identity.in_([literal("user:") + User.id, literal(f"{SELF}user:") + User.id]))
    .outerjoin(
        Association,
        Worker.identity.in_(
            [literal("worker:") + Association.verify_key, literal(f"{SELF}worker:") + Association.verify_key]
        )
        & (Association.direction == "incoming"),
    )
    .outerjoin(
        Guest, Worker.identity.in_([literal("guest:") + Guest.id, literal(f"{SELF}guest:") + Guest.id])
    )
)
_MISSING = PreparedStatement(
    _NAMED.join(Assignment, Assignment.worker_id == Worker.id)
    .join(Cycle, Cycle.id == Assignment.cycle_id)
    .where(
        Cycle.process_id == bindparam("process_id"),
        Cycle.sequence == bindparam("cycle"),
        Assignment.status == str(AssignmentStatus.ASSIGNED),
    )
    .order_by(Assignment.assigned_at, Assignment.id)
)
_STRANGER = "somebody whom nobody here knows"
_UNSEEN = ", accepted by nobody in person"
_AUTOMATIC = "auto_accept"
_HOW = "log in here, ask this Domain to accept your Worker, or for an invitation"


class Participants:
    """Identities of callers, read from the database.

    Args:
        kinds: the kinds of node that take part in trainings.
    """

    def __init__(self, database: Database, kinds: Collection[str]) -> None:
        self._database, self._kinds = database, kinds
        self._known = CommitScopedCache(database)

    def identity_of(self, principal: Principal) -> str:
        """Who they are now, whatever the training; "" for whom this Domain does not know."""
        if principal.kind == "user":
            return self._user(principal.id)
        return self._worker(principal.verify_key)[0] if principal.verify_key else ""

    def guest_of(self, principal: Principal, process_id: str) -> tuple[str, str]:
        """The identity that they have as a guest of this training, "" unless they were accepted, and their
        status (:data:`~syft_ext.messages.invitations.GuestStatus`), "" for whoever is none."""
        if principal.kind not in ("key", "worker") or not principal.verify_key or not process_id:
            return "", ""
        values = {"process_id": process_id, "verify_key": principal.verify_key}
        row = self._known.get(
            (_GUEST, process_id, principal.verify_key), lambda: self._database.query(_GUEST, values).first()
        )
        if row is None:
            return "", ""
        identity = f"{'' if row.counts else SELF}guest:{row.id}" if row.status == "accepted" else ""
        return identity, str(row.status)

    def admit(self, principal: Principal, process_id: str = "") -> str:
        """The identity of somebody who wants to take part; "" only where the site's policy lets in anybody.

        Args:
            process_id: the training, for its guests; "" where it is about none, or one that is not there.

        Raises :class:`Unauthenticated` or :class:`Forbidden`, with what is missing.
        """
        identity = self.identity_of(principal)
        if identity:
            return identity
        identity, guest = self.guest_of(principal, process_id)
        if identity:
            return identity
        if guest == "refused":  # also where anybody takes part: somebody here said no to this one
            raise Forbidden("whoever decides at this Domain refused that you take part", reason="refused")
        with self._database.read() as session:
            if current_policy(session).participation == "open":
                return ""
        if guest == "waiting":
            raise Forbidden("nobody at this Domain has accepted you as a guest yet", reason="waiting")
        if principal.kind == "anonymous":
            raise Unauthenticated(f"this Domain lets only those take part whom it knows: {_HOW}")
        status = self._worker(principal.verify_key)[1] if principal.verify_key else ""
        if status:
            raise Forbidden(f"the association of this Worker is {status}: it takes no part", status=status)
        raise Forbidden(f"this Domain lets only those take part whom it knows: {_HOW}", reason="not-accepted")

    def accepted_workers(self) -> list[str]:
        """The Workers that this Domain accepted, by the name that each gave itself, and how its key begins."""
        rows = self._database.query(_ACCEPTED, {}).all()
        return [
            f"{row.name} ({row.verify_key[:8]}{_UNSEEN if row.decided_by == _AUTOMATIC else ''})"
            for row in rows
            if row.kind in self._kinds
        ]

    def missing(self, process_id: str, cycle: int) -> list[str]:
        """Who has an assignment in a cycle of a training and has not reported, as people know them."""
        rows = self._database.query(_MISSING, {"process_id": process_id, "cycle": cycle}).all()
        return [_name(row) for row in rows]

    def names(self, worker_ids: Sequence[str]) -> dict[str, str]:
        """Worker id → who that is, as people know them."""
        if not worker_ids:
            return {}
        with self._database.read() as session:
            rows = session.execute(_NAMED.where(Worker.id.in_(worker_ids))).all()
        return {row.id: _name(row) for row in rows}

    def check(self, identity: str) -> None:
        """Raise :class:`InvalidToken` when whoever took part as ``identity`` is not accepted any more."""
        if not identity:  # of whom nobody here ever knew anything: only open trainings let them in
            return
        kind, _, name = identity.removeprefix(SELF).partition(":")
        if kind == "guest":
            known = self._is_guest(name)
        else:
            known = bool(self._user(name) if kind == "user" else self._worker(name)[0])
        if not known:
            raise InvalidToken("whoever got this token does not take part here any more")

    def _user(self, user_id: str) -> str:
        values = {"user_id": user_id}
        row = self._known.get((_USER, user_id), lambda: self._database.query(_USER, values).first())
        if row is None:
            return ""
        return f"{SELF if row.signed_up else ''}user:{user_id}"

    def _is_guest(self, guest_id: str) -> bool:
        values = {"guest_id": guest_id}
        row = self._known.get(
            (_GUEST_BY_ID, guest_id), lambda: self._database.query(_GUEST_BY_ID, values).first()
        )
        return row is not None and row.status == "accepted"

    def _worker(self, verify_key: str) -> tuple[str, str]:
        """The identity of the Worker with this key, and the status of its association; "" without one."""
        values = {"verify_key": verify_key}
        row = self._known.get((_WORKER, verify_key), lambda: self._database.query(_WORKER, values).first())
        if row is None or row.kind not in self._kinds:
            return "", ""
        if row.status != "accepted":
            return "", str(row.status)
        return f"{SELF if row.decided_by == _AUTOMATIC else ''}worker:{verify_key}", "accepted"


def _name(row: Any) -> str:
    """A participant as people know them; what guests call themselves is said to be that."""
    if row.verify_key:
        return f"guest {row.guest!r} ({row.verify_key[:8]})"
    return row.email or row.name or _STRANGER
