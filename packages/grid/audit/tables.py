"""The log's entries, the head of the chain, and where older entries are.

Triggers refuse to change entries and archives' heads, and to delete any entry that is in no archive.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Double, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = ["AuditArchive", "AuditEntry", "AuditHead"]


class AuditEntry(Base):
    """One row of the log (:class:`syft_ext.audit.entries.Entry`).

    ``objects``, ``grants`` and ``detail`` are JSON texts and not JSON columns: the hash covers their bytes.
    """

    __tablename__ = "audit_entries"
    __table_args__ = (Index("ix_audit_entries_actor_id_seq", "actor_id", "seq"),)

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[float] = mapped_column(Double)
    actor_kind: Mapped[str] = mapped_column(String(16))
    actor_id: Mapped[str] = mapped_column(String(64))
    actor_name: Mapped[str] = mapped_column(String(255))
    operation: Mapped[str] = mapped_column(String(64))
    objects: Mapped[str] = mapped_column(Text)
    grants: Mapped[str] = mapped_column(Text)
    outcome: Mapped[str] = mapped_column(String(64))
    detail: Mapped[str] = mapped_column(Text)
    previous: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    digests: Mapped[str] = mapped_column(String(176))


class AuditHead(Base):
    """The last entry and its hash, in one row. Whoever appends holds its lock: replicas take turns."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="one_row"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False, default=1)
    seq: Mapped[int] = mapped_column(BigInteger)
    hash: Mapped[str] = mapped_column(String(64))


class AuditArchive(Base):
    """An archive of entries that are in the database no longer, as its signed head says
    (:class:`syft_ext.audit.entries.ArchiveHead`); the file is a content."""

    __tablename__ = "audit_archives"

    first: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    last: Mapped[int] = mapped_column(BigInteger, unique=True)
    node_id: Mapped[str] = mapped_column(String(64))
    hash: Mapped[str] = mapped_column(String(64))
    digest: Mapped[str] = mapped_column(ForeignKey("blob.digest"), index=True)
    at: Mapped[float] = mapped_column(Double)
    signature: Mapped[str] = mapped_column(String(128))
