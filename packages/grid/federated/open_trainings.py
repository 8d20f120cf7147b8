"""At the Domain: which trainings Workers can join, and word of it when that changes."""

from __future__ import annotations

import threading
import time

import blake3
import msgspec
from sqlalchemy import select

from grid.federated.state.tables import TrainingProcess
from grid.node import Context, Node, Service, handles
from syft_ext.messages.worker import ListOpenTrainings, OpenTraining, OpenTrainings

__all__ = ["OpenTrainingsService"]

OPEN = ("running", "paused")
#: All who wait share one look at the database in so many seconds: replicas of a Domain share nothing else.
LOOK = 0.25


class OpenTrainingsService(Service):
    """Answers with the open trainings; a caller that knows them waits until they change."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._latest: tuple[float, OpenTrainings] | None = None

    def stop(self) -> None:
        self._stopping.set()

    @handles(ListOpenTrainings)
    def list(self, ctx: Context, message: ListOpenTrainings) -> OpenTrainings:
        deadline = time.monotonic() + message.wait
        while True:
            reply = self._revised()
            left = deadline - time.monotonic()
            if reply.revision != message.revision or left <= 0:
                return reply
            if self._stopping.wait(min(LOOK, left)):
                return reply

    def _revised(self) -> OpenTrainings:
        with self._lock:
            now = time.monotonic()
            if self._latest is None or now - self._latest[0] >= LOOK:
                self._latest = (now, self._read())
            return self._latest[1]

    def _read(self) -> OpenTrainings:
        columns = (
            TrainingProcess.name,
            TrainingProcess.version,
            TrainingProcess.status,
            TrainingProcess.server_config,
            TrainingProcess.created_at,
        )
        query = (
            select(*columns)
            .where(TrainingProcess.status.in_(OPEN))
            .order_by(TrainingProcess.created_at, TrainingProcess.id)
        )
        with self.node.db.read() as session:
            rows = session.execute(query).all()
        trainings = [
            OpenTraining(
                name=row.name,
                version=row.version,
                status=row.status,
                authentication=row.server_config.get("authentication") is not None,
                created_at=row.created_at,
            )
            for row in rows
        ]
        digest = blake3.blake3(msgspec.msgpack.encode(trainings)).hexdigest(length=8)
        return OpenTrainings(trainings=trainings, revision=digest)
