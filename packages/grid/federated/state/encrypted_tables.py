"""Sums of encrypted reports, from when they are made until their cycle ends."""

from __future__ import annotations

from sqlalchemy import BigInteger, Float, ForeignKey, Integer
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["EncryptedSumRow"]


class EncryptedSumRow(Base):
    """The sum of ``count`` reports (``blob_digest``, ``size`` bytes), for the holder of the key;
    ``opened_digest``, the sum in the clear as they opened it, once."""

    __tablename__ = "fl_encrypted_sum"

    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"), primary_key=True)
    blob_digest: Mapped[str] = mapped_column(ForeignKey("blob.digest"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    count: Mapped[int] = mapped_column(Integer)
    made_at: Mapped[float] = mapped_column(Float(53))
    opened_digest: Mapped[str | None] = mapped_column(ForeignKey("blob.digest"), index=True)
    opened_at: Mapped[float | None] = mapped_column(Float(53))
