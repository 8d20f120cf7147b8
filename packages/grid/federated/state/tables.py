"""The tables of the training pipeline.

Statuses are the values of the machines' statuses. Counters stand on the cycle, so that nothing is ever
counted with ``COUNT(*)``. Every change of a status leaves a row in ``fl_history``, in the same transaction.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from grid.storage.sql.base import Base

__all__ = [
    "Arrival",
    "Assignment",
    "Checkpoint",
    "Cycle",
    "CycleMetric",
    "History",
    "HostedPlan",
    "OutboxMessage",
    "TrainingProcess",
    "Worker",
]

_Id = String(32)
_Time = Float(53)


class TrainingProcess(Base):
    """A training. ``history_seq`` is the number of its latest history row; whoever writes locks this row.

    ``step_size`` is bytes of a model, and of what its strategy keeps with it; ``reserved`` is so much while a
    cycle is in progress, which will make them, and else 0: the owner's quota has room for them.
    ``inputs`` is what it declares of its participants' data.
    """

    __tablename__ = "fl_process"
    __table_args__ = (UniqueConstraint("name", "version"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    version: Mapped[str] = mapped_column(String(64))
    owner: Mapped[str] = mapped_column(String(64), index=True)
    status: Mapped[str] = mapped_column(String(16), index=True)
    reason: Mapped[str] = mapped_column(Text)
    server_config: Mapped[dict[str, Any]] = mapped_column(JSON)
    client_config: Mapped[dict[str, Any]] = mapped_column(JSON)
    cycle: Mapped[int] = mapped_column(Integer)
    cycles_completed: Mapped[int] = mapped_column(Integer)
    latest_checkpoint: Mapped[int] = mapped_column(Integer)
    model_size: Mapped[int] = mapped_column(BigInteger)
    step_size: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    reserved: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    history_seq: Mapped[int] = mapped_column(BigInteger)
    created_at: Mapped[float] = mapped_column(_Time)
    updated_at: Mapped[float] = mapped_column(_Time)
    paused_at: Mapped[float | None] = mapped_column(_Time)
    inputs: Mapped[dict[str, Any] | None] = mapped_column(JSON(none_as_null=True))


class HostedPlan(Base):
    """A client plan, a protocol or the averaging plan (``kind``) of a training."""

    __tablename__ = "fl_plan"
    __table_args__ = (UniqueConstraint("process_id", "kind", "name"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"))
    kind: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(String(128))
    blob_digest: Mapped[str] = mapped_column(ForeignKey("blob.digest"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)


class Checkpoint(Base):
    """A model: number 1 is the hosted one, number N+1 came out of the N-th completed cycle. Written once."""

    __tablename__ = "fl_checkpoint"

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    number: Mapped[int] = mapped_column(Integer, primary_key=True)
    blob_digest: Mapped[str] = mapped_column(ForeignKey("blob.digest"), index=True)
    size: Mapped[int] = mapped_column(BigInteger)
    cycle_id: Mapped[str | None] = mapped_column(_Id)
    created_at: Mapped[float] = mapped_column(_Time)


class Cycle(Base):
    """A cycle. ``accepted`` numbers the accepted reports: it only grows, and fixes the order of the sum."""

    __tablename__ = "fl_cycle"
    __table_args__ = (UniqueConstraint("process_id", "sequence"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"))
    sequence: Mapped[int] = mapped_column(Integer)
    status: Mapped[str] = mapped_column(String(16))
    base_checkpoint: Mapped[int] = mapped_column(Integer)
    slots_open: Mapped[int] = mapped_column(Integer)
    admitted: Mapped[int] = mapped_column(Integer)
    arrived: Mapped[int] = mapped_column(Integer)
    reported: Mapped[int] = mapped_column(Integer)
    accepted: Mapped[int] = mapped_column(Integer)
    rejected: Mapped[int] = mapped_column(Integer)
    extensions: Mapped[int] = mapped_column(Integer)
    bytes_received: Mapped[int] = mapped_column(BigInteger)
    opened_at: Mapped[float] = mapped_column(_Time)
    deadline: Mapped[float | None] = mapped_column(_Time)
    closed_at: Mapped[float | None] = mapped_column(_Time)
    finished_at: Mapped[float | None] = mapped_column(_Time)


class Arrival(Base):
    """A worker that checked in for a cycle whose pool is filling (``min_workers``)."""

    __tablename__ = "fl_arrival"

    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"), primary_key=True)
    worker_id: Mapped[str] = mapped_column(_Id, primary_key=True)
    arrived_at: Mapped[float] = mapped_column(_Time)


class Worker(Base):
    """A participant of one training, on one device.

    ``subject`` is what makes it the same one when it comes again, where there is such a thing. ``identity`` is
    who it is to this Domain: ``user:`` and a user's id, ``worker:`` and the key of an accepted Worker; NULL for
    anybody else, whatever a token of the host's says. ``bounds`` is what it declared of itself; ``aside``, why it
    takes no part for now.
    """

    __tablename__ = "fl_worker"
    __table_args__ = (UniqueConstraint("process_id", "subject"),)

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"))
    subject: Mapped[str | None] = mapped_column(String(128))
    rests_until: Mapped[int] = mapped_column(Integer)
    created_at: Mapped[float] = mapped_column(_Time)
    identity: Mapped[str | None] = mapped_column(String(96))
    bounds: Mapped[dict[str, Any] | None] = mapped_column(JSON)
    aside: Mapped[str | None] = mapped_column(Text)


_HOLDING = text("status IN ('assigned', 'reported', 'included')")


class Assignment(Base):
    """A worker's slot in a cycle. Of the request key only the hash is kept; of a used report, its digest."""

    __tablename__ = "fl_assignment"
    __table_args__ = (
        UniqueConstraint("worker_id", "idempotency_key"),
        Index(
            "uq_fl_assignment_holding",
            "cycle_id",
            "worker_id",
            unique=True,
            sqlite_where=_HOLDING,
            postgresql_where=_HOLDING,
        ),
        Index("ix_fl_assignment_cycle_id_status", "cycle_id", "status"),
    )

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"))
    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"))
    worker_id: Mapped[str] = mapped_column(ForeignKey("fl_worker.id"))
    status: Mapped[str] = mapped_column(String(16))
    idempotency_key: Mapped[str] = mapped_column(String(128))
    key_hash: Mapped[str] = mapped_column(String(64))
    assigned_at: Mapped[float] = mapped_column(_Time)
    lease_until: Mapped[float] = mapped_column(_Time)
    finished_at: Mapped[float | None] = mapped_column(_Time)
    report_index: Mapped[int | None] = mapped_column(Integer)
    kind: Mapped[str | None] = mapped_column(String(8))
    samples: Mapped[int | None] = mapped_column(BigInteger)
    loss: Mapped[float | None] = mapped_column(_Time)
    accuracy: Mapped[float | None] = mapped_column(_Time)
    report_size: Mapped[int | None] = mapped_column(BigInteger)
    report_digest: Mapped[str | None] = mapped_column(String(64))
    blob_digest: Mapped[str | None] = mapped_column(ForeignKey("blob.digest"), index=True)


