"""Taking part in a training from now until it ends (``FLJob.run``)."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any, Generic, Protocol, TypeVar

from syft_ext.display.progress import track
from syft_ext.errors import Conflict, Forbidden, GridError, NotAgreed, NotFound
from syft_ext.federated.events import RunSummary
from syft_ext.federated.retry import Persistence, Stopped
from syft_ext.federated.session import WorkerSession
from syft_ext.ids import new_id
from syft_ext.messages.federated import CheckInReply, ReportReply
from syft_ext.plans.training.training_plan import Account
from syft_ext.transport.backoff import Backoff

__all__ = ["Participation", "RunnableJob"]

logger = logging.getLogger(__name__)

WAIT = 25.0  # seconds that the Domain may hold a check-in; below the usual idle timeouts of proxies
MAX_FAILURES = 3
#: The assignment is gone (too late, cancelled, forgotten); the next cycle is another chance.
LOST = (Conflict, NotFound, Forbidden)


class RunnableJob(Protocol):
    """What a run does with a job; all as :class:`~syft_ext.federated.job.FLJob` says."""

    EVENT_REJECTED: str
    EVENT_FINISHED: str
    model_name: str
    model_version: str
    session: WorkerSession
    stopped: threading.Event
    assignment: CheckInReply | None
    account: Account
    reported: bool

    @property
    def cycle(self) -> int:
        """Number of the cycle that it takes part in, from 1; 0 before any."""

    @property
    def num_cycles(self) -> int:
        """Cycles of the whole training; 0: until somebody cancels it."""

    def authenticate(self) -> None:
        """Join the training unless that was done."""

    def take(self, reply: CheckInReply) -> None:
        """Download what the accepted check-in refers to."""

    def announce(self) -> None:
        """Tell its listeners that a cycle has started for it."""

    def report(self, params: Any) -> ReportReply | None:
        """Send what was learned."""

    def give_back(self, reason: str) -> None:
        """Tell the Domain that the open assignment comes to nothing."""

    def give_back_after(self, error: BaseException) -> None:
        """As :meth:`give_back`, after an error of which the Domain is told no more than it may know."""

    def conceal(self, error: BaseException) -> bool:
        """Report that nothing was learned where nobody may hear of ``error``; whether that was so."""

    def emit(self, event: str, *args: Any) -> None:
        """Tell the listeners of ``event``."""

    def emit_error(self, error: Exception) -> None:
        """Tell the listeners of errors, or raise it where there are none."""


Job = TypeVar("Job", bound=RunnableJob)


class Participation(Generic[Job]):
    """The loop of one run. ``summary`` counts what came of it; ``prepare`` is called before it asks for a part."""

    def __init__(
        self,
        job: Job,
        train: Callable[[Job], Any] | None,
        max_cycles: int | None,
        prepare: Callable[[Job], None] | None = None,
    ) -> None:
        self.job, self.train, self.max_cycles, self.prepare = job, train, max_cycles, prepare
        self.summary = RunSummary()
        self._persistence = Persistence(job.session, job.stopped)
        self._failures = Backoff(base=1.0, stop=job.stopped)
        self._bar = _Bar(f"{job.model_name} {job.model_version}")

    def run(self) -> RunSummary:
        """Take part until the training is over, enough cycles were done, or somebody stops it."""
        try:
            while not self.summary.reason:
                self._one_cycle()
        except Stopped:
            self.summary.reason = "stopped"
        except NotAgreed as error:
            if error.extra.get("reason") != "max-reports":
                raise
            self.summary.reason = "max-reports"
        finally:
            self._bar.close()
            # Also on an error or on Ctrl-C: nobody shall wait for a worker that is gone.
            self.job.give_back("the worker stopped")
        self.job.emit(self.job.EVENT_FINISHED, self.summary)
        return self.summary

    def _one_cycle(self) -> None:
        if self.job.stopped.is_set():
            raise Stopped
        self._persistence.call(self.job.authenticate)
        if self.prepare is not None:
            self.prepare(self.job)
        reply = self._wait_for_cycle()
        if reply is None:
            return
        try:
            self._persistence.call(lambda: self.job.take(reply))
        except LOST as error:
            self._missed(error)
            return
        self._train_and_report()
        if self.max_cycles is not None and self.summary.cycles >= self.max_cycles:
            self.summary.reason = "max-cycles"

    def _wait_for_cycle(self) -> CheckInReply | None:
        """An accepted check-in; None when the Domain said no (``summary.reason`` is set when for good).

        One idempotency key until an answer arrives: an assignment whose answer was lost is found again.
        """
        key, begun = new_id(), time.monotonic()
        reply = self._check_in(key)
        if reply.status == "accepted":
            return reply
        self.job.emit(self.job.EVENT_REJECTED, reply.retry_after)
        if reply.retry_after is None:
            self.summary.reason = "over"
        elif time.monotonic() - begun < WAIT / 2 and self.job.stopped.wait(max(reply.retry_after, 0.05)):
            raise Stopped  # it was told to come back later, and did not hold the line until then
        return None

    def _check_in(self, key: str) -> CheckInReply:
        session = self.job.session
        try:
            return self._persistence.call(lambda: session.check_in(key, WAIT))
        except NotFound:
            # The Domain knows the token and not the worker: its database is older than the token.
            self._persistence.call(session.authenticate)
            return self._persistence.call(lambda: session.check_in(key, WAIT))

    def _train_and_report(self) -> None:
        try:
            self._train()
        except LOST as error:
            self._missed(error)
        except Stopped:
            raise
        except NotAgreed as error:  # no other cycle of this training is agreed to either
            self.job.give_back_after(error)
            raise
        except Exception as error:
            self._failed(error)
        else:
            self._count()

    def _train(self) -> None:
        """Have somebody train, and report; under noise it is nobody's business what the plan fails on, or that
        there are too few rows."""
        job = self.job
        try:
            job.announce()
            params = self.train(job) if self.train is not None else None
            if params is not None and not job.reported:
                job.report(params)
        except GridError as error:  # which of them, conceal() decides
            if not job.conceal(error):
                raise
        if not job.reported:
            raise GridError("the training ended without a report")

    def _count(self) -> None:
        account, summary = self.job.account, self.summary
        self._failures.reset()
        summary.cycles += 1
        summary.samples += account.samples
        summary.loss, summary.accuracy = account.loss, account.accuracy
        self._bar.show(self.job.cycle, self.job.num_cycles)
        self.job.assignment = None

    def _missed(self, error: GridError) -> None:
        logger.info(
            "%s: cycle %s went on without this worker: %s", self.job.model_name, self.job.cycle, error
        )
        self.summary.missed += 1
        self.job.assignment = None

    def _failed(self, error: Exception) -> None:
        """Give the assignment back; go on if somebody listens, but not for ever."""
        self.summary.failures += 1
        self.job.give_back_after(error)
        self.job.emit_error(error)
        if self._failures.failures + 1 >= MAX_FAILURES:
            raise error
        if not self._failures.wait():
            raise Stopped


class _Bar:
    """The cycles of the training, as far as they are done; appears with the first one."""

    def __init__(self, label: str) -> None:
        self._label = label
        self._stack = ExitStack()
        self._advance: Callable[[int], object] | None = None
        self._shown = 0

    def show(self, cycle: int, total: int) -> None:
        if self._advance is None:
            self._advance = self._stack.enter_context(track(self._label, total or None))
        self._advance(cycle - self._shown)
        self._shown = cycle

    def close(self) -> None:
        self._stack.close()
