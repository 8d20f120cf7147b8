"""Tables of people: users, their keys, sessions and one-time codes, roles, groups, the set-up, failed logins.

Times are seconds since the epoch. No private key has a column.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, String, false
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = [
    "Group",
    "GroupMember",
    "LoginFailures",
    "LoginOrigin",
    "NodeSetup",
    "RecoveryCode",
    "Role",
    "Totp",
    "User",
    "UserKey",
    "UserSession",
]


class Role(Base):
    """A named set of the permission flags."""

    __tablename__ = "roles"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    seed: Mapped[bool] = mapped_column(default=False)
    can_triage_requests: Mapped[bool] = mapped_column(default=False)
    can_edit_settings: Mapped[bool] = mapped_column(default=False)
    can_create_users: Mapped[bool] = mapped_column(default=False)
    can_create_groups: Mapped[bool] = mapped_column(default=False)
    can_edit_roles: Mapped[bool] = mapped_column(default=False)
    can_manage_infrastructure: Mapped[bool] = mapped_column(default=False)
    can_upload_data: Mapped[bool] = mapped_column(default=False)
    can_host_trainings: Mapped[bool] = mapped_column(default=False, server_default=false())


class User(Base):
    """A person's account. ``disabled_at``: seconds since the epoch; None while they may log in. ``signed_up``:
    they made it themselves, and nobody here has given them a role since: it says of nobody who they are."""

    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"), index=True)
    created_at: Mapped[float] = mapped_column(Double)
    disabled_at: Mapped[float | None] = mapped_column(Double)
    signed_up: Mapped[bool] = mapped_column(default=False, server_default=false())


class UserKey(Base):
    """A public key of a user: one they logged in with (it belongs to whoever did so last), or registered.

    ``name`` is what they call it; ``used_at`` is their last login with it, or when they registered it.
    """

    __tablename__ = "user_keys"

    verify_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    used_at: Mapped[float] = mapped_column(Double)
    name: Mapped[str] = mapped_column(String(255), default="", server_default="")
    added_at: Mapped[float | None] = mapped_column(Double)


class UserSession(Base):
    """A token that is good now; logging out, or a new password, deletes the row. ``remote``: where from."""

    __tablename__ = "user_sessions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    verify_key: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double, index=True)
    remote: Mapped[str] = mapped_column(String(64), default="", server_default="")


class Totp(Base):
    """A user's second factor (RFC 6238). Until ``confirmed_at`` it asks nothing of them.

    ``last_step`` is the latest time step of which a code was accepted; ``failures`` counts wrong codes in a
    row, and after some of them nothing is tried before ``blocked_until``.
    """

    __tablename__ = "user_totp"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    sealed_secret: Mapped[str] = mapped_column(String(255))
    enrolled_at: Mapped[float] = mapped_column(Double)
    confirmed_at: Mapped[float | None] = mapped_column(Double)
    last_step: Mapped[int] = mapped_column(BigInteger, default=0)
    failures: Mapped[int] = mapped_column(default=0)
    blocked_until: Mapped[float] = mapped_column(Double, default=0.0)


class RecoveryCode(Base):
    """A code that stands once for a lost device; the row goes when it was used."""

    __tablename__ = "user_recovery_codes"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    code_hash: Mapped[str] = mapped_column(String(64), primary_key=True)


class Group(Base):
    """A set of users; its flags are those of each of them, beside those of their role."""

    __tablename__ = "user_groups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)
    can_triage_requests: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_edit_settings: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_create_users: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_create_groups: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_edit_roles: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_manage_infrastructure: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_upload_data: Mapped[bool] = mapped_column(default=False, server_default=false())
    can_host_trainings: Mapped[bool] = mapped_column(default=False, server_default=false())


class GroupMember(Base):
    """That a user is in a group. It goes with either of them."""

    __tablename__ = "user_group_members"

    group_id: Mapped[str] = mapped_column(ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class NodeSetup(Base):
    """The owner and the settings. Its one possible row is what makes the set-up happen once."""

    __tablename__ = "setup"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    owner_id: Mapped[str] = mapped_column(ForeignKey("users.id"))
    created_at: Mapped[float] = mapped_column(Double)
    node_name: Mapped[str] = mapped_column(String(255), default="")
    allow_user_signup: Mapped[bool] = mapped_column(default=False)
    session_lifetime: Mapped[float] = mapped_column(Double, default=3600.0)
    key_lifetime: Mapped[float] = mapped_column(Double, default=30 * 86400.0)
    require_totp: Mapped[bool] = mapped_column(default=False, server_default=false())


class LoginFailures(Base):
    """Failed attempts of one subject (a hash: of an e-mail, a network address, a key, or two of these)."""

    __tablename__ = "login_failures"
    __table_args__ = (Index("ix_login_failures_changed_at", "changed_at"),)

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    blocked_until: Mapped[float] = mapped_column(Double, default=0.0)
    changed_at: Mapped[float] = mapped_column(Double)


class LoginOrigin(Base):
    """A network that a user logged in from: an IPv4 address, or a /64 of IPv6. ``seen_at``: the last time."""

    __tablename__ = "login_origins"

    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), primary_key=True)
    network: Mapped[str] = mapped_column(String(64), primary_key=True)
    seen_at: Mapped[float] = mapped_column(Double)
