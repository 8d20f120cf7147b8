"""A router and all that a server needs around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from grid.node.networks import network_of
from grid.web.http.problems import error_response
from grid.web.http.proxies import TrustedProxies
from grid.web.http.request_record import RequestRecord, record_of
from grid.web.http.response import Headers, Response
from grid.web.http.response_headers import ResponseHeaders
from grid.web.http.routing import Router
from grid.web.http.settings import WebSettings
from grid.web.http.wsgi import WSGI, wsgi_view
from grid.web.limits.memory import MemoryBudget

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
        memory: what bodies of requests are counted against.
        proxies: the reverse proxies whose word is taken.
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
        memory: MemoryBudget | None = None,
        admit: Callable[[dict[str, Any]], None] = lambda environ: None,
        answered: Callable[[RequestRecord, int], None] = lambda record, status: None,
        error_page: Callable[[dict[str, Any], Response], Response] = lambda environ, response: response,
    ) -> None:
        """``admit`` raises for a request that must not be looked at, or not yet; ``answered`` hears what came.
        ``error_page`` may put a page in the place of an answer that is an error."""
        self._router, self.settings = router, settings
        self.observer, self.sockets = observer, sockets
        self._response_headers, self.proxies = response_headers, proxies
        self.memory = memory or MemoryBudget(settings.memory)
        self._admit, self._answered, self._error_page = admit, answered, error_page

    def answer(self, environ: dict[str, Any]) -> tuple[Response, Headers] | None:
        """The answer to a request, and the headers that it carries beside its own.

        None: the connection was taken over, and there is nothing to answer any more.
        """
        if self.proxies is not None:
            self.proxies.locate(environ)
        record = record_of(environ)
        record.memory = holding = self.memory.holding(network_of(record.remote))
        try:
            response = self._answer(environ)
        except BaseException:
            holding.release()
            raise
        if response is None:  # a WebSocket: what its handlers hold still, they give back themselves
            return None
        if response.status >= 400:
            response = self._error_page(environ, response)
        holding.release()
        self._answered(record, record.outcome or response.status)
        return response, [] if self._response_headers is None else self._response_headers.of(environ)

    def _answer(self, environ: dict[str, Any]) -> Response | None:
        try:
            self._admit(environ)
        except Exception as error:
            return error_response(error)
        return self._router.answer(environ)

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
