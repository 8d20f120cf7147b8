"""For operators and orchestrators: alive, ready, metrics."""

from __future__ import annotations

import secrets
from ipaddress import ip_address

import msgspec
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from grid.node import Node
from grid.web.api.rest import principal_of_header
from grid.web.http.request import Request
from grid.web.http.response import Response
from grid.web.http.routing import Router, Values
from grid.web.http.settings import WebSettings
from syft_ext.errors import Forbidden
from syft_ext.messages.dashboard import GetDashboard
from syft_ext.messages.operation import operation_of

__all__ = ["add_health"]

_FORWARDED = ("X-Forwarded-For", "Forwarded", "Via", "X-Real-IP")


def add_health(router: Router, node: Node, settings: WebSettings) -> None:
    """``/healthz`` (the process answers), ``/readyz`` (everything it needs does too), ``/metrics``.

    Metrics say who does how much of what: they are this machine's own business, or that of who has the token.
    """

    def healthz(_request: Request, _values: Values) -> Response:
        return _json({"status": "alive"})

    def readyz(_request: Request, _values: Values) -> Response:
        checks, warnings = node.health()
        ready = all(result == "ok" for result in checks.values())
        document: dict[str, object] = {"status": "ready" if ready else "not ready", "checks": checks}
        if warnings:
            document["warnings"] = warnings
        return _json(document, 200 if ready else 503)

    def metrics(request: Request, _values: Values) -> Response:
        _check_metrics(request, node, settings)
        return Response(generate_latest(node.metrics), headers=[("Content-Type", CONTENT_TYPE_LATEST)])

    for path, view in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        router.add(path, "GET", view)


def _check_metrics(request: Request, node: Node, settings: WebSettings) -> None:
    """Raise :class:`Forbidden` or :class:`Unauthenticated` unless the caller may read the metrics."""
    if settings.metrics == "open":
        return
    if settings.metrics == "loopback":
        # Through a proxy that nobody named everybody comes from this machine.
        forwarded = any(request.header(field) for field in _FORWARDED)
        unnamed = forwarded and request.record.remote == request.environ.get("REMOTE_ADDR")
        if unnamed or not _is_loopback(request.record.remote):
            raise Forbidden(
                "metrics are read on the node's own machine; the setting `metrics` says who else may"
            )
        return
    authorization = request.header("Authorization") or ""
    token = authorization.partition(" ")[2].strip()
    if settings.metrics_token and secrets.compare_digest(token.encode(), settings.metrics_token.encode()):
        return
    principal = principal_of_header(node, authorization)
    principal.require(operation_of(GetDashboard).permission)


def _is_loopback(address: str) -> bool:
    try:
        return ip_address(address).is_loopback
    except ValueError:
        return False


def _json(document: dict[str, object], status: int = 200) -> Response:
    headers = [("Cache-Control", "no-store"), ("Content-Type", "application/json")]
    return Response(msgspec.json.encode(document), status, headers)
