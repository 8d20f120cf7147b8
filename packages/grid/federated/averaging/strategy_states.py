"""What strategies keep between cycles: written with the model that it belongs to, freed when nobody needs it.

A state is a content like a model. It stands in the database beside the checkpoint that was made with it, in the
same transaction, so that no crash can part them. It is needed until the next one is written, or the training ends.
"""

from __future__ import annotations

from sqlalchemy import bindparam, delete, insert, select, update

from grid.aggregation.strategies.files import check_state
from grid.aggregation.tensor_file import TensorFile
from grid.federated.averaging.strategies import ChosenStrategy
from grid.federated.state.events import StateForgotten, TrainingEnded
from grid.federated.state.machines.training import TrainingStatus
from grid.federated.state.store import TrainingStore, Unit
from grid.federated.state.strategy_tables import StrategyStateRow
from grid.node.events import EventBus
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Unsupported
from syft_ext.tensors import Layout

__all__ = ["StrategyStates"]

HOSTED = 1
"""Number of the checkpoint that is uploaded; cycles make the others."""

_DIGEST = PreparedStatement(
    select(StrategyStateRow.digest).where(
        StrategyStateRow.process_id == bindparam("process_id"), StrategyStateRow.number == bindparam("number")
    )
)
_KEPT = PreparedStatement(
    select(StrategyStateRow.number, StrategyStateRow.blob_digest).where(
        StrategyStateRow.process_id == bindparam("process_id")
    )
)
_FORGET = PreparedStatement(
    delete(StrategyStateRow).where(
        StrategyStateRow.process_id == bindparam("process_id"), StrategyStateRow.number > bindparam("number")
    )
)
_INSERT = PreparedStatement(insert(StrategyStateRow))
_HELD = PreparedStatement(
    select(StrategyStateRow.blob_digest, StrategyStateRow.size).where(
        StrategyStateRow.process_id == bindparam("process_id"), StrategyStateRow.blob_digest.is_not(None)
    )
)
_RELEASE = PreparedStatement(
    update(StrategyStateRow).where(
        StrategyStateRow.process_id == bindparam("b_process"), StrategyStateRow.blob_digest.is_not(None)
    )
)


class StrategyStates:
    """Reads, publishes and frees them. Trainings whose strategy keeps nothing cost nothing."""

    def __init__(self, store: TrainingStore, bus: EventBus) -> None:
        self._store, self._bus = store, bus
        bus.subscribe(TrainingEnded, self._ended)

    def of(self, process_id: str, number: int, chosen: ChosenStrategy, layout: Layout) -> TensorFile | None:
        """The state that belongs to checkpoint ``number``: what the next one is made from. None: there is none, as
        the strategy keeps nothing, or the checkpoint is the hosted model.

        Raises :class:`Unsupported` when it is not what the strategy declares, or a cycle made the checkpoint
        without one: another version did. To begin anew would be another training than was asked for.
        """
        entries = chosen.state(layout)
        if not entries:
            return None
        rows = self._store.read(_DIGEST, {"process_id": process_id, "number": number})
        if not rows:
            if number == HOSTED:
                return None
            raise Unsupported(f"the strategy {chosen.strategy.name} has no state with checkpoint {number}")
        state = TensorFile(self._store.blobs.map(rows[0].digest, hold=True))
        check_state(state, chosen.strategy, entries)
        return state

    def publish(self, unit: Unit, number: int, blob: Blob) -> None:
        """Make ``blob`` the state of checkpoint ``number``, in the unit that publishes that."""
        self.release(unit)
        record(unit.connection, blob)
        row = {
            "process_id": unit.process.id,
            "number": number,
            "digest": blob.digest,
            "size": blob.size,
            "blob_digest": blob.digest,
        }
        unit.run(_INSERT, row)

    def _ended(self, event: TrainingEnded) -> None:
        """One that failed may be resumed, from just this state."""
        if event.unit.process.status != TrainingStatus.FAILED:
            self.release(event.unit)

    def has(self, process_id: str, number: int) -> bool:
        """Whether checkpoint ``number`` has what was kept with it, if the training's strategy keeps anything."""
        rows = self._store.read(_KEPT, {"process_id": process_id})
        return number == HOSTED or not rows or any(row.number == number and row.blob_digest for row in rows)

    def forget_after(self, unit: Unit, number: int) -> None:
        """Drop what belongs to later checkpoints than ``number``: they are made anew."""
        unit.run(_FORGET, {"process_id": unit.process.id, "number": number})

    def release(self, unit: Unit) -> None:
        """Free what is kept for the training's next cycle: there is none, or it has another."""
        held = unit.run(_HELD, {"process_id": unit.process.id}).all()
        if held:
            unit.run(_RELEASE, {"b_process": unit.process.id, "blob_digest": None})
            contents = {row.blob_digest: row.size for row in held}
            unit.after_commit(lambda: self._bus.publish(StateForgotten(contents)))
