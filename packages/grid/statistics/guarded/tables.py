"""Measurements that were made: each once for a content and a question."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, Index, Integer, LargeBinary, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["StatisticsMeasurement"]


class StatisticsMeasurement(Base):
    """One measurement of one content, paid for. Its numbers carry noise: who reads them learns what was told.

    Attributes:
        digest: of the content. identifier: of the question. question: what was asked, with the terms of the
        answer. units, cost: what it cost, in units and in those of ledgers; 0 where a reservation had paid
        for it. reserved_by: the identifier of that reservation. payload: its numbers
        (:mod:`grid.statistics.guarded.payloads`); None for a reservation, and for a private
            query that was paid for and not read yet. They are a cache: the same numbers can be made again from
            the rows, but for those of a private query that a library drew.
    """

    __tablename__ = "statistics_measurement"
    __table_args__ = (Index("ix_statistics_measurement_reserved_by", "digest", "reserved_by"),)

    digest: Mapped[str] = mapped_column(String(64), primary_key=True)
    identifier: Mapped[str] = mapped_column(String(64), primary_key=True)
    question: Mapped[str] = mapped_column(Text)
    units: Mapped[int] = mapped_column(Integer)
    cost: Mapped[int] = mapped_column(BigInteger)
    reserved_by: Mapped[str | None] = mapped_column(String(64))
    user_id: Mapped[str] = mapped_column(String(32))
    at: Mapped[float] = mapped_column(Double)
    payload: Mapped[bytes | None] = mapped_column(LargeBinary)
