"""Requests and what reviewers said to them."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.base import Base

__all__ = ["RequestDecision", "RequestRow"]


class RequestRow(Base):
    """``label`` is what its author was shown of the object when he asked. ``pending_for`` names who asks for
    what while it is pending: nobody asks for the same twice at once."""

    __tablename__ = "request"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    user_id: Mapped[str] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    object_id: Mapped[str] = mapped_column(String(32), index=True)
    scope: Mapped[str] = mapped_column(String(16))
    label: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    state: Mapped[str] = mapped_column(String(16), index=True)
    pending_for: Mapped[str | None] = mapped_column(String(96), unique=True)
    created_at: Mapped[float] = mapped_column(Double, index=True)
    grant_id: Mapped[str | None] = mapped_column(String(32))


class RequestDecision(Base):
    """One reviewer's word, with the conditions that he set."""

    __tablename__ = "request_decision"

    request_id: Mapped[str] = mapped_column(ForeignKey("request.id", ondelete="CASCADE"), primary_key=True)
    reviewer_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    approved: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double)
    expires_in: Mapped[float | None] = mapped_column(Double)
    uses: Mapped[int | None] = mapped_column(Integer)
    max_output_bytes: Mapped[int | None] = mapped_column(BigInteger)
