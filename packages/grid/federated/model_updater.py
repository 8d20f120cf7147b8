"""The model updater: applies an aggregate to the model of its cycle and writes the next one, once."""

from __future__ import annotations

import numpy as np
from sqlalchemy import insert

from grid.federated import tables as t
from grid.federated.aggregation.base import Aggregate
from grid.federated.aggregation.numbers import BLOCK, all_finite, narrow
from grid.federated.aggregation.tensor_file import TensorFile
from grid.federated.store import TrainingStore, Unit
from grid.storage.blobs import Blob
from grid.storage.prepared import Prepared
from grid.storage.references import record
from syft_ext.errors import BadRequest

__all__ = ["ModelUpdater"]

_INSERT = Prepared(insert(t.Checkpoint))
WRITE = 4 * BLOCK
"""Elements that are computed and written at a time (4 MB of float32)."""


class ModelUpdater:
    def __init__(self, store: TrainingStore) -> None:
        self._store = store

    def apply(self, base: TensorFile, aggregate: Aggregate) -> Blob:
        """Write base minus aggregate as a new content with the layout of ``base``.

        Raises :class:`BadRequest` when the result is not finite: the model is not replaced by such a thing.
        """
        with self._store.blobs.create(base.layout.total_size) as writer:
            writer.write(bytes(base.view[: base.layout.data_offset]))
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
                    writer.write(raw.data)
            return writer.commit()

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