class History(Base):
    """Append-only: every transition of a training, numbered without holes in the order of commits."""

    __tablename__ = "fl_history"

    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), primary_key=True)
    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[float] = mapped_column(_Time)
    entity: Mapped[str] = mapped_column(String(16))
    entity_id: Mapped[str] = mapped_column(_Id)
    cycle: Mapped[int] = mapped_column(Integer)
    before: Mapped[str] = mapped_column(String(16))
    after: Mapped[str] = mapped_column(String(16))
    detail: Mapped[dict[str, Any]] = mapped_column(JSON)


class OutboxMessage(Base):
    """Work that a committed transition asks for: done at least once, by one holder of the lease at a time.

    ``token`` grows with each taking (fencing): the holder's results are only accepted under its own token.
    """

    __tablename__ = "fl_outbox"
    __table_args__ = (
        UniqueConstraint("topic", "key"),
        Index("ix_fl_outbox_status", "status", "available_at"),
    )

    id: Mapped[str] = mapped_column(_Id, primary_key=True)
    topic: Mapped[str] = mapped_column(String(32))
    key: Mapped[str] = mapped_column(String(64))
    process_id: Mapped[str] = mapped_column(ForeignKey("fl_process.id"), index=True)
    status: Mapped[str] = mapped_column(String(8))
    attempts: Mapped[int] = mapped_column(Integer)
    available_at: Mapped[float] = mapped_column(_Time)
    holder: Mapped[str] = mapped_column(String(64))
    token: Mapped[int] = mapped_column(Integer)
    error: Mapped[str] = mapped_column(Text)
    created_at: Mapped[float] = mapped_column(_Time)


class CycleMetric(Base):
    """What a completed cycle's reports say together: ``value`` over ``participants`` that reported it."""

    __tablename__ = "fl_metric"

    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"), primary_key=True)
    name: Mapped[str] = mapped_column(String(32), primary_key=True)
    value: Mapped[float] = mapped_column(_Time)
    weight: Mapped[float] = mapped_column(_Time)
    participants: Mapped[int] = mapped_column(Integer)
