"""The node's settings, and the set-up that makes its first owner, once."""

from __future__ import annotations

from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.passwords import Passwords
from grid.accounts.powers import OWNER
from grid.accounts.roles import role_named
from grid.accounts.tables import NodeSetup, Totp, User
from grid.accounts.users import normalize_email
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, Forbidden
from syft_ext.ids import new_id
from syft_ext.messages.accounts import CreateOwner, UpdateSettings

__all__ = ["SettingsManager", "load_settings"]


def load_settings(session: Session) -> NodeSetup | None:
    """The settings; None before the set-up."""
    return session.scalars(select(NodeSetup)).one_or_none()


class SettingsManager:
    """The node's settings: one row, which the set-up writes."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db = db
        self._clock = clock

    def load(self) -> NodeSetup | None:
        """The settings; None before the set-up."""
        with self._db.read() as session:
            return load_settings(session)

    def update(self, actor: Principal, message: UpdateSettings) -> NodeSetup:
        """Change what is not None. Raises :class:`Conflict` before the set-up."""
        with self._db.transaction() as session:
            row = session.scalars(select(NodeSetup).with_for_update()).one_or_none()
            if row is None:
                raise Conflict("the node is not set up yet")
            if message.require_totp is not None and message.require_totp != row.require_totp:
                _check_require_totp(session, actor, message.require_totp)
            for name in message.__struct_fields__:
                value = getattr(message, name)
                if value is not None:
                    setattr(row, name, value)
            return row

    def create_owner(self, passwords: Passwords, message: CreateOwner) -> str:
        """Make the owner and the settings, or raise :class:`Conflict` if somebody did; returns the user's id.

        The single row of ``setup`` decides a race: its primary key admits one transaction.
        """
        if self.load() is not None:  # spares the hash; the row decides
            raise _done()
        email, now = normalize_email(message.email), self._clock.now()
        hashed = passwords.hash(message.password)
        owner_id = new_id()
        try:
            with self._db.transaction() as session:
                role = role_named(session, OWNER)
                session.add(
                    User(id=owner_id, email=email, password_hash=hashed, role_id=role.id, created_at=now)
                )
                session.flush()
                session.add(
                    NodeSetup(
                        id=1,
                        owner_id=owner_id,
                        created_at=now,
                        node_name=message.node_name,
                        allow_user_signup=message.allow_user_signup,
                        session_lifetime=message.session_lifetime,
                    )
                )
        except IntegrityError as error:
            raise _done() from error
        return owner_id


def _check_require_totp(session: Session, actor: Principal, required: bool) -> None:
    if actor.role != OWNER:
        raise Forbidden("only the owner says whether permissions need one-time codes")
    own = session.get(Totp, actor.id)
    if required and (own is None or own.confirmed_at is None):
        raise Conflict("use one-time codes yourself first (totp.enrol): you would lose your own permissions")


def _done() -> Conflict:
    return Conflict("the node has its owner already")
