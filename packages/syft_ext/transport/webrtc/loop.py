"""The one event loop of this process in which sessions live, in a thread of its own.

So a session works from scripts, and from notebooks whose kernel runs a loop itself.
"""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Coroutine
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any, TypeVar

from syft_ext.errors import DeadlineExceeded, Unsupported

__all__ = ["call", "loop", "require_threads"]

T = TypeVar("T")
_lock = threading.Lock()
_running: tuple[int, asyncio.AbstractEventLoop] | None = None  # of which process, and the loop


def require_threads() -> None:
    """Raise :class:`~syft_ext.errors.Unsupported` in a process whose threads gevent has replaced: a node's own."""
    if "gevent" in threading.get_ident.__module__:
        raise Unsupported("a node's own process opens no WebRTC sessions")


def loop() -> asyncio.AbstractEventLoop:
    """The loop; started by whoever asks first, and anew in a process that was forked."""
    global _running
    with _lock:
        if _running is None or _running[0] != os.getpid():
            made = asyncio.new_event_loop()
            threading.Thread(target=made.run_forever, name="webrtc", daemon=True).start()
            _running = os.getpid(), made
        return _running[1]


def call(work: Coroutine[Any, Any, T], seconds: float) -> T:
    """What ``work`` returns, or raise what it raises. After ``seconds`` it is cancelled, and
    :class:`~syft_ext.errors.DeadlineExceeded` raised. Not from the loop itself."""
    future = asyncio.run_coroutine_threadsafe(work, loop())
    try:
        return future.result(seconds)
    except FutureTimeout:
        if future.done():
            raise  # the work's own
        future.cancel()
        raise DeadlineExceeded("no WebRTC session was opened in time") from None
