"""Sessions: who is behind a token or a key, asked at every call with one indexed query."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy import delete, select, update

from grid.accounts.passwords import Passwords
from grid.accounts.settings import load_settings
from grid.accounts.tables import Role, Setup, User, UserKey, UserSession
from grid.accounts.users import normalize_email
from grid.node import Principal
from grid.node.tokens import Tokens
from grid.storage.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, InvalidToken, Unauthenticated
from syft_ext.messages import FLAGS

__all__ = ["SessionManager"]


class SessionManager:
    def __init__(self, db: Database, clock: Clock, tokens: Tokens, passwords: Passwords) -> None:
        self._db = db
        self._clock = clock
        self._tokens = tokens
        self._passwords = passwords

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

    def open(self, email: str, password: str, verify_key: str) -> tuple[str, str, float]:
        """Log in: user id, token and when it expires. With ``verify_key`` the token is bound to it.

        Raises :class:`Unauthenticated`, with the same words for an unknown user and a wrong password.
        """
        user = self.authenticate(email, password)
        if user is None:
            raise _refused()
        stored = user.password_hash
        better = self._passwords.hash(password) if self._passwords.outdated(stored) else stored
        now = self._clock.now()
        # The hash must still be the one that was checked: a password that was changed meanwhile opens nothing.
        same = (User.id == user.id) & (User.password_hash == stored) & User.disabled_at.is_(None)
        with self._db.transaction() as session:
            if not session.scalars(
                update(User).where(same).values(password_hash=better).returning(User.id)
            ).all():
                raise _refused()
            session.execute(delete(UserSession).where(UserSession.expires_at <= now))
            settings = load_settings(session)
            lifetime = settings.session_lifetime if settings else 3600.0
            token, claims = self._tokens.issue("user", user.id, lifetime, key=verify_key)
            session.add(
                UserSession(
                    id=claims["jti"],
                    user_id=user.id,
                    verify_key=verify_key,
                    created_at=now,
                    expires_at=claims["exp"],
                )
            )
            if verify_key:
                session.merge(UserKey(verify_key=verify_key, user_id=user.id, used_at=now))
        return user.id, token, claims["exp"]

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
        """The user of a verified token; raises :class:`InvalidToken` when his session was ended."""
        query = (
            select(User.id, User.email, Role)
            .join(UserSession, UserSession.user_id == User.id)
            .join(Role, Role.id == User.role_id)
            .where(UserSession.id == claims["jti"], User.id == claims["sub"], User.disabled_at.is_(None))
        )
        with self._db.read() as session:
            row = session.execute(query).one_or_none()
        if row is None:
            raise InvalidToken("the session was ended; log in again")
        return _principal(*row, verify_key=str(claims.get("cnf", "")), claims=claims)

    def of_key(self, verify_key: str) -> Principal | None:
        """The user who logged in with this key within ``key_lifetime``."""
        query = (
            select(User.id, User.email, Role)
            .join(UserKey, UserKey.user_id == User.id)
            .join(Role, Role.id == User.role_id)
            .join(Setup, UserKey.used_at + Setup.key_lifetime > self._clock.now())
            .where(UserKey.verify_key == verify_key, User.disabled_at.is_(None))
        )
        with self._db.read() as session:
            row = session.execute(query).one_or_none()
        return None if row is None else _principal(*row, verify_key=verify_key, claims={})


def _refused() -> Unauthenticated:
    return Unauthenticated("e-mail or password is wrong")


def _principal(
    user_id: str, email: str, role: Role, *, verify_key: str, claims: Mapping[str, Any]
) -> Principal:
    flags = frozenset(name for name in FLAGS if getattr(role, name))
    return Principal(
        "user", id=user_id, verify_key=verify_key, name=email, role=role.name, flags=flags, claims=claims
    )
