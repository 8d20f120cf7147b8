"""What a Domain keeps of confidential trainings.

Statements are kept as they were signed: nobody here makes them again. The bytes of uploads are the reports of the
pipeline (``fl_assignment``); sealed outputs are contents of their own.
"""

from __future__ import annotations

from sqlalchemy import (
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = [
    "ConfidentialLogHead",
    "ConfidentialLogRow",
    "ConfidentialLogWitness",
    "ConfidentialOutput",
    "ConfidentialPolicyRow",
    "ConfidentialRound",
    "ConfidentialRoundKey",
    "ConfidentialSession",
    "ConfidentialUpload",
]

_Id = String(32)
_Hash = String(64)


class ConfidentialPolicyRow(Base):
    """A policy that was published here.

    Attributes:
        digest: SHA-256 of the statement.
        successions: how its hosts follow others: encoded, as a MessagePack array.
    """

    __tablename__ = "confidential_policy"

    digest: Mapped[str] = mapped_column(_Hash, primary_key=True)
    signed: Mapped[bytes] = mapped_column(LargeBinary)
    successions: Mapped[bytes] = mapped_column(LargeBinary, default=b"\x90")
    published_at: Mapped[float] = mapped_column(Double)
    published_by: Mapped[str] = mapped_column(String(255))


class ConfidentialRound(Base):
    """A round of a training, from when its context is made.

    ``state``: "asked" (of the hosts), "opened", "bound", "closed", "sealed", "released", "failed". The manifest is
    written once, in the transaction in which the cycle leaves COLLECTING, and never made again.
    """

    __tablename__ = "confidential_round"
    __table_args__ = (UniqueConstraint("cycle_id"),)

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    state: Mapped[str] = mapped_column(String(16))
    context: Mapped[bytes] = mapped_column(LargeBinary)
    asked_at: Mapped[float] = mapped_column(Double)
    upload_until: Mapped[float | None] = mapped_column(Double)
    erase_at: Mapped[float | None] = mapped_column(Double)
    cycle_id: Mapped[str | None] = mapped_column(ForeignKey("fl_cycle.id"))
    base_digest: Mapped[str | None] = mapped_column(_Hash)
    manifest: Mapped[bytes | None] = mapped_column(LargeBinary)
    manifest_digest: Mapped[str | None] = mapped_column(_Hash)
    uploads: Mapped[int] = mapped_column(Integer)
    checkpoint: Mapped[int | None] = mapped_column(Integer)
    receipt: Mapped[bytes | None] = mapped_column(LargeBinary)
    simulated: Mapped[bool] = mapped_column(Boolean)
    reason: Mapped[str] = mapped_column(Text)


class ConfidentialRoundKey(Base):
    """What one host signed for a round. ``place``: the host's in the policy's order, from 0."""

    __tablename__ = "confidential_key"
    __table_args__ = (
        ForeignKeyConstraint(
            ["process_id", "sequence"], ["confidential_round.process_id", "confidential_round.sequence"]
        ),
    )

    process_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    place: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    signed: Mapped[bytes] = mapped_column(LargeBinary)


class ConfidentialUpload(Base):
    """What a participant declared of its upload. ``counted``: the upload is here, and in its round. Rows go when
    their cycle has ended: the manifest has what counts of them.

    ``person``: what the subject's participations are counted by.
    """

    __tablename__ = "confidential_upload"
    __table_args__ = (Index("ix_confidential_upload_cycle_id", "cycle_id", "counted"),)

    assignment_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"))
    person: Mapped[str] = mapped_column(_Hash)
    blob: Mapped[str] = mapped_column(_Hash)
    length: Mapped[int] = mapped_column(BigInteger)
    declaration: Mapped[bytes] = mapped_column(LargeBinary)
    counted: Mapped[bool] = mapped_column(Boolean)
    declared_at: Mapped[float] = mapped_column(Double)


class ConfidentialOutput(Base):
    """The sealed output of a round, which hosts open once. Written before any host is asked.

    ``blob_digest`` is set as long as the content is kept. ``sessions``: what each host said of the worker's
    session, canonical. ``release``: the worker's shares of the output's key, signed.
    """

    __tablename__ = "confidential_output"
    __table_args__ = (
        ForeignKeyConstraint(
            ["process_id", "sequence"], ["confidential_round.process_id", "confidential_round.sequence"]
        ),
    )

    process_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    sequence: Mapped[int] = mapped_column(Integer, primary_key=True, autoincrement=False)
    digest: Mapped[str] = mapped_column(_Hash)
    size: Mapped[int] = mapped_column(BigInteger)
    blob_digest: Mapped[str | None] = mapped_column(ForeignKey("blob.digest"), index=True)
    release: Mapped[bytes] = mapped_column(LargeBinary)
    sessions: Mapped[bytes] = mapped_column(LargeBinary)
    stored_at: Mapped[float] = mapped_column(Double)
    released_at: Mapped[float | None] = mapped_column(Double)


class ConfidentialSession(Base):
    """The newest session of a training's worker that all hosts appraised: an encoded
    :class:`~syft_ext.confidential.offer.RecordedSession`."""

    __tablename__ = "confidential_session"

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    recorded: Mapped[bytes] = mapped_column(LargeBinary)
    at: Mapped[float] = mapped_column(Double)


class ConfidentialLogRow(Base):
    """An entry of the transparency log. ``number``: from 0; ``leaf``: its hash; ``entry``: canonical bytes."""

    __tablename__ = "confidential_log"
    __table_args__ = (Index("ix_confidential_log_subject", "subject", "kind"),)

    number: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(_Hash)
    entry: Mapped[bytes] = mapped_column(LargeBinary)
    leaf: Mapped[bytes] = mapped_column(LargeBinary)


class ConfidentialLogHead(Base):
    """The one head of each size that this Domain has signed."""

    __tablename__ = "confidential_log_head"

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    signed: Mapped[bytes] = mapped_column(LargeBinary)


class ConfidentialLogWitness(Base):
    """A key host's signature of a head. ``host``: its verify key, in hex."""

    __tablename__ = "confidential_log_witness"

    size: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    host: Mapped[str] = mapped_column(_Hash, primary_key=True)
    signed: Mapped[bytes] = mapped_column(LargeBinary)
