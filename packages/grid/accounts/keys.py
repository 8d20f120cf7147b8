"""The keys of a user: which there are, and making others theirs."""

from __future__ import annotations

from sqlalchemy import delete, select
from sqlalchemy.exc import IntegrityError

from grid.accounts.settings import load_settings
from grid.accounts.tables import UserKey, UserSession
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, BadSignature, Conflict, NotFound
from syft_ext.identity import verify
from syft_ext.messages.own_account import KeyView, RegisterKey, key_proof

__all__ = ["KeyManager"]

#: Seconds that the clock of whoever signs a proof may differ from the node's.
WINDOW = 300.0


class KeyManager:
    """Keys of users in the database. To register one takes it from nobody; a login with it does."""

    def __init__(self, db: Database, clock: Clock, node_id: str) -> None:
        self._db = db
        self._clock = clock
        self._node_id = node_id

    def of(self, principal: Principal) -> list[KeyView]:
        """The caller's keys, the one that was used last first."""
        query = select(UserKey).where(UserKey.user_id == principal.id)
        with self._db.read() as session:
            settings = load_settings(session)
            lifetime = settings.key_lifetime if settings else 0.0
            rows = session.scalars(query.order_by(UserKey.used_at.desc(), UserKey.verify_key)).all()
        return [_view(row, lifetime, principal) for row in rows]

    def register(self, principal: Principal, message: RegisterKey) -> KeyView:
        """Make the key the caller's.

        Raises :class:`BadRequest` when the proof is not the key's own or not of now, :class:`Conflict` when
        the key is another account's.
        """
        now = self._clock.now()
        if abs(now - message.signed_at) > WINDOW:
            raise BadRequest("the proof was not signed within five minutes of this node's clock")
        signed = key_proof(self._node_id, principal.id, message.verify_key, message.signed_at)
        try:
            verify(message.verify_key, signed, message.proof)
        except BadSignature as error:
            raise BadRequest("the proof is not a signature of the key over this registration") from error
        try:
            with self._db.transaction() as session:
                row = session.get(UserKey, message.verify_key, with_for_update=True)
                if row is None:
                    row = UserKey(verify_key=message.verify_key, user_id=principal.id, added_at=now)
                    session.add(row)
                if row.user_id != principal.id:
                    raise Conflict("the key belongs to another account: remove it there first")
                row.used_at, row.name = now, message.name
                settings = load_settings(session)
        except IntegrityError as error:  # somebody else was quicker
            raise Conflict("the key belongs to another account: remove it there first") from error
        return _view(row, settings.key_lifetime if settings else 0.0, principal)

    def remove(self, principal: Principal, verify_key: str) -> None:
        """Forget one of the caller's keys and end the sessions bound to it. Raises :class:`NotFound`."""
        own = (UserKey.verify_key == verify_key) & (UserKey.user_id == principal.id)
        bound = (UserSession.verify_key == verify_key) & (UserSession.user_id == principal.id)
        with self._db.transaction() as session:
            if not session.scalars(delete(UserKey).where(own).returning(UserKey.verify_key)).all():
                raise NotFound("you have no such key")
            session.execute(delete(UserSession).where(bound))


def _view(row: UserKey, lifetime: float, principal: Principal) -> KeyView:
    return KeyView(
        verify_key=row.verify_key,
        name=row.name,
        added_at=row.added_at,
        used_at=row.used_at,
        expires_at=row.used_at + lifetime,
        current=row.verify_key == principal.verify_key,
    )
