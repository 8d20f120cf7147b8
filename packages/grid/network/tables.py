"""The table of associations: one row for each peer that asked us, and for each that we asked."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Float, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["Association"]


class Association(Base):
    """``direction`` is "outgoing" (we asked) or "incoming" (we were asked). Times: seconds since the epoch."""

    __tablename__ = "association"
    __table_args__ = (UniqueConstraint("direction", "verify_key"),)

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    direction: Mapped[str] = mapped_column(String(8))
    status: Mapped[str] = mapped_column(String(8), index=True)
    verify_key: Mapped[str] = mapped_column(String(64), index=True)
    node_id: Mapped[str] = mapped_column(String(32), index=True)
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    address: Mapped[str] = mapped_column(String(512))
    own_address: Mapped[str] = mapped_column(String(512))  # outgoing: what we last proved to be our address
    origin: Mapped[str] = mapped_column(
        String(64), default="", server_default=""
    )  # incoming: the asker's network
    note: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(Float(53))
    decided_at: Mapped[float | None] = mapped_column(Float(53))
    decided_by: Mapped[str] = mapped_column(String(254))
    last_seen: Mapped[float | None] = mapped_column(Float(53))
    reported: Mapped[str] = mapped_column(String(8))  # "online" or "busy": what the peer said of itself
    version: Mapped[str] = mapped_column(String(64))
    load: Mapped[dict[str, Any]] = mapped_column(JSON)
    counts: Mapped[dict[str, Any]] = mapped_column(JSON)
