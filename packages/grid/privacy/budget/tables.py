"""What each user may spend of the site's privacy budget, and has spent."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Double, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["PrivacyBudget"]


class PrivacyBudget(Base):
    """One user's budget, in billionths of an epsilon: whole numbers add up without rounding.

    ``user_id`` has no foreign key: what was spent stays on record when its user is gone.
    """

    __tablename__ = "privacy_budget"
    __table_args__ = (CheckConstraint("spent <= granted", name="not_overspent"),)

    user_id: Mapped[str] = mapped_column(String(32), primary_key=True)
    granted: Mapped[int] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger, default=0)
    changed_at: Mapped[float] = mapped_column(Double)
    changed_by: Mapped[str] = mapped_column(String(32))
