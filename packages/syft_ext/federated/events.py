"""The events of a job and what they carry."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from syft_ext.display.table import Table, fields_table
from syft_ext.errors import BadRequest

__all__ = ["EVENTS", "Listeners", "Progress", "RunSummary", "Sent"]

#: Event → arguments of its listeners after the job.
EVENTS = {
    "accepted": "()",
    "rejected": "(timeout: seconds, or None when the training is over)",
    "error": "(error)",
    "cycle_started": "(cycle)",
    "progress": "(progress: Progress)",
    "reported": "(sent: Sent)",
    "finished": "(summary: RunSummary)",
}

Listener = Callable[..., Any]


@dataclass(frozen=True, slots=True)
class Progress:
    """Where the local training stands. Means are over the samples of this cycle so far.

    Attributes:
        update, updates: steps taken, and to be taken if that is known.
    """

    cycle: int
    update: int
    updates: int | None
    samples: int
    loss: float | None
    accuracy: float | None


@dataclass(frozen=True, slots=True)
class Sent:
    """What the Domain was told of a cycle beside the report, None where nothing, once it had accepted that."""

    cycle: int
    samples: int | None
    loss: float | None
    accuracy: float | None


@dataclass(slots=True)
class RunSummary:
    """What became of a run.

    Attributes:
        cycles: reports that the Domain accepted.
        missed: assignments that came to nothing: too late, cancelled, or lost by the Domain.
        failures: assignments given back after an error in the local training.
        samples: samples trained on, over all cycles.
        loss, accuracy: of the last cycle.
        reason: "over" (the training has ended), "max-cycles", "max-reports" (of the client's bounds) or "stopped".
    """

    cycles: int = 0
    missed: int = 0
    failures: int = 0
    samples: int = 0
    loss: float | None = None
    accuracy: float | None = None
    reason: str = ""

    def table(self) -> Table:
        """The run in a few lines, without what it has nothing to say of."""
        ended = {"over": "the training is over", "max-cycles": "as many cycles as asked for"}
        ended["max-reports"] = "as many reports as the bounds allow"
        fields = [
            ("cycles reported", self.cycles),
            ("missed", self.missed),
            ("failures", self.failures),
            ("samples", f"{self.samples:,}"),
            ("loss, last cycle", self.loss),
            ("accuracy, last cycle", self.accuracy),
            ("ended because", ended.get(self.reason, self.reason)),
        ]
        return fields_table("Run", fields)

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Listeners:
    """Callbacks by event, called in the order they were added, in the thread of the job."""

    def __init__(self) -> None:
        self._by_event: dict[str, list[Listener]] = {name: [] for name in EVENTS}
        self._lock = threading.Lock()

    def add(self, event: str, listener: Listener) -> None:
        """Raises :class:`~syft_ext.errors.BadRequest` for an event that jobs do not have."""
        if event not in self._by_event:
            raise BadRequest(f"a job has no event {event!r}; there are: {', '.join(EVENTS)}")
        with self._lock:
            self._by_event[event].append(listener)

    def any(self, event: str) -> bool:
        """Whether somebody listens to the event."""
        return bool(self._by_event[event])

    def emit(self, event: str, *args: Any) -> None:
        """Call who listens, one after the other; what one raises is raised, and the rest are not called."""
        with self._lock:
            listeners = list(self._by_event[event])
        for listener in listeners:
            listener(*args)
