"""The model updater: applies an aggregate to the model of its cycle and writes the next one, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from sqlalchemy import insert

from grid.federated import tables as t
from grid.federated.aggregation.base import Aggregate
from grid.federated.aggregation.numbers import BLOCK, all_finite, narrow
from grid.federated.aggregation.tensor_file import TensorFile
from grid.federated.store import TrainingStore, Unit
from grid.storage.blobs import Blob
from grid.storage.buffers import WHOLE
from grid.storage.prepared import Prepared
from grid.storage.references import record
from syft_ext.errors import BadRequest

__all__ = ["ModelUpdater"]

_INSERT = Prepared(insert(t.Checkpoint))
WRITE = 4 * BLOCK
"""Elements that are computed and written at a time (4 MB of float32)."""


class ModelUpdater:
    """Args: ``made``: is given each small model (digest, content)."""

    def __init__(self, store: TrainingStore, made: Callable[[str, bytearray], None]) -> None:
        self._store, self._made = store, made

    def apply(self, base: TensorFile, aggregate: Aggregate) -> Blob:
        """Write base minus aggregate as a new content with the layout of ``base``.

        Raises :class:`BadRequest` when the result is not finite: the model is not replaced by such a thing.
        """
        if base.layout.total_size > WHOLE:
            return self._store.blobs.put(_model(base, aggregate))
        content = bytearray(base.layout.total_size)
        target, position = np.frombuffer(content, np.uint8), 0
        for piece in _model(base, aggregate):
            target[position : position + len(piece)] = piece
            position += len(piece)
        blob = self._store.blobs.keep(content)
        self._made(blob.digest, content)
        return blob

    def publish(self, unit: Unit, blob: Blob) -> int:
        """Make ``blob`` the training's next checkpoint, in the unit that completes its cycle; its number."""
        assert unit.cycle is not None
        number = unit.cycle.base_checkpoint + 1
        record(unit.link, blob)
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


def _model(base: TensorFile, aggregate: Aggregate) -> Iterator[memoryview]:
    """The file of base minus aggregate, in pieces."""
    yield base.view[: base.layout.data_offset]
    for run, values in zip(aggregate.runs, aggregate.values, strict=True):
        for start in range(0, len(values), WRITE):
            stop = min(start + WRITE, len(values))
            part = values[start:stop]
            with np.errstate(all="ignore"):
                np.multiply(part, part.dtype.type(-aggregate.scale), out=part)
                np.add(part, base.numbers(run, start, stop), out=part)
                raw = np.ascontiguousarray(narrow(part, run[0])).view(np.uint8)
            base.release(run, start, stop)
            if not all_finite(raw, run[0]):
                raise BadRequest("the averaged model is not finite: the reports make it overflow")
            yield raw.data
