"""The half of a multiplexed connection that answers: on a node, behind a WebSocket or a data channel."""

from __future__ import annotations

import _thread
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from syft_ext.errors import GridError
from syft_ext.transport.frames import FrameSource, WholeFrame
from syft_ext.transport.pipe import CloseCode, MessagePipe
from syft_ext.transport.streams import MemoryLimit, StreamConnection, StreamExchange, StreamReader

__all__ = ["FrameHandler", "FrameReply", "MessageServer", "serve_frames"]

logger = logging.getLogger(__name__)

Piece = bytes | bytearray | memoryview
M = TypeVar("M", bound=str | bytes)
M_co = TypeVar("M_co", bound=str | bytes, covariant=True)
#: Sends the answer: how many bytes its frame has, and the frame.
FrameReply = Callable[[int, Iterable[Piece]], None]
#: Takes a frame that came, and the way back for its answer.
FrameHandler = Callable[[FrameSource, FrameReply], None]
#: How many exchanges in segments may be under way for each that is handled at once; the rest of them waits.
WAITING = 4


class MessageSource(Protocol[M_co]):
    """What messages come from."""

    def receive(self) -> M_co | None:
        """The next message; None once there will be no more."""

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        """End it, with a code of RFC 6455, section 7.4; wakes whoever waits for a message."""


def serve_frames(
    pipe: MessagePipe,
    handle: FrameHandler,
    *,
    limit: int,
    memory: MemoryLimit | None = None,
    patience: float = 60.0,
) -> None:
    """Answer what comes over ``pipe`` until it ends; handlers that still run end with what they send next.

    Args:
        handle: runs in a greenlet (a thread, where gevent is not at work) for each frame.
        limit: frames handled at once.
        memory: what frames, or what is held of them, are counted against.
        patience: seconds that a peer may send nothing of a frame in segments, or take nothing.
    """
    if pipe.max_message is not None:
        _FrameServer(pipe, handle, limit, memory, patience).run()
        return

    def reply(_size: int, pieces: Iterable[Piece]) -> None:
        pipe.send(pieces)

    MessageServer(pipe, limit, lambda message: handle(WholeFrame(message), reply), memory).run()


class MessageServer(Generic[M]):
    """Hands every message to ``handle`` in a greenlet (a thread, where gevent is not at work).

    So a long wait holds up nothing.

    Args:
        limit: messages handled at once. At the limit nothing more is read: TCP slows the peer down.
        memory: what messages are counted against while they are handled.
    """

    def __init__(
        self,
        source: MessageSource[M],
        limit: int,
        handle: Callable[[M], None],
        memory: MemoryLimit | None = None,
    ) -> None:
        self._source = source
        self._handle = handle
        self._memory = memory
        self._slots = threading.Semaphore(limit)

    def run(self) -> None:
        """Until the connection closes; handlers that still run end with their next message."""
        while True:
            self._slots.acquire()
            message = self._source.receive()
            if message is None:
                return
            if self._memory is not None and not self._memory.move(0, len(message)):
                self._source.close(CloseCode.TRY_AGAIN_LATER, "too many large messages at a time")
                return
            _thread.start_new_thread(self._one, (message,))

    def _one(self, message: M) -> None:
        try:
            self._handle(message)
        except GridError:
            pass  # the peer went away before its answer
        except Exception:
            logger.exception("a message could not be handled")
            self._source.close(CloseCode.INTERNAL_ERROR)
        finally:
            if self._memory is not None:
                self._memory.move(len(message), 0)
            self._slots.release()


class _FrameServer:
    """Handles the exchanges of one pipe in segments, ``limit`` at once; what is more waits, and holds a window."""

    def __init__(
        self,
        pipe: MessagePipe,
        handle: FrameHandler,
        limit: int,
        memory: MemoryLimit | None,
        patience: float,
    ) -> None:
        self._handle, self._limit, self._patience = handle, limit, patience
        self._waiting: deque[StreamExchange] = deque()
        self._running = 0
        self._lock = threading.Lock()
        self._connection = StreamConnection(
            pipe,
            "the caller",
            asks=False,
            max_streams=WAITING * limit,
            on_open=self._begin,
            memory=memory,
        )
        self.run = self._connection.run

    def _begin(self, exchange: StreamExchange) -> None:
        with self._lock:
            if self._running >= self._limit:
                if len(self._waiting) >= WAITING * self._limit:
                    # Those that were broken off hold no stream any more: else nothing would bound how many wait.
                    self._waiting = deque(each for each in self._waiting if not each.failure)
                self._waiting.append(exchange)
                return
            self._running += 1
        _thread.start_new_thread(self._work, (exchange,))

    def _work(self, exchange: StreamExchange | None) -> None:
        """Handle ``exchange``, and then those that wait, the first first."""
        while exchange is not None:
            if not exchange.failure:  # else whoever asked has gone
                self._one(exchange)
            with self._lock:
                exchange = self._waiting.popleft() if self._waiting else None
                if exchange is None:
                    self._running -= 1

    def _one(self, exchange: StreamExchange) -> None:
        def reply(size: int, pieces: Iterable[Piece]) -> None:
            self._connection.answer(exchange, size, pieces, self._patience)

        try:
            self._handle(StreamReader(self._connection, exchange, self._patience), reply)
        except GridError:
            pass  # the peer went away before its answer
        except Exception:
            logger.exception("a frame could not be handled")
        finally:
            # Nothing when it was answered to the end.
            self._connection.reset(exchange, CloseCode.INTERNAL_ERROR, "the node failed to answer")
