"""Which quotas apply to a user: set for them, else for their role, else for everybody, else the default."""

from __future__ import annotations

from typing import Any

from sqlalchemy import bindparam, exists, or_, select

from grid.accounts.tables import Group, GroupMember, Role, User
from grid.quotas.tables import UNLIMITED, QuotaRow
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.messages.quotas import QuotaOrigin

__all__ = ["DEFAULTS", "DEFAULTS_OF_DATA_OWNERS", "EVERYBODY", "limits_of", "subject_of"]

EVERYBODY = "everybody"
_MIB, _GIB, _TIB = 1 << 20, 1 << 30, 1 << 40

#: Of users who may not upload data.
DEFAULTS: dict[str, int] = {
    "stored_bytes": 16 * _GIB,
    "objects": 10_000,
    "object_bytes": _GIB,
    "uploads": 100,
    "upload_bytes": _GIB,
    "trainings": 100,
    "training_bytes": 16 * _GIB,
    "plans": 1_000,
    "plan_bytes": _GIB,
    "datasets": 1_000,
    "pending_requests": 100,
}
#: Of those who may (the flag ``can_upload_data``, of their role or a group).
DEFAULTS_OF_DATA_OWNERS: dict[str, int] = {
    "stored_bytes": 8 * _TIB,
    "objects": 1_000_000,
    "object_bytes": 4 * _TIB,
    "uploads": 1_000,
    "upload_bytes": 4 * _TIB,
    "trainings": 1_000,
    "training_bytes": _TIB,
    "plans": 10_000,
    "plan_bytes": 16 * _GIB,
    "datasets": 100_000,
    "pending_requests": 100,
}

_USER = PreparedStatement(
    select(
        User.role_id,
        or_(
            Role.can_upload_data,
            exists()
            .where(GroupMember.user_id == User.id, GroupMember.group_id == Group.id, Group.can_upload_data)
            .correlate(User),
        ).label("uploads"),
    )
    .join(Role, Role.id == User.role_id)
    .where(User.id == bindparam("user_id"))
)
_SET = PreparedStatement(
    select(QuotaRow.subject, QuotaRow.name, QuotaRow.value).where(
        or_(
            QuotaRow.subject == EVERYBODY,
            QuotaRow.subject == bindparam("role"),
            QuotaRow.subject == bindparam("user"),
        )
    )
)


def subject_of(*, user_id: str | None = None, role_id: int | None = None) -> str:
    """Whom a row of quotas is of; everybody without any."""
    if user_id is not None:
        return f"user:{user_id}"
    return EVERYBODY if role_id is None else f"role:{role_id}"


def limits_of(connection: DriverConnection, user_id: str) -> dict[str, tuple[int | None, QuotaOrigin]]:
    """Each quota of a user by its name: what it is (None: no limit), and where it was set.

    Whoever is no user has the defaults of those who may not upload data.
    """
    found = _USER.run(connection, {"user_id": user_id}).first()
    role = "" if found is None else subject_of(role_id=found.role_id)
    user = subject_of(user_id=user_id)
    defaults = DEFAULTS_OF_DATA_OWNERS if found is not None and found.uploads else DEFAULTS
    limits: dict[str, tuple[int | None, QuotaOrigin]] = {
        name: (value, "default") for name, value in defaults.items()
    }
    rows: list[Any] = _SET.run(connection, {"role": role, "user": user}).all()
    origins: tuple[tuple[str, QuotaOrigin], ...] = ((EVERYBODY, "everybody"), (role, "role"), (user, "user"))
    for subject, origin in origins:
        for row in rows:
            if row.subject == subject and row.name in limits:
                limits[row.name] = (None if row.value == UNLIMITED else int(row.value), origin)
    return limits
