"""A node on the web: everything that its map declares, on every transport, behind one router."""

from __future__ import annotations

from grid.node import Node
from grid.web.api.admission import Admission
from grid.web.api.events import add_events
from grid.web.api.pipes import add_pipes
from grid.web.api.plane import add_message_plane
from grid.web.api.rest import add_operations
from grid.web.http.application import Application
from grid.web.http.metrics import Instruments
from grid.web.http.proxies import TrustedProxies, parse_networks
from grid.web.http.response_headers import ResponseHeaders
from grid.web.http.routing import Router
from grid.web.http.settings import WebSettings
from grid.web.limits.memory import MemoryBudget
from grid.web.pages.health import add_health
from grid.web.pages.join import JOIN_POLICIES
from grid.web.pages.pages import add_pages
from grid.web.sockets.routing import Sockets

__all__ = ["create_app"]


def create_app(node: Node, settings: WebSettings | None = None) -> Application:
    """The application of ``node``; serve it with :func:`grid.web.server.serve`."""
    settings = settings or WebSettings()
    router, instruments = Router(), Instruments(node.metrics)
    sockets = Sockets(
        router,
        origins=settings.origins,
        max_message=settings.max_event,
        ping_interval=settings.ping_interval,
        per_address=settings.websockets_per_address,
    )
    instruments.count_sockets(lambda: len(sockets.open))
    admission = Admission(node, settings)
    add_operations(router, node, settings, instruments)
    memory = MemoryBudget(settings.memory)
    plane = add_message_plane(router, sockets, node, settings, instruments, admission)
    add_pipes(sockets, node, plane, memory)
    add_events(router, sockets, node, settings, instruments, admission)
    add_health(router, node, settings)
    error_page = add_pages(router, node)
    own_headers = {header for spec in node.map.operations() for header in spec.headers.values()}
    networks = parse_networks(settings.trusted_proxies)
    return Application(
        router,
        settings,
        observer=instruments,
        sockets=sockets,
        response_headers=ResponseHeaders(settings.origins, own_headers, JOIN_POLICIES),
        proxies=TrustedProxies(networks) if networks else None,
        memory=memory,
        admit=admission.request,
        answered=admission.answered,
        error_page=error_page,
    )
