"""Whose database this is."""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Double, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["InstallationRow"]


class InstallationRow(Base):
    """One row, made by the first node that opens the database.

    ``epoch`` grows with every start, stop and sweep; 0 says that the claim was not finished. The home keeps the
    last one that it has seen: a database with a smaller one is older than the home.
    """

    __tablename__ = "installation"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    database_id: Mapped[str] = mapped_column(String(32))
    verify_key: Mapped[str] = mapped_column(String(64))
    store_id: Mapped[str] = mapped_column(String(32))
    epoch: Mapped[int] = mapped_column(BigInteger)
    claimed_at: Mapped[float] = mapped_column(Double)
