"""The model updater: applies an aggregate to the model of its cycle and writes the next one, once."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Protocol

from sqlalchemy import insert

from grid.aggregation.base import Aggregate
from grid.aggregation.strategies.files import fill_model, model_pieces, state_layout, state_pieces
from grid.aggregation.strategies.interface import WriteNumbers, subtraction
from grid.aggregation.tensor_file import TensorFile
from grid.federated.averaging.strategies import ChosenStrategy, TrainingStrategies
from grid.federated.averaging.strategy_states import StrategyStates
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.state import tables as t
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.tensors import Layout

__all__ = ["ModelMemory", "ModelUpdater", "NextModel", "Step"]

_INSERT = PreparedStatement(insert(t.Checkpoint))
SMALL = 2 << 20
"""Bytes of the largest model that is made whole in memory, and stays there for its workers."""


class ModelMemory(Protocol):
    """Where small models are made, and stay for the workers that ask for them at once."""

    def room(self, size: int) -> bytearray:
        """Memory for a model, with anything in it."""

    def put(self, digest: str, content: bytearray) -> None:
        """A model that was made in it, and is stored."""


class _NoMemory:
    """Keeps nothing: models are read from their files."""

    def room(self, size: int) -> bytearray:
        return bytearray(size)

    def put(self, digest: str, content: bytearray) -> None:
        pass


@dataclass(frozen=True, slots=True)
class Step:
    """From one checkpoint to the next.

    Attributes:
        chosen: the training's strategy; None for a hosted averaging plan, whose aggregate is subtracted.
        state: what the strategy kept with the checkpoint; None: nothing.
    """

    chosen: ChosenStrategy | None
    state: TensorFile | None


@dataclass(frozen=True, slots=True)
class NextModel:
    """What comes out of a cycle: a model, and the state that the training's strategy keeps with it, if any.

    Both are held until it is left.
    """

    model: Blob
    state: Blob | None

    def __enter__(self) -> NextModel:
        return self

    def __exit__(self, *error: object) -> None:
        self.model.release()
        if self.state is not None:
            self.state.release()


class ModelUpdater:
    """Applies aggregates, and publishes what comes out."""

    def __init__(
        self,
        store: TrainingStore,
        strategies: TrainingStrategies,
        states: StrategyStates,
        memory: ModelMemory | None = None,
    ) -> None:
        self._store, self._strategies, self._states = store, strategies, states
        self._memory = memory or _NoMemory()

    def step(self, definition: TrainingDefinition, number: int, layout: Layout) -> Step:
        """What makes the next model of a training out of checkpoint ``number``.

        Raises :class:`Unavailable` and :class:`Unsupported` where its strategy, or what that kept, is no use.
        """
        if definition.averaging_plan is not None:
            return Step(None, None)
        chosen = self._strategies.of(definition)
        return Step(chosen, self._states.of(definition.id, number, chosen, layout))

    def apply(self, base: TensorFile, aggregate: Aggregate, step: Step, *, repeatable: bool) -> NextModel:
        """Write what the strategy makes of ``base`` and the aggregate: its next state, then the next model.

        Args:
            repeatable: the same reports would give the same model again; it need not be durable at once. A state
                goes with its model: both are durable, or neither.

        Raises :class:`NotFinite` when the result is not finite: the model is not replaced by such a thing.
        """
        chosen = step.chosen
        entries = chosen.state(base.layout) if chosen is not None else ()
        if chosen is None or not entries:
            early = repeatable and self._early(base.layout)
            return NextModel(
                self._write(base, aggregate, _next_model(base, aggregate, chosen, None), early), None
            )
        strategy, parameters = chosen.strategy, chosen.parameters
        early = repeatable and self._early(base.layout, state_layout(strategy, entries))
        kept = self._put(state_pieces(strategy, entries, base, aggregate, step.state, parameters), early)
        with ExitStack() as failed:
            failed.enter_context(kept)
            following = TensorFile(self._store.blobs.map(kept.digest, hold=True))
            model = self._write(base, aggregate, _next_model(base, aggregate, chosen, following), early)
            failed.pop_all()
        return NextModel(model, kept)

    def _early(self, *layouts: Layout) -> bool:
        """Whether contents of these layouts can be used before they are durable."""
        unsynced = self._store.blobs.unsynced
        limit = 0 if unsynced is None else min(SMALL, unsynced.unsynced_limit)
        return all(layout.total_size <= limit for layout in layouts)

    def _put(self, pieces: Iterable[memoryview], early: bool) -> Blob:
        unsynced = self._store.blobs.unsynced
        if early and unsynced is not None:
            return unsynced.store_unsynced(b"".join(pieces))
        return self._store.blobs.put(pieces)

    def _write(self, base: TensorFile, aggregate: Aggregate, write: WriteNumbers, early: bool) -> Blob:
        """Store the next model; a small one is made in memory, and stays there for its workers."""
        if base.layout.total_size > SMALL:
            return self._store.blobs.put(model_pieces(base, aggregate.runs, write, aggregate))
        content = self._memory.room(base.layout.total_size)
        fill_model(memoryview(content), base, aggregate.runs, write, aggregate)
        unsynced = self._store.blobs.unsynced
        if early and unsynced is not None:
            blob = unsynced.store_unsynced(content)
        else:
            blob = self._store.blobs.put((content,))
        self._memory.put(blob.digest, content)
        return blob

    def publish(self, unit: Unit, made: NextModel) -> int:
        """Make it the training's next checkpoint, in the unit that completes its cycle; its number."""
        assert unit.cycle is not None
        blob = made.model
        number = unit.cycle.base_checkpoint + 1
        record(unit.connection, blob)
        unit.run(
            _INSERT,
            {
                "process_id": unit.process.id,
                "number": number,
                "blob_digest": blob.digest,
                "size": blob.size,
                "cycle_id": unit.cycle.id,
                "created_at": unit.now,
            },
        )
        if made.state is not None:
            self._states.publish(unit, number, made.state)
        unit.process.latest_checkpoint = number
        return number


def _next_model(
    base: TensorFile, aggregate: Aggregate, chosen: ChosenStrategy | None, state: TensorFile | None
) -> WriteNumbers:
    if chosen is None:
        return subtraction(base, aggregate)
    return chosen.strategy.next_model(base, aggregate, state, chosen.parameters)
