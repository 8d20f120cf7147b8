"""Where users log in from: what is known of them is not slowed down by what strangers try elsewhere."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from grid.accounts.tables import LoginOrigin, User, UserKey
from grid.node.networks import network_of, teller_of
from grid.storage.sql.database import Database
from syft_ext.clock import Clock

__all__ = ["Origins"]

#: Seconds for which a network stays known after the last login from it.
KNOWN = 90 * 86_400.0
DAY = 86_400.0
#: Networks of one user that are remembered, the latest.
MANY = 32


class Origins:
    """The devices (keys) and networks that users logged in with before."""

    def __init__(self, db: Database, clock: Clock) -> None:
        self._db, self._clock = db, clock

    def knows_device(self, email: str, verify_key: str) -> bool:
        """Whether the user with this (normal) e-mail has logged in with the key that signed the message."""
        if not verify_key:
            return False
        query = select(UserKey.verify_key).join(User, User.id == UserKey.user_id)
        with self._db.read() as session:
            found = session.scalars(query.where(User.email == email, UserKey.verify_key == verify_key))
            return found.first() is not None

    def knows_network(self, email: str, remote: str) -> bool:
        """Whether they have logged in from the network of this address lately; never by another node's word."""
        if teller_of(remote):
            return False
        since = self._clock.now() - KNOWN
        query = select(LoginOrigin.user_id).join(User, User.id == LoginOrigin.user_id)
        here = (LoginOrigin.network == network_of(remote)[:64]) & (LoginOrigin.seen_at >= since)
        with self._db.read() as session:
            return session.scalars(query.where(User.email == email, here)).first() is not None

    def remember(self, user_id: str, remote: str) -> None:
        """They logged in from there, if this node saw that itself."""
        if teller_of(remote):
            return
        self._db.run(lambda session: self._remember(session, user_id, network_of(remote)[:64]))

    def _remember(self, session: Session, user_id: str, network: str) -> None:
        now = self._clock.now()
        row = session.get(LoginOrigin, (user_id, network))
        if row is not None:
            if row.seen_at < now - DAY:  # often enough for what it is for, and no write at every login
                row.seen_at = now
            return
        session.add(LoginOrigin(user_id=user_id, network=network, seen_at=now))
        session.flush()
        mine = LoginOrigin.user_id == user_id
        older = select(LoginOrigin.network).where(mine).order_by(LoginOrigin.seen_at.desc()).offset(MANY)
        names = session.scalars(older).all()
        if names:
            session.execute(delete(LoginOrigin).where(mine, LoginOrigin.network.in_(names)))
