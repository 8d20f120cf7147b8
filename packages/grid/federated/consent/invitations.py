"""Invitations to one training and what becomes of who redeems them.

The secret is in the fragment of a link only; what is kept is its hash. How often it may be redeemed is counted in
the statement that redeems it. Who decides here accepts guests: whoever only hosts a training could else fill a
cycle with themselves. An invitation may accept beforehand; of one that several may redeem nobody knows how many
people stand behind the keys, and so it makes nobody a participant where a number of them is demanded.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Sequence
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.tables import User
from grid.federated.consent.reading import Readers, is_manager, is_reviewer
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.state.invitation_tables import Guest, Invitation
from grid.federated.state.machines import training as trainings
from grid.federated.state.tables import TrainingProcess
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, Forbidden, NotFound, QuotaExceeded
from syft_ext.ids import new_id
from syft_ext.messages import invitations as m

__all__ = ["MAX_OPEN", "Invitations"]

#: Invitations to one training that are open at once, and what a list of them shows at most.
MAX_OPEN = 1000
_SHOWN = 2000


class Invitations:
    """Makes, shows, ends and redeems invitations, and keeps the decisions on guests."""

    def __init__(self, database: Database, clock: Clock, readers: Readers) -> None:
        self._database, self._clock, self._readers = database, clock, readers

    def invite(self, principal: Principal, message: m.Invite) -> m.Invited:
        """A fresh invitation, and its secret.

        Raises :class:`NotFound`; :class:`Forbidden` for those who may not accept anybody beforehand;
        :class:`Conflict` when the training is over; :class:`QuotaExceeded` when too many are open.
        """
        definition = self._readers.reviews(principal, message.process_id)
        if message.accepted and not _decides(principal, definition):
            raise Forbidden(
                "only who decides at this Domain, and does not host the training, accepts beforehand"
            )
        secret, now = secrets.token_urlsafe(32), self._clock.now()
        row = Invitation(
            id=new_id(),
            process_id=definition.id,
            secret_hash=_hash(secret),
            label=message.label,
            uses=message.uses,
            used=0,
            accepted=message.accepted,
            created_at=now,
            expires_at=now + message.lifetime,
            created_by=principal.id,
        )
        with self._database.transaction() as session:
            _check_goes_on(session, definition.id)
            open_now = (Invitation.process_id == definition.id) & _is_open(now)
            if (session.scalar(select(func.count()).where(open_now)) or 0) >= MAX_OPEN:
                raise QuotaExceeded(f"{MAX_OPEN} invitations to one training are open", limit=MAX_OPEN)
            session.add(row)
            session.flush()
            view = _invitation(row, _emails(session, [row.created_by]), now)
        return m.Invited(invitation=view, secret=secret, path=f"/join/{definition.id}#{secret}")

    def list(self, principal: Principal, process_id: str) -> m.InvitationList:
        """All of a training. Raises :class:`NotFound` for whoever neither hosts nor decides it."""
        definition = self._readers.reviews(principal, process_id)
        now = self._clock.now()
        with self._database.read() as session:
            invitations = session.scalars(
                select(Invitation)
                .where(Invitation.process_id == definition.id)
                .order_by(Invitation.created_at.desc(), Invitation.id)
                .limit(_SHOWN)
            ).all()
            guests = session.scalars(
                select(Guest)
                .where(Guest.process_id == definition.id)
                .order_by(Guest.redeemed_at.desc(), Guest.id)
                .limit(_SHOWN)
            ).all()
            emails = _emails(
                session, [*(each.created_by for each in invitations), *(each.decided_by for each in guests)]
            )
        return m.InvitationList(
            invitations=[_invitation(each, emails, now) for each in invitations],
            guests=[_guest(each, emails) for each in guests],
        )

    def revoke(self, principal: Principal, invitation_id: str, *, guests: bool) -> str:
        """End an invitation, and refuse its guests if that is meant too; returns the training's id.

        Raises :class:`NotFound` for whoever neither hosts nor decides the training.
        """
        with self._database.read() as session:
            found = session.get(Invitation, invitation_id)
        if found is None:
            raise NotFound("there is no such invitation")
        definition = self._reviews(principal, found.process_id, "invitation")
        now = self._clock.now()
        with self._database.transaction() as session:
            once = (Invitation.id == invitation_id) & Invitation.ended_at.is_(None)
            session.execute(update(Invitation).where(once).values(ended_at=now))
            if guests:
                came = (Guest.invitation_id == invitation_id) & (Guest.status != "refused")
                session.execute(update(Guest).where(came).values(_decided("refused", principal.id, now)))
        return definition.id

    def decide(self, principal: Principal, guest_id: str, *, accept: bool) -> m.GuestView:
        """Accept or refuse a guest; the last word stands. Whoever hosts a training may refuse its guests.

        Raises :class:`NotFound` for whoever neither hosts nor decides it, :class:`Forbidden` for its host.
        """
        with self._database.read() as session:
            found = session.get(Guest, guest_id)
        if found is None:
            raise NotFound("there is no such guest")
        definition = self._reviews(principal, found.process_id, "guest")
        if accept and not _decides(principal, definition):
            raise Forbidden(
                "who hosts a training may refuse its guests; to accept them is for who decides here"
            )
        decided = _decided("accepted" if accept else "refused", principal.id, self._clock.now())
        with self._database.transaction() as session:
            session.execute(update(Guest).where(Guest.id == guest_id).values(decided))
            row = session.get_one(Guest, guest_id, populate_existing=True)
            return _guest(row, _emails(session, [row.decided_by]))

    def redeem(self, verify_key: str, message: m.RedeemInvitation) -> str:
        """Make the key a guest; returns the training's id. A key that is one uses up nothing.

        Raises :class:`NotFound` for a secret that is none, :class:`Conflict` when it is used up, over or revoked.
        """
        try:
            return self._redeem(verify_key, message)
        except IntegrityError:  # the same key, twice at once: now it is a guest
            return self._redeem(verify_key, message)

    def _redeem(self, verify_key: str, message: m.RedeemInvitation) -> str:
        now = self._clock.now()
        with self._database.transaction() as session:
            query = select(Invitation).where(Invitation.secret_hash == _hash(message.secret))
            invitation = session.scalars(query).first()
            if invitation is None:
                raise NotFound("there is no such invitation")
            key = (Guest.process_id == invitation.process_id) & (Guest.verify_key == verify_key)
            known = session.scalars(select(Guest).where(key).with_for_update()).first()
            if known is not None and (known.status != "waiting" or not invitation.accepted):
                return invitation.process_id
            _check_goes_on(session, invitation.process_id)
            self._use(session, invitation, now)
            status = "accepted" if invitation.accepted else "waiting"
            counts = invitation.accepted and invitation.uses == 1
            if known is not None:
                # By this one they take part: who ends it and its guests means them.
                known.status, known.counts, known.invitation_id = status, counts, invitation.id
                return invitation.process_id
            session.add(
                Guest(
                    id=new_id(),
                    process_id=invitation.process_id,
                    invitation_id=invitation.id,
                    verify_key=verify_key,
                    name=message.name,
                    status=status,
                    counts=counts,
                    redeemed_at=now,
                    decided_by="",
                )
            )
        return invitation.process_id

    @staticmethod
    def _use(session: Session, invitation: Invitation, now: float) -> None:
        """Count one use, where there is one left at this very moment."""
        free = (Invitation.id == invitation.id) & _is_open(now)
        used = session.execute(
            update(Invitation)
            .where(free)
            .values(used=Invitation.used + 1)
            .returning(Invitation.id)
            .execution_options(synchronize_session=False)
        )
        if used.first() is not None:
            return
        session.refresh(invitation)
        state = _state(invitation, now)
        raise Conflict(f"this invitation is {state.replace('-', ' ')}: ask for another one", state=state)

    def _reviews(self, principal: Principal, process_id: str, what: str) -> TrainingDefinition:
        try:
            return self._readers.reviews(principal, process_id)
        except NotFound as error:
            raise NotFound(f"there is no such {what}") from error


def _decides(principal: Principal, definition: TrainingDefinition) -> bool:
    """Whether they accept guests of this training: managers; reviewers, but for trainings of their own."""
    return is_manager(principal) or (is_reviewer(principal) and definition.owner != principal.id)


def _decided(status: m.GuestStatus, by: str, at: float) -> dict[str, Any]:
    return {"status": status, "counts": status == "accepted", "decided_by": by, "decided_at": at}


def _is_open(now: float) -> Any:
    return Invitation.ended_at.is_(None) & (Invitation.expires_at > now) & (Invitation.used < Invitation.uses)


def _check_goes_on(session: Session, process_id: str) -> None:
    status = session.scalar(select(TrainingProcess.status).where(TrainingProcess.id == process_id))
    if status in trainings.TERMINAL:
        raise Conflict(f"the training is {status}: there is nothing to take part in", state="over")


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode()).hexdigest()


def _state(row: Invitation, now: float) -> Any:
    if row.ended_at is not None:
        return "revoked"
    if row.used >= row.uses:
        return "used-up"
    return "expired" if row.expires_at <= now else "open"


def _emails(session: Session, user_ids: Sequence[str]) -> dict[str, str]:
    rows = session.execute(select(User.id, User.email).where(User.id.in_(set(user_ids))))
    return {row.id: row.email for row in rows}


def _invitation(row: Invitation, emails: dict[str, str], now: float) -> m.InvitationView:
    return m.InvitationView(
        id=row.id,
        process_id=row.process_id,
        label=row.label,
        uses=row.uses,
        used=row.used,
        accepted=row.accepted,
        state=_state(row, now),
        created_at=row.created_at,
        expires_at=row.expires_at,
        created_by=emails.get(row.created_by, ""),
    )


def _guest(row: Guest, emails: dict[str, str]) -> m.GuestView:
    return m.GuestView(
        id=row.id,
        process_id=row.process_id,
        invitation_id=row.invitation_id,
        name=row.name,
        verify_key=row.verify_key,
        status=row.status,  # type: ignore[arg-type]  # written here alone
        counts=row.counts,
        redeemed_at=row.redeemed_at,
        decided_at=row.decided_at,
        decided_by=emails.get(row.decided_by, ""),
    )
