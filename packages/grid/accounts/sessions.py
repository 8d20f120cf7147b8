"""Sessions: opening them with e-mail, password and code; which there are; ending them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from grid.accounts.effective_permissions import Callers
from grid.accounts.passwords import Passwords
from grid.accounts.settings import load_settings
from grid.accounts.tables import User, UserKey, UserSession
from grid.accounts.totp import TotpManager
from grid.accounts.users import editable, normalize_email
from grid.node import Principal
from grid.node.tokens import Tokens
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, InvalidToken, NotFound, Unauthenticated
from syft_ext.messages.own_account import AccountSessionView

__all__ = ["SessionManager"]


class SessionManager:
    """Sessions in the database: a token is good as long as the session that it was given out for is there."""

    def __init__(
        self, db: Database, clock: Clock, tokens: Tokens, passwords: Passwords, totp: TotpManager
    ) -> None:
        self._db = db
        self._clock = clock
        self._tokens = tokens
        self._passwords = passwords
        self._totp = totp
        self._callers = Callers(db)

    def authenticate(self, email: str, password: str) -> User | None:
        """The enabled user with this e-mail and password, or None.

        Unknown, disabled and wrong take the same time.
        """
        try:
            found = select(User).where(User.email == normalize_email(email))
            with self._db.read() as session:
                user = session.scalars(found).one_or_none()
        except BadRequest:
            user = None
        known = user.password_hash if user and user.disabled_at is None else None
        return user if self._passwords.verify(known, password) else None

    def open(
        self, email: str, password: str, verify_key: str, *, code: str = "", remote: str = ""
    ) -> tuple[str, str, float]:
        """Log in: user id, token and when it expires. With ``verify_key`` the token is bound to it.

        Raises :class:`Unauthenticated`, with the same words for an unknown user and a wrong password, and
        :class:`TotpRequired` when the one-time code is missing or wrong.
        """
        user = self.authenticate(email, password)
        if user is None:
            raise _refused()
        stored = user.password_hash
        better = self._passwords.hash(password) if self._passwords.outdated(stored) else stored
        # The hash must still be the one that was checked: a password that was changed meanwhile opens nothing.
        same = (User.id == user.id) & (User.password_hash == stored) & User.disabled_at.is_(None)
        with self._db.transaction() as session:
            if not session.scalars(
                update(User).where(same).values(password_hash=better).returning(User.id)
            ).all():
                raise _refused()
            problem = self._totp.check(session, user.id, code)
            if problem is None:
                return user.id, *self._record(session, user.id, verify_key, remote)
        raise problem

    def _record(self, session: Session, user_id: str, verify_key: str, remote: str) -> tuple[str, float]:
        now = self._clock.now()
        session.execute(delete(UserSession).where(UserSession.expires_at <= now))
        settings = load_settings(session)
        lifetime = settings.session_lifetime if settings else 3600.0
        token, claims = self._tokens.issue("user", user_id, lifetime, key=verify_key)
        row = UserSession(id=claims["jti"], user_id=user_id, verify_key=verify_key, created_at=now)
        row.expires_at, row.remote = claims["exp"], remote[:64]
        session.add(row)
        if verify_key:
            key = session.get(UserKey, verify_key)
            if key is None or key.user_id != user_id:
                key = session.merge(UserKey(verify_key=verify_key, user_id=user_id, name="", added_at=now))
            key.used_at = now
        return token, claims["exp"]

    # -- which there are ----------------------------------------------------------------------------

    def all_of(self, user_id: str, *, current: str = "") -> list[AccountSessionView]:
        """A user's sessions that have not expired, the newest first. Raises :class:`NotFound`."""
        live = (UserSession.user_id == user_id) & (UserSession.expires_at > self._clock.now())
        with self._db.read() as session:
            if session.get(User, user_id) is None:
                raise NotFound("there is no such user")
            rows = session.scalars(select(UserSession).where(live).order_by(UserSession.created_at.desc()))
            return [
                AccountSessionView(
                    id=row.id,
                    created_at=row.created_at,
                    expires_at=row.expires_at,
                    verify_key=row.verify_key,
                    remote=row.remote,
                    current=row.id == current,
                )
                for row in rows
            ]

    def end(self, user_id: str, session_id: str, *, actor: Principal | None = None) -> None:
        """End one session of a user, and forget its key unless another session of theirs is bound to it.

        ``actor`` is whoever does it to another. Raises :class:`NotFound` and :class:`Forbidden`.
        """
        with self._db.transaction() as session:
            if actor is not None:
                editable(session, actor, user_id)
            row = session.get(UserSession, session_id)
            if row is None or row.user_id != user_id:
                raise NotFound("there is no such session")
            session.delete(row)
            session.flush()
            others = select(UserSession.id).where(UserSession.verify_key == row.verify_key).limit(1)
            if not session.scalars(others.where(UserSession.user_id == user_id)).first():
                own = (UserKey.verify_key == row.verify_key) & (UserKey.user_id == user_id)
                session.execute(delete(UserKey).where(own))

    def close(self, principal: Principal) -> None:
        """End the session that ``principal`` called with, and forget the key it is bound to."""
        with self._db.transaction() as session:
            session.execute(delete(UserSession).where(UserSession.id == principal.claims.get("jti", "")))
            session.execute(
                delete(UserKey).where(
                    UserKey.verify_key == principal.verify_key, UserKey.user_id == principal.id
                )
            )

    # -- asked at every call ------------------------------------------------------------------------

    def of_token(self, claims: Mapping[str, Any]) -> Principal:
        """The user of a verified token; raises :class:`InvalidToken` when their session was ended."""
        found = self._callers.of_session(claims)
        if found is None:
            raise InvalidToken("the session was ended; log in again")
        return found

    def of_key(self, verify_key: str) -> Principal | None:
        """The user who logged in with this key within ``key_lifetime``."""
        return self._callers.of_key(verify_key, self._clock.now())


def _refused() -> Unauthenticated:
    return Unauthenticated("e-mail or password is wrong")
