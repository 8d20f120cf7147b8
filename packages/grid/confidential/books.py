"""Rows of rounds, uploads and outputs: read and written in somebody's transaction, nothing decided."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select, update

from grid.confidential.tables import (
    ConfidentialOutput,
    ConfidentialRound,
    ConfidentialRoundKey,
    ConfidentialSession,
    ConfidentialUpload,
)
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundContext, RoundKey, open_round_keys

__all__ = ["RoundBook", "StoredRound"]

_R, _K, _U, _O = ConfidentialRound, ConfidentialRoundKey, ConfidentialUpload, ConfidentialOutput

_OF_CYCLE = PreparedStatement(select(*_R.__table__.c).where(_R.cycle_id == bindparam("cycle_id")))
_OF_TRAINING = PreparedStatement(
    select(*_R.__table__.c).where(_R.process_id == bindparam("process_id")).order_by(_R.sequence)
)
_KEYS = PreparedStatement(
    select(_K.signed)
    .where(_K.process_id == bindparam("process_id"), _K.sequence == bindparam("sequence"))
    .order_by(_K.place)
)
_UNTIL = PreparedStatement(select(_R.upload_until).where(_R.cycle_id == bindparam("cycle_id")))
_NEW = PreparedStatement(insert(_R))
_NEW_KEY = PreparedStatement(insert(_K))
_CHANGE = PreparedStatement(
    update(_R).where(
        _R.process_id == bindparam("b_process"),
        _R.sequence == bindparam("b_sequence"),
        _R.state == bindparam("b_state"),
    )
)
_COUNTED = PreparedStatement(
    select(*_U.__table__.c).where(_U.cycle_id == bindparam("cycle_id"), _U.counted).order_by(_U.assignment_id)
)
_PERSON = PreparedStatement(
    select(func.count()).where(
        _U.cycle_id == bindparam("cycle_id"), _U.counted, _U.person == bindparam("person")
    )
)
_UPLOAD = PreparedStatement(select(*_U.__table__.c).where(_U.assignment_id == bindparam("assignment_id")))
_COUNT = PreparedStatement(update(_U).where(_U.assignment_id == bindparam("b_assignment")))
_OUTPUT = PreparedStatement(
    select(*_O.__table__.c).where(
        _O.process_id == bindparam("process_id"), _O.sequence == bindparam("sequence")
    )
)
_RELEASED = PreparedStatement(
    update(_O).where(_O.process_id == bindparam("b_process"), _O.sequence == bindparam("b_sequence"))
)

_SESSION = PreparedStatement(
    select(*ConfidentialSession.__table__.c).where(ConfidentialSession.process_id == bindparam("process_id"))
)


@dataclass(frozen=True, slots=True)
class StoredRound:
    """A round as it is kept, with its context opened; ``row`` is of ``confidential_round``."""

    row: Any
    context: RoundContext
    signed_keys: tuple[Signed[RoundKey], ...]

    def keys(self, policy: ConfidentialPolicy) -> list[RoundKey]:
        """The hosts' keys, in the policy's order; their signatures hold."""
        return open_round_keys(self.signed_keys, tuple(host.key for host in policy.hosts), self.context)


class RoundBook:
    """Reads and writes the rows of this room."""

    def __init__(self, store: TrainingStore) -> None:
        self._store = store

    def _read(self, unit: Unit | None, statement: PreparedStatement, values: dict[str, Any]) -> Sequence[Any]:
        return unit.run(statement, values).all() if unit is not None else self._store.read(statement, values)

    # -- rounds

    def of_cycle(self, cycle_id: str, unit: Unit | None = None) -> StoredRound | None:
        """The round that a cycle is bound to; None where it has none yet."""
        rows = self._read(unit, _OF_CYCLE, {"cycle_id": cycle_id})
        return self._opened(rows[0], unit) if rows else None

    def of_training(self, process_id: str, unit: Unit | None = None) -> Sequence[Any]:
        """The rows of all rounds of a training, in order."""
        return self._read(unit, _OF_TRAINING, {"process_id": process_id})

    def opened(self, row: Any, unit: Unit | None = None) -> StoredRound:
        """The round of this row."""
        return self._opened(row, unit)

    def _opened(self, row: Any, unit: Unit | None) -> StoredRound:
        keys = self._read(unit, _KEYS, {"process_id": row.process_id, "sequence": row.sequence})
        signed: tuple[Signed[RoundKey], ...] = tuple(Signed.decode(key.signed) for key in keys)
        return StoredRound(row, RoundContext.decode(row.context), signed)

    def until(self, unit: Unit, cycle_id: str) -> float | None:
        """When the round of a cycle takes no upload any more; None: it has none yet."""
        row = unit.run(_UNTIL, {"cycle_id": cycle_id}).first()
        return None if row is None else row.upload_until

    def ask(self, unit: Unit, context: RoundContext) -> None:
        """A new round, before any host is asked for its key: its number is used."""
        unit.run(
            _NEW,
            {
                "process_id": context.process,
                "sequence": context.sequence,
                "state": "asked",
                "context": context.encode(),
                "asked_at": unit.now,
                "uploads": 0,
                "simulated": False,
                "reason": "",
            },
        )

    def skip(self, unit: Unit, context: RoundContext, reason: str) -> None:
        """A round whose number was used, and that is over."""
        self.ask(unit, context)
        _ = unit.run(
            _CHANGE,
            {
                "b_process": context.process,
                "b_sequence": context.sequence,
                "b_state": "asked",
                "state": "failed",
                "reason": reason,
            },
        )

    def put_keys(self, unit: Unit, row: Any, signed: Sequence[Signed[RoundKey]]) -> None:
        """All its hosts' keys are there."""
        keys = [RoundKey.decode(each.body) for each in signed]
        unit.run(
            _NEW_KEY,
            [
                {
                    "process_id": row.process_id,
                    "sequence": row.sequence,
                    "place": place,
                    "signed": each.encode(),
                }
                for place, each in enumerate(signed)
            ],
        )
        self.change(
            unit,
            row,
            "asked",
            state="opened",
            upload_until=float(min(key.upload_until for key in keys)),
            erase_at=float(min(key.erase_at for key in keys)),
            simulated=any(key.simulated for key in keys),
        )

    def change(self, unit: Unit, row: Any, before: str, **values: Any) -> bool:
        """Set columns of a round that is still in this state; whether it was."""
        found = unit.run(
            _CHANGE,
            {"b_process": row.process_id, "b_sequence": row.sequence, "b_state": before, **values},
        )
        return found.rowcount == 1

    # -- uploads

    def upload(self, assignment_id: str, unit: Unit | None = None) -> Any | None:
        """What was declared for an assignment."""
        rows = self._read(unit, _UPLOAD, {"assignment_id": assignment_id})
        return rows[0] if rows else None

    def counted(self, cycle_id: str, unit: Unit | None = None) -> Sequence[Any]:
        """The uploads of a cycle that are here, in ascending order of their assignments."""
        return self._read(unit, _COUNTED, {"cycle_id": cycle_id})

    def has_person(self, unit: Unit, cycle_id: str, person: str) -> bool:
        """Whether an upload of this person is counted in the cycle."""
        return bool(unit.run(_PERSON, {"cycle_id": cycle_id, "person": person}).first()[0])

    def count(self, unit: Unit, assignment_id: str, counted: bool) -> None:
        """An upload is in its round, or not any more."""
        unit.run(_COUNT, {"b_assignment": assignment_id, "counted": counted})

    # -- outputs

    def output(self, row: Any, unit: Unit | None = None) -> Any | None:
        """The sealed output of a round."""
        rows = self._read(unit, _OUTPUT, {"process_id": row.process_id, "sequence": row.sequence})
        return rows[0] if rows else None

    def released(self, unit: Unit, row: Any) -> None:
        """A model was made of the output: from now on it is kept only for a while."""
        unit.run(
            _RELEASED,
            {"b_process": row.process_id, "b_sequence": row.sequence, "released_at": unit.now},
        )

    # -- sessions

    def session(self, process_id: str) -> Any | None:
        """The newest session of a training's worker that all hosts appraised."""
        rows = self._store.read(_SESSION, {"process_id": process_id})
        return rows[0] if rows else None

    def keep_session(self, process_id: str, recorded: bytes) -> None:
        """It takes the place of the one before."""
        with self._store.database.transaction() as session:
            session.execute(delete(ConfidentialSession).where(ConfidentialSession.process_id == process_id))
            values = {"process_id": process_id, "recorded": recorded, "at": self._store.clock.now()}
            session.execute(insert(ConfidentialSession), values)
