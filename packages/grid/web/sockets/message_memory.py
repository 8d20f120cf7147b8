"""How much memory the messages of all WebSockets together may take."""

from __future__ import annotations

import threading

__all__ = ["MessageMemory"]

FREE = 1 << 20


class MessageMemory:
    """Bytes that may be held at a time. Strangers may open many connections and begin large messages on each.

    Up to ``FREE`` bytes a connection are not counted: what is small is bounded by the number of connections.
    """

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._lock = threading.Lock()

    def move(self, before: int, now: int) -> bool:
        """A holder goes from ``before`` to ``now`` bytes; False, and nothing changes, when it cannot."""
        wanted = _counted(now) - _counted(before)
        if wanted == 0:
            return True
        with self._lock:
            if wanted > self._left:
                return False
            self._left -= wanted
            return True


def _counted(size: int) -> int:
    return size if size > FREE else 0
