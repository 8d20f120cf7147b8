"""The table of trainings that a Worker has seen at its Domain, and what its owner decided about each."""

from __future__ import annotations

from sqlalchemy import Float, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["SeenTraining"]


class SeenTraining(Base):
    """``decision``: waiting, approved or denied; ``state``: idle, joined or over. Times: epoch seconds."""

    __tablename__ = "worker_training"

    domain_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128), primary_key=True)
    version: Mapped[str] = mapped_column(String(64), primary_key=True)
    decision: Mapped[str] = mapped_column(String(8))
    state: Mapped[str] = mapped_column(String(8))
    reports: Mapped[int] = mapped_column(Integer)
    last_cycle: Mapped[int] = mapped_column(Integer)
    last_loss: Mapped[float | None] = mapped_column(Float(53))
    last_error: Mapped[str] = mapped_column(Text)
    seen_at: Mapped[float] = mapped_column(Float(53))
    updated_at: Mapped[float] = mapped_column(Float(53))
