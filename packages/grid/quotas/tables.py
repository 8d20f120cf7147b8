"""The quotas that were set: for everybody, for a role, for a user."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["UNLIMITED", "QuotaRow"]

UNLIMITED = -1


class QuotaRow(Base):
    """``subject`` is "everybody", or whom the row is of: it goes with that user or role. ``value``: bytes or a
    number of things; -1: no limit."""

    __tablename__ = "quota"

    subject: Mapped[str] = mapped_column(String(48), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[int] = mapped_column(BigInteger)
    user_id: Mapped[str | None] = mapped_column(ForeignKey("users.id", ondelete="CASCADE"), index=True)
    role_id: Mapped[int | None] = mapped_column(ForeignKey("roles.id", ondelete="CASCADE"), index=True)
