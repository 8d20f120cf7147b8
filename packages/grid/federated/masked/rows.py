"""A round as it is stored, and as the machine takes it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from sqlalchemy import bindparam, delete, insert, select, update

from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.state import tables as t
from grid.federated.state.machines.assignment import AssignmentStatus
from grid.federated.state.masked_tables import MaskedPart, MaskedRound
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.seals import SEALED_SIZE
from syft_ext.secure_aggregation.server import Phase, RoundPart, ServerRound
from syft_ext.secure_aggregation.statements import Roster, Round

__all__ = ["MaskedRows", "RoundAsStored"]

_ROUND = PreparedStatement(
    select(
        MaskedRound.phase,
        MaskedRound.deadline,
        MaskedRound.roster,
        MaskedRound.sharers,
        MaskedRound.survivors,
    ).where(MaskedRound.cycle_id == bindparam("cycle_id"))
)
_PHASE = PreparedStatement(select(MaskedRound.phase).where(MaskedRound.cycle_id == bindparam("cycle_id")))
_PARTS = PreparedStatement(
    select(
        MaskedPart.assignment_id,
        MaskedPart.keys,
        MaskedPart.signature,
        MaskedPart.shares,
        MaskedPart.confirmation,
        MaskedPart.answer,
        t.Assignment.status,
    )
    .join(t.Assignment, t.Assignment.id == MaskedPart.assignment_id)
    .where(MaskedPart.cycle_id == bindparam("cycle_id"))
)
_CYCLE = PreparedStatement(
    select(t.Cycle.process_id, t.Cycle.sequence, t.Cycle.base_checkpoint).where(
        t.Cycle.id == bindparam("cycle_id")
    )
)
_NEW_ROUND, _NEW_PART = PreparedStatement(insert(MaskedRound)), PreparedStatement(insert(MaskedPart))
_SET_ROUND = PreparedStatement(update(MaskedRound).where(MaskedRound.cycle_id == bindparam("b_cycle")))
_SET_PART = PreparedStatement(
    update(MaskedPart).where(
        MaskedPart.cycle_id == bindparam("b_cycle"), MaskedPart.assignment_id == bindparam("b_id")
    )
)
_GONE = (AssignmentStatus.TIMED_OUT, AssignmentStatus.FAILED_BY_WORKER)
_DROP = tuple(
    PreparedStatement(delete(table).where(table.cycle_id == bindparam("cycle_id")))
    for table in (MaskedPart, MaskedRound)
)


@dataclass
class RoundAsStored:
    """The machine of a round, and until when its phase waits; None: its list of keys is open."""

    server: ServerRound
    deadline: float | None = None


class MaskedRows:
    """Args: ``domain``: the verify key of the node (hex), which participants know it by."""

    def __init__(self, store: TrainingStore, definitions: TrainingDefinitions, domain: str) -> None:
        self._store, self._definitions = store, definitions
        self._domain = bytes.fromhex(domain) if domain else bytes(32)

    def load(self, cycle_id: str, rules: SumRules, unit: Unit | None = None) -> RoundAsStored:
        """The round of a cycle; read in ``unit`` where there is one."""
        key = {"cycle_id": cycle_id}
        rows: Callable[[PreparedStatement], Sequence[Any]] = (
            (lambda statement: unit.run(statement, key).all())
            if unit is not None
            else (lambda statement: self._store.read(statement, key))
        )
        parts = {
            row.assignment_id: RoundPart(
                bytes(row.keys),
                bytes(row.signature),
                _split(bytes(row.shares)),
                row.status in (AssignmentStatus.REPORTED, AssignmentStatus.INCLUDED),
                bytes(row.confirmation),
                bytes(row.answer),
            )
            for row in rows(_PARTS)
            # Whoever has lost their slot before they shared a secret is in no sum, and may come again.
            if row.shares or row.status not in _GONE
        }
        cycle = rows(_CYCLE)[0]
        round_ = self.round_of(cycle_id, cycle.process_id, cycle.sequence, cycle.base_checkpoint, unit)
        found = rows(_ROUND)
        if not found:
            return RoundAsStored(ServerRound(rules, round_.digest(), parts))
        row = found[0]
        server = ServerRound(
            rules,
            round_.digest(),
            parts,
            Phase(row.phase),
            _roster(bytes(row.roster)),
            tuple(row.sharers),
            tuple(row.survivors),
        )
        return RoundAsStored(server, row.deadline)

    def phase(self, cycle_id: str) -> Phase:
        """The phase of a cycle's round; ADVERTISE while it has none, or none any more."""
        found = self._store.read(_PHASE, {"cycle_id": cycle_id})
        return Phase(found[0].phase) if found else Phase.ADVERTISE

    def waited(self, unit: Unit, cycle_id: str) -> frozenset[str]:
        """Whose masked words a cycle's round takes now."""
        row = unit.run(_ROUND, {"cycle_id": cycle_id}).first()
        return frozenset(row.sharers) if row is not None and row.phase == Phase.MASKED else frozenset()

    def round_of(
        self, cycle_id: str, process_id: str, sequence: int, checkpoint: int, unit: Unit | None = None
    ) -> Round:
        """The round that participants of a cycle take part in, as they know it."""
        return Round(
            domain=self._domain,
            training=bytes.fromhex(self._definitions.digest(process_id)),
            cycle=sequence,
            attempt=cycle_id,
            base=bytes.fromhex(self._definitions.checkpoint(process_id, checkpoint, unit)[0]),
        )

    def add(self, unit: Unit, cycle_id: str, assignment_id: str, part: RoundPart) -> None:
        """Store a participant's keys."""
        unit.run(
            _NEW_PART,
            {
                "cycle_id": cycle_id,
                "assignment_id": assignment_id,
                "keys": part.advertisement,
                "signature": part.signature,
                "shares": b"",
                "confirmation": b"",
                "answer": b"",
            },
        )

    def update(self, unit: Unit, cycle_id: str, assignment_id: str, part: RoundPart) -> None:
        """Store what a participant has said since."""
        values = {
            "shares": b"".join(part.shares),
            "confirmation": part.confirmation,
            "answer": part.answer,
        }
        unit.run(_SET_PART, {"b_cycle": cycle_id, "b_id": assignment_id, **values})

    def save(self, unit: Unit, cycle_id: str, found: RoundAsStored, *, new: bool) -> None:
        """Store a round that has gone on."""
        server = found.server
        values = {
            "phase": str(server.phase),
            "deadline": found.deadline,
            "sharers": list(server.sharers),
            "survivors": list(server.survivors),
        }
        if new:
            assert server.roster is not None
            unit.run(_NEW_ROUND, {"cycle_id": cycle_id, "roster": server.roster.encode(), **values})
        else:
            unit.run(_SET_ROUND, {"b_cycle": cycle_id, **values})

    def drop(self, unit: Unit, cycle_id: str) -> None:
        """Forget everything of a cycle's round."""
        for statement in _DROP:
            unit.run(statement, {"cycle_id": cycle_id})


@lru_cache(maxsize=64)
def _roster(data: bytes) -> Roster:
    """One list of keys is read by each message of its round."""
    return Roster.decode(data)


def _split(shares: bytes) -> tuple[bytes, ...]:
    return tuple(shares[i : i + SEALED_SIZE] for i in range(0, len(shares), SEALED_SIZE))
