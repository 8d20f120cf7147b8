"""Invitations to trainings, and the guests who redeemed them."""

from __future__ import annotations

from sqlalchemy import Float, ForeignKey, Integer, String, UniqueConstraint, false
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["Guest", "Invitation"]

_Id = String(32)
_Time = Float(53)


class Invitation(Base):
    """``secret_hash``: SHA-256 of the secret, which nothing here keeps. ``used`` never exceeds ``uses``: both
    change in one statement. Times are seconds since the epoch."""

    __tablename__ = "fl_invitation"

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), index=True)
    secret_hash: Mapped[str] = mapped_column(String(64), unique=True)
    label: Mapped[str] = mapped_column(String(200))
    uses: Mapped[int] = mapped_column(Integer)
    used: Mapped[int] = mapped_column(Integer)
    accepted: Mapped[bool] = mapped_column()
    created_at: Mapped[float] = mapped_column(_Time)
    expires_at: Mapped[float] = mapped_column(_Time)
    ended_at: Mapped[float | None] = mapped_column(_Time)
    created_by: Mapped[str] = mapped_column(String(64))


class Guest(Base):
    """A key that may ask to take part in one training. ``status``: a
    :data:`syft_ext.messages.invitations.GuestStatus`; ``counts``: somebody who decides here knows of them."""

    __tablename__ = "fl_guest"
    __table_args__ = (UniqueConstraint("process_id", "verify_key"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"))
    invitation_id: Mapped[str] = mapped_column(ForeignKey("fl_invitation.id"), index=True)
    verify_key: Mapped[str] = mapped_column(String(64))
    name: Mapped[str] = mapped_column(String(200))
    status: Mapped[str] = mapped_column(String(16))
    counts: Mapped[bool] = mapped_column(default=False, server_default=false())
    redeemed_at: Mapped[float] = mapped_column(_Time)
    decided_at: Mapped[float | None] = mapped_column(_Time)
    decided_by: Mapped[str] = mapped_column(String(64))
