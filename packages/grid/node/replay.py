"""Refuses messages that are too old, from the future, or seen before."""

from __future__ import annotations

import os
import struct
import threading
from collections import Counter, OrderedDict
from pathlib import Path

from syft_ext.clock import Clock
from syft_ext.errors import ExpiredMessage, ReplayedMessage, TooManyRequests
from syft_ext.messages.envelope import Envelope

__all__ = ["ReplayGuard"]

#: Seconds by which a sender's clock may be ahead.
AHEAD = 30.0
#: Of all nonces that are remembered, the part that one network may fill.
SHARE = 8
_RECORD = struct.Struct(">d48s")
#: Seconds after which a record is of no use any more, whatever the windows.
_OVER = 600.0


class ReplayGuard:
    """Remembers the nonces of the last ``window`` seconds, and for how long each is needed.

    What was issued before this guard began is refused as expired, so that a restart does not open the window
    again. That alone would let through what was issued by a clock that is ahead, and seen before the restart:
    such nonces, and only such, are written down (:attr:`file`) before they are admitted.

    Args:
        file: where; None: nowhere, for a guard that lives as long as all that it is asked about.
        window: seconds that a message is good for; one from the future for ``ahead`` seconds, or the window, if
            that is less.
        capacity: nonces that are remembered at a time, an eighth of them for one network.
    """

    def __init__(
        self,
        clock: Clock,
        file: Path | None = None,
        *,
        window: float = 120.0,
        ahead: float = AHEAD,
        capacity: int = 1_000_000,
    ) -> None:
        self._clock = clock
        self._window, self._ahead = window, min(window, ahead)
        self._capacity = capacity
        self._begun = clock.now()
        self._seen: OrderedDict[bytes, tuple[float, str]] = OrderedDict()  # when it came, and where from
        self._by_network: Counter[str] = Counter()
        self._lock = threading.Lock()
        self._future = None if file is None else _FutureNonces(file, self._begun - window)
        self._before = frozenset() if self._future is None else self._future.read

    def admit(self, envelope: Envelope, network: str = "") -> None:
        """Raise unless this (verified) envelope, which came from ``network``, is fresh; remember it."""
        now = self._clock.now()
        issued = envelope.issued_at
        if not -self._window <= issued - now <= self._ahead:  # NaN is outside too
            raise ExpiredMessage(
                "the message is outside the time window; check your clock", window=self._window, time=now
            )
        if issued < self._begun:
            raise ExpiredMessage("the message was issued before this node started; send it again", time=now)
        key = envelope.nonce + bytes.fromhex(envelope.sender)
        with self._lock:
            self._forget(now)
            if key in self._seen or key in self._before:
                raise ReplayedMessage("this message was received before")
            if len(self._seen) >= self._capacity or (
                network and self._by_network[network] >= max(1, self._capacity // SHARE)
            ):
                raise TooManyRequests("too many messages in the time window", retry_after=round(self._window))
            if issued > now and self._future is not None:
                self._future.write(issued, key)
            self._seen[key] = now, network
            self._by_network[network] += 1

    def _forget(self, now: float) -> None:
        # A message from the future stays valid for the window and as long as its sender's clock was ahead.
        kept = self._window + self._ahead
        while self._seen:
            key, (arrived, network) = next(iter(self._seen.items()))
            if now - arrived <= kept:
                return
            del self._seen[key]
            self._by_network[network] -= 1
            if not self._by_network[network]:
                del self._by_network[network]


class _FutureNonces:
    """A file of nonces whose messages were issued after they came, as the node's clock goes.

    Written to the system at once, not to the disk: a node that is killed finds them. After a power cut it starts
    later than their messages are good for.
    """

    #: Records after which the file is written anew, without those that are over.
    MANY = 100_000

    def __init__(self, path: Path, since: float) -> None:
        """``since``: what was issued before is over."""
        self._path = path
        records = [record for record in _records(path) if record[0] >= since]
        self.read = frozenset(key for _, key in records)
        self._latest = {key: issued for issued, key in records}
        self._count = self.MANY  # the first one writes the file anew

    def write(self, issued: float, key: bytes) -> None:
        """Keep ``key``, of a message issued at ``issued``, over a restart."""
        if self._count >= self.MANY:
            self._latest = {known: at for known, at in self._latest.items() if at >= issued - _OVER}
            partial = self._path.with_suffix(".partial")
            _write(
                partial, os.O_TRUNC, b"".join(_RECORD.pack(at, known) for known, at in self._latest.items())
            )
            partial.replace(self._path)
            self._count = 0
        _write(self._path, os.O_APPEND, _RECORD.pack(issued, key))
        self._latest[key] = issued
        self._count += 1


def _write(path: Path, flag: int, data: bytes) -> None:
    """Not kept open: clocks that are ahead are few, and a guard has no end at which it could be closed."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | flag, 0o600)
    try:
        os.write(descriptor, data)
    finally:
        os.close(descriptor)


def _records(path: Path) -> list[tuple[float, bytes]]:
    """(issued at, nonce and sender) of all whole records; a node that was killed may have cut the last one."""
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return []
    whole = len(data) - len(data) % _RECORD.size
    records: list[tuple[float, bytes]] = list(_RECORD.iter_unpack(data[:whole]))
    return records
