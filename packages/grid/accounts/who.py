"""Who is behind a token or a key, and what he may do now: asked at every call, with one prepared query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select, true

from grid.accounts.tables import Group, GroupMember, Role, Setup, Totp, User, UserKey, UserSession
from grid.node import Principal
from grid.storage.database import Database
from grid.storage.prepared import Prepared
from syft_ext.messages import FLAGS

__all__ = ["user_of_key", "user_of_session"]

_ENROL = "this node asks for one-time codes: use them (totp.enrol, totp.confirm), and your permissions count"


def _who() -> Select[Any]:
    """One row for each group of an enabled user, and one for a user without groups: flags are its last columns."""
    flags = [
        getattr(table, flag).label(f"{table.__name__}_{flag}") for table in (Role, Group) for flag in FLAGS
    ]
    return (
        select(User.id, User.email, Role.name, Setup.require_totp, Totp.confirmed_at, *flags)
        .select_from(User)
        .join(Role, Role.id == User.role_id)
        .outerjoin(GroupMember, GroupMember.user_id == User.id)
        .outerjoin(Group, Group.id == GroupMember.group_id)
        .outerjoin(Totp, Totp.user_id == User.id)
        .outerjoin(Setup, true())
        .where(User.disabled_at.is_(None))
    )


_OF_SESSION = Prepared(
    _who()
    .join(UserSession, UserSession.user_id == User.id)
    .where(UserSession.id == bindparam("session_id"), User.id == bindparam("user_id"))
)
_OF_KEY = Prepared(
    _who()
    .join(UserKey, UserKey.user_id == User.id)
    .where(
        UserKey.verify_key == bindparam("verify_key"),
        UserKey.used_at + Setup.key_lifetime > bindparam("now"),
    )
)


def user_of_session(db: Database, claims: Mapping[str, Any]) -> Principal | None:
    """The user of a verified token; None when his session was ended."""
    values = {"session_id": claims["jti"], "user_id": claims["sub"]}
    return _principal(_rows(db, _OF_SESSION, values), str(claims.get("cnf", "")), claims)


def user_of_key(db: Database, verify_key: str, now: float) -> Principal | None:
    """The user who logged in with this key within ``key_lifetime``, or registered it."""
    return _principal(_rows(db, _OF_KEY, {"verify_key": verify_key, "now": now}), verify_key, {})


def _rows(db: Database, query: Prepared, values: Mapping[str, Any]) -> Sequence[Any]:
    with db.reading() as connection:
        return query.run(connection, values).all()


def _principal(rows: Sequence[Any], verify_key: str, claims: Mapping[str, Any]) -> Principal | None:
    if not rows:
        return None
    user_id, email, role, require_totp, confirmed_at = rows[0][:5]
    # The flags of the role are the same in each row; a group's are NULL where there is no group.
    flags = frozenset(
        flag for row in rows for flag, carried in zip((*FLAGS, *FLAGS), row[5:], strict=True) if carried
    )
    withheld = bool(require_totp and flags and confirmed_at is None)
    return Principal(
        "user",
        id=user_id,
        verify_key=verify_key,
        name=email,
        role=role,
        flags=frozenset() if withheld else flags,
        claims=claims,
        hint=_ENROL if withheld else "",
    )
