"""At the Domain: which trainings Workers can join, and word of it when that changes."""

from __future__ import annotations

import threading
import time

import blake3
import msgspec
from sqlalchemy import select

from grid.federated.consent.reviews import REVIEW, review_of
from grid.federated.service import OPEN, FederatedService
from grid.federated.state.consent_tables import TrainingReviewRow
from grid.federated.state.tables import TrainingProcess
from grid.node import Context, Node, Service, handles
from syft_ext.messages.training_reviews import without_names
from syft_ext.messages.worker import ListOpenTrainings, OpenTraining, OpenTrainings

__all__ = ["OpenTrainingsService"]

#: All who wait share one look at the database in so many seconds: replicas of a Domain share nothing else.
LOOK = 0.25


class OpenTrainingsService(Service):
    """Answers with the open trainings; a caller that knows them waits until they change."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._federated = node.service(FederatedService)
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._latest: tuple[float, OpenTrainings] | None = None
        self._unnamed: tuple[str, OpenTrainings] | None = None

    def stop(self) -> None:
        self._stopping.set()

    @handles(ListOpenTrainings)
    def list(self, ctx: Context, message: ListOpenTrainings) -> OpenTrainings:
        known = bool(self._federated.participants.admit(ctx.principal))
        deadline = time.monotonic() + message.wait
        while True:
            reply = self._revised() if known else self._without_names()
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

    def _without_names(self) -> OpenTrainings:
        """As anybody sees it whom this Domain does not know."""
        full = self._revised()
        kept = self._unnamed
        if kept is None or kept[0] != full.revision:
            shown = [
                msgspec.structs.replace(each, review=without_names(each.review)) for each in full.trainings
            ]
            kept = self._unnamed = (full.revision, OpenTrainings(trainings=shown, revision=full.revision))
        return kept[1]

    def _read(self) -> OpenTrainings:
        columns = (
            TrainingProcess.id,
            TrainingProcess.name,
            TrainingProcess.version,
            TrainingProcess.status,
            TrainingProcess.server_config,
            TrainingProcess.created_at,
        )
        query = (
            select(*columns, *REVIEW)
            .outerjoin(TrainingReviewRow, TrainingReviewRow.process_id == TrainingProcess.id)
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
                process_id=row.id,
                plans=self._digests(row.id, "plan"),
                protocols=self._digests(row.id, "protocol"),
                review=review_of(row),
            )
            for row in rows
        ]
        digest = blake3.blake3(msgspec.msgpack.encode(trainings)).hexdigest(length=8)
        return OpenTrainings(trainings=trainings, revision=digest)

    def _digests(self, process_id: str, kind: str) -> dict[str, str]:
        files = self._federated.pipeline.definitions.get(process_id).files
        return {file.name: file.digest for file in files if file.kind == kind}
