"""Workers that wait for a slot of one training, in order of arrival, and the one thread that assigns slots.

Whoever arrives while somebody assigns does not queue for a lock: that thread takes the newcomer into its next
round. A thousand check-ins at once so become a handful of transactions.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from syft_ext.errors import Unavailable
from syft_ext.messages.federated import CheckInReply

__all__ = ["Waiter", "WaitingRoom"]


PAUSE = 0.005
"""Seconds for which newcomers gather while nothing is to be assigned: mostly, the next cycle's round sees them."""


LOOK = 2.0
"""Seconds between two looks at whether a waiter is still there."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One check-in. ``patient``: it may be left without an answer for now; ``seen``: the cycle in which it was;
    ``alive``: whether somebody still listens for the answer."""

    worker_id: str
    idempotency_key: str
    upload: float | None
    download: float | None
    patient: bool
    alive: Callable[[], bool] = lambda: True
    heartbeats: bool = False
    seen: str | None = None
    answer: CheckInReply | None = None
    error: BaseException | None = None
    done: threading.Event = field(default_factory=threading.Event)


class WaitingRoom:
    """Whoever comes, and the rounds in which slots are assigned to them.

    Attributes:
        empty: the last round had no slots left: the next one need not be at once.

    Args:
        assign_slots: gives an answer to every impatient waiter, and to whom of the others it can.
    """

    def __init__(self, assign_slots: Callable[[Sequence[Waiter]], None]) -> None:
        self._assign_slots = assign_slots
        self._lock = threading.Lock()
        self._waiters: list[Waiter] = []
        self._assigning = False
        self._again = False
        self._expected = 0
        self.empty = False

    @contextmanager
    def expecting(self) -> Iterator[None]:
        """A round comes by itself, at the latest at the end of the block: newcomers who can wait join it."""
        self._expected += 1
        try:
            yield
        finally:
            self._expected -= 1
            if any(waiter.seen is None for waiter in self._waiters):
                self.assign_slots()

    def enter(self, waiter: Waiter, wait: float) -> CheckInReply:
        """The answer to this check-in, after at most ``wait`` seconds (and one round of assigning)."""
        waiter.patient = wait > 0
        deadline = time.monotonic() + wait
        with self._lock:
            self._waiters.append(waiter)
        try:
            time.sleep(0)  # whoever is as far as this one joins it
        except BaseException:
            with self._lock:
                self._waiters = [w for w in self._waiters if w is not waiter]
            raise
        if not waiter.done.is_set() and not (waiter.patient and self._seen_soon(waiter)):
            self.assign_slots()
        if waiter.patient and not self._wait(waiter, deadline):
            waiter.patient = False
            self.assign_slots()
        waiter.done.wait()
        if waiter.error is not None:
            raise waiter.error
        assert waiter.answer is not None
        return waiter.answer

    def _wait(self, waiter: Waiter, deadline: float) -> bool:
        """Whether the answer came in time. Who has hung up meanwhile waits for nothing any more."""
        while (left := deadline - time.monotonic()) > 0:
            if waiter.done.wait(min(left, LOOK)):
                return True
            if not waiter.alive():
                return False  # the next round tells it so
        return waiter.done.is_set()

    def _seen_soon(self, waiter: Waiter) -> bool:
        """Whether a round that others ask for sees this one, where the last one had nothing to give."""
        if self._expected:
            return True
        return self.empty and (waiter.done.wait(PAUSE) or waiter.seen is not None)

    def assign_slots(self) -> None:
        """Assign slots, or let the thread that does it do another round."""
        again = True
        while again:
            present = self.begin_round()
            if present is None:
                return
            if present:
                try:
                    self._assign_slots(present)
                except BaseException as error:
                    for waiter in present:
                        waiter.error = error
            again = self.end_round(present)

    def begin_round(self) -> list[Waiter] | None:
        """Who is here, for the caller alone to give slots to; None while another does, who then does it again."""
        with self._lock:
            if self._assigning:
                self._again = True
                return None
            self._assigning, self._again = True, False
            return list(self._waiters)

    def end_round(self, present: Sequence[Waiter]) -> bool:
        """Whoever has got an answer leaves. Whether another round was asked for meanwhile."""
        answered = [w for w in present if w.answer is not None or w.error is not None]
        with self._lock:
            leaving = set(map(id, answered))
            self._waiters = [w for w in self._waiters if id(w) not in leaving]
            self._assigning, again = False, self._again
        for waiter in answered:
            waiter.done.set()
        return again

    def close(self) -> None:
        """Nobody waits any more: whoever does gets :class:`Unavailable`."""
        with self._lock:
            waiters, self._waiters = self._waiters, []
        for waiter in waiters:
            waiter.error = Unavailable("the node is stopping")
            waiter.done.set()

    def __len__(self) -> int:
        return len(self._waiters)
