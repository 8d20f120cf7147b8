"""Refuses messages that are too old, from the future, or seen before."""

from __future__ import annotations

import threading
from collections import OrderedDict

from syft_ext.clock import Clock
from syft_ext.errors import ExpiredMessage, ReplayedMessage, TooManyRequests
from syft_ext.messages.envelope import Envelope

__all__ = ["ReplayGuard"]


class ReplayGuard:
    """Remembers the nonces of the last ``window`` seconds.

    Nonces live in memory only. What was issued before this guard began is refused as expired, so a restart
    does not open the window again.
    """

    def __init__(self, clock: Clock, window: float = 120.0, capacity: int = 1_000_000) -> None:
        self._clock = clock
        self._window = window
        self._capacity = capacity
        self._begun = clock.now()
        self._seen: OrderedDict[bytes, float] = OrderedDict()
        self._lock = threading.Lock()

    def admit(self, envelope: Envelope) -> None:
        """Raise unless this (verified) envelope is fresh; remember it."""
        now = self._clock.now()
        if not abs(now - envelope.issued_at) <= self._window:  # NaN is outside too
            raise ExpiredMessage(
                "the message is outside the time window; check your clock", window=self._window, time=now
            )
        if envelope.issued_at < self._begun:
            raise ExpiredMessage("the message was issued before this node started; send it again", time=now)
        key = envelope.nonce + bytes.fromhex(envelope.sender)
        with self._lock:
            self._forget(now)
            if key in self._seen:
                raise ReplayedMessage("this message was received before")
            if len(self._seen) >= self._capacity:
                raise TooManyRequests("too many messages in the time window")
            self._seen[key] = now

    def _forget(self, now: float) -> None:
        # Kept for two windows: a message from the future stays valid that long after it arrived.
        while self._seen:
            key, arrived = next(iter(self._seen.items()))
            if now - arrived <= 2 * self._window:
                return
            del self._seen[key]
