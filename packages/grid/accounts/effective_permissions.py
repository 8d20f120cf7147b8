"""Who is behind a token or a key, and what they may do now: asked at every call, with one prepared query.

What the query answered holds until the next commit (:class:`grid.storage.sql.cache.CommitScopedCache`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select, true

from grid.accounts.tables import Group, GroupMember, NodeSetup, Role, Totp, User, UserKey, UserSession
from grid.node import Principal
from grid.storage.sql.cache import CommitScopedCache
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.messages import FLAGS

__all__ = ["Callers"]

_ENROL = "this node asks for one-time codes: use them (totp.enrol, totp.confirm), and your permissions count"


def _enabled_users() -> Select[Any]:
    """One row for each group of an enabled user, and one for a user without groups: flags are its last columns."""
    flags = [
        getattr(table, flag).label(f"{table.__name__}_{flag}") for table in (Role, Group) for flag in FLAGS
    ]
    return (
        select(User.id, User.email, Role.name, NodeSetup.require_totp, Totp.confirmed_at, *flags)
        .select_from(User)
        .join(Role, Role.id == User.role_id)
        .outerjoin(GroupMember, GroupMember.user_id == User.id)
        .outerjoin(Group, Group.id == GroupMember.group_id)
        .outerjoin(Totp, Totp.user_id == User.id)
        .outerjoin(NodeSetup, true())
        .where(User.disabled_at.is_(None))
    )


_OF_SESSION = PreparedStatement(
    _enabled_users()
    .join(UserSession, UserSession.user_id == User.id)
    .where(UserSession.id == bindparam("session_id"), User.id == bindparam("user_id"))
)
_OF_KEY = PreparedStatement(
    _enabled_users()
    .join(UserKey, UserKey.user_id == User.id)
    .where(UserKey.verify_key == bindparam("verify_key"))
    .add_columns((UserKey.used_at + NodeSetup.key_lifetime).label("until"))
)


class Callers:
    """The users behind tokens and keys."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._known = CommitScopedCache(database)

    def of_session(self, claims: Mapping[str, Any]) -> Principal | None:
        """The user of a verified token; None when their session was ended."""
        values = {"session_id": claims["jti"], "user_id": claims["sub"]}
        rows = self._rows(_OF_SESSION, values)
        return _principal(rows, str(claims.get("cnf", "")), claims) if rows else None

    def of_key(self, verify_key: str, now: float) -> Principal | None:
        """The user who logged in with this key within ``key_lifetime``, or registered it."""
        rows = self._rows(_OF_KEY, {"verify_key": verify_key})
        if not rows or rows[0].until is None or rows[0].until <= now:
            return None
        return _principal([row[:-1] for row in rows], verify_key, {})

    def _rows(self, query: PreparedStatement, values: dict[str, Any]) -> Sequence[Any]:
        return self._known.get((query, *values.values()), lambda: self._database.query(query, values).all())


def _principal(rows: Sequence[Any], verify_key: str, claims: Mapping[str, Any]) -> Principal:
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
