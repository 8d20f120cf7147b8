"""Which of the site's demands each training cycle is under: those that stood when it was opened."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["CyclePolicyRow"]


class CyclePolicyRow(Base):
    """Written with its cycle and never changed; a cycle that is under no demand has none."""

    __tablename__ = "fl_cycle_policy"

    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"), primary_key=True)
    document: Mapped[dict[str, Any]] = mapped_column(JSON)
