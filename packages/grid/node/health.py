"""Questions to parts of a node that may not answer: whoever asks hears that within seconds."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import Generic, TypeVar

from syft_ext.errors import GridError

__all__ = ["DATABASE", "SECONDS", "Health", "Inquiry"]

logger = logging.getLogger(__name__)
DATABASE = "database"
"""The name of its check."""

SECONDS = 3.0
"""How long ``/readyz`` waits for its answers, all together. Orchestrators give up after some more."""

T = TypeVar("T")


class Inquiry(Generic[T]):
    """Something to be asked again and again, by several at once, that may hang.

    At most one asks at a time, in a thread of its own (a greenlet, in a node's process); who comes while it does
    waits for the same answer. So a part that hangs keeps one thread, however often it is asked.
    """

    def __init__(self, ask: Callable[[], T]) -> None:
        self._ask = ask
        self._lock = threading.Lock()
        self._running: _Asking[T] | None = None

    def begin(self) -> _Asking[T]:
        """Ask, unless somebody is asking; :meth:`_Asking.answer` has what comes of it."""
        with self._lock:
            if self._running is None or self._running.done.is_set():
                self._running = _Asking(self._ask)
            return self._running


class _Asking(Generic[T]):
    def __init__(self, ask: Callable[[], T]) -> None:
        self.done = threading.Event()
        self._answer: list[T] = []
        self._error: BaseException | None = None
        threading.Thread(target=self._run, args=(ask,), daemon=True).start()

    def _run(self, ask: Callable[[], T]) -> None:
        try:
            self._answer.append(ask())
        except BaseException as error:  # theirs who asked
            self._error = error
        finally:
            self.done.set()

    def answer(self, seconds: float) -> T:
        """What was answered, or raise what was raised; ``TimeoutError`` after ``seconds`` without either."""
        if not self.done.wait(max(seconds, 0.0)):
            raise TimeoutError
        if self._error is not None:
            raise self._error
        return self._answer[0]


class Health:
    """What a node answers when it is asked whether it works: its checks, and what whoever runs it must know.

    Args:
        checks: name → raises when that part cannot do its work.
        warn: texts of what must be known although the node works.
    """

    def __init__(self, checks: Mapping[str, Callable[[], object]], warn: Callable[[], list[str]]) -> None:
        self._checks = {name: Inquiry(check) for name, check in checks.items()}
        self._warn = Inquiry(warn)

    def ask(self) -> tuple[dict[str, str], list[str]]:
        """Name of each check → "ok" or what is wrong, and the warnings; within :data:`SECONDS`, whatever hangs."""
        until = time.monotonic() + SECONDS
        warned = self._warn.begin()
        asked = {name: question.begin() for name, question in self._checks.items()}
        checks = {name: self._result(name, asking, until) for name, asking in asked.items()}
        try:
            return checks, warned.answer(until - time.monotonic())
        except TimeoutError:
            return checks, ["what else must be known of this node could not be found out: no answer"]

    @staticmethod
    def _result(name: str, asking: _Asking[object], until: float) -> str:
        try:
            asking.answer(until - time.monotonic())
        except TimeoutError:
            logger.warning("check %s: no answer in %g s", name, SECONDS)
            return "the database does not answer" if name == DATABASE else "no answer"
        except Exception as error:
            logger.warning("check %s failed: %s", name, error)
            return str(error) if isinstance(error, GridError) else "failed"
        return "ok"
