"""Ledgers: what all releases to all users together may tell of the rows of a lineage, or of those who take part in
a training, and did."""

from __future__ import annotations

from sqlalchemy import BigInteger, Double, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["PrivacyCharge", "PrivacyLedger", "PrivacyLedgerMember", "PrivacyRelease"]


class PrivacyLedger(Base):
    """One lineage's ledger, or one data subject's (:mod:`grid.privacy.budget.subjects`), in millionths of a
    millionth of ρ: whole numbers add up without rounding.

    Attributes:
        granted: ρ in all, as the table's owner said; None: what the site's policy gives to each lineage.
        exact_digest: the one content of which exact statistics were published on its owner's word; None: of none.
    """

    __tablename__ = "privacy_ledger"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    granted: Mapped[int | None] = mapped_column(BigInteger)
    spent: Mapped[int] = mapped_column(BigInteger, default=0)
    exact_digest: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[float] = mapped_column(Double)
    changed_at: Mapped[float] = mapped_column(Double)
    changed_by: Mapped[str] = mapped_column(String(32), default="")


class PrivacyLedgerMember(Base):
    """What belongs to a lineage: ``object:`` and an id, ``content:`` and a digest, ``asset:`` and what names it;
    or ``training:`` and a training's name, over all of its versions.

    None of these has a foreign key: what was told of rows stays told when their object or dataset is gone.
    """

    __tablename__ = "privacy_ledger_member"

    member: Mapped[str] = mapped_column(String(320), primary_key=True)
    ledger_id: Mapped[str] = mapped_column(ForeignKey("privacy_ledger.id"), index=True)


class PrivacyCharge(Base):
    """One charge: who asked for what, of which object ("": of a training's participants), and what it cost.

    ``kind``: "statistics", "query" (a private one), "tensor" (a private one), "plan" (results of an approved
    plan) or "training" (a cycle of one).
    """

    __tablename__ = "privacy_charge"

    id: Mapped[str] = mapped_column(String(32), primary_key=True)
    ledger_id: Mapped[str] = mapped_column(ForeignKey("privacy_ledger.id"), index=True)
    object_id: Mapped[str] = mapped_column(String(32))
    user_id: Mapped[str] = mapped_column(String(32))
    at: Mapped[float] = mapped_column(Double)
    cost: Mapped[int] = mapped_column(BigInteger)
    what: Mapped[str] = mapped_column(Text)
    kind: Mapped[str] = mapped_column(String(16), default="statistics", server_default="statistics")


class PrivacyRelease(Base):
    """A question that was charged, and what was released for it: the same again is charged no more.

    ``question``: digest of the question and of the noise on its answer. ``content``: of the answer; "": the charge
    was made, and nothing has left for it yet.
    """

    __tablename__ = "privacy_release"

    question: Mapped[str] = mapped_column(String(64), primary_key=True)
    content: Mapped[str] = mapped_column(String(64), primary_key=True, default="")
    at: Mapped[float] = mapped_column(Double)
