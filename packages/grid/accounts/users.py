"""Users: make, find, change, disable and delete them."""

from __future__ import annotations

import re

from sqlalchemy import ColumnElement, delete, func, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.accounts.groups import set_groups
from grid.accounts.passwords import Passwords
from grid.accounts.powers import OWNER, flags_of, require_covers, require_touchable
from grid.accounts.roles import USER_ROLE, role_named
from grid.accounts.tables import Group, GroupMember, Role, User, UserKey, UserSession
from grid.accounts.user_views import user_views
from grid.node import Principal
from grid.storage.sql.database import Database
from syft_ext.clock import Clock
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound
from syft_ext.ids import new_id
from syft_ext.messages.accounts import UpdateUser, UserView

__all__ = ["UserManager", "editable", "end_sessions", "normalize_email"]

_EMAIL = re.compile(r"[^@\s\x00-\x1f]+@[^@\s\x00-\x1f]+")


def normalize_email(text: str) -> str:
    """E-mails are compared without case and surrounding space. Raises :class:`BadRequest`."""
    email = text.strip().casefold()
    if not _EMAIL.fullmatch(email) or len(email) > 254:
        raise BadRequest("that is no e-mail address")
    return email


class UserManager:
    """Accounts in the database. What an actor may change of another's is decided here, not by who calls."""

    def __init__(self, db: Database, clock: Clock, passwords: Passwords) -> None:
        self._db = db
        self._clock = clock
        self._passwords = passwords

    # -- look ---------------------------------------------------------------------------------------

    def get(self, user_id: str) -> UserView:
        """The user with role, groups and keys. Raises :class:`NotFound`."""
        with self._db.read() as session:
            return user_views(session, [_found(session, user_id)])[0]

    def search(
        self, *, email: str = "", role: str = "", group: str = "", offset: int = 0, limit: int = 100
    ) -> tuple[list[UserView], int]:
        """A page of the matching users, by e-mail, and how many match in all."""
        where: list[ColumnElement[bool]] = []
        if email:
            where.append(User.email.contains(email.casefold(), autoescape=True))
        if role:
            where.append(User.role_id.in_(select(Role.id).where(Role.name == role)))
        if group:
            members = select(GroupMember.user_id).join(Group).where(Group.name == group)
            where.append(User.id.in_(members))
        with self._db.read() as session:
            total = session.scalar(select(func.count()).select_from(User).where(*where)) or 0
            page = select(User).where(*where).order_by(User.email).offset(offset).limit(limit)
            return user_views(session, list(session.scalars(page))), total

    def email_of(self, text: str) -> str:
        """The e-mail of the user who is meant by what somebody typed; "" when nobody has that e-mail."""
        with self._db.read() as session:
            found = select(User.email).where(User.email == text.strip().casefold())
            return session.scalar(found) or ""

    # -- make ---------------------------------------------------------------------------------------

    def create(
        self,
        email: str,
        password: str,
        *,
        actor: Principal | None = None,
        role: str = USER_ROLE,
        groups: list[str] | None = None,
    ) -> UserView:
        """Make a user; without ``actor`` (sign-up) they get the role "User"."""
        email = normalize_email(email)
        hashed = self._passwords.hash(password)
        try:
            with self._db.transaction() as session:
                row = role_named(session, role if actor else USER_ROLE)
                if actor is not None:
                    _require_givable(actor, row)
                user = User(
                    id=new_id(),
                    email=email,
                    password_hash=hashed,
                    role_id=row.id,
                    created_at=self._clock.now(),
                    signed_up=actor is None,
                )
                session.add(user)
                session.flush()
                set_groups(session, actor, user.id, groups or [])
                return user_views(session, [user])[0]
        except IntegrityError as error:
            raise Conflict("there is an account with this e-mail already") from error

    # -- one's own account --------------------------------------------------------------------------

    def change_email(self, user_id: str, email: str) -> UserView:
        """Change a user's own, whose password was asked for. Raises :class:`Conflict` if it is taken."""
        email = normalize_email(email)
        try:
            with self._db.transaction() as session:
                user = _found(session, user_id)
                user.email = email
                session.flush()
                return user_views(session, [user])[0]
        except IntegrityError as error:
            raise Conflict("there is an account with this e-mail already") from error

    def change_password(self, user_id: str, password: str, *, keep_session: str) -> None:
        """Set the password; all sessions but ``keep_session`` end, with all keys but that session's."""
        hashed = self._passwords.hash(password)
        with self._db.transaction() as session:
            _found(session, user_id).password_hash = hashed
            end_sessions(session, user_id, keep=keep_session)

    # -- others' accounts ---------------------------------------------------------------------------

    def update(self, actor: Principal, message: UpdateUser) -> UserView:
        """Change another account (rules: :class:`UpdateUser`)."""
        email = None if message.email is None else normalize_email(message.email)
        hashed = None if message.password is None else self._passwords.hash(message.password)

        def change(session: Session) -> UserView:
            user = editable(session, actor, message.user_id)
            if message.role is not None:
                role = role_named(session, message.role)
                _require_givable(actor, role)
                user.role_id, user.signed_up = role.id, False
            if message.disabled is not None:
                self._set_disabled(session, user, message.disabled)
            if message.groups is not None:
                set_groups(session, actor, user.id, message.groups)
            if email is not None:
                user.email = email
            if hashed is not None:
                user.password_hash = hashed
                end_sessions(session, user.id)
            session.flush()
            return user_views(session, [user])[0]

        try:
            return self._db.run(change)
        except IntegrityError as error:
            raise Conflict("there is an account with this e-mail already") from error

    def delete(self, actor: Principal, user_id: str) -> None:
        """Delete another's account with its sessions and keys. Raises as :func:`editable`."""
        with self._db.transaction() as session:
            user = editable(session, actor, user_id)
            session.delete(user)

    def end_sessions(self, user_id: str, *, actor: Principal | None = None) -> None:
        """End all sessions of a user and forget their keys; ``actor`` is whoever does it to another."""
        with self._db.transaction() as session:
            if actor is not None:
                editable(session, actor, user_id)
            end_sessions(session, user_id)

    def _set_disabled(self, session: Session, user: User, disabled: bool) -> None:
        user.disabled_at = self._clock.now() if disabled else None
        if disabled:
            end_sessions(session, user.id)


