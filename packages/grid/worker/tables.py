"""The table of trainings that a Worker has seen at its Domain, and what was decided about each."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Float, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["SeenTraining"]


class SeenTraining(Base):
    """A definition of a training, by its digest: what is decided is decided for exactly that.

    ``decision``: waiting, approved or denied; ``decided_by``: "owner", or whose word it was that the owner takes;
    ``review``: the Domain's word on it; ``state``: idle, joined, over, failed, spent or unfit; ``shown``: its
        definition and
    plans as text, by name, once they were read. Times: epoch seconds.
    """

    __tablename__ = "worker_training"

    domain_key: Mapped[str] = mapped_column(String(64), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    version: Mapped[str] = mapped_column(String(64))
    review: Mapped[dict[str, Any]] = mapped_column(JSON)
    decision: Mapped[str] = mapped_column(String(8))
    decided_by: Mapped[str] = mapped_column(Text)
    decided_at: Mapped[float | None] = mapped_column(Float(53))
    state: Mapped[str] = mapped_column(String(8))
    reports: Mapped[int] = mapped_column(Integer)
    last_cycle: Mapped[int] = mapped_column(Integer)
    last_loss: Mapped[float | None] = mapped_column(Float(53))
    last_error: Mapped[str] = mapped_column(Text)
    shown: Mapped[dict[str, str] | None] = mapped_column(JSON(none_as_null=True))
    seen_at: Mapped[float] = mapped_column(Float(53))
    updated_at: Mapped[float] = mapped_column(Float(53))
