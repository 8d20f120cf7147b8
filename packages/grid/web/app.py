"""A node as a Flask app: everything that the map declares, on every transport of the web."""

from __future__ import annotations

from flask import Flask

from grid.node import Node
from grid.web.api.events import add_events
from grid.web.api.plane import add_message_plane
from grid.web.api.rest import add_operations
from grid.web.http.metrics import Instruments
from grid.web.http.paths import whole_paths
from grid.web.http.problems import error_response, problem_response
from grid.web.http.proxies import TrustedProxies, parse_networks
from grid.web.http.response import Response
from grid.web.http.response_headers import ResponseHeaders
from grid.web.http.routing import DirectViews, ShortWay
from grid.web.http.settings import WebSettings
from grid.web.pages.health import add_health
from grid.web.pages.pages import add_pages
from grid.web.sockets.routing import UPGRADE, Sockets

__all__ = ["create_app"]


def create_app(node: Node, settings: WebSettings | None = None) -> Flask:
    """The WSGI application of ``node``; serve it with :func:`grid.web.server.serve`.

    ``app.extensions["sockets"]`` holds its WebSockets, ``app.extensions["instruments"]`` its metrics.
    """
    settings = settings or WebSettings()
    app = Flask("grid.web")
    app.url_map.merge_slashes = False
    instruments = Instruments(node.metrics)
    direct = DirectViews(app)
    sockets = Sockets(
        app,
        origins=settings.origins,
        max_message=settings.max_event,
        ping_interval=settings.ping_interval,
        memory=settings.websocket_memory,
    )
    instruments.count_sockets(lambda: len(sockets.open))
    app.extensions["instruments"] = instruments
    app.extensions["web_settings"] = settings
    add_operations(direct, node, settings, instruments)
    add_message_plane(direct, sockets, node, settings, instruments)
    add_events(sockets, node, settings, instruments)
    add_health(app, node)
    add_pages(app, node)
    _add_upgrade_hint(app)
    app.register_error_handler(Exception, error_response)
    own_headers = {header for spec in node.map.operations() for header in spec.headers.values()}
    response_headers = ResponseHeaders(whole_paths(app.wsgi_app), settings.origins, own_headers)
    app.wsgi_app = response_headers  # type: ignore[method-assign]
    proxies = None
    if settings.trusted_proxies:
        proxies = TrustedProxies(app.wsgi_app, parse_networks(settings.trusted_proxies))
        app.wsgi_app = proxies  # type: ignore[method-assign]
    app.extensions["short_way"] = ShortWay(direct, response_headers, proxies)
    return app


def _add_upgrade_hint(app: Flask) -> None:
    @app.get("/ws", endpoint="ws")
    def upgrade_required() -> Response:
        response = problem_response(426, "upgrade-required", "this address speaks WebSocket")
        response.headers += UPGRADE
        return response
