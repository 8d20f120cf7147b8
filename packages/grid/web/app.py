"""A node as a Flask app: everything that the map declares, on every transport of the web."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from flask import Flask, Response, request

from grid.node import Node
from grid.web.events import add_events
from grid.web.exchange import exchange_of
from grid.web.health import add_health
from grid.web.metrics import Instruments
from grid.web.plane import add_message_plane
from grid.web.problems import error_response, problem_response
from grid.web.rest import add_operations
from grid.web.settings import WebSettings
from grid.web.sockets import Sockets

__all__ = ["create_app"]

# No page of a node needs anything from elsewhere, and nothing that users uploaded may run as one.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
}
_CORS_METHODS = "GET, HEAD, POST, PUT, PATCH, DELETE"
_CORS_HEADERS = "Authorization, Content-Type, Range, If-None-Match, X-Request-ID"


def create_app(node: Node, settings: WebSettings | None = None) -> Flask:
    """The WSGI application of ``node``; serve it with :func:`grid.web.server.serve`.

    ``app.extensions["sockets"]`` holds its WebSockets, ``app.extensions["instruments"]`` its metrics.
    """
    settings = settings or WebSettings()
    app = Flask(__name__.rsplit(".", 1)[0], static_folder=None)
    app.url_map.merge_slashes = False
    instruments = Instruments(node.metrics)
    sockets = Sockets(
        app,
        origins=settings.origins,
        max_message=settings.max_event,
        ping_interval=settings.ping_interval,
    )
    instruments.count_sockets(lambda: len(sockets.open))
    app.extensions["instruments"] = instruments
    add_operations(app, node, settings, instruments)
    add_message_plane(app, sockets, node, settings, instruments)
    add_events(sockets, node, settings, instruments)
    add_health(app, node)
    _add_upgrade_hint(app)
    app.register_error_handler(Exception, error_response)
    app.after_request(_finishing(settings, _header_names(node)))
    return app


def _add_upgrade_hint(app: Flask) -> None:
    @app.get("/ws", endpoint="ws")
    def upgrade_required() -> Response:
        response = problem_response(426, "upgrade-required", "this address speaks WebSocket")
        response.headers["Upgrade"] = "websocket"
        return response


def _header_names(node: Node) -> str:
    """The request headers that cross-origin callers may send: the usual ones and the operations' own."""
    own = {header for spec in node.map.operations() for header in spec.headers.values()}
    return ", ".join((_CORS_HEADERS, *sorted(own)))


def _finishing(settings: WebSettings, cors_headers: str) -> Callable[[Response], Response]:
    origins = frozenset(settings.origins)

    def finish(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-ID"] = exchange_of(request.environ).request_id
        for name, value in _HEADERS.items():
            headers.setdefault(name, value)
        if origins:
            headers.add("Vary", "Origin")
            origin = request.headers.get("Origin")
            if origin in origins and urlsplit(origin).scheme:
                headers["Access-Control-Allow-Origin"] = str(origin)
                headers["Access-Control-Expose-Headers"] = "ETag, X-Request-ID, Content-Range, Retry-After"
                if request.method == "OPTIONS":
                    headers["Access-Control-Allow-Methods"] = _CORS_METHODS
                    headers["Access-Control-Allow-Headers"] = cors_headers
                    headers["Access-Control-Max-Age"] = "600"
        return response

    return finish
