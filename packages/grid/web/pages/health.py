"""For operators and orchestrators: alive, ready, metrics."""

from __future__ import annotations

import msgspec
from flask import Flask, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from grid.node import Node

__all__ = ["add_health"]


def add_health(app: Flask, node: Node) -> None:
    """``/healthz`` (the process answers), ``/readyz`` (everything it needs does too), ``/metrics``."""

    @app.get("/healthz", endpoint="healthz")
    def healthz() -> Response:
        return _json({"status": "alive"})

    @app.get("/readyz", endpoint="readyz")
    def readyz() -> Response:
        checks = node.checks()
        ready = all(result == "ok" for result in checks.values())
        return _json({"status": "ready" if ready else "not ready", "checks": checks}, 200 if ready else 503)

    @app.get("/metrics", endpoint="metrics")
    def metrics() -> Response:
        return Response(generate_latest(node.metrics), content_type=CONTENT_TYPE_LATEST)


def _json(document: dict[str, object], status: int = 200) -> Response:
    return Response(
        msgspec.json.encode(document), status, {"Cache-Control": "no-store"}, content_type="application/json"
    )
