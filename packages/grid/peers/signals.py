"""How often one caller may ask for sessions and servers, and how many wait for an answer at once."""

from __future__ import annotations

import contextlib
import threading
from collections import Counter
from collections.abc import Iterator

from grid.config import PeerSettings
from grid.node import Context
from grid.node.networks import is_this_machine, network_of
from grid.web.limits.pace import Pace
from syft_ext.errors import TooManyRequests

__all__ = ["SignalLimits"]

MINUTE = 60.0
#: Of the offers that may wait at once, the part that one network may have.
SHARE = 4


class SignalLimits:
    """Counts by the network that calls come from, which costs something to change, then by key."""

    def __init__(self, settings: PeerSettings) -> None:
        self._by_key = _a_minute(settings.signals_per_key)
        self._by_network = _a_minute(settings.signals_per_address)
        self._most, self._share = settings.offers_waiting, max(1, settings.offers_waiting // SHARE)
        self._waiting: Counter[str] = Counter()
        self._lock = threading.Lock()

    def admit(self, ctx: Context) -> None:
        """Count one call. Raises :class:`TooManyRequests`."""
        network = network_of(ctx.remote)
        if not is_this_machine(network) and not self._by_network.takes(network):
            raise TooManyRequests("too many offers come from your network; try again", retry_after=1)
        if not self._by_key.takes(ctx.principal.verify_key):
            raise TooManyRequests("too many offers; try again", retry_after=5)

    @contextlib.contextmanager
    def waiting(self, ctx: Context) -> Iterator[None]:
        """While an offer waits for its answer. Raises :class:`TooManyRequests`."""
        network = network_of(ctx.remote)
        share = self._most if is_this_machine(network) else self._share
        with self._lock:
            if self._waiting.total() >= self._most or self._waiting[network] >= share:
                raise TooManyRequests("too many offers wait for an answer; try again", retry_after=2)
            self._waiting[network] += 1
        try:
            yield
        finally:
            with self._lock:
                self._waiting[network] -= 1
                self._waiting += Counter()  # without those that have none


def _a_minute(count: int) -> Pace:
    return Pace(count / MINUTE, count - 1)  # one more is taken when it is due
