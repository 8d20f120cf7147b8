"""For operators and orchestrators: alive, ready, metrics."""

from __future__ import annotations

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from grid.node import Node
from grid.web.http.request import Request
from grid.web.http.response import Response
from grid.web.http.routing import Router, Values

__all__ = ["add_health"]


def add_health(router: Router, node: Node) -> None:
    """``/healthz`` (the process answers), ``/readyz`` (everything it needs does too), ``/metrics``."""

    def healthz(_request: Request, _values: Values) -> Response:
        return _json({"status": "alive"})

    def readyz(_request: Request, _values: Values) -> Response:
        checks = node.checks()
        ready = all(result == "ok" for result in checks.values())
        return _json({"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503)

    def metrics(_request: Request, _values: Values) -> Response:
        return Response(generate_latest(node.metrics), headers=[("Content-Type", CONTENT_TYPE_LATEST)])

    for path, view in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        router.add(path, "GET", view)


def _json(document: dict[str, object], status: int = 200) -> Response:
    headers = [("Cache-Control", "no-store"), ("Content-Type", "application/json")]
    return Response(msgspec.json.encode(document), status, headers)
