"""Downloads that go on where a line dropped: in parts, which become smaller while they do not get through."""

from __future__ import annotations

from collections.abc import Callable

from syft_ext.errors import DeadlineExceeded, InternalError, Unavailable
from syft_ext.messages.envelope import PartEnvelope
from syft_ext.transport.backoff import Backoff
from syft_ext.transport.base import IncomingFrame

__all__ = ["ATTEMPTS", "LARGEST", "SMALLEST", "PartSizes", "Parts"]

ATTEMPTS = 12
"""Failures in a row, without a byte between them, after which a transfer is given up."""
ENOUGH = 4
"""Parts in a row that came through before larger ones are tried."""
FIRST, SMALLEST, LARGEST = 2 << 20, 64 << 10, 8 << 20


class PartSizes:
    """How many bytes to try next: half of what did not get through, twice of what did a few times."""

    def __init__(self) -> None:
        self.size = FIRST
        self._backoff, self._well = Backoff(), 0

    def succeeded(self) -> None:
        """That part came through."""
        self._backoff.reset()
        self._well += 1
        if self._well >= ENOUGH:
            self.size, self._well = min(2 * self.size, LARGEST), 0

    def failed(self, error: Exception, left: int) -> None:
        """That part did not, of ``left`` bytes that there were to send; waits a moment, or raises ``error`` when
        it was tried often enough."""
        if self._backoff.failures + 1 >= ATTEMPTS:
            raise error
        self.size, self._well = max(min(self.size, left) // 2, SMALLEST), 0
        self._backoff.wait()


class Parts:
    """The rest of one download. Args: ``ask``: the answer to a request for bytes ``start`` to ``stop`` of the
    content with a digest (64 hex digits; "": whichever there is)."""

    def __init__(self, ask: Callable[[int, int, str], IncomingFrame], total: int, whole: str) -> None:
        self._ask, self.total, self.whole = ask, total, whole
        self._sizes = PartSizes()

    def read(self, start: int) -> bytes:
        """Some bytes from ``start`` on. Raises the error of a line that stays down, or of the node."""
        while True:
            stop = min(start + self._sizes.size, self.total) if self.whole else start + self._sizes.size
            try:
                frame = self._ask(start, stop, self.whole)
                data = bytes(frame.payload.read_all())
            except (Unavailable, DeadlineExceeded) as error:
                self._sizes.failed(error, (self.total or stop) - start)
                continue
            except InternalError as error:
                raise Unavailable(f"the download broke off, and cannot go on: {error.detail}") from error
            self._sizes.succeeded()
            if isinstance(frame.envelope, PartEnvelope):
                self.total, self.whole = frame.envelope.total, frame.envelope.whole
            return data
