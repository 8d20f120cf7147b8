"""Federated learning at a Domain: the messages of :mod:`syft_ext.messages.federated`, answered by the pipeline."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any

import blake3
from sqlalchemy import select

from grid.accounts.events import UserDisabled
from grid.accounts.tables import User
from grid.catalogue.content import SharedContents, download
from grid.catalogue.search import offer
from grid.federated.averaging.plan_process import AveragingSandbox
from grid.federated.participation.collector import Metrics
from grid.federated.pipeline import TrainingPipeline
from grid.federated.searchable import ModelSearch
from grid.node import Context, Download, Node, Principal, Service, handles
from grid.node.replica import replica_name
from syft_ext.errors import BadRequest, Forbidden, InvalidToken, NotFound, TooLarge
from syft_ext.messages import Empty
from syft_ext.messages import federated as m

__all__ = ["SERVICES", "FederatedService"]

logger = logging.getLogger(__name__)
TOKEN_LIFETIME = 12 * 3600.0
MAX_SAMPLE = 64 << 20
_NOISE = hashlib.shake_256(b"grid speed test").digest(1 << 20)


class FederatedService(Service):
    """Task management for scientists, assignments for workers, history for watchers."""

    token_kind = "worker"  # noqa: S105

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._plans = AveragingSandbox()
        self._contents = SharedContents(node.blobs)
        secret = hashlib.sha256(b"grid training secret" + node.identity.private_pem()).digest()
        self.pipeline = TrainingPipeline(
            node.db,
            node.blobs,
            secret=secret,
            plans=self._plans,
            clock=node.clock,
            bus=node.events,
            jobs=node.jobs,
            replica=replica_name(node.home),
            models=self._contents,
        )
        node.events.subscribe(UserDisabled, lambda event: self._pause_those_of(event.user_id))

    def start(self) -> None:
        self.pipeline.start()
        offer(self.node, ModelSearch(self.node.db))
        # A crash may have come between an account's end and that of its trainings.
        with self.node.db.read() as session:
            disabled = session.scalars(select(User.id).where(User.disabled_at.is_not(None))).all()
        for user_id in disabled:
            self._pause_those_of(user_id)

    def _pause_those_of(self, user_id: str) -> None:
        paused = self.pipeline.tasks.pause_those_of(user_id)
        if paused:
            logger.warning("paused %d trainings of user %s, whose account was disabled", paused, user_id)

    def stop(self) -> None:
        self.pipeline.stop()
        self._plans.close()

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        if not isinstance(claims.get("process"), str):
            raise InvalidToken("the token names no training")
        return Principal("worker", id=claims["sub"], verify_key=claims.get("cnf", ""), claims=claims)

    # -- task management ----------------------------------------------------------------------------

    @handles(m.HostTraining)
    def host(self, ctx: Context, message: m.HostTraining) -> m.ProcessView:
        config = {"name": message.name, "version": message.version, **message.client_config}
        for field in ("name", "version"):
            if config[field] != getattr(message, field):
                raise BadRequest(f"client_config and message name another {field}", field=field)
        process_id = self.pipeline.tasks.create(
            ctx.principal.id,
            client_plans=message.client_plans,
            client_protocols=message.client_protocols,
            averaging_plan=message.averaging_plan,
            client_config=config,
            server_config=message.server_config,
        )
        return self.pipeline.views.process(process_id)

    @handles(m.UploadModel)
    def upload_model(self, ctx: Context, message: m.UploadModel) -> m.ProcessView:
        self._own(ctx, message.process_id)
        self.pipeline.tasks.upload_model(message.process_id, ctx.body)
        return self.pipeline.views.process(message.process_id)

    @handles(m.ListProcesses)
    def list(self, ctx: Context, message: m.ListProcesses) -> m.ProcessList:
        return m.ProcessList(processes=self.pipeline.views.processes(message.name, message.version))

    @handles(m.GetProcess)
    def get(self, ctx: Context, message: m.GetProcess) -> m.ProcessView:
        return self.pipeline.views.process(message.process_id)

    @handles(m.PauseProcess)
    def pause(self, ctx: Context, message: m.PauseProcess) -> m.ProcessView:
        self._own(ctx, message.process_id)
        self.pipeline.tasks.pause(message.process_id)
        return self.pipeline.views.process(message.process_id)

    @handles(m.ResumeProcess)
    def resume(self, ctx: Context, message: m.ResumeProcess) -> m.ProcessView:
        self._own(ctx, message.process_id)
        self.pipeline.tasks.resume(message.process_id)
        return self.pipeline.views.process(message.process_id)

    @handles(m.CancelProcess)
    def cancel(self, ctx: Context, message: m.CancelProcess) -> m.ProcessView:
        self._own(ctx, message.process_id)
        self.pipeline.tasks.cancel(message.process_id, message.reason)
        return self.pipeline.views.process(message.process_id)

    def _own(self, ctx: Context, process_id: str) -> None:
        if self.pipeline.definitions.get(process_id).owner != ctx.principal.id:
            raise Forbidden("only who hosts a training may change it")

    @handles(m.ProcessHistory)
    def history(self, ctx: Context, message: m.ProcessHistory) -> m.EventsReply:
        return self.pipeline.views.events(message.process_id, message.after, message.limit)

    @handles(m.WatchProcess)
    def watch(self, ctx: Context, message: m.WatchProcess) -> m.EventsReply:
        return self.pipeline.views.watch(message.process_id, message.after, message.timeout)

    @handles(m.ProcessMetrics)
    def metrics(self, ctx: Context, message: m.ProcessMetrics) -> m.MetricsReply:
        return m.MetricsReply(cycles=self.pipeline.views.metrics(message.process_id))

    @handles(m.RetrieveModel)
    def retrieve_model(self, ctx: Context, message: m.RetrieveModel) -> Download:
        definition = self.pipeline.definitions.find(message.name, message.version)
        view = self.pipeline.views.checkpoint(definition, message.checkpoint)
        return download(self.node.blobs, view.digest, view.size, view)

    # -- a worker's part ----------------------------------------------------------------------------

    @handles(m.AuthenticateWorker)
    def authenticate(self, ctx: Context, message: m.AuthenticateWorker) -> m.WorkerView:
        definition = self.pipeline.definitions.find(message.model_name, message.model_version)
        key = ctx.principal.verify_key
        worker_id = self.pipeline.assignments.authenticate(
            definition, message.auth_token, f"key:{key}" if key else None
        )
        token, _ = self.node.tokens.issue("worker", worker_id, TOKEN_LIFETIME, key=key, process=definition.id)
        return m.WorkerView(
            worker_id=worker_id,
            token=token,
            process_id=definition.id,
            requires_speed_test=definition.server.requires_speed_test,
            report_format=definition.server.report_format,
        )

    @handles(m.SpeedSample)
    def speed_sample(self, ctx: Context, message: m.SpeedSample) -> Download:
        if not 0 <= message.size <= MAX_SAMPLE:
            raise BadRequest(f"size: 0 to {MAX_SAMPLE} bytes", field="size")
        digest = _noise_digest(message.size)
        return Download(m.BlobView(digest=digest, size=message.size), _noise, message.size, digest)

    @handles(m.SpeedUpload)
    def speed_upload(self, ctx: Context, message: m.SpeedUpload) -> Empty:
        received = 0
        for piece in ctx.body:
            received += len(piece)
            if received > MAX_SAMPLE:
                raise TooLarge("a speed test takes no more", limit=MAX_SAMPLE)
        return Empty()

    @handles(m.CheckIn)
    def check_in(self, ctx: Context, message: m.CheckIn) -> m.CheckInReply:
        return self.pipeline.assignments.check_in(
            ctx.principal.claims["process"],
            ctx.principal.id,
            idempotency_key=message.idempotency_key,
            upload=message.upload,
            download=message.download,
            wait=message.wait,
        )

    @handles(m.GetModel)
    def get_model(self, ctx: Context, message: m.GetModel) -> Download:
        row = self._assignment(ctx, message.assignment_id, message.request_key)
        digest, size = self.pipeline.definitions.checkpoint(row.process_id, row.base_checkpoint)
        return self._contents.download(digest, size, m.BlobView(digest=digest, size=size))

    @handles(m.GetPlan)
    def get_plan(self, ctx: Context, message: m.GetPlan) -> Download:
        row = self._assignment(ctx, message.assignment_id, message.request_key)
        return self._file(row.process_id, "plan", message.plan_id)

    @handles(m.GetProtocol)
    def get_protocol(self, ctx: Context, message: m.GetProtocol) -> Download:
        row = self._assignment(ctx, message.assignment_id, message.request_key)
        return self._file(row.process_id, "protocol", message.protocol_id)

    def _assignment(self, ctx: Context, assignment_id: str, request_key: str) -> Any:
        return self.pipeline.collector.find_active(assignment_id, ctx.principal.id, request_key)

    def _file(self, process_id: str, kind: str, file_id: str) -> Download:
        for file in self.pipeline.definitions.get(process_id).files:
            if file.kind == kind and file.id == file_id:
                view = m.BlobView(digest=file.digest, size=file.size)
                return self._contents.download(file.digest, file.size, view)
        raise NotFound(f"the training has no such {kind}")

    @handles(m.Report)
    def report(self, ctx: Context, message: m.Report) -> m.ReportReply:
        return self.pipeline.collector.accept(
            message.assignment_id,
            ctx.principal.id,
            message.request_key,
            ctx.body,
            kind=message.kind,
            metrics=Metrics(samples=message.samples, loss=message.loss, accuracy=message.accuracy),
        )

    @handles(m.ReportFailure)
    def report_failure(self, ctx: Context, message: m.ReportFailure) -> Empty:
        self.pipeline.collector.give_up(
            message.assignment_id, ctx.principal.id, message.request_key, message.reason
        )
        return Empty()


def _noise(start: int, stop: int) -> Iterator[memoryview]:
    """Bytes that do not compress, the same in every megabyte."""
    view = memoryview(_NOISE)
    while start < stop:
        offset = start % len(view)
        piece = view[offset : offset + min(stop - start, len(view) - offset)]
        start += len(piece)
        yield piece


@lru_cache(maxsize=16)
def _noise_digest(size: int) -> str:
    hasher = blake3.blake3()
    for piece in _noise(0, size):
        hasher.update(piece)
    return hasher.hexdigest()


#: What a Domain needs to coordinate trainings.
SERVICES: tuple[type[Service], ...] = (FederatedService,)
