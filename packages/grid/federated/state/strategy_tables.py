"""What strategies keep between the cycles of a training: one state for each checkpoint that they made."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, Integer, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["StrategyStateRow"]


class StrategyStateRow(Base):
    """Written with its checkpoint, in one transaction. ``blob_digest`` is set while the state is needed: that of
    the latest checkpoint, until the training ends. ``digest`` stays, as that of a used report does.
    """

    __tablename__ = "fl_strategy_state"

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    size: Mapped[int] = mapped_column(BigInteger)
    blob_digest: Mapped[str | None] = mapped_column(ForeignKey("blob.digest"), index=True)
