"""A job that trains says that it is alive, so that a step may take as long as it does."""

from __future__ import annotations

import threading
import time
import weakref
from typing import Protocol

from syft_ext.errors import Conflict, GridError, NotFound
from syft_ext.federated.session import WorkerSession
from syft_ext.messages.federated import CheckInReply
from syft_ext.messages.participation import AssignmentHeartbeat

__all__ = ["Heartbeats"]

TIMEOUT = 10.0
PATIENCE = 900.0
"""Seconds for which a job that nobody trains with any more, and that has not reported, keeps its slot."""


class BusyJob(Protocol):
    """What is asked of a job."""

    session: WorkerSession
    assignment: CheckInReply | None
    reported: bool


class Heartbeats:
    """One thread for a job, while it has an assignment for longer than a heartbeat's interval.

    What fails is not told: a Domain that cannot be reached may be there at the next beat, and the report hears of
    it if the assignment is gone.
    """

    def __init__(self, job: BusyJob) -> None:
        self._job = weakref.ref(job)  # one that is thrown away is alive no more
        self._lock = threading.Lock()
        self._running = False
        self._left_at: float | None = None

    def begin(self) -> None:
        """The job has an assignment: beat for it until it has reported, or given it back."""
        job = self._job()
        self._left_at = None
        if job is None or job.assignment is None or not job.assignment.heartbeat:
            return
        with self._lock:
            if self._running:
                return
            self._running = True
        threading.Thread(target=self._run, name="grid-heartbeats", daemon=True).start()

    def leave(self) -> None:
        """Whoever trained has returned; a report may come later, but is not waited for without end."""
        self._left_at = time.monotonic()

    def _run(self) -> None:
        lost, pause = "", threading.Event()
        while (assignment := self._current(lost)) is not None:
            pause.wait(assignment.heartbeat)
            job = self._job()
            if job is not None and job.assignment is assignment and not job.reported:
                lost = "" if _beat(job.session, assignment) else assignment.assignment_id
            del job  # nobody keeps it while this waits

    def _current(self, lost: str) -> CheckInReply | None:
        """What to beat for; None, and nobody does it any more, where there is nothing."""
        with self._lock:
            job, left = self._job(), self._left_at
            assignment = None if job is None or job.reported else job.assignment
            left_alone = left is not None and time.monotonic() - left > PATIENCE
            if assignment is not None and assignment.assignment_id != lost and not left_alone:
                return assignment
            self._running = False
            return None


def _beat(session: WorkerSession, assignment: CheckInReply) -> bool:
    """Whether the assignment may still be there."""
    message = AssignmentHeartbeat(assignment_id=assignment.assignment_id, request_key=assignment.request_key)
    try:
        session.call(message, timeout=TIMEOUT)
    except (Conflict, NotFound):
        return False
    except GridError:
        pass
    return True
