"""What a node keeps of a round of secure aggregation while its cycle lasts: bytes of participants, nothing of
its own."""

from __future__ import annotations

from typing import Any

from sqlalchemy import JSON, Float, ForeignKey, LargeBinary, String, bindparam, func, select
from sqlalchemy.orm import Mapped, mapped_column

from grid.federated.state.machines.assignment import AssignmentStatus
from grid.federated.state.store import Unit
from grid.federated.state.tables import Assignment
from grid.storage.sql.base import Base
from grid.storage.sql.prepared import PreparedStatement

__all__ = ["MaskedPart", "MaskedRound", "ready_in"]


class MaskedRound(Base):
    """A round whose list of keys is closed. ``phase`` and what it has fixed (``roster``; assignments in
    ``sharers`` and ``survivors``) never change back; ``deadline`` is the phase's."""

    __tablename__ = "fl_masked_round"

    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"), primary_key=True)
    phase: Mapped[str] = mapped_column(String(16))
    deadline: Mapped[float] = mapped_column(Float(53))
    roster: Mapped[bytes] = mapped_column(LargeBinary)
    sharers: Mapped[list[str]] = mapped_column(JSON)
    survivors: Mapped[list[str]] = mapped_column(JSON)


class MaskedPart(Base):
    """What a participant has said in a round: its signed keys; then its sealed shares, its signature under the
    survivors and its answer, each empty before it came. Gone with the end of its cycle."""

    __tablename__ = "fl_masked_part"

    cycle_id: Mapped[str] = mapped_column(ForeignKey("fl_cycle.id"), primary_key=True)
    assignment_id: Mapped[str] = mapped_column(ForeignKey("fl_assignment.id"), primary_key=True)
    keys: Mapped[bytes] = mapped_column(LargeBinary)
    signature: Mapped[bytes] = mapped_column(LargeBinary)
    shares: Mapped[bytes] = mapped_column(LargeBinary)
    confirmation: Mapped[bytes] = mapped_column(LargeBinary)
    answer: Mapped[bytes] = mapped_column(LargeBinary)


_READY: PreparedStatement = PreparedStatement(
    select(func.count())
    .select_from(MaskedPart)
    .join(Assignment, Assignment.id == MaskedPart.assignment_id)
    .where(MaskedPart.cycle_id == bindparam("cycle_id"), Assignment.status == str(AssignmentStatus.ASSIGNED))
)


def ready_in(unit: Unit) -> int:
    """How many participants of the unit's cycle have given their keys, and still have their slot."""
    assert unit.cycle is not None
    row: Any = unit.run(_READY, {"cycle_id": unit.cycle.id}).first()
    return int(row[0])
