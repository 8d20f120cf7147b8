"""The processes in which this node checks and runs plans: one for each user, and so many at once.

A plan that takes long, or all of its process's memory, holds up whoever sent it and nobody else.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from grid.concurrency.offload import native_lock
from syft_ext.confinement.gate import Gate
from syft_ext.errors import TooManyRequests, Unavailable
from syft_ext.ids import new_id
from syft_ext.plans.graph.limits import Limits

if TYPE_CHECKING:
    from syft_ext.plans.sandbox.process import SandboxProcess

__all__ = ["PlanProcesses"]

_SECONDS = 120.0
"""Wall-clock and CPU time of one run."""
_PATIENCE = 30.0
_LOOK_AGAIN = 0.05


@dataclass(slots=True)
class _Entry:
    process: SandboxProcess
    users: int = 0
    used_at: float = 0.0
    retired: bool = False


class PlanProcesses:
    """Processes by user id, each warm and with torch; they start when they are needed.

    Args:
        gate: whether this machine can confine them.
        processes: so many at once; the one that was idle for longest makes room for another user's.
        memory: bytes that all of them may use together, beyond what torch itself needs.
        idle: seconds after which a process in which nothing ran is ended.
        limits: what one run of a plan may cost.
    """

    def __init__(
        self,
        gate: Gate,
        *,
        processes: int = 4,
        memory: int = 16 << 30,
        idle: float = 300.0,
        limits: Limits | None = None,
    ) -> None:
        self._gate, self._most, self._idle = gate, processes, idle
        self._memory, self._limits = memory // processes, limits
        self._lock = native_lock()  # greenlets and threads come here; it is never held while waiting
        self._entries: dict[str, _Entry] = {}
        self._closed = False

    @contextmanager
    def of(self, user_id: str, *, retire: bool = False) -> Iterator[SandboxProcess]:
        """The process of this user, for the block; plans of one user take turns in it.

        Args:
            retire: end it when nobody uses it any more, whatever it holds: the memory that the two sides share
                stays as large as it ever was.

        Raises :class:`Unconfined` where it may not run, :class:`TooManyRequests` while all processes work.
        """
        self._gate.check()
        entry = self._take(user_id)
        try:
            yield entry.process
        finally:
            with self._lock:
                entry.users -= 1
                entry.used_at = time.monotonic()
                entry.retired |= retire
                ended = entry.retired and not entry.users
                if ended and self._entries.get(user_id) is entry:
                    del self._entries[user_id]
            if ended:
                entry.process.close()

    @contextmanager
    def apart(self, user_id: str) -> Iterator[SandboxProcess]:
        """A process that only the caller uses, for the block: for work in a thread of its own, off the event loop,
        to which no other thread's sockets belong. Raises as :meth:`of`."""
        with self.of(f"{user_id} {new_id()}", retire=True) as process:
            yield process

    def _take(self, user_id: str) -> _Entry:
        deadline = time.monotonic() + _PATIENCE
        while True:
            with self._lock:
                entry, over = self._find(user_id)
                if entry is not None:
                    entry.users += 1
            if over is not None:
                over.process.close()
            if entry is not None:
                return entry
            if time.monotonic() > deadline:
                raise TooManyRequests(
                    "all processes for plans work for other users just now; try again later",
                    processes=self._most,
                )
            time.sleep(_LOOK_AGAIN)

    def _find(self, user_id: str) -> tuple[_Entry | None, _Entry | None]:
        """The user's entry, if there is one or room for one; what had to go for it."""
        if self._closed:
            raise Unavailable("the node is stopping")
        entry, over = self._entries.get(user_id), None
        if entry is not None:
            return entry, None
        if len(self._entries) >= self._most:
            idle = [(each.used_at, key) for key, each in self._entries.items() if not each.users]
            if not idle:
                return None, None
            over = self._entries.pop(min(idle)[1])
        entry = self._entries[user_id] = _Entry(self._new())
        return entry, over

    def _new(self) -> SandboxProcess:
        from syft_ext.plans.sandbox.process import SandboxProcess  # the first plan brings numpy's half of it

        return SandboxProcess(
            self._limits, seconds=_SECONDS, memory_bytes=self._memory, permissive=self._gate.permissive
        )

    def running(self) -> int:
        """How many processes there are now."""
        return len(self._entries)

    def sweep(self) -> None:
        """End those that were idle for long."""
        oldest = time.monotonic() - self._idle
        with self._lock:
            over = [key for key, each in self._entries.items() if not each.users and each.used_at < oldest]
            entries = [self._entries.pop(key) for key in over]
        for entry in entries:
            entry.process.close()

    def close(self) -> None:
        """End all of them; plans that run fail. Nothing is started any more."""
        with self._lock:
            self._closed = True
            entries = list(self._entries.values())
            self._entries.clear()
        for entry in entries:
            entry.process.close()
