"""A router and all that a server needs around it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Protocol

from grid.web.http.proxies import TrustedProxies
from grid.web.http.request_record import RequestRecord
from grid.web.http.response import Headers, Response
from grid.web.http.response_headers import ResponseHeaders
from grid.web.http.routing import Router
from grid.web.http.settings import WebSettings
from grid.web.http.wsgi import WSGI, wsgi_view

__all__ = ["Application", "application_of"]


class Observer(Protocol):
    def observe(self, record: RequestRecord, status: int, seconds: float, sent: int) -> None: ...


class OpenSockets(Protocol):
    def close_all(self) -> None: ...


class Application:
    """What servers of ours ask for answers; any other server may call it, it is a WSGI application too.

    Attributes:
        settings: say how long clients are waited for.
        observer: is told of every exchange.
        sockets: the open WebSockets, to be closed at the end.
    """

    def __init__(
        self,
        router: Router,
        settings: WebSettings,
        *,
        observer: Observer | None = None,
        sockets: OpenSockets | None = None,
        response_headers: ResponseHeaders | None = None,
        proxies: TrustedProxies | None = None,
    ) -> None:
        self._router, self.settings = router, settings
        self.observer, self.sockets = observer, sockets
        self._response_headers, self._proxies = response_headers, proxies

    def answer(self, environ: dict[str, Any]) -> tuple[Response, Headers] | None:
        """The answer to a request, and the headers that it carries beside its own.

        None: the connection was taken over, and there is nothing to answer any more.
        """
        if self._proxies is not None:
            self._proxies.locate(environ)
        response = self._router.answer(environ)
        if response is None:
            return None
        return response, [] if self._response_headers is None else self._response_headers.of(environ)

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        answered = self.answer(environ)
        if answered is None:
            return []
        response, more = answered
        response.headers += more
        return response(environ, start_response)


def application_of(app: Application | WSGI) -> Application:
    """``app``, or a WSGI application as one of ours, with the WebSockets that its ``extensions`` name."""
    if isinstance(app, Application):
        return app
    extensions: dict[str, Any] = getattr(app, "extensions", {})
    sockets = extensions.get("sockets")
    router = Router() if sockets is None else sockets.router
    router.mount("/", wsgi_view(app), below=True)
    return Application(router, extensions.get("web_settings") or WebSettings(), sockets=sockets)
