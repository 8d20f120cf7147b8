"""Several requests of one WebSocket at the same time, so that a long wait holds up nothing."""

from __future__ import annotations

import _thread
import logging
import threading
from collections.abc import Callable

from websockets.frames import CloseCode

from grid.web.sockets.connection import WebSocket
from syft_ext.errors import GridError

__all__ = ["Multiplex"]

logger = logging.getLogger(__name__)

Handler = Callable[[WebSocket, str | bytes], None]


class Multiplex:
    """Hands every message of ``ws`` to ``handle`` in a greenlet (a thread, where gevent is not at work).

    Args:
        limit: messages handled at once. At the limit nothing more is read: TCP slows the peer down.
    """

    def __init__(self, ws: WebSocket, limit: int, handle: Handler) -> None:
        self._ws = ws
        self._handle = handle
        self._slots = threading.Semaphore(limit)

    def run(self) -> None:
        """Until the connection closes; handlers that still run end with their next ``send``."""
        while True:
            self._slots.acquire()
            message = self._ws.receive()
            if message is None:
                return
            if not self._ws.memory.move(0, len(message)):
                self._ws.close(CloseCode.TRY_AGAIN_LATER, "too many large messages at a time")
                return
            _thread.start_new_thread(self._one, (message,))

    def _one(self, message: str | bytes) -> None:
        try:
            self._handle(self._ws, message)
        except GridError:
            pass  # the peer went away before its answer
        except Exception:
            logger.exception("a websocket message could not be handled")
            self._ws.close(CloseCode.INTERNAL_ERROR)
        finally:
            self._ws.memory.move(len(message), 0)
            self._slots.release()
