"""Whose word each training runs on, and who was given what came of it."""

from __future__ import annotations

from sqlalchemy import JSON, Double, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["TrainingReviewRow", "TrainingShare"]


class TrainingReviewRow(Base):
    """Written when a training's model is there, and so its definition complete; one without a row has nobody's
    word. ``digest`` never changes; ``state`` is a :data:`syft_ext.messages.training_reviews.ReviewState`."""

    __tablename__ = "fl_review"

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    digest: Mapped[str] = mapped_column(String(64))
    state: Mapped[str] = mapped_column(String(16))
    reviewers: Mapped[list[str]] = mapped_column(JSON)
    request_id: Mapped[str] = mapped_column(String(32))
    reason: Mapped[str] = mapped_column(Text)
    at: Mapped[float] = mapped_column(Double)


class TrainingShare(Base):
    """A user who may read a training that they do not host: its state, history, metrics and models."""

    __tablename__ = "fl_share"

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    user_id: Mapped[str] = mapped_column(
        ForeignKey("users.id", ondelete="CASCADE"), primary_key=True, index=True
    )
