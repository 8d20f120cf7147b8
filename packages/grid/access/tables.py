"""Grants, the sources of derived objects, and the site's policy."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Double, ForeignKey, Index, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["Grant", "ObjectSource", "PolicyRow"]


class Grant(Base):
    """A permission that somebody gave to one user, with its conditions.

    ``object_id`` has no foreign key: a grant stays on record when its object is gone. ``scope`` is read,
    compute, statistics, plan or intersection; for plan, ``plan_id`` is the digest of the plan that was approved
    and ``inputs`` names the object (and the tensor in it) that each of the plan's arguments is given.
    ``uses_left`` and ``max_output_bytes`` are None when unlimited.
    """

    __tablename__ = "grants"
    __table_args__ = (Index("ix_grants_user_id_object_id", "user_id", "object_id"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    scope: Mapped[str] = mapped_column(String(16))
    user_id: Mapped[str] = mapped_column(String(32))
    object_id: Mapped[str] = mapped_column(String(32), index=True)
    plan_id: Mapped[str] = mapped_column(String(64), default="")
    inputs: Mapped[dict[str, Any]] = mapped_column(JSON, default=dict)
    request_id: Mapped[str | None] = mapped_column(String(32), index=True)
    granted_by: Mapped[str] = mapped_column(String(32))
    created_at: Mapped[float] = mapped_column(Double)
    expires_at: Mapped[float | None] = mapped_column(Double)
    uses_left: Mapped[int | None] = mapped_column(Integer)
    max_output_bytes: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[float | None] = mapped_column(Double)
    revoked_by: Mapped[str | None] = mapped_column(String(32))


class ObjectSource(Base):
    """A stored object that was computed from another: who may have it follows from its sources.

    ``source_id`` is an object that nobody computed here; it has no foreign key, because what was derived
    from a deleted object must not become free.
    """

    __tablename__ = "object_source"

    object_id: Mapped[str] = mapped_column(
        ForeignKey("stored_object.id", ondelete="CASCADE"), primary_key=True
    )
    source_id: Mapped[str] = mapped_column(String(32), primary_key=True, index=True)


class PolicyRow(Base):
    """The one policy of the site (:class:`syft_ext.messages.policy.SitePolicy`), as its owner set it last."""

    __tablename__ = "site_policy"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
    changed_at: Mapped[float] = mapped_column(Double)
    changed_by: Mapped[str] = mapped_column(String(32))
