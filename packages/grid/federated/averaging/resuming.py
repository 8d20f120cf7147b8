"""From where a training that failed can be taken up: the latest checkpoint whose contents are whole.

What failed may have failed because of its latest model: a content that is gone or corrupt is not begun from.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator

from blake3 import blake3
from sqlalchemy import bindparam, delete, select

from grid.concurrency.offload import offload
from grid.federated.averaging.strategy_states import StrategyStates
from grid.federated.state import tables as t
from grid.federated.state.machines.training import TrainingStatus
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.blobs.interface import BlobReader
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Conflict, ContentDamaged, NotFound

__all__ = ["Resuming"]

logger = logging.getLogger(__name__)

_PIECE = 4 << 20
_CHECKPOINTS = select(t.Checkpoint.number, t.Checkpoint.blob_digest).where(
    t.Checkpoint.process_id == bindparam("process_id")
)
_LATEST_FIRST = _CHECKPOINTS.order_by(t.Checkpoint.number.desc())
_STATUS = select(t.TrainingProcess.status).where(t.TrainingProcess.id == bindparam("process_id"))
_DROP = PreparedStatement(
    delete(t.Checkpoint).where(
        t.Checkpoint.process_id == bindparam("process_id"), t.Checkpoint.number > bindparam("number")
    )
)


class Resuming:
    """Finds the checkpoint, and makes it the latest."""

    def __init__(self, store: TrainingStore, states: StrategyStates) -> None:
        self._store, self._states = store, states

    def good_checkpoint(self, process_id: str) -> int | None:
        """The number of the latest checkpoint that a training which failed can go on from; None for any other
        training.

        Raises :class:`Conflict` where there is none: its contents were discarded, or are lost.
        """
        key = {"process_id": process_id}
        status = [row.status for row in self._store.read(_STATUS, key)]
        if status != [TrainingStatus.FAILED]:
            return None
        found = self._store.read(_LATEST_FIRST, key)
        if not found:
            raise Conflict("the models of this training were discarded: host it anew", reason="discarded")
        for row in found:
            if not offload(self._is_whole, row.blob_digest):
                logger.error("checkpoint %d of training %s is not whole", row.number, process_id)
            elif self._states.has(process_id, row.number):
                return int(row.number)
            else:
                raise Conflict(
                    f"checkpoint {row.number} is the last good one, and what the training's strategy kept with it "
                    "is gone: host a training of that model",
                    checkpoint=row.number,
                    reason="no-state",
                )
        raise Conflict("none of the models of this training can be read", reason="contents-lost")

    def begin_from(self, unit: Unit, number: int) -> None:
        """Make checkpoint ``number`` the latest, in the unit that resumes the training."""
        if number == unit.process.latest_checkpoint:
            return
        unit.run(_DROP, {"process_id": unit.process.id, "number": number})
        self._states.forget_after(unit, number)
        unit.record("process", unit.process.id, unit.process.status, unit.process.status, resumed_from=number)
        unit.process.cycles_completed -= unit.process.latest_checkpoint - number
        unit.process.latest_checkpoint = number

    def forget(self, unit: Unit) -> None:
        """It will not be resumed: its contents go."""
        self._states.release(unit)

    def _is_whole(self, digest: str) -> bool:
        try:
            with self._store.blobs.open(digest) as reader:
                hasher = blake3()
                for piece in _pieces(reader):
                    hasher.update(piece)
                return hasher.hexdigest() == digest
        except (NotFound, ContentDamaged, OSError):
            return False


def _pieces(reader: BlobReader) -> Iterator[bytes]:
    start = 0
    while piece := reader.read(start, start + _PIECE):
        yield piece
        start += len(piece)