def editable(session: Session, actor: Principal, user_id: str) -> User:
    """Another's account, locked, if the actor may change it; raises :class:`Forbidden` or :class:`NotFound`."""
    if user_id == actor.id:
        raise Forbidden("your own account: change e-mail and password with your password")
    user = _found(session, user_id, lock=True)
    require_touchable(session, actor, [user_id])
    return user


def end_sessions(session: Session, user_id: str, *, keep: str = "") -> None:
    """Delete a user's sessions and keys, except session ``keep`` and the key that it is bound to."""
    kept = session.get(UserSession, keep) if keep else None
    session.execute(delete(UserSession).where(UserSession.user_id == user_id, UserSession.id != keep))
    session.execute(
        delete(UserKey).where(
            UserKey.user_id == user_id, UserKey.verify_key != (kept.verify_key if kept else "")
        )
    )


def _require_givable(actor: Principal, role: Role) -> None:
    if role.name == OWNER:
        raise Forbidden("a node has one owner; the role cannot be given")
    require_covers(actor, flags_of(role), "the role")


def _found(session: Session, user_id: str, *, lock: bool = False) -> User:
    # FOR NO KEY UPDATE: who puts them into a group meanwhile needs their key only, and may hold the group.
    user = session.get(User, user_id, with_for_update={"key_share": True} if lock else None)
    if user is None:
        raise NotFound("there is no such user")
    return user
