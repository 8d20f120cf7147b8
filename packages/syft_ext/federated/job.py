"""One worker's part in a training: ``FLJob`` (paper, listings 7 and 8)."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any, Protocol

import torch

from syft_ext.errors import Conflict, GridError, InvalidToken
from syft_ext.federated.batches import PlanTrainer
from syft_ext.federated.events import Listener, Listeners, Progress, RunSummary
from syft_ext.federated.formats import EncodedReport, ReportContext, encoder_of
from syft_ext.federated.participation import Participation
from syft_ext.federated.retry import Persistence
from syft_ext.federated.session import WorkerSession
from syft_ext.ids import new_id
from syft_ext.messages.federated import (
    CheckInReply,
    GetModel,
    GetPlan,
    GetProtocol,
    Report,
    ReportFailure,
    ReportReply,
)
from syft_ext.plans import Plan
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.training_plan import Account, TrainingPlan

__all__ = ["FLJob", "JobClient", "PlanLoader"]

PlanLoader = Callable[[bytes], Plan]
REPORT_PATIENCE = 60.0  # seconds for which a report is sent again when its answer was lost


def load_checked(data: bytes) -> Plan:
    """Read a downloaded plan, check what it may cost, and see that this machine computes it right."""
    plan = TrainingPlan.loads(data)
    plan.check()
    plan.self_test()
    return plan


class JobClient(Protocol):
    """What a job needs of the client that made it; see :class:`~syft_ext.federated.fl_client.FLClient`."""

    worker_id: str | None
    load_plan: PlanLoader | None
    report_metrics: bool

    def session(self, name: str, version: str) -> WorkerSession:
        """The worker's part in that training."""


