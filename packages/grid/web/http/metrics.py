"""What Prometheus can read: requests, latency, bytes, WebSockets. Services add theirs to ``node.metrics``."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable

from prometheus_client import CollectorRegistry, Gauge
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from grid.concurrency.offload import native_lock
from grid.web.http.request_record import RequestRecord

__all__ = ["Instruments"]

_BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_BOUNDS = (*map(str, _BUCKETS), "+Inf")


class _InFlight:
    """Counts how many are inside; ``contextmanager`` would make two objects each time."""

    __slots__ = ("count",)

    def __init__(self) -> None:
        self.count = 0

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *error: object) -> None:
        self.count -= 1


class Instruments(Collector):
    """The web front's own metrics. ``scheme`` is http (REST), message (message plane) or ws (events).

    Counted in plain numbers under one lock, and made into metrics when they are asked for: each exchange would
    take a dozen of Prometheus' locks instead.

    Attributes:
        running: whoever handles an operation does so ``with`` it.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._lock = native_lock()  # held for a few additions
        self._requests: dict[tuple[str, str, int], int] = {}
        self._seconds: dict[tuple[str, str], list[float]] = {}  # counts of the buckets, and the sum
        self._received = self._sent = 0
        self.running = _InFlight()
        in_flight = Gauge("grid_operations_in_flight", "Operations being handled now", registry=registry)
        in_flight.set_function(lambda: self.running.count)
        self._sockets = Gauge("grid_websockets", "Open WebSocket connections", registry=registry)
        registry.register(self)

    def count_sockets(self, count: Callable[[], int]) -> None:
        """Ask ``count`` for the open WebSockets whenever the metrics are read."""
        self._sockets.set_function(count)

    def observe(self, record: RequestRecord, status: int, seconds: float, sent: int) -> None:
        """Count one finished exchange. Operation names come from the node's map, never from the caller."""
        operation, scheme = record.operation or "none", record.scheme
        request = (operation, scheme, record.outcome or status)
        bucket = bisect_left(_BUCKETS, seconds)
        with self._lock:
            self._requests[request] = self._requests.get(request, 0) + 1
            times = self._seconds.get((operation, scheme))
            if times is None:
                times = self._seconds[operation, scheme] = [0] * len(_BOUNDS) + [0.0]
            times[bucket] += 1
            times[-1] += seconds
            self._received += record.received
            self._sent += sent

    def collect(self) -> Iterable[Metric]:
        """As Prometheus' registry asks for it, at every scrape."""
        with self._lock:
            requests = dict(self._requests)
            seconds = {key: list(times) for key, times in self._seconds.items()}
            received, sent = self._received, self._sent
        counted = CounterMetricFamily(
            "grid_requests", "Requests by operation and status", labels=("operation", "scheme", "status")
        )
        for (operation, scheme, status), count in requests.items():
            counted.add_metric((operation, scheme, str(status)), count)
        timed = HistogramMetricFamily(
            "grid_request_seconds",
            "Seconds from the request's head to the end of its answer",
            labels=("operation", "scheme"),
        )
        for labels, (*counts, total) in seconds.items():
            below, buckets = 0.0, []
            for bound, number in zip(_BOUNDS, counts, strict=True):
                below += number
                buckets.append((bound, below))
            timed.add_metric(labels, buckets, total)
        yield counted
        yield timed
        yield CounterMetricFamily("grid_received_bytes", "Bytes of bodies received", value=received)
        yield CounterMetricFamily("grid_sent_bytes", "Bytes of answers sent", value=sent)
