"""Jobs that are run by threads of this process, and are gone with it."""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult

import msgspec

from grid.concurrency.executor import SerialExecutor
from grid.concurrency.jobs import ATTEMPTS, HOPELESS, Handler, Job, JobQueue, pause_after
from grid.concurrency.passing import is_passing, passing_pause, said_of
from grid.concurrency.timers import Timers
from syft_ext.clock import Clock
from syft_ext.errors import GridError, InvalidConfig, NotFound
from syft_ext.ids import new_id

__all__ = ["LocalJobs", "open_url"]

logger = logging.getLogger(__name__)

MOST_DEAD = 1000
"""Dead letters that are kept; the oldest goes first."""


@dataclass(slots=True)
class LocalJob:
    """A job, and where it stands."""

    id: str
    name: str
    args: bytes
    key: str
    idempotency_key: str
    attempts: int = 0
    error: str = ""
    waits: int = 0

    def view(self) -> Job:
        return Job(self.id, self.name, msgspec.json.decode(self.args), self.key, self.attempts, self.error)


class LocalJobs(JobQueue):
    """Args: ``threads``: so many jobs are run at once at most.

    Attributes:
        timers: what waits for its time.
    """

    def __init__(self, clock: Clock, threads: int = 4) -> None:
        self._clock = clock
        self._executor = SerialExecutor(threads, name="grid-jobs")
        self.timers = Timers(clock, self._enqueue)
        self._lock = threading.Lock()
        self._handlers: dict[str, Handler] = {}
        self._jobs: dict[str, LocalJob] = {}
        self._dead: dict[str, LocalJob] = {}
        self._by_idempotency_key: dict[tuple[str, str], str] = {}
        self._early: list[str] | None = []  # submitted before the start; None: it has started

    def handle(self, name: str, handler: Handler) -> None:
        if name in self._handlers:
            raise ValueError(f"two handlers for jobs {name!r}")
        self._handlers[name] = handler

    def submit(
        self,
        name: str,
        args: Mapping[str, Any],
        *,
        key: str = "",
        idempotency_key: str = "",
        delay: float = 0.0,
    ) -> str:
        if name not in self._handlers:
            raise ValueError(f"nobody handles jobs {name!r}")
        job = LocalJob(new_id(), name, msgspec.json.encode(args), key, idempotency_key)
        with self._lock:
            if idempotency_key:
                known = self._by_idempotency_key.setdefault((name, idempotency_key), job.id)
                if known != job.id:
                    return known
            self._jobs[job.id] = job
            early = self._early
            if early is not None and not delay:
                early.append(job.id)
        if delay:
            self.timers.at(job.id, self._clock.now() + delay)
        elif early is None:
            self._enqueue(job.id)
        return job.id

    def _enqueue(self, job_id: str) -> None:
        with self._lock:
            job = self._jobs.get(job_id)
        if job is not None:
            self._executor.submit(job.key or job.id, job.id, lambda: self._run(job))

    def _run(self, job: LocalJob) -> None:
        job.attempts += 1
        try:
            self._handlers[job.name](msgspec.json.decode(job.args))
        except Exception as error:
            self._failed(job, error)
        else:
            with self._lock:
                self._forget(job)

    def _failed(self, job: LocalJob, error: Exception) -> None:
        passes = is_passing(error)
        job.error = said_of(error) if passes or isinstance(error, GridError) else type(error).__name__
        dead = not passes and (isinstance(error, HOPELESS) or job.attempts >= ATTEMPTS)
        job.waits = job.waits + 1 if passes else 0
        logger.error(
            "job %s (%s) failed, attempt %d: it is %s",
            job.name,
            job.id,
            job.attempts,
            "given up" if dead else "tried again",
            exc_info=error,
        )
        if passes:
            job.attempts -= 1  # it was no fault of the job's
            self.timers.at(job.id, self._clock.now() + passing_pause(job.waits))
            return
        if not dead:
            self.timers.at(job.id, self._clock.now() + pause_after(job.attempts))
            return
        with self._lock:
            del self._jobs[job.id]
            self._dead[job.id] = job
            while len(self._dead) > MOST_DEAD:
                self._forget(next(iter(self._dead.values())))

    def _forget(self, job: LocalJob) -> None:
        """It is done, or given up for good. Called with the lock."""
        self._jobs.pop(job.id, None)
        self._dead.pop(job.id, None)
        if job.idempotency_key:
            self._by_idempotency_key.pop((job.name, job.idempotency_key), None)

    # -- dead letters

    def dead_letters(self) -> list[Job]:
        with self._lock:
            return [job.view() for job in self._dead.values()]

    def retry(self, job_id: str) -> None:
        with self._lock:
            job = self._find_dead(job_id)
            del self._dead[job_id]
            job.attempts, self._jobs[job_id] = 0, job
        self._enqueue(job_id)

    def discard(self, job_id: str) -> None:
        with self._lock:
            self._forget(self._find_dead(job_id))

    def _find_dead(self, job_id: str) -> LocalJob:
        job = self._dead.get(job_id)
        if job is None:
            raise NotFound("there is no such dead letter")
        return job

    # -- life

    def start(self) -> None:
        with self._lock:
            early, self._early = self._early or [], None
        for job_id in early:
            self._enqueue(job_id)
        self.timers.start()

    def drain(self, timeout: float = 60.0) -> bool:
        return self._executor.drain(timeout)

    def stop(self) -> None:
        self.timers.stop()
        self._executor.stop()


def open_url(url: SplitResult, clock: Clock) -> LocalJobs:
    """``local:``. Raises :class:`InvalidConfig` for anything behind it."""
    if url.netloc or url.path or url.query or url.fragment:
        raise InvalidConfig("job_queue: local: takes nothing more", field="job_queue")
    return LocalJobs(clock)
