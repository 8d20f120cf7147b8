"""One worker's part in a training: ``FLJob`` (paper, listings 7 and 8)."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Any

import torch

from syft_ext.errors import Conflict, GridError, InvalidToken, NotAgreed, NotFound
from syft_ext.federated.bounds import ReportCounts
from syft_ext.federated.bounds.report_counts import spent
from syft_ext.federated.bounds.reports import demands_noise
from syft_ext.federated.consent import Consent, least_of_hidden, told_of
from syft_ext.federated.delivery import Delivery, deliver
from syft_ext.federated.events import Listener, Listeners, Progress, RunSummary
from syft_ext.federated.formats import NodeLine, ReportContext, ReportEncoder, encoder_of
from syft_ext.federated.heartbeats import Heartbeats
from syft_ext.federated.job_client import JobClient, PlanLoader, load_checked
from syft_ext.federated.lines import SessionLine
from syft_ext.federated.local_data import MatchedTrainer, matched_rows, reason_aside
from syft_ext.federated.model_file import ModelFile
from syft_ext.federated.participation import Participation
from syft_ext.federated.report_message import Stated, report_message, sent_of
from syft_ext.federated.retry import Persistence
from syft_ext.federated.sealed import ConfidentialOffer, ConfidentialPart
from syft_ext.federated.sealed.part import SEALED
from syft_ext.ids import new_id
from syft_ext.messages.federated import CheckInReply, GetPlan, GetProtocol, ReportReply
from syft_ext.messages.participation import ReportFailure
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_inputs import StandAside
from syft_ext.messages.training_reviews import GetDefinition
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.plans import Plan
from syft_ext.plans.sandbox.tensors import sandbox_for
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.training_plan import Account, TrainingPlan

__all__ = ["FLJob"]

logger = logging.getLogger(__name__)

REPORT_PATIENCE = 60.0  # seconds for which a report is sent again, by whom somebody waits for


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
        consent: the definition that was agreed to, once the job has looked at the training.
        offer: in a confidential training, what was verified for this cycle, by which pins; else None.
    """

    EVENT_ACCEPTED = "accepted"
    EVENT_REJECTED = "rejected"
    EVENT_ERROR = "error"
    EVENT_CYCLE_STARTED = "cycle_started"
    EVENT_PROGRESS = "progress"
    EVENT_REPORTED = "reported"
    EVENT_FINISHED = "finished"

    def __init__(
        self,
        client: JobClient,
        model_name: str,
        model_version: str,
        digest: str = "",
        load_plan: PlanLoader | None = None,
    ) -> None:
        self.client, self.model_name, self.model_version = client, model_name, model_version
        self.plans: dict[str, Plan] = {}
        self.protocols: dict[str, bytes] = {}
        self.model = Parameters([])
        self.client_config: dict[str, Any] = {}
        self.assignment: CheckInReply | None = None
        self.account = Account()
        self.reported = False
        self.consent = Consent(model_name, model_version, digest)
        self.session = client.session(model_name, model_version)
        self.offer: ConfidentialOffer | None = None
        self.confidential = ConfidentialPart(client, self.session)
        self.stopped = threading.Event()
        self._load_plan = load_plan
        self._base, self._file = Parameters([]), ModelFile()
        self._stated = 0  # samples in the latest report
        self._plans_by_digest: dict[str, Plan] = {}
        self._counts: ReportCounts | None = None
        self._listeners = Listeners()
        self._heartbeats = Heartbeats(self)
        self._patience: float | None = REPORT_PATIENCE

    # -- events -------------------------------------------------------------------------------------

    def add_listener(self, event: str, listener: Listener) -> None:
        """Call ``listener(job, …)`` at ``event``: one of :data:`~syft_ext.federated.events.EVENTS`, where its
        further arguments stand. ``timeout`` is in seconds, or None when the training is over."""
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
        ``error`` listeners, and is raised where there are none; the assignment is given back then. Under noise, a
        plan that fails on what the data hold has learned nothing, and that is reported.
        """
        try:
            self.authenticate()
            reply = self._check_in_once()
            if reply.status == "rejected":
                self.emit(self.EVENT_REJECTED, reply.retry_after)
                return
            self.take(reply)
            self.announce()
            self._heartbeats.leave()
        except Exception as error:
            if self.conceal(error):
                return
            self.give_back_after(error)
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
        """Join the training unless that was done, and look at what it is before anything of it runs.

        Raises :class:`~syft_ext.errors.NotAgreed` where it is not what was agreed to, or has had all the
        reports that the bounds allow; :class:`~syft_ext.errors.Unsupported` when this SDK cannot write the
        reports that it asks for.
        """
        worker = self.session.worker or self.session.authenticate()
        self._encoder(worker.report_format)
        self.client.worker_id = self.client.worker_id or worker.worker_id
        if self.consent.facts is None:
            self._look()
        self._check_count()

    def _look(self) -> None:
        """See what the training is. One that is over shows that to nobody: the check-in says that it is over."""
        try:
            view = self.session.call(GetDefinition(process_id=self.session.process_id))
        except NotFound:
            reply = self._check_in_once()
            if reply.status == "rejected" and reply.retry_after is None:
                return
            if reply.status == "accepted":  # what is not shown is not run
                self.assignment = reply
                self.give_back("its definition is not shown")
            raise
        self.consent.agree(view)
        self.client.say(self.consent.summary())

    def _check_count(self) -> None:
        limit = self.client.reports.bounds.max_reports
        if limit is None or self.consent.facts is None:
            return
        if self._counts is None:
            self._counts = ReportCounts(self.session.node_key, self.consent.digest)
        if self._counts.count >= limit:
            raise spent(limit)

    def take(self, reply: CheckInReply) -> None:
        """Download what the accepted check-in ``reply`` refers to. Plans are fetched once per training.

        Raises :class:`~syft_ext.errors.NotAgreed` where any of it is not what was agreed to: then the
        assignment is given back, and nothing has run. :class:`~syft_ext.errors.Unsupported` when this SDK
        cannot write the reports that the training asks for.
        """
        self.assignment, self.reported, self.account = reply, False, Account()
        self._heartbeats.begin()
        try:
            self._take(reply)
        except NotAgreed as error:
            self.give_back_after(error)
            raise

    def _take(self, reply: CheckInReply) -> None:
        self.consent.check_assignment(reply)
        encoder = self._encoder(reply.report_format)
        encoder.check(reply.report_options)
        self.client_config = dict(reply.client_config)
        ids = {"assignment_id": reply.assignment_id, "request_key": reply.request_key}
        self.plans = {
            name: self._plan(name, GetPlan(plan_id=plan_id, **ids)) for name, plan_id in reply.plans.items()
        }
        self.protocols = {
            name: self._protocol(name, GetProtocol(protocol_id=protocol_id, **ids))
            for name, protocol_id in reply.protocols.items()
        }
        blob, data = self._file.fetch(self.session, reply)
        self._base = Parameters.loads(data, checkpoint=reply.checkpoint, digest=blob.digest)
        self.consent.check_model(self._base)
        if encoder.name == SEALED:
            self.offer = self.confidential.take(reply, self.consent.agreed, data)
        # Listeners may train in place: what the difference is taken from must not be in their hands.
        self.model = self._base.clone()

    def _plan(self, name: str, message: GetPlan) -> Plan:
        digest = self.consent.plan_digest(name)
        if digest not in self._plans_by_digest:
            _, data = self.session.download(message)
            self.consent.check_plan(name, data)
            self._plans_by_digest[digest] = self._load(bytes(data))
        plan = self._plans_by_digest[digest]
        if isinstance(plan, TrainingPlan):
            plan.account = self.account
        return plan

    def _load(self, data: bytes) -> Plan:
        if self._load_plan is not None:
            return self._load_plan(data)
        limits = self.client.plan_limits
        sandbox = sandbox_for(self.consent.digest, limits) if self.client.sandbox else False
        return load_checked(data, limits, sandbox=sandbox)

    def _protocol(self, name: str, message: GetProtocol) -> bytes:
        _, data = self.session.download(message)
        self.consent.check_protocol(name, data)
        return bytes(data)

    def announce(self) -> None:
        """Tell the listeners of ``cycle_started``, then those of ``accepted``, who train. Where the bounds
        limit the
        reports to a training, one more is counted before: whatever becomes of it, the plan will have seen the
            data."""
        limit = self.client.reports.bounds.max_reports
        if limit is not None and self._counts is not None:
            self._counts.add(limit)
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
            samples: how many different samples they were trained on, each counted once however many epochs there
                were; the weight in a weighted mean. Left out: those that :meth:`run` took from ``data``, else the
                rows that plans were given, of which equal ones count once (under noise: those of the largest
                step).
            loss, accuracy: local metrics. What is left out is taken from the plan's steps in this cycle.

        Returns:
            The Domain's answer, or None when it says that it has this report already: the first answer was
            lost on the way.

        What leaves is within the client's bounds, whatever is given here.

        Raises:
            BadRequest: fewer rows are behind it than the bounds demand: those that :meth:`run` took from ``data``,
                else ``samples``, else the rows that plans were given.
            Conflict: the report came too late, or the job has no assignment to report for.
            InvalidTensors: ``params`` are not shaped as the model, or not finite.
        """
        if self.assignment is None or self.reported:
            raise Conflict("this job has no open assignment; start() or run() takes one", reason="state")
        rows = self.account.planned or samples or self._rows(self.account)
        self.client.reports.check_rows(int(rows))
        return self._send(params, samples, loss, accuracy)

    def _send(self, params: Any, samples: Any, loss: Any, accuracy: Any) -> ReportReply | None:
        assert self.assignment is not None
        encoder, bounded = self._encoder(self.assignment.report_format), self.client.reports
        hides = self.hides_failures
        difference = bounded.difference(self._base, params, *self._question, hides_failures=hides)
        known = self.account if self.client.report_metrics else Account()
        stated = Stated(samples, loss, accuracy).within(
            bounded, known, self._rows(known), self.assignment.policy
        )
        persistence = Persistence(self.session, self.stopped, patience=self._patience)
        line = SessionLine(self.session, persistence, self.stopped, self.client.trust)
        report = encoder.encode(self.report_context(stated.samples, line), difference)
        message = report_message(self.assignment, report.kind, stated if encoder.tells_metrics else None)
        try:
            reply = deliver(Delivery(self.session, message, report.pieces, report.first), persistence)
            self.reported, self._stated = True, stated.samples or 0
            report.finish()
        finally:
            report.close()
        self.emit(self.EVENT_REPORTED, sent_of(self.cycle, stated if encoder.tells_metrics else None))
        return reply

    def report_context(self, samples: int | None = None, line: NodeLine | None = None) -> ReportContext:
        """What the report of this cycle is about. Raises :class:`Conflict` without an assignment."""
        if self.assignment is None:
            raise Conflict("this job has no open assignment; start() or run() takes one", reason="state")
        process_id = self.session.worker.process_id if self.session.worker else ""
        facts = (process_id, self.assignment, self._base, self.confidential, samples, line, self.protocols)
        return ReportContext(*facts, self.client.reports.secret_of(*self._question))

    @property
    def _question(self) -> tuple[str, ...]:
        return self.consent.digest, str(self.cycle), self.assignment.assignment_id if self.assignment else ""

    def _encoder(self, report_format: str) -> ReportEncoder:
        """What writes reports of this format. A confidential training gets none in the clear."""
        self.confidential.guard(report_format, self.assignment)
        return encoder_of(report_format)

    def _rows(self, account: Account) -> int:
        """Different samples behind the report, as far as may be told: how many rows are equal is a fact about
        them, which no noise covers."""
        return account.planned or (account.largest if self.hides_failures else account.rows)

    @property
    def hides_failures(self) -> bool:
        """Whether nobody may hear that the plan failed on what the data hold: where noise is demanded, by the
        owner's bounds or by the site's policy, which would not cover it; and in confidential trainings."""
        site = self.assignment.policy if self.assignment else None
        asked = self.client.reports.bounds.noise_multiplier is not None or demands_noise(site)
        return asked or self.offer is not None

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

    def give_back_after(self, error: BaseException) -> None:
        """As :meth:`give_back`, after an error, of which the Domain is told what
        :func:`~syft_ext.federated.consent.told_of` leaves."""
        self.give_back(told_of(error, self.hides_failures))

    def conceal(self, error: BaseException) -> bool:
        """Report the untouched model where the plan failed on what the data hold, or their owner wants more rows
        behind a report than there are, and nobody may hear that; returns whether that was so.

        Whoever calls the plan themselves has said nothing yet of how many samples there are: stated is what was
        counted, but no less than in the cycle before, or than the site's policy or the owner asks for.
        """
        least = least_of_hidden(error, self.client.reports.bounds) if self.hides_failures else 0
        if not least or self.assignment is None or self.reported:
            return False
        logger.warning("reported as having learned nothing: %s", error)
        policy = self.assignment.policy or CyclePolicy()
        counted = self._rows(self.account) if self.client.report_metrics else 0
        stated = max(counted, self._stated, policy.min_rows, least)
        self._send(self._base, stated if self.client.report_metrics or self._stated else None, None, None)
        return True

    # -- local data ---------------------------------------------------------------------------------

    def rows(self, data: Any, schema: ColumnMetadata | None = None) -> tuple[torch.Tensor, torch.Tensor]:
        """Samples and labels as the plan takes them, of a frame, a mapping of columns, a path, a dataset,
        or a pair: by name, in the declared order, classes and scale (``schema``: column → its ``unit`` and
            ``categories``).

        Raises :class:`~syft_ext.errors.DataMismatch` where they are not what the training declares.
        """
        if self.consent.facts is None:
            self.authenticate()
        facts = self.consent.facts
        try:
            return matched_rows(None if facts is None else facts.inputs, data, schema, self.client.say)
        except GridError as error:
            self.stand_aside(error)
            raise

    def stand_aside(self, error: GridError | None) -> None:
        """Tell the Domain that the data do not fit, or (None) that they do again: in the declaration's words, and
        nothing that says something of their rows."""
        reason = reason_aside(error)
        process_id = self.session.process_id
        self.session.call_quietly(StandAside(process_id=process_id, reason=reason[:2000]))

    # -- all cycles ---------------------------------------------------------------------------------

    def run(
        self,
        train: Callable[[FLJob], Any] | None = None,
        *,
        data: Any = None,
        schema: ColumnMetadata | None = None,
        max_cycles: int | None = None,
        seed: int | None = None,
    ) -> RunSummary:
        """Take part in every cycle until the training ends; wait for cycles as long as it takes.

        The Domain pushes each new cycle to the waiting worker. When the Domain is down, the job reconnects
        by itself (exponential backoff), with the same worker id and the same assignment.

        Args:
            train: ``train(job)`` returns the trained parameters, or calls ``job.report`` itself.
            data: instead of ``train``: a frame, a mapping of columns, a path, a dataset or loader of torch, or
                samples and targets, shapes ``[N, …]``. They are matched by name against what the training declares
                (:meth:`rows`), before it asks for a part; then the training plan is run over batches of them as
                ``client_config`` says (``batch_size``, ``lr``, ``epochs``, ``max_updates``). Without both, an
                ``accepted`` listener must report.
            schema: of ``data``: column → its ``unit`` and ``categories``.
            max_cycles: stop after so many reports.
            seed: makes the shuffling of ``data`` reproducible. What a plan draws itself (dropout) always is: it
                follows from this seed, the client's key and device, the cycle and the step.

        Raises:
            DataMismatch: ``data`` are not what the training declares; its Domain shows that, and no data.
            GridError: what waiting cannot mend: no such training, token refused, bad plan.
            Exception: whatever the local training raised, where no ``error`` listener is; with one, the
                third failure in a row.
        """
        if data is not None:
            if train is not None:
                raise GridError("give either train or data, not both")
            matched = MatchedTrainer(data, schema, seed, self.client.site)
            train, prepare = matched, matched.prepare
        else:
            prepare = None
        self._patience = None  # what was learned waits for the Domain as long as the assignment does
        try:
            return Participation(self, train, max_cycles, prepare).run()
        finally:
            self._patience = REPORT_PATIENCE

    def stop(self) -> None:
        """End :meth:`run` soon and for good, from any thread: waits are cut short, a training step and the
        report of what it learned are not.
        """
        self.stopped.set()
        self.session.transports.hang_up()
