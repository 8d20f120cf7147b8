"""What comes from a client, who may be slow, but not for ever."""

from __future__ import annotations

import io
import math
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

__all__ = ["Incoming"]


class Incoming(io.RawIOBase):
    """The reading half of a connection. A read that takes too long raises TimeoutError, and so do all later ones.

    Silence ends after ``idle`` seconds in any case. That alone lets a client send a byte now and then for as
    long as it likes; so heads have a time by which they must be there (:meth:`begin_head`), and bodies a pace
    (:meth:`begin_body`).

    Args:
        sock: a plain socket, gevent's, or TLS.
    """

    def __init__(self, sock: Any, idle: float) -> None:
        self._socket, self._idle = sock, idle
        self._until, self._pace, self._patience = math.inf, 0.0, idle
        self._broken = False
        sock.settimeout(idle)

    def readable(self) -> bool:
        return True

    def begin_nothing(self) -> None:
        """Between requests: only silence ends it."""
        self._until, self._pace = math.inf, 0.0

    def begin_head(self, seconds: float) -> None:
        """From now on all that comes must have come within ``seconds``."""
        self._until, self._pace = time.monotonic() + seconds, 0.0

    def begin_body(self, pace: float) -> None:
        """From now on at least ``pace`` bytes a second must come, with up to ``idle`` seconds of arrears.

        Only the time that is spent waiting here counts: not what the server takes to use what came.
        """
        self._until, self._pace, self._patience = math.inf, pace, self._idle

    def hurry(self) -> None:
        """From now on nothing is waited for: what has not come yet raises BlockingIOError."""
        self._until, self._pace = -math.inf, 0.0

    def readinto(self, room: WriteableBuffer) -> int:
        """Wait for bytes; 0 at the end of the stream. Raises TimeoutError as said above."""
        if self._broken:
            raise TimeoutError("the client was too slow")
        begun = time.monotonic()
        left = min(self._patience, self._idle) if self._pace else min(self._until - begun, self._idle)
        if left < self._idle:
            if left <= 0 and self._until > -math.inf:
                raise self._too_slow()
            self._socket.settimeout(max(0.0, left))
        try:
            count: int = self._socket.recv_into(room)
        except TimeoutError:
            raise self._too_slow() from None
        finally:
            if left < self._idle:
                self._socket.settimeout(self._idle)  # sending has the same socket
        if self._pace:
            self._patience += count / self._pace - (time.monotonic() - begun)
            self._patience = min(self._patience, self._idle)
        return count

    def _too_slow(self) -> TimeoutError:
        self._broken = True
        return TimeoutError("the client was too slow")
