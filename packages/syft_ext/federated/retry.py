"""What a worker does when a call fails: wait and repeat, authenticate again, or give up."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TypeVar

from syft_ext.errors import (
    ContentDamaged,
    DeadlineExceeded,
    ExpiredMessage,
    GridError,
    InternalError,
    InvalidEnvelope,
    InvalidToken,
    TooManyRequests,
    Unavailable,
)
from syft_ext.federated.session import WorkerSession
from syft_ext.transport.backoff import Backoff

__all__ = ["Persistence", "Stopped"]

T = TypeVar("T")

#: The node is down, busy or restarting, or its owner has to put a content back: waiting helps.
PASSING = (ContentDamaged, Unavailable, DeadlineExceeded, TooManyRequests)
#: Waiting may help: the message was caught by a restart, or the node stumbled. Not for ever.
DOUBTFUL = (ExpiredMessage, InternalError, InvalidEnvelope)
DOUBTS = 5


class Stopped(Exception):
    """Somebody called ``stop()`` while a call was being repeated."""


class Persistence:
    """Repeats a call until it works or its error says that repeating is useless.

    Args:
        stop: ends the waiting.
        patience: seconds after which the last error is raised; None: as long as it takes.
    """

    def __init__(
        self, session: WorkerSession, stop: threading.Event, *, patience: float | None = None
    ) -> None:
        self._session, self._stop, self._patience = session, stop, patience

    def call(self, action: Callable[[], T]) -> T:
        """The result of ``action()``, in the end. Raises :class:`Stopped` or the error that stays.

        A stop ends the waiting, not the first attempt: what was learned before it is still reported.
        """
        backoff, begun, doubts, refused = Backoff(stop=self._stop), time.monotonic(), 0, 0
        while True:
            try:
                if refused:
                    self._session.authenticate()
                return action()
            except PASSING as error:
                self._check_patience(begun, error)
            except DOUBTFUL as error:
                doubts += 1
                if doubts >= DOUBTS:
                    raise
                self._check_patience(begun, error)
            except InvalidToken:
                # The token ran out, or the node forgot it: the same key gets a new one for the same worker.
                refused += 1
                if refused > 1:
                    raise
                continue
            if not backoff.wait():
                raise Stopped

    def _check_patience(self, begun: float, error: GridError) -> None:
        if self._patience is not None and time.monotonic() - begun > self._patience:
            raise error
