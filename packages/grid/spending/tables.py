"""That a database was restored, and nobody has said so yet."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, BigInteger, CheckConstraint, Double
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["RestoredRow"]


class RestoredRow(Base):
    """The last restore of this database. Until it is acknowledged all replicas wait: nothing that is counted is
    spent, nothing is swept or released.

    ``known_epoch``: what a home, or the store of contents, had seen of the database before; -1: nobody can tell.
    ``facts``: what else was noticed (:class:`grid.installation.restored.Heads`).
    """

    __tablename__ = "restored_database"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    noticed_at: Mapped[float] = mapped_column(Double)
    acknowledged_at: Mapped[float | None] = mapped_column(Double)
    known_epoch: Mapped[int] = mapped_column(BigInteger)
    facts: Mapped[dict[str, Any]] = mapped_column(JSON)
