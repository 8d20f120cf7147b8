"""Environments and what happened to them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, Double, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["EnvironmentHistory", "EnvironmentRow"]


class EnvironmentRow(Base):
    """One environment. Its limits are those of its instance type when it was made: the catalogue may change.

    ``user_id`` is NULL once its user was deleted. ``handle`` is what its provider finds it by; NULL before it
    has one. ``used_at`` is when an operation last ran in it; it is the node's to keep, see ``EnvironmentManager``.
    """

    __tablename__ = "environment"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="SET NULL"), index=True)
    created_by: Mapped[str] = mapped_column(String(32))
    provider: Mapped[str] = mapped_column(String(64))
    instance_type: Mapped[str] = mapped_column(String(64))
    memory: Mapped[int] = mapped_column(BigInteger)
    cpu_seconds: Mapped[int] = mapped_column(BigInteger)
    seconds: Mapped[float] = mapped_column(Double)
    threads: Mapped[int] = mapped_column(Integer)
    state: Mapped[str] = mapped_column(String(16), index=True)
    handle: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))
    created_at: Mapped[float] = mapped_column(Double, index=True)
    used_at: Mapped[float] = mapped_column(Double)
    ended_at: Mapped[float | None] = mapped_column(Double)


class EnvironmentHistory(Base):
    """One step of an environment's life, numbered from 0: what it became, why, and by whom ("" is the node)."""

    __tablename__ = "environment_event"

    environment_id: Mapped[str] = mapped_column(
        ForeignKey("environment.id", ondelete="CASCADE"), primary_key=True
    )
    number: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    at: Mapped[float] = mapped_column(Double)
    state: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(String(32))
