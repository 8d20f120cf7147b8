"""What Prometheus can read: requests, latency, bytes, WebSockets. Services add theirs to ``node.metrics``."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from grid.web.exchange import Exchange

__all__ = ["Instruments"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)


class Instruments:
    """The web front's own metrics. ``scheme`` is http (REST), message (message plane) or ws (events)."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._requests = Counter(
            "grid_requests",
            "Requests by operation and status",
            ("operation", "scheme", "status"),
            registry=registry,
        )
        self._seconds = Histogram(
            "grid_request_seconds",
            "Seconds from the request's head to the end of its answer",
            ("operation", "scheme"),
            buckets=_BUCKETS,
            registry=registry,
        )
        self._received = Counter("grid_received_bytes", "Bytes of bodies received", registry=registry)
        self._sent = Counter("grid_sent_bytes", "Bytes of answers sent", registry=registry)
        self._running = 0
        in_flight = Gauge("grid_operations_in_flight", "Operations being handled now", registry=registry)
        in_flight.set_function(lambda: self._running)
        self._sockets = Gauge("grid_websockets", "Open WebSocket connections", registry=registry)

        # labels() is a lock and a few allocations each; the combinations are few.
        self._children: dict[tuple[str, str, int], tuple[Counter, Histogram]] = {}

    def count_sockets(self, count: Callable[[], int]) -> None:
        self._sockets.set_function(count)

    @contextmanager
    def running(self) -> Iterator[None]:
        self._running += 1
        try:
            yield
        finally:
            self._running -= 1

    def observe(self, exchange: Exchange, status: int, seconds: float, sent: int) -> None:
        """Count one finished exchange. Operation names come from the node's map, never from the caller."""
        key = (exchange.operation or "none", exchange.scheme, exchange.outcome or status)
        children = self._children.get(key)
        if children is None:
            children = self._requests.labels(*key), self._seconds.labels(*key[:2])
            self._children[key] = children
        children[0].inc()
        children[1].observe(seconds)
        self._received.inc(exchange.received)
        self._sent.inc(sent)
