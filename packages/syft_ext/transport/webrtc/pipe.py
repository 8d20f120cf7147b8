"""A channel of a session as a pipe of messages, for threads: the session itself lives in an event loop."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable

from syft_ext.errors import GridError, Unavailable
from syft_ext.transport.frames import Piece
from syft_ext.transport.pipe import CloseCode
from syft_ext.transport.webrtc.engine import PeerEnd
from syft_ext.transport.webrtc.terms import BUFFERED, MAX_MESSAGE, STALLED, STREAMS, WINDOW, Channel

__all__ = ["ChannelPipe"]


class ChannelPipe:
    """One channel. What says so belongs to the loop, the rest to threads.

    Attributes:
        failure: why nothing more comes, once nothing does.
    """

    max_message = MAX_MESSAGE
    window = WINDOW
    streams = STREAMS

    def __init__(
        self,
        channel: Channel,
        end: PeerEnd,
        loop: asyncio.AbstractEventLoop,
        hang_up: Callable[[str], None],
    ) -> None:
        self._channel, self._end, self._loop, self._hang_up = channel, end, loop, hang_up
        self._incoming: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._came = self._taken = 0  # bytes; one is the loop's, the other its who receives
        self._outgoing: deque[bytes] = deque()
        self._queued = 0  # bytes in _outgoing
        self._handed = 0  # messages that left it
        self._scheduled = False
        self._room = threading.Condition()
        self.failure: GridError | None = None

    def send(self, message: Iterable[Piece]) -> None:
        whole = b"".join(message)
        if len(whole) > MAX_MESSAGE:
            raise ValueError(f"a message of {len(whole)} bytes")
        with self._room:
            self._wait_for_room()
            self._outgoing.append(whole)
            self._queued += len(whole)
            schedule, self._scheduled = not self._scheduled, True
        if schedule:
            try:
                self._loop.call_soon_threadsafe(self.drain)
            except RuntimeError as error:  # the loop was closed with the interpreter
                raise Unavailable("the session is over") from error

    def _wait_for_room(self) -> None:
        """Until something may be sent. Raises when nothing leaves for long: nobody takes what is sent."""
        until, before = time.monotonic() + STALLED, self._handed
        while self.failure is None and self._queued >= BUFFERED:
            if not self._room.wait(until - time.monotonic()):
                self._hang_up("nothing is taken of what is sent")
                raise Unavailable("the other end takes nothing of what it is sent")
            if self._handed != before:
                until, before = time.monotonic() + STALLED, self._handed
        if self.failure is not None:
            raise self.failure

    def receive(self) -> bytes | None:
        message = self._incoming.get()
        if message is None:
            self._incoming.put(None)  # for whoever asks again
        else:
            self._taken += len(message)
        return message

    def close(self, code: int = CloseCode.NORMAL, reason: str = "") -> None:
        self._hang_up(reason or "it was closed here")

    # -- the loop's ---------------------------------------------------------------------------------

    def drain(self) -> None:
        """Hand over what waits, as far as the channel takes it. The loop's."""
        with self._room:
            self._scheduled = False
            while self._outgoing and self._end.buffered(self._channel) <= BUFFERED:
                message = self._outgoing.popleft()
                self._queued -= len(message)
                self._handed += 1
                self._end.send(self._channel, message)
            self._room.notify_all()

    def waiting(self) -> int:
        """Bytes that have not left. The loop's."""
        return self._queued + self._end.buffered(self._channel)

    def deliver(self, message: bytes) -> bool:
        """A message came. False when more waits to be taken than there can have been credit for. The loop's."""
        self._came += len(message)
        self._incoming.put(message)
        return self._came - self._taken <= STREAMS * (WINDOW + MAX_MESSAGE)

    def end(self, failure: GridError) -> None:
        """Nothing more will come. The loop's."""
        with self._room:
            self.failure = self.failure or failure
            self._outgoing.clear()
            self._queued = 0
            self._room.notify_all()
        self._incoming.put(None)
