"""Tables of people: users and their keys, roles, groups, sessions, the set-up, and failed logins.

Times are seconds since the epoch. No private key has a column.
"""

from __future__ import annotations

from sqlalchemy import CheckConstraint, Double, ForeignKey, Index, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.base import Base

__all__ = ["Group", "GroupMember", "LoginFailures", "Role", "Setup", "User", "UserKey", "UserSession"]


class Role(Base):
    """A named set of the seven permission flags."""

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


class User(Base):
    __tablename__ = "users"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    email: Mapped[str] = mapped_column(String(254), unique=True)
    password_hash: Mapped[str] = mapped_column(String(255))
    role_id: Mapped[int] = mapped_column(ForeignKey("roles.id"), index=True)
    created_at: Mapped[float] = mapped_column(Double)
    disabled_at: Mapped[float | None] = mapped_column(Double)


class UserKey(Base):
    """A public key that its user logged in with; a key belongs to whoever logged in with it last."""

    __tablename__ = "user_keys"

    verify_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    used_at: Mapped[float] = mapped_column(Double)


class UserSession(Base):
    """A token that is good now; logging out, or a new password, deletes the row."""

    __tablename__ = "user_sessions"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    verify_key: Mapped[str] = mapped_column(String(64), default="")
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float] = mapped_column(Double, index=True)


class Group(Base):
    __tablename__ = "user_groups"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    name: Mapped[str] = mapped_column(String(255), unique=True)


class GroupMember(Base):
    __tablename__ = "user_group_members"

    group_id: Mapped[str] = mapped_column(ForeignKey("user_groups.id", ondelete="CASCADE"), primary_key=True)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )


class Setup(Base):
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


class LoginFailures(Base):
    """Failed attempts of one subject (a hash of an e-mail or of a network address)."""

    __tablename__ = "login_failures"
    __table_args__ = (Index("ix_login_failures_changed_at", "changed_at"),)

    subject: Mapped[str] = mapped_column(String(64), primary_key=True)
    failures: Mapped[int] = mapped_column(default=0)
    blocked_until: Mapped[float] = mapped_column(Double, default=0.0)
    changed_at: Mapped[float] = mapped_column(Double)
