"""Several ways to one end, started one after the other: the first that leads there is taken (as in RFC 8305)."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from syft_ext.errors import GridError, Unavailable
from syft_ext.transport.base import Transport

__all__ = ["LAST_RESORT_WAITS", "STAGGER", "Outcome", "Way", "race"]

STAGGER = 0.3
"""Seconds from the start of one way to that of the next; one that fails starts the next at once."""
LAST_RESORT_WAITS = 1.5
"""Seconds that a last resort, once it is there, waits for ways before it that are still under way."""


@dataclass(frozen=True, slots=True)
class Way:
    """One way.

    Args:
        open: leads there, or raises why it does not; it may take long, and is called in a thread of its own.
        last_resort: whether it lets the ways before it have a little time.
    """

    name: str
    open: Callable[[], Transport]
    last_resort: bool = False


@dataclass(slots=True)
class Outcome:
    """Which way was taken, and of each other one why not."""

    name: str
    transport: Transport
    failed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Arrived:
    way: Way
    transport: Transport | None = None
    error: Exception | None = None


class _Racing:
    """Who has started, and what became of them."""

    def __init__(self) -> None:
        self._arrived: queue.Queue[_Arrived] = queue.Queue()
        self._lock = threading.Lock()
        self._over = False
        self.running: dict[str, Way] = {}

    def start(self, way: Way) -> None:
        self.running[way.name] = way
        threading.Thread(target=self._run, args=(way,), name=f"way {way.name}", daemon=True).start()

    def _run(self, way: Way) -> None:
        try:
            arrived = _Arrived(way, transport=way.open())
        except Exception as error:
            arrived = _Arrived(way, error=error)
        with self._lock:
            if not self._over:
                self._arrived.put(arrived)
                return
        if arrived.transport is not None:
            arrived.transport.close()

    def next(self, seconds: float) -> _Arrived | None:
        try:
            arrived = self._arrived.get(timeout=max(seconds, 0.0))
        except queue.Empty:
            return None
        del self.running[arrived.way.name]
        return arrived

    def end(self) -> None:
        """Close whatever arrives from now on, and what has arrived and was not asked for."""
        with self._lock:
            self._over = True
        while (arrived := self.next(0)) is not None:
            if arrived.transport is not None:
                arrived.transport.close()


def race(
    ways: Sequence[Way],
    *,
    seconds: float,
    stagger: float = STAGGER,
    last_resort_waits: float = LAST_RESORT_WAITS,
) -> Outcome:
    """Try ``ways`` in their order; what others opened is closed.

    Raises :class:`~syft_ext.errors.Unavailable`, with the reason of each, when none leads there in ``seconds``.
    """
    racing, waiting, failed = _Racing(), list(ways), dict[str, str]()
    deadline = time.monotonic() + seconds
    next_start, held_until = 0.0, deadline
    held: tuple[Way, Transport] | None = None
    try:
        while True:
            now = time.monotonic()
            if waiting and (now >= next_start or not racing.running):
                racing.start(waiting.pop(0))
                next_start = now + stagger
                continue
            if held is not None and (now >= held_until or not (racing.running or waiting)):
                way, transport = held
                held = None
                return Outcome(way.name, transport, _explained(ways, way, failed))
            if now >= deadline or not racing.running:
                raise Unavailable(_all_failed(ways, failed), failed=failed)
            until = min(deadline, held_until if held is not None else deadline)
            arrived = racing.next(min(until, next_start if waiting else until) - now)
            if arrived is None:
                continue
            if arrived.transport is None:
                failed[arrived.way.name] = _reason(arrived.error)
                next_start = 0.0
            elif arrived.way.last_resort and (racing.running or waiting):
                held, held_until = (arrived.way, arrived.transport), time.monotonic() + last_resort_waits
            else:
                return Outcome(arrived.way.name, arrived.transport, _explained(ways, arrived.way, failed))
    finally:
        racing.end()
        if held is not None:
            held[1].close()


def _explained(ways: Sequence[Way], taken: Way, failed: dict[str, str]) -> dict[str, str]:
    """Why each way but ``taken`` was not."""
    slower = f"slower than {taken.name}" if not taken.last_resort else "did not come about in time"
    position = [way.name for way in ways].index(taken.name)
    reasons = {
        way.name: failed.get(way.name, slower if at < position else f"not needed: {taken.name} leads there")
        for at, way in enumerate(ways)
        if way.name != taken.name
    }
    return {**{name: why for name, why in failed.items() if name not in reasons}, **reasons}


def _all_failed(ways: Sequence[Way], failed: dict[str, str]) -> str:
    told = "; ".join(f"{way.name}: {failed.get(way.name, 'no answer in time')}" for way in ways)
    return f"no way leads there ({told})"


def _reason(error: Exception | None) -> str:
    return error.detail if isinstance(error, GridError) else f"{type(error).__name__}: {error}"
