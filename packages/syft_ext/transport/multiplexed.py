"""Many exchanges over one connection that carries messages: a WebSocket, a data channel.

Where a message may be as large as a frame, each frame is one, and an answer is found by its request's nonce. Where
messages are small, frames travel in segments (:mod:`syft_ext.transport.segments`). This is the half that asks;
:mod:`syft_ext.transport.serving` is the half that answers.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

from syft_ext.errors import DeadlineExceeded, GridError, InvalidEnvelope, Unavailable
from syft_ext.messages.envelope import Envelope, frame_head, open_frame
from syft_ext.transport.base import IncomingFrame, Pieces, Transport
from syft_ext.transport.frames import Piece, read_whole
from syft_ext.transport.payload import PayloadReader
from syft_ext.transport.pipe import MessagePipe
from syft_ext.transport.streams import StreamConnection

__all__ = ["MultiplexedTransport", "SegmentedFrames"]


class MultiplexedTransport(Transport):
    """Opens its connection at the first exchange, and again when it has ended.

    Args:
        open_pipe: connects; raises :class:`~syft_ext.errors.Unavailable` when nobody is there.
    """

    def __init__(self, address: str, open_pipe: Callable[[], MessagePipe]) -> None:
        self.address = address
        self._open_pipe = open_pipe
        self._lock = threading.Lock()
        self._line: _WholeFrames | SegmentedFrames | None = None

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        return self._connected().exchange(envelope, payload, timeout)

    def _connected(self) -> _WholeFrames | SegmentedFrames:
        with self._lock:
            if self._line is None or self._line.ended:
                pipe = self._open_pipe()
                kind = _WholeFrames if pipe.max_message is None else SegmentedFrames
                self._line = kind(pipe, self.address)
                threading.Thread(target=self._line.run, daemon=True).start()
            return self._line

    def is_broken(self) -> bool:
        line = self._line
        return line is not None and line.ended

    def is_unintroduced(self) -> bool:
        line = self._line
        return line is None or line.ended or not line.introduced

    def close(self) -> None:
        with self._lock:
            line, self._line = self._line, None
        if line is not None:
            line.close()


class _PendingAnswer:
    def __init__(self) -> None:
        self.done = threading.Event()
        self.frame: tuple[Envelope, memoryview] | None = None


class _WholeFrames:
    """A connection on which every frame is one message."""

    def __init__(self, pipe: MessagePipe, address: str) -> None:
        self._pipe, self._address = pipe, address
        self._pending: dict[bytes, _PendingAnswer] = {}
        self.ended = self.introduced = False

    def exchange(self, envelope: Envelope, payload: Pieces, timeout: float | None) -> IncomingFrame:
        pending = self._pending[envelope.nonce] = _PendingAnswer()
        try:
            if self.ended:
                raise Unavailable(f"{self._address} hung up")
            self._send(itertools.chain((frame_head(envelope),), payload))
            if not pending.done.wait(timeout):
                raise DeadlineExceeded(f"{self._address} did not answer in time")
        finally:
            self._pending.pop(envelope.nonce, None)
        if pending.frame is None:
            raise getattr(self._pipe, "failure", None) or Unavailable(f"{self._address} hung up")
        reply, data = pending.frame
        self.introduced = self.introduced or reply.operation != "error"
        return IncomingFrame(reply, PayloadReader.of(data, reply.payload_digest))

    def _send(self, message: Iterable[Piece]) -> None:
        try:
            self._pipe.send(message)
        except Unavailable:
            self.ended = True  # whoever reads may learn it later than the next call comes
            raise

    def run(self) -> None:
        try:
            while (message := self._pipe.receive()) is not None:
                self._deliver(message)
        finally:
            self.ended = True
            for pending in list(self._pending.values()):
                pending.done.set()

    def _deliver(self, message: bytes) -> None:
        try:
            frame = open_frame(message)
        except GridError:
            return  # not an answer to anything
        pending = self._pending.get(frame[0].in_reply_to)
        if pending is not None:
            pending.frame = frame
            pending.done.set()

    def close(self) -> None:
        self._pipe.close()


class SegmentedFrames:
    """A connection on which frames travel in segments: of none is more held than its window."""

    introduced = True

    def __init__(self, pipe: MessagePipe, address: str) -> None:
        self._connection = StreamConnection(pipe, address, asks=True)
        self._address = address

    def run(self) -> None:
        self._connection.run()

    def close(self) -> None:
        self._connection.close()

    @property
    def ended(self) -> bool:
        return self._connection.ended

    def exchange(self, envelope: Envelope, payload: Pieces, timeout: float | None) -> IncomingFrame:
        head = frame_head(envelope)
        pieces = itertools.chain((head,), payload)
        answer = self._connection.ask(len(head) + envelope.payload_size, pieces, timeout)
        reply, reader = read_whole(answer)
        if reply.in_reply_to not in (envelope.nonce, b""):
            raise InvalidEnvelope(f"{self._address} answered another request on this stream")
        return IncomingFrame(reply, reader)
