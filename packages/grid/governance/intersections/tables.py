"""How many ids were tested by whom, and the rows that intersections left here."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey, String
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["IntersectionBudget", "MatchedRows"]


class IntersectionBudget(Base):
    """How many ids ``who`` ("user:" and an id, or "node:" and a verify key) tested against ``member``: a part of a
    table's lineage (:func:`grid.catalogue.schemas.lineage_of`), so that a copy or a new version of a table is the
    same table. Without foreign keys: what was tested stays so. ("*", "*") is what a restore left nobody knows to
    whom."""

    __tablename__ = "intersection_budget"

    who: Mapped[str] = mapped_column(String(80), primary_key=True)
    member: Mapped[str] = mapped_column(String(320), primary_key=True)
    spent: Mapped[int] = mapped_column(BigInteger)


class MatchedRows(Base):
    """Of which intersection a kept object is: with whom (``peer``), under which terms (``agreement``), in which
    ``run``. ``foreign``: the source that stands for the other Domain's table, which is never here."""

    __tablename__ = "matched_rows"

    object_id: Mapped[str] = mapped_column(
        ForeignKey("stored_object.id", ondelete="CASCADE"), primary_key=True
    )
    request_id: Mapped[str] = mapped_column(String(32), index=True)
    peer: Mapped[str] = mapped_column(String(64))
    agreement: Mapped[str] = mapped_column(String(64))
    run: Mapped[str] = mapped_column(String(32))
    foreign: Mapped[str] = mapped_column(String(32))
