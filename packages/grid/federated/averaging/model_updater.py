"""The model updater: applies an aggregate to the model of its cycle and writes the next one, once."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import insert

from grid.aggregation.base import Aggregate
from grid.aggregation.numbers import BLOCK, all_finite, narrow, widen
from grid.aggregation.tensor_file import Run, TensorFile
from grid.federated.state import tables as t
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest

__all__ = ["ModelMemory", "ModelUpdater"]

_INSERT = PreparedStatement(insert(t.Checkpoint))
SMALL = 2 << 20
"""Bytes of the largest model that is made whole in memory, and stays there for its workers."""
WRITE = 4 * BLOCK
"""Elements that are computed and written at a time (4 MB of float32)."""


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


class ModelUpdater:
    """Applies aggregates, and publishes what comes out."""

    def __init__(self, store: TrainingStore, memory: ModelMemory | None = None) -> None:
        self._store, self._memory = store, memory or _NoMemory()

    def apply(self, base: TensorFile, aggregate: Aggregate, *, repeatable: bool) -> Blob:
        """Write base minus aggregate as a new content with the layout of ``base``.

        Args:
            repeatable: the same reports would give the same model again; it need not be durable at once.

        Raises :class:`BadRequest` when the result is not finite: the model is not replaced by such a thing.
        """
        if base.layout.total_size > SMALL:
            return self._store.blobs.put(_pieces(base, aggregate))
        content = self._memory.room(base.layout.total_size)
        _fill(memoryview(content), base, aggregate)
        unsynced = self._store.blobs.unsynced if repeatable else None
        if unsynced is not None and len(content) <= unsynced.unsynced_limit:
            blob = unsynced.store_unsynced(content)
        else:
            blob = self._store.blobs.put((content,))
        self._memory.put(blob.digest, content)
        return blob

    def publish(self, unit: Unit, blob: Blob) -> int:
        """Make ``blob`` the training's next checkpoint, in the unit that completes its cycle; its number."""
        assert unit.cycle is not None
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
        unit.process.latest_checkpoint = number
        return number


def _pieces(base: TensorFile, aggregate: Aggregate) -> Iterator[memoryview]:
    """The file of base minus aggregate; a piece is valid until the next one is asked for."""
    yield base.view[: base.layout.data_offset]
    for run, values in zip(aggregate.runs, aggregate.values, strict=True):
        room = np.empty(min(WRITE, len(values)), values.dtype)
        for start in range(0, len(values), WRITE):
            stop = min(start + WRITE, len(values))
            _subtract(base, run, values, start, stop, aggregate.scale, room[: stop - start])
            raw = np.ascontiguousarray(narrow(room[: stop - start], run[0])).view(np.uint8)
            base.release(run, start, stop)
            _check(raw, run[0])
            yield raw.data


def _fill(content: memoryview, base: TensorFile, aggregate: Aggregate) -> None:
    """Write the file of base minus aggregate into ``content``: computed where it stays, if its dtype allows."""
    offset = base.layout.data_offset
    content[:offset] = base.view[:offset]
    for run, values in zip(aggregate.runs, aggregate.values, strict=True):
        dtype, first, last = run
        raw = np.frombuffer(content[offset + first : offset + last], np.uint8)
        target = widen(raw, dtype)  # which is a view where sums have the same dtype
        _subtract(base, run, values, 0, len(values), aggregate.scale, target)
        if not np.shares_memory(target, raw):
            raw[:] = narrow(target, dtype).view(np.uint8)
        _check(raw, dtype)


def _subtract(
    base: TensorFile,
    run: Run,
    values: NDArray[Any],
    start: int,
    stop: int,
    scale: float,
    target: NDArray[Any],
) -> None:
    """Base minus scale times ``values``: elements ``start`` to ``stop`` of the stretch ``run``, to ``target``."""
    numbers, part = base.numbers(run, start, stop), values[start:stop]
    with np.errstate(all="ignore"):
        if scale == 1:
            np.subtract(numbers, part, out=target)
        else:
            np.multiply(part, part.dtype.type(-scale), out=target)
            np.add(target, numbers, out=target)


def _check(raw: NDArray[Any], dtype: str) -> None:
    if not all_finite(raw, dtype):
        raise BadRequest("the averaged model is not finite: the reports make it overflow")
