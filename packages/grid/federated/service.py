"""Federated learning at a Domain: the messages of :mod:`syft_ext.messages.federated`, answered by the pipeline."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping
from typing import Any

from sqlalchemy import Select, select

from grid.access.viewer import viewer_of
from grid.accounts.events import UserDisabled
from grid.accounts.tables import User
from grid.catalogue.content import SharedContents, download
from grid.catalogue.search import offer
from grid.concurrency.offload import offload
from grid.federated.averaging.plan_process import AveragingSandbox
from grid.federated.averaging.retention import Retention
from grid.federated.consent.identities import SELF
from grid.federated.consent.pages import ReviewPages
from grid.federated.consent.participants import Participants
from grid.federated.consent.reading import Readers, is_manager, readable_by
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.intake.parts import Parts, by_purpose
from grid.federated.participation.collector import Metrics
from grid.federated.participation.moving_parts import MovingParts
from grid.federated.participation.report_parts import REPORT_PARTS, ReportParts, require_room_for_report
from grid.federated.participation.speed_samples import MAX_SAMPLE, noise, noise_digest
from grid.federated.pipeline import TrainingPipeline
from grid.federated.searchable import ModelSearch
from grid.federated.task_management import MODEL_PARTS
from grid.governance.requests.service import RequestService
from grid.node import Context, Download, Node, Principal, Service, handles
from grid.node.replica import replica_name
from grid.outgoing.endpoints import TrustedEndpoints
from grid.spending.keeping import WaitingWatch
from grid.storage.objects.uploads import Uploads
from syft_ext.errors import BadRequest, InvalidToken, NotFound, TooLarge
from syft_ext.messages import Empty
from syft_ext.messages import federated as m
from syft_ext.messages import participation as p
from syft_ext.messages import training_reviews as r
from syft_ext.messages.training_inputs import StandAside
from syft_ext.transport import PayloadReader

__all__ = ["SERVICES", "FederatedService"]

logger = logging.getLogger(__name__)
TOKEN_LIFETIME = 12 * 3600.0
OPEN = ("running", "paused")
"""Where a training is that participants can join."""


class FederatedService(Service):
    """Task management for scientists, assignments for workers, history for watchers.

    Args:
        endpoints: whom the node's owner lets it ask about workers' tokens; nobody when None.
        retention: what is kept of each training; everything when None.
    """

    token_kind = "worker"  # noqa: S105

    def __init__(
        self,
        node: Node,
        *,
        endpoints: TrustedEndpoints | None = None,
        retention: Retention | None = None,
    ) -> None:
        super().__init__(node)
        self._plans = AveragingSandbox(node.plan_processes)
        self._contents, self._moving = SharedContents(node.blobs), MovingParts(node.blobs)
        self._restored = WaitingWatch(node.db)
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
            desk=node.service(RequestService).requests,
            endpoints=endpoints,
            retention=retention,
            verify_key=node.identity.verify_key,
            gate=node.gate,
        )
        definitions = self.pipeline.definitions
        self.readers = Readers(node.db, definitions)
        admit = by_purpose(
            {MODEL_PARTS: self.pipeline.tasks.admit_parts, REPORT_PARTS: require_room_for_report}
        )
        self._parts = Parts(node.db, Uploads(node.db, node.blobs, node.clock, admit=admit))
        self._reports = ReportParts(node.db, self._parts)
        self.participants = Participants(node.db, node.kind.participants)
        self._pages = ReviewPages(self.pipeline.store, definitions, node.plan_processes, self.participants)
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

    def tidy(self) -> int:
        return offload(self.pipeline.pruning.rows) + offload(self._reports.forget_ended)

    def warning(self) -> str:
        waiting = [*self.pipeline.averaging.waiting.values()]
        what = ", ".join(sorted(set(waiting)))
        return f"{len(waiting)} trainings wait for the end of a fault: {what}" if waiting else ""

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        if not isinstance(claims.get("process"), str):
            raise InvalidToken("the token names no training")
        self.participants.check(str(claims.get("identity", "")))
        return Principal("worker", id=claims["sub"], verify_key=claims.get("cnf", ""), claims=claims)

    def readable(self, principal: Principal, process_id: str) -> TrainingDefinition:
        """A training that the caller may read. Raises :class:`NotFound`."""
        return self.readers.find(principal, process_id)

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
            inputs=message.inputs,
        )
        return self._view(process_id)

    @handles(m.UploadModel)
    def upload_model(self, ctx: Context, message: m.UploadModel) -> m.ProcessView:
        definition = self.readers.find_own(ctx.principal, message.process_id, managers=False)
        if message.digest:
            with self._parts.handed_in(_model(definition.id), message.digest) as body:
                self.pipeline.tasks.upload_model(definition.id, body, message.reason)
        else:
            self.pipeline.tasks.upload_model(definition.id, ctx.body, message.reason)
        ctx.note(digest=self.pipeline.definitions.digest(definition.id))
        return self._view(definition.id)

    @handles(p.SendModelPart)
    def send_model_part(self, ctx: Context, message: p.SendModelPart) -> p.PartReply:
        definition = self.readers.find_own(ctx.principal, message.process_id, managers=False)
        limit = self.pipeline.tasks.room_for_model(definition.id)
        return self._part(_model(definition.id), ctx, message, limit)

    def _part(
        self, purpose: str, ctx: Context, message: p.SendModelPart | p.SendReportPart, limit: int
    ) -> p.PartReply:
        received = self._parts.receive(
            purpose,
            message.size,
            message.digest,
            message.offset,
            ctx.body,
            limit=limit,
            empty=ctx.body.size == 0,
        )
        return p.PartReply(received=received, size=message.size)

    @handles(m.ListProcesses)
    def list(self, ctx: Context, message: m.ListProcesses) -> m.ProcessList:
        with self.node.db.read() as session:
            readable = readable_by(session, viewer_of(session, ctx.principal))
        found = self._views(message.name, message.version, readable)
        if is_manager(ctx.principal):
            names = self.participants.names([worker for view in found.processes for worker in view.aside])
            for view in found.processes:
                view.aside_names = {worker: names[worker] for worker in view.aside if worker in names}
        return found

    @handles(m.GetProcess)
    def get(self, ctx: Context, message: m.GetProcess) -> m.ProcessView:
        view = self._view(self.readers.find(ctx.principal, message.process_id).id)
        return self._with_missing(view) if is_manager(ctx.principal) else view

    @handles(m.PauseProcess)
    def pause(self, ctx: Context, message: m.PauseProcess) -> m.ProcessView:
        definition = self.readers.find_own(ctx.principal, message.process_id)
        self.pipeline.tasks.pause(definition.id)
        return self._view(definition.id)

    @handles(m.ResumeProcess)
    def resume(self, ctx: Context, message: m.ResumeProcess) -> m.ProcessView:
        definition = self.readers.find_own(ctx.principal, message.process_id)
        vouched_by = ctx.principal.name if is_manager(ctx.principal) else ""
        self.pipeline.tasks.resume(definition.id, vouched_by)
        return self._view(definition.id)

    @handles(m.CancelProcess)
    def cancel(self, ctx: Context, message: m.CancelProcess) -> m.ProcessView:
        definition = self.readers.find_own(ctx.principal, message.process_id)
        self.pipeline.tasks.cancel(definition.id, message.reason, ctx.principal.id)
        self._parts.forget(_model(definition.id))
        self._reports.forget_ended(definition.id)
        return self._view(definition.id)

    @handles(m.DiscardModels)
    def discard(self, ctx: Context, message: m.DiscardModels) -> m.ProcessView:
        definition = self.readers.find_own(ctx.principal, message.process_id)
        self.pipeline.tasks.discard(definition.id)
        return self._view(definition.id)

    def _view(self, process_id: str) -> m.ProcessView:
        view = self.pipeline.views.process(process_id)
        view.readers = [*self.readers.shares([process_id]).get(process_id, {}).values()]
        view.aside = self.pipeline.aside.of([process_id]).get(process_id, {})
        return view

    def _with_missing(self, view: m.ProcessView) -> m.ProcessView:
        view.missing = self.participants.missing(view.process_id, view.cycle)
        view.aside_names = self.participants.names([*view.aside])
        return view

    def _views(self, name: str, version: str, readable: Select[str] | None) -> m.ProcessList:
        views = self.pipeline.views.processes(name, version, readable)
        shares = self.readers.shares([view.process_id for view in views])
        aside = self.pipeline.aside.of([view.process_id for view in views])
        for view in views:
            view.aside = aside.get(view.process_id, {})
            view.readers = [*shares.get(view.process_id, {}).values()]
        return m.ProcessList(processes=views)

    @handles(m.ProcessHistory)
    def history(self, ctx: Context, message: m.ProcessHistory) -> m.EventsReply:
        definition = self.readers.find(ctx.principal, message.process_id)
        found = self.pipeline.views.events(definition.id, message.after, message.limit)
        return found if is_manager(ctx.principal) else self.pipeline.views.without_outcomes(found)

    @handles(m.WatchProcess)
    def watch(self, ctx: Context, message: m.WatchProcess) -> m.EventsReply:
        definition = self.readers.find(ctx.principal, message.process_id)
        news = self.pipeline.views.watch(definition.id, message.after, message.timeout, ctx.alive)
        self.readers.find(ctx.principal, message.process_id)  # it was a long wait: it may be taken back
        if not is_manager(ctx.principal):
            return self.pipeline.views.without_outcomes(news)
        self._with_missing(news.process)
        return news

    @handles(m.ProcessMetrics)
    def metrics(self, ctx: Context, message: m.ProcessMetrics) -> m.MetricsReply:
        definition = self.readers.find(ctx.principal, message.process_id)
        return m.MetricsReply(cycles=self.pipeline.views.metrics(definition.id))

    @handles(m.RetrieveModel)
    def retrieve_model(self, ctx: Context, message: m.RetrieveModel) -> Download:
        definition = self.readers.find_named(ctx.principal, message.name, message.version)
        view = self.pipeline.views.checkpoint(definition, message.checkpoint)
        return download(self.node.blobs, view.digest, view.size, view)

    # -- review -------------------------------------------------------------------------------------

    @handles(r.ReviewTraining)
    def review(self, ctx: Context, message: r.ReviewTraining) -> r.TrainingReviewPage:
        return self._pages.page(self.readers.reviews(ctx.principal, message.process_id))

    @handles(r.GetDefinition)
    def definition(self, ctx: Context, message: r.GetDefinition) -> r.DefinitionView:
        self._check_looks(ctx, message.process_id)
        view = self._pages.definition(message.process_id)
        if not self.knows(ctx.principal):
            view.review = r.without_names(view.review)
        return view

    @handles(r.GetDefinitionFile)
    def definition_file(self, ctx: Context, message: r.GetDefinitionFile) -> Download:
        self._check_looks(ctx, message.process_id)
        size = self._pages.size_of(message.process_id, message.digest)
        view = r.DefinitionFile(digest=message.digest, size=size)
        return self._contents.download(view.digest, view.size, view)

    def knows(self, principal: Principal) -> bool:
        """Whether the caller has an account here, or is a Worker that was accepted, or joined as one of them.

        Guests of a training are none of these: nobody asked them who they are.
        """
        joined = str(principal.claims.get("identity", "")).removeprefix(SELF)
        if joined.startswith("guest:"):
            return False
        return bool(joined or self.participants.identity_of(principal))

    def _check_looks(self, ctx: Context, process_id: str) -> None:
        """Raise :class:`NotFound` unless the caller may read this training, or take part in it now."""
        joined = ctx.principal.claims.get("process") == process_id
        # Who was invited reads what they were invited to before anybody has accepted them.
        invited = self.participants.guest_of(ctx.principal, process_id)[1] in ("waiting", "accepted")
        if ctx.principal.kind in ("anonymous", "key") and not invited:
            self.participants.admit(ctx.principal)  # before they hear whether there is such a training
        definition = self.pipeline.definitions.get(process_id)
        if self.readers.may_read(ctx.principal, definition):
            return
        if not (joined or invited):
            self.participants.admit(ctx.principal)
        status = self.pipeline.views.process(process_id).status
        # Who has joined may see what they wait for; what is over is nobody's to take part in.
        if status not in (("waiting", *OPEN) if joined else OPEN) or (
            definition.server.authentication is not None and not joined
        ):
            raise NotFound("there is no such training")

    @handles(r.ShareTraining)
    def share(self, ctx: Context, message: r.ShareTraining) -> r.SharesView:
        definition = self.readers.find_own(ctx.principal, message.process_id)
        ctx.note(user=message.user_id)
        users = self.readers.share(definition.id, message.user_id)
        return r.SharesView(process_id=definition.id, users=users)

    @handles(r.UnshareTraining)
    def unshare(self, ctx: Context, message: r.UnshareTraining) -> r.SharesView:
        definition = self.readers.find_own(ctx.principal, message.process_id)
        ctx.note(user=message.user_id)
        users = self.readers.unshare(definition.id, message.user_id)
        return r.SharesView(process_id=definition.id, users=users)

    # -- a worker's part ----------------------------------------------------------------------------

    @handles(m.AuthenticateWorker)
    def authenticate(self, ctx: Context, message: m.AuthenticateWorker) -> m.WorkerView:
        definition = self._named(message.model_name, message.model_version)
        # Before they hear whether there is such a training.
        identity = self.participants.admit(ctx.principal, definition.id if definition else "")
        if definition is None:
            raise self.pipeline.definitions.unknown(message.model_name, message.model_version)
        key = ctx.principal.verify_key
        worker_id = self.pipeline.assignments.authenticate(
            definition,
            message.auth_token,
            identity=identity,
            key=_device(key, identity, message.device),
            bounds=message.bounds,
        )
        token, _ = self.node.tokens.issue(
            "worker", worker_id, TOKEN_LIFETIME, key=key, process=definition.id, identity=identity
        )
        return m.WorkerView(
            worker_id=worker_id,
            token=token,
            process_id=definition.id,
            requires_speed_test=definition.server.requires_speed_test,
            report_format=definition.server.report_format,
        )

    def _named(self, name: str, version: str) -> TrainingDefinition | None:
        try:
            return self.pipeline.definitions.find(name, version)
        except NotFound:
            return None

    @handles(m.SpeedSample)
    def speed_sample(self, ctx: Context, message: m.SpeedSample) -> Download:
        if not 0 <= message.size <= MAX_SAMPLE:
            raise BadRequest(f"size: 0 to {MAX_SAMPLE} bytes", field="size")
        digest = noise_digest(message.size)
        return Download(m.BlobView(digest=digest, size=message.size), noise, message.size, digest)

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
        self._restored.check()
        return self.pipeline.assignments.check_in(
            ctx.principal.claims["process"],
            ctx.principal.id,
            idempotency_key=message.idempotency_key,
            upload=message.upload,
            download=message.download,
            wait=message.wait,
            heartbeats=message.heartbeats,
            alive=ctx.alive,
        )

    @handles(p.AssignmentHeartbeat)
    def heartbeat(self, ctx: Context, message: p.AssignmentHeartbeat) -> p.AssignmentHeartbeatReply:
        row = self._assignment(ctx, message.assignment_id, message.request_key)
        return self.pipeline.assignments.heartbeat(row)

    @handles(StandAside)
    def stand_aside(self, ctx: Context, message: StandAside) -> Empty:
        if ctx.principal.claims["process"] != message.process_id:
            raise NotFound("there is no such training")
        self.pipeline.aside.say(message.process_id, ctx.principal.id, message.reason)
        return Empty()

    @handles(m.GetModel)
    def get_model(self, ctx: Context, message: m.GetModel) -> Download:
        row = self._assignment(ctx, message.assignment_id, message.request_key)
        digest, size = self.pipeline.definitions.checkpoint(row.process_id, row.base_checkpoint)
        view = m.BlobView(digest=digest, size=size)
        if message.moving:
            return self._moving.download(self.pipeline.definitions.layout(row.process_id), view)
        return self._contents.download(digest, size, view)

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

    @handles(p.SendReportPart)
    def send_report_part(self, ctx: Context, message: p.SendReportPart) -> p.PartReply:
        row = self._assignment(ctx, message.assignment_id, message.request_key)
        limit = self.pipeline.collector.room(row)
        if message.offset == 0:
            self._reports.forget_ended(row.process_id)
        return self._part(f"{REPORT_PARTS}{row.id}", ctx, message, limit)

    @handles(m.Report)
    def report(self, ctx: Context, message: m.Report) -> m.ReportReply:
        self._restored.check()
        if not message.digest:
            return self._accept(ctx, message, ctx.body)
        self._assignment(ctx, message.assignment_id, message.request_key)
        with self._reports.handed_in(message.assignment_id, message.digest) as body:
            return self._accept(ctx, message, body)

    def _accept(self, ctx: Context, message: m.Report, body: PayloadReader) -> m.ReportReply:
        return self.pipeline.collector.accept(
            message.assignment_id,
            ctx.principal.id,
            message.request_key,
            body,
            kind=message.kind,
            metrics=Metrics(samples=message.samples, loss=message.loss, accuracy=message.accuracy),
        )

    @handles(p.ReportFailure)
    def report_failure(self, ctx: Context, message: p.ReportFailure) -> Empty:
        self.pipeline.collector.give_up(
            message.assignment_id, ctx.principal.id, message.request_key, message.reason
        )
        self._reports.forget(message.assignment_id)
        return Empty()


def _model(process_id: str) -> str:
    return f"{MODEL_PARTS}{process_id}"


def _device(key: str, identity: str, device: str) -> str:
    """What tells the workers of one identity or key apart. Who has neither could take the name of another's."""
    return f"{key}/{device}" if device and (key or identity) else key


#: What a Domain needs to coordinate trainings.
SERVICES: tuple[type[Service], ...] = (FederatedService,)
