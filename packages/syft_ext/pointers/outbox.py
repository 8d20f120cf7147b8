"""Actions that were recorded and not sent yet, in order, and how many go together.

Nobody waits for an answer between actions. The first ones go soon (:data:`LINGER`); while they are on their
way the next gather, and go when the answer is here, when they are many (:data:`BATCH`), or when somebody wants
a result (:meth:`Outbox.flush`). Who records faster than the line carries is slowed down at :data:`HIGH_WATER`.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from syft_ext.errors import GridError
from syft_ext.messages.compute import Action, Drop, Put
from syft_ext.pointers.call_sites import CallSite, call_site

__all__ = ["ActionBatch", "Outbox"]

LINGER = 0.002  # seconds that the first action waits for company
BATCH = 2048  # actions that are sent without waiting for an answer
BATCH_BYTES = 8 << 20
HIGH_WATER = 64 << 20  # bytes waiting; about what one line carries in seconds
_ALIGNMENT = 64
_DROPS = 4096  # values in one Drop


@dataclass(slots=True)
class ActionBatch:
    """Actions that are sent together. ``first`` is the number of the first; ``pieces`` the payload."""

    first: int
    actions: list[Action] = field(default_factory=list)
    pieces: list[bytes | memoryview] = field(default_factory=list)
    size: int = 0

    @property
    def after(self) -> int:
        """The number of the action that follows."""
        return self.first + len(self.actions)


class Outbox:
    """A queue between whoever records and the threads that send.

    Attributes:
        error: why nothing can be sent any more; raised to whoever records or waits.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._waiting: deque[tuple[Action, memoryview | None, int]] = deque()
        self._dead: deque[int] = deque()  # values that died; appended to by finalisers, without the lock
        self._bytes = 0
        self._recorded = 0  # actions so far
        self._taken = 0
        self._in_flight = 0
        self._senders = 0
        self._flush_to = 0
        self._since = 0.0
        self._values = 0
        self._closed = False
        self.error: GridError | None = None
        self.call_sites: dict[int, CallSite] = {}  # action -> the line that recorded it, until it has run

    @property
    def waiting_bytes(self) -> int:
        """About how much memory what waits takes."""
        return self._bytes

    @property
    def open(self) -> bool:
        """Whether anything can still be sent."""
        return self.error is None and not self._closed

    @property
    def busy(self) -> bool:
        """Whether something waits or is on its way."""
        return bool(self._waiting) or self._in_flight > 0

    # -- recording ----------------------------------------------------------------------------------

    def forget(self, number: int) -> None:
        """A value has no owner any more. Called by finalisers: takes no lock, and comes in at the next action."""
        self._dead.append(number)

    def add(
        self, outs: int, make: Callable[[list[int]], Action], data: memoryview | None = None
    ) -> tuple[list[int], bool]:
        """Append the action that ``make`` gives for the numbers of its ``outs`` results, which count up.

        ``data`` is the bytes of a Put. Waits while too much is waiting already. Returns the numbers, and
        whether there may be too few threads that send (:meth:`enlist`).
        """
        size = 256 + (len(data) if data is not None else 0)
        where = call_site()
        with self._changed:
            while self._bytes > HIGH_WATER and self.error is None and not self._closed:
                self._changed.wait()
            self._check()
            self._drop_dead()
            first, self._values = self._values, self._values + outs
            numbers = list(range(first, first + outs))
            self.call_sites[self._recorded] = where
            self._append(make(numbers), data, size)
            return numbers, not self._senders or (self._senders <= self._in_flight and self._due())

    def _append(self, action: Action, data: memoryview | None, size: int) -> None:
        if not self._waiting:
            self._since = time.monotonic()
            self._changed.notify_all()
        elif len(self._waiting) == BATCH or self._bytes > BATCH_BYTES:
            self._changed.notify_all()
        self._waiting.append((action, data, size))
        self._bytes += size
        self._recorded += 1

    def _drop_dead(self) -> None:
        while self._dead:
            count = min(len(self._dead), _DROPS)
            values = [self._dead.popleft() for _ in range(count)]
            self._append(Drop(values=values), None, 64 + 9 * count)

    def _check(self) -> None:
        if self.error is not None:
            raise self.error.with_traceback(None)  # the same error is raised many times
        if self._closed:
            raise GridError("the session is closed")

    def flush(self) -> int:
        """Let everything go at once; how many actions have been recorded."""
        with self._changed:
            self._check()
            self._drop_dead()
            self._flush_to = self._recorded
            self._changed.notify_all()
            return self._recorded

    # -- sending ------------------------------------------------------------------------------------

    def enlist(self, most: int) -> bool:
        """Whether another sending thread is needed, which is then counted; :meth:`take` counts it out."""
        with self._changed:
            needed = bool(self._waiting) and (
                not self._senders or (self._senders <= self._in_flight and self._due())
            )
            if needed and self._senders < most and self.error is None:
                self._senders += 1
                return True
            return False

    def take(self, idle: float) -> ActionBatch | None:
        """The next batch, when it should go; None when nothing came for ``idle`` seconds, or at the end: the
        thread that asked is counted out then."""
        deadline = time.monotonic() + idle
        with self._changed:
            while not self._due():
                if self._closed or self.error is not None:
                    self._senders -= 1
                    return None
                now = time.monotonic()
                if self._waiting and not self._in_flight:
                    self._changed.wait(max(self._since + LINGER - now, 0.0005))
                elif now >= deadline and not self._waiting:
                    self._senders -= 1
                    return None
                else:
                    self._changed.wait(min(max(deadline - now, 0.01), 1.0))
                if not self._waiting and self._dead and self.error is None:
                    self._drop_dead()
            return self._cut()

    def _due(self) -> bool:
        if not self._waiting or self.error is not None:
            return False
        if self._taken < self._flush_to or len(self._waiting) >= BATCH or self._bytes > BATCH_BYTES:
            return True
        return not self._in_flight and time.monotonic() >= self._since + LINGER

    def _cut(self) -> ActionBatch:
        batch = ActionBatch(self._taken)
        taken = 0
        while self._waiting and (taken < BATCH_BYTES or not batch.actions) and len(batch.actions) < 2 * BATCH:
            action, data, size = self._waiting.popleft()
            if data is not None and isinstance(action, Put):
                padding = -batch.size % _ALIGNMENT
                action.offset = batch.size + padding
                batch.pieces += [bytes(padding), data] if padding else [data]
                batch.size += padding + len(data)
            batch.actions.append(action)
            taken += size
        self._bytes -= taken
        self._taken += len(batch.actions)
        self._in_flight += 1
        self._since = time.monotonic()
        self._changed.notify_all()
        return batch

    def sent(self, batch: ActionBatch) -> None:
        """A batch has run."""
        with self._changed:
            self._in_flight -= 1
            for number in range(batch.first, batch.after):
                self.call_sites.pop(number, None)
            self._changed.notify_all()

    def fail(self, error: GridError) -> None:
        """Nothing goes any more: everybody who waits or records from now on gets ``error``."""
        with self._changed:
            self.error = self.error or error
            self._waiting.clear()
            self._bytes = 0
            self._changed.notify_all()

    def close(self) -> None:
        """Send nothing more, not even what waits: the session ends."""
        with self._changed:
            self._closed = True
            self._waiting.clear()
            self._changed.notify_all()
