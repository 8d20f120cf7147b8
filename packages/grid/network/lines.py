"""The lines that nodes without a reachable address keep open to this one, so that it can ask them things."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable

from syft_ext.errors import Unavailable
from syft_ext.messages.envelope import Envelope
from syft_ext.messages.network import LINE
from syft_ext.transport import Transport
from syft_ext.transport.base import IncomingFrame
from syft_ext.transport.multiplexed import SegmentedFrames

__all__ = ["LineTransport", "Lines"]


class Lines:
    """One line at most for each verify key; the newest one counts."""

    def __init__(self) -> None:
        self._lines: dict[str, SegmentedFrames] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._lines)

    def add(self, verify_key: str, line: SegmentedFrames, welcome: Callable[[], None]) -> None:
        """Take ``line``, whose node proved that it has the key; the one before it is closed. Nobody asks over it
        before ``welcome``, which sends a few bytes on a new connection, has returned."""
        with self._lock:
            before, self._lines[verify_key] = self._lines.get(verify_key), line
            try:
                welcome()
            except BaseException:
                del self._lines[verify_key]
                raise
        if before is not None:
            before.close()

    def remove(self, verify_key: str, line: SegmentedFrames) -> None:
        """Forget ``line``; one that came after it stays."""
        with self._lock:
            if self._lines.get(verify_key) is line:
                del self._lines[verify_key]

    def line(self, verify_key: str) -> SegmentedFrames | None:
        """The line of the node that has the key, if it keeps one now."""
        with self._lock:
            line = self._lines.get(verify_key)
        return line if line is not None and not line.ended else None

    def drop(self, verify_key: str) -> None:
        """Close the line of a node that this one has nothing to do with any more."""
        with self._lock:
            line = self._lines.pop(verify_key, None)
        if line is not None:
            line.close()


class LineTransport(Transport):
    """To the node that has the key, over whichever line it keeps when something is asked."""

    address = LINE

    def __init__(self, lines: Lines, verify_key: str) -> None:
        self._lines, self._verify_key = lines, verify_key

    def exchange(
        self,
        envelope: Envelope,
        payload: Iterable[bytes | bytearray | memoryview] = (),
        *,
        timeout: float | None = None,
    ) -> IncomingFrame:
        line = self._lines.line(self._verify_key)
        if line is None:
            raise Unavailable("the node keeps no line to this one now")
        return line.exchange(envelope, payload, timeout)