class FLJob:
    """Takes part in one cycle with :meth:`start`, or in all with :meth:`run`.

    Attributes:
        plans: name → plan, downloaded and checked. A plan that returns updated parameters gives a
            :class:`StepResult`: ``(model_params,) = plan(…)``, ``plan(…).loss``.
        protocols: name → bytes.
        model: the parameters that the cycle starts from; yours to change.
        client_config: what the training's host configured for its workers.
        assignment: the Domain's answer that gave this job its part in a cycle; None without one.
        account: samples, loss and accuracy of the plan's steps in this cycle.
    """

    EVENT_ACCEPTED = "accepted"
    EVENT_REJECTED = "rejected"
    EVENT_ERROR = "error"
    EVENT_CYCLE_STARTED = "cycle_started"
    EVENT_PROGRESS = "progress"
    EVENT_FINISHED = "finished"

    def __init__(self, client: JobClient, model_name: str, model_version: str) -> None:
        self.client, self.model_name, self.model_version = client, model_name, model_version
        self.plans: dict[str, Plan] = {}
        self.protocols: dict[str, bytes] = {}
        self.model = Parameters([])
        self.client_config: dict[str, Any] = {}
        self.assignment: CheckInReply | None = None
        self.account = Account()
        self.reported = False
        self.session = client.session(model_name, model_version)
        self.stopped = threading.Event()
        self._base = Parameters([])
        self._plans_by_id: dict[str, Plan] = {}
        self._listeners = Listeners()

    # -- events -------------------------------------------------------------------------------------

    def add_listener(self, event: str, listener: Listener) -> None:
        """Call ``listener(job, …)`` at ``event``: accepted ``(job)``, rejected ``(job, timeout)``, error
        ``(job, error)``, cycle_started ``(job, cycle)``, progress ``(job, progress)``, finished
        ``(job, summary)``. ``timeout`` is in seconds, or None when the training is over.
        """
        self._listeners.add(event, listener)

    def emit(self, event: str, *args: Any) -> None:
        """Call the listeners of ``event`` with this job and ``args``."""
        self._listeners.emit(event, self, *args)

    def emit_progress(self, updates: int | None = None) -> None:
        """Tell the listeners of ``progress`` where :attr:`account` stands."""
        account = self.account
        progress = Progress(
            self.cycle, account.updates, updates, account.samples, account.loss, account.accuracy
        )
        self.emit(self.EVENT_PROGRESS, progress)

    def emit_error(self, error: Exception) -> None:
        """Tell the listeners of ``error``; where there are none, raise it: no error passes unseen."""
        if not self._listeners.any(self.EVENT_ERROR):
            raise error
        self.emit(self.EVENT_ERROR, error)

    # -- where it stands ----------------------------------------------------------------------------

    @property
    def worker_id(self) -> str | None:
        """As the Domain knows this worker in this training; None before it has joined."""
        return self.session.worker.worker_id if self.session.worker else None

    @property
    def cycle(self) -> int:
        """Number of the cycle that this job takes part in, from 1; 0 before any."""
        return self.assignment.cycle if self.assignment else 0

    @property
    def num_cycles(self) -> int:
        """Cycles of the whole training; 0: until somebody cancels it."""
        return self.assignment.num_cycles if self.assignment else 0

    @property
    def deadline(self) -> float | None:
        """Until when the report must have arrived, seconds since the epoch."""
        return self.assignment.deadline if self.assignment else None

    def __repr__(self) -> str:
        state = "reported" if self.reported else "assigned" if self.assignment else "idle"
        number = f", cycle {self.cycle}" if self.cycle else ""
        return f"<FLJob {self.model_name!r} {self.model_version!r}{number}, {state}>"

    # -- one cycle ----------------------------------------------------------------------------------

    def start(self) -> None:
        """Take part in one cycle: check in, download model and plans, and call the listeners.

        Accepted: ``accepted`` listeners train and call :meth:`report`. Rejected: ``rejected`` listeners get
        the seconds after which to ask again, or None when the training is over. Any failure goes to the
        ``error`` listeners, and is raised where there are none; the assignment is given back then.
        """
        try:
            self.authenticate()
            reply = self._check_in_once()
            if reply.status == "rejected":
                self.emit(self.EVENT_REJECTED, reply.retry_after)
                return
            self.take(reply)
            self.announce()
        except Exception as error:
            self.give_back(f"{type(error).__name__}: {error}")
            self.emit_error(error)
        except BaseException:
            self.give_back("interrupted")
            raise

    def _check_in_once(self) -> CheckInReply:
        key = new_id()
        try:
            return self.session.check_in(key)
        except InvalidToken:
            self.session.authenticate()  # the token's time was up
            return self.session.check_in(key)

    def authenticate(self) -> None:
        """Join the training unless that was done.

        Raises :class:`~syft_ext.errors.Unsupported` when this SDK cannot write the reports that it asks for.
        """
        worker = self.session.worker or self.session.authenticate()
        encoder_of(worker.report_format)
        self.client.worker_id = self.client.worker_id or worker.worker_id

    def take(self, reply: CheckInReply) -> None:
        """Download what the accepted check-in ``reply`` refers to. Plans are fetched once per training.

        Raises :class:`~syft_ext.errors.Unsupported` when this SDK cannot write the reports that it asks for.
        """
        self.assignment, self.reported, self.account = reply, False, Account()
        encoder_of(reply.report_format).check(reply.report_options)
        self.client_config = dict(reply.client_config)
        ids = {"assignment_id": reply.assignment_id, "request_key": reply.request_key}
        self.plans = {
            name: self._plan(plan_id, GetPlan(plan_id=plan_id, **ids))
            for name, plan_id in reply.plans.items()
        }
        self.protocols = {
            name: bytes(self.session.download(GetProtocol(protocol_id=protocol_id, **ids))[1])
            for name, protocol_id in reply.protocols.items()
        }
        blob, data = self.session.download(GetModel(**ids))
        self._base = Parameters.loads(data, checkpoint=reply.checkpoint, digest=blob.digest)
        # Listeners may train in place: what the difference is taken from must not be in their hands.
        self.model = self._base.clone()

    def _plan(self, plan_id: str, message: GetPlan) -> Plan:
        if plan_id not in self._plans_by_id:
            _, data = self.session.download(message)
            self._plans_by_id[plan_id] = (self.client.load_plan or load_checked)(bytes(data))
        plan = self._plans_by_id[plan_id]
        if isinstance(plan, TrainingPlan):
            plan.account = self.account
        return plan

    def announce(self) -> None:
        """Tell the listeners of ``cycle_started``, then those of ``accepted``, who train."""
        self.emit(self.EVENT_CYCLE_STARTED, self.cycle)
        self.emit(self.EVENT_ACCEPTED)

    # -- reporting ----------------------------------------------------------------------------------

    def report(
        self,
        params: Any,
        samples: int | None = None,
        loss: float | torch.Tensor | None = None,
        accuracy: float | torch.Tensor | None = None,
    ) -> ReportReply | None:
        """Send what was learned, streamed, in the training's report format: where that is "plain", the difference
        between the cycle's model and ``params``.

        Args:
            params: the trained parameters: a list of tensors, a module or a state dict.
            samples: how many samples they were trained on; the weight in a weighted mean.
            loss, accuracy: local metrics. What is left out is taken from the plan's steps in this cycle.

        Returns:
            The Domain's answer, or None when it says that it has this report already: the first answer was
            lost on the way.

        Raises:
            Conflict: the report came too late, or the job has no assignment to report for.
            InvalidTensors: ``params`` are not shaped as the model.
        """
        if self.assignment is None or self.reported:
            raise Conflict("this job has no open assignment; start() or run() takes one", reason="state")
        encoder = encoder_of(self.assignment.report_format)
        report = encoder.encode(self.report_context(), params)
        message = self._report_message(report, samples, loss, accuracy)
        persistence = Persistence(self.session, self.stopped, patience=REPORT_PATIENCE)
        try:
            reply: ReportReply | None = persistence.call(
                lambda: self.session.call(message, report.pieces, timeout=300.0)
            )
        except Conflict as conflict:
            if conflict.extra.get("reason") != "duplicate":
                raise
            reply = None
        self.reported = True
        return reply

    def report_context(self) -> ReportContext:
        """What the report of this cycle is about. Raises :class:`Conflict` without an assignment."""
        if self.assignment is None:
            raise Conflict("this job has no open assignment; start() or run() takes one", reason="state")
        process_id = self.session.worker.process_id if self.session.worker else ""
        return ReportContext(process_id, self.assignment, self._base)

    def _report_message(self, report: EncodedReport, samples: Any, loss: Any, accuracy: Any) -> Report:
        assert self.assignment is not None
        known = self.account if self.client.report_metrics else Account()
        return Report(
            assignment_id=self.assignment.assignment_id,
            request_key=self.assignment.request_key,
            kind=report.kind,
            samples=(known.samples or None) if samples is None else int(samples),
            loss=known.loss if loss is None else float(loss),
            accuracy=known.accuracy if accuracy is None else float(accuracy),
        )

    def give_back(self, reason: str) -> None:
        """Tell the Domain that the open assignment comes to nothing, so that its slot is free at once."""
        assignment, self.assignment = self.assignment, None
        if assignment is None or self.reported:
            return
        self.session.call_quietly(
            ReportFailure(
                assignment_id=assignment.assignment_id,
                request_key=assignment.request_key,
                reason=reason[:500],
            )
        )

    # -- all cycles ---------------------------------------------------------------------------------

    def run(
        self,
        train: Callable[[FLJob], Any] | None = None,
        *,
        data: tuple[torch.Tensor, torch.Tensor] | None = None,
        max_cycles: int | None = None,
        seed: int | None = None,
    ) -> RunSummary:
        """Take part in every cycle until the training ends; wait for cycles as long as it takes.

        The Domain pushes each new cycle to the waiting worker. When the Domain is down, the job reconnects
        by itself (exponential backoff), with the same worker id and the same assignment.

        Args:
            train: ``train(job)`` returns the trained parameters, or calls ``job.report`` itself.
            data: instead of ``train``: samples and targets, shapes ``[N, …]``; the training plan is run over
                batches of them as ``client_config`` says (``batch_size``, ``lr``, ``epochs``,
                ``max_updates``). Without both, an ``accepted`` listener must report.
            max_cycles: stop after so many reports.
            seed: makes the shuffling of ``data`` reproducible.

        Raises:
            GridError: what waiting cannot mend: no such training, token refused, bad plan.
            Exception: whatever the local training raised, where no ``error`` listener is; with one, the
                third failure in a row.
        """
        if data is not None:
            if train is not None:
                raise GridError("give either train or data, not both")
            train = PlanTrainer(*data, seed=seed)
        return Participation(self, train, max_cycles).run()

    def stop(self) -> None:
        """End :meth:`run` soon and for good, from any thread: waits are cut short, a training step and the
        report of what it learned are not.
        """
        self.stopped.set()
        self.session.transports.hang_up()
