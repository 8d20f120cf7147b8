"""Background work that is handed over by name: the interface of job queues.

A job is a name, arguments that can be written as JSON, and no more: whoever runs it may be another thread or
another machine. It is run at least once: a handler that was interrupted, or whose answer was lost, is called
again, so handlers are idempotent. A queue is no place to remember what must be done: what has to survive a crash
of everything is written down in the transaction that asks for it (an outbox), and submitted again from there.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from syft_ext.errors import BadRequest, Unsupported

__all__ = ["ATTEMPTS", "HOPELESS", "Handler", "Job", "JobQueue", "pause_after"]

ATTEMPTS = 5
"""How often a job is tried before it is a dead letter."""

HOPELESS = (BadRequest, Unsupported)
"""Errors that trying again cannot mend: the job is a dead letter at once."""

LONGEST_PAUSE = 60.0

Handler = Callable[[Mapping[str, Any]], object]
"""Called with the arguments of one job. Returns when the job is done; after what it raises it is tried again."""


def pause_after(attempts: int) -> float:
    """Seconds until a job that failed so often is tried again: 0.4, 1.6, 6.4, …, 60."""
    return float(min(0.1 * 4.0 ** min(attempts, 6), LONGEST_PAUSE))


@dataclass(frozen=True, slots=True)
class Job:
    """A job that is not done.

    Attributes:
        key: jobs with the same key are never run at the same time; "" has no such company.
        attempts: how often it was tried.
        error: what it failed with last; holds no secrets and no data.
    """

    id: str
    name: str
    args: Mapping[str, Any]
    key: str = ""
    attempts: int = 0
    error: str = ""


class JobQueue(ABC):
    """Runs jobs at least once, retries what fails after growing pauses, and keeps what fails too often.

    What passes (:mod:`grid.concurrency.passing`) is not counted: such a job is tried until it is over.
    """

    @abstractmethod
    def handle(self, name: str, handler: Handler) -> None:
        """Jobs of this ``name`` are done by ``handler``. Raises :class:`ValueError` if the name has one."""

    @abstractmethod
    def submit(
        self,
        name: str,
        args: Mapping[str, Any],
        *,
        key: str = "",
        idempotency_key: str = "",
        delay: float = 0.0,
    ) -> str:
        """Have a job run, and return its id at once.

        Args:
            args: what can be written as JSON. The handler gets what comes out of that again.
            key: never at the same time as others of this key, and in the order in which they were submitted,
                but for those that have to be tried again.
            idempotency_key: as long as a job of this name that was submitted with it is not done, this one is not
                another, and its id is that one's. Dead letters are not done.
            delay: seconds before which it is not run.

        Raises :class:`ValueError` for a name that nobody handles, :class:`TypeError` for what is no JSON.
        """

    @abstractmethod
    def dead_letters(self) -> list[Job]:
        """Jobs that are not tried any more, the oldest first."""

    @abstractmethod
    def retry(self, job_id: str) -> None:
        """Try a dead letter again, as if it were new. Raises :class:`NotFound`."""

    @abstractmethod
    def discard(self, job_id: str) -> None:
        """Give a dead letter up. Raises :class:`NotFound`."""

    @abstractmethod
    def start(self) -> None:
        """Run jobs from now on, also those that were submitted before."""

    @abstractmethod
    def drain(self, timeout: float = 60.0) -> bool:
        """Wait until nothing of this process is left that can be run now; whether that came in ``timeout`` s."""

    @abstractmethod
    def stop(self) -> None:
        """Begin no more jobs, and return when none is running here. May be called without a start."""
