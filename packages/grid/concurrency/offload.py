"""Waiting without stopping the event loop: the few primitives that know whether gevent runs this process.

A node runs under gevent's monkey patching; tests, tools and simulations run in plain threads. Code that
must work in both, and also from a real thread *inside* a patched node, uses these primitives:

- :func:`offload` moves heavy work off the event loop, :func:`offload_gently` what is heavy on purpose;
- :class:`Signal` wakes one waiter, from any thread;
- :class:`Semaphore` and :class:`Lock` are contended by greenlets and real threads alike.

gevent's own patched locks do not serve the last case: measured with gevent 26.9, a ``threading.Lock``
shared by greenlets and hub-pool threads dead-locks the loop.
"""

from __future__ import annotations

import _thread
import contextlib
import os
import select
import sys
from collections import deque
from collections.abc import Callable, Iterable
from types import TracebackType
from typing import Any, ParamSpec, TypeVar

__all__ = [
    "Lock",
    "Semaphore",
    "Signal",
    "hung_up",
    "native_lock",
    "offload",
    "offload_gently",
    "patched",
    "readable_now",
    "start_thread",
]

P = ParamSpec("P")
T = TypeVar("T")
_LONG = 3600.0
#: Niceness of threads that give way.
GENTLE = 10


def patched() -> bool:
    """Whether gevent has monkey-patched this process."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def _native(name: str) -> Any:
    """``_thread``'s own function, also where gevent has replaced it."""
    if "gevent.monkey" not in sys.modules:
        return getattr(_thread, name)
    from gevent.monkey import get_original

    return get_original("_thread", name)


def readable_now(descriptor: int) -> bool:
    """Whether a file or socket has something to read, or was closed at its other end; waits for nothing."""
    return _polled(descriptor, select.POLLIN)


def hung_up(descriptor: int) -> bool:
    """Whether the other end of a socket will send nothing more: it closed the connection, or its half of it."""
    return _polled(descriptor, getattr(select, "POLLRDHUP", select.POLLHUP))


def _polled(descriptor: int, events: int) -> bool:
    poll: Any = select.poll
    if "gevent.monkey" in sys.modules:
        from gevent.monkey import get_original

        poll = get_original("select", "poll")  # gevent's own goes round the event loop
    poller = poll()
    poller.register(descriptor, events)
    return bool(poller.poll(0))


def _hub() -> Any:
    """gevent's hub if the caller is on the event loop, else None: a real thread may simply block."""
    if not patched() or _thread.get_native_id() != os.getpid():
        return None
    from gevent import get_hub

    return get_hub()


def offload(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """Run ``fn`` in a real thread while the event loop goes on; call it directly where there is no loop.

    ``fn`` may use :class:`Database`, blobs and this module's locks, not patched ``threading`` locks that
    greenlets also take.
    """
    hub = _hub()
    if hub is None:
        return fn(*args, **kwargs)
    result: T = hub.threadpool.apply(fn, args, kwargs)
    return result


def offload_gently(fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
    """As :func:`offload`, in a thread of its own that gives way to everything else on the processors.

    For what takes all the processors it gets, and nobody else should wait for. Threads of ``fn``'s do the same.
    """
    if _hub() is None:
        return fn(*args, **kwargs)
    done = Signal()
    results: list[T] = []
    errors: list[BaseException] = []

    def work() -> None:
        with contextlib.suppress(OSError):  # not everywhere does a thread have a priority of its own
            os.setpriority(os.PRIO_PROCESS, _thread.get_native_id(), GENTLE)
        try:
            results.append(fn(*args, **kwargs))
        except BaseException as error:
            errors.append(error)
        done.set()

    start_thread(work)
    done.wait()
    if errors:
        raise errors[0]
    return results[0]


def start_thread(fn: Callable[[], None]) -> None:
    """Start a real daemon thread, under gevent too. ``fn`` must not raise."""
    _native("start_new_thread")(fn, ())


def native_lock() -> Any:
    """A real lock, under gevent too: for a few instructions at a time, never held while waiting."""
    return _native("allocate_lock")()


class Signal:
    """Wakes one waiter once. Made by the waiter; set from any thread, before or after it waits."""

    __slots__ = ("_hub", "_waiter")

    def __init__(self) -> None:
        self._hub = _hub()
        if self._hub is None:
            self._waiter = native_lock()
            self._waiter.acquire()
        else:
            from gevent.hub import Waiter

            self._waiter = Waiter(self._hub)

    def set(self) -> None:
        """Wake the waiter. Call it once."""
        if self._hub is None:
            self._waiter.release()
        else:
            self._hub.loop.run_callback_threadsafe(self._waiter.switch, None)

    @staticmethod
    def set_all(signals: Iterable[Signal]) -> None:
        """:meth:`set` each of them; the event loop is called once for all whose waiters are on it."""
        hub, waiters = None, []
        for signal in signals:
            if signal._hub is None:
                signal._waiter.release()
            else:
                hub = signal._hub  # a process has one event loop
                waiters.append(signal._waiter)
        if hub is not None:
            hub.loop.run_callback_threadsafe(_switch_to, waiters)

    def wait(self) -> None:
        """Return once :meth:`set` was called; greenlets and threads beside the caller go on."""
        if self._hub is None:
            self._waiter.acquire()
            return
        # gevent ends a loop in which nothing is left to happen; it cannot know of the other thread.
        alive = self._hub.loop.timer(_LONG, _LONG)
        alive.start(lambda: None)
        try:
            self._waiter.get()
        finally:
            alive.stop()
            alive.close()


def _switch_to(waiters: list[Any]) -> None:
    for waiter in waiters:
        waiter.switch(None)


class Semaphore:
    """At most ``permits`` holders, greenlets and real threads alike."""

    def __init__(self, permits: int) -> None:
        self._guard = native_lock()
        self._free = permits
        self._waiters: deque[Signal] = deque()

    def try_acquire(self) -> bool:
        """Take a permit if one is free; whether that was so."""
        return self._take(None)

    def acquire(self) -> None:
        """Take a permit, and wait for one as long as it takes; greenlets let others run meanwhile."""
        if self._take(None):
            return
        overtaken = False
        # The signal is made outside the guard: an allocation can run the garbage collector, and a
        # finalizer that gives a connection back comes to this very semaphore.
        while not self._take(signal := Signal(), first=overtaken):
            try:
                signal.wait()
            except BaseException:
                self._forget(signal)
                raise
            overtaken = True

    def _take(self, signal: Signal | None, *, first: bool = False) -> bool:
        """Take a permit; else queue ``signal``, at the head if its owner was woken and overtaken."""
        with self._guard:
            if self._free > 0:
                self._free -= 1
                return True
            if signal is not None:
                (self._waiters.appendleft if first else self._waiters.append)(signal)
            return False

    def release(self) -> None:
        """Give a permit back, from whichever thread, and wake who waits longest."""
        with self._guard:
            self._free += 1
            woken = self._waiters.popleft() if self._waiters else None
        if woken is not None:
            woken.set()

    def _forget(self, signal: Signal) -> None:
        """The waiter was killed: leave the queue, or pass on a wake-up that nobody will hear."""
        with self._guard:
            if signal in self._waiters:
                self._waiters.remove(signal)
                return
            woken = self._waiters.popleft() if self._free and self._waiters else None
        if woken is not None:
            woken.set()

    def __enter__(self) -> None:
        self.acquire()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Lock(Semaphore):
    """A mutual exclusion, not re-entrant, of greenlets and real threads alike."""

    def __init__(self) -> None:
        super().__init__(1)
