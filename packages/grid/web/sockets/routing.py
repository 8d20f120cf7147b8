"""flask-sockets' API on today's Flask: ``@sockets.route``, ``register_blueprint``.

flask-sockets 0.2.1 fails every handshake on Werkzeug 2 and later, and gevent-websocket unmasks byte by byte
in Python; this keeps the API and replaces what is under it (``websockets``' handshake checks and C masking).
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar
from urllib.parse import urlsplit

from flask import Blueprint, Flask
from websockets.datastructures import Headers
from websockets.frames import CloseCode
from websockets.http11 import Request
from websockets.server import ServerProtocol
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.routing import Map, Rule

from grid.web.http.problems import problem_response
from grid.web.sockets.connection import WebSocket
from grid.web.sockets.message_memory import MessageMemory
from syft_ext.errors import GridError

__all__ = ["UPGRADE", "Sockets"]

logger = logging.getLogger(__name__)

UPGRADE = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
"""What a 426 says (RFC 9110, sections 7.8 and 15.5.22)."""

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)


class Sockets:
    """Routes WebSocket handshakes of a Flask app to handlers ``(ws, **values)``.

    Args:
        app: the Flask app; its other requests pass through untouched.
        origins: browser origins that may connect, beside the app's own. A request without Origin comes
            from no browser and is not cross-site: it is let through.
        max_message: default size limit of incoming messages, bytes; ``route(max_message=...)`` overrides it.
        ping_interval: see :class:`~grid.web.sockets.connection.WebSocket`.
        memory: bytes that the messages of all connections may take together.

    A handler runs in a request context of Flask, in the connection's greenlet, until it returns; then the
    connection is closed. It ends by itself when :meth:`WebSocket.receive` returns None.
    """

    def __init__(
        self,
        app: Flask,
        *,
        origins: Sequence[str] = (),
        max_message: int = 16 << 20,
        ping_interval: float = 20.0,
        memory: int = 1 << 30,
    ) -> None:
        self.app = app
        self.url_map = Map(merge_slashes=False)
        self.open: set[WebSocket] = set()
        self._closings = 0  # how often everybody was told to go
        self._origins = frozenset(origins)
        self._max_message = max_message
        self._ping_interval = ping_interval
        self._memory = MessageMemory(memory)
        self._limits: dict[Handler, int] = {}
        self._wsgi = app.wsgi_app
        app.wsgi_app = self  # type: ignore[method-assign]  # Flask's documented way to add a middleware
        app.extensions["sockets"] = self

    def route(self, rule: str, **options: Any) -> Callable[[F], F]:
        """Decorate the handler of ``rule``; ``max_message`` is its own size limit."""

        def register(handler: F) -> F:
            self.add_url_rule(rule, options.pop("endpoint", None), handler, **options)
            return handler

        return register

    def add_url_rule(
        self, rule: str, endpoint: str | None = None, view_func: Handler | None = None, **options: Any
    ) -> None:
        """As Flask's; ``max_message``: bytes of a message, where it is not the usual limit."""
        if view_func is None:
            raise TypeError(f"no handler for {rule}")
        self._limits[view_func] = options.pop("max_message", None) or self._max_message
        for flask_only in ("provide_automatic_options", "methods"):
            options.pop(flask_only, None)
        self.url_map.add(Rule(rule, endpoint=view_func, websocket=True, **options))

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Take over the routes of a blueprint; ``url_prefix`` as in Flask."""
        # The state that Flask hands to a blueprint's deferred calls only ever asks the app for add_url_rule.
        state = blueprint.make_setup_state(self, options, first_registration=True)  # type: ignore[arg-type]
        for deferred in blueprint.deferred_functions:
            deferred(state)

    def close_all(self, code: int = CloseCode.GOING_AWAY, reason: str = "the node is stopping") -> None:
        """Begin the closing handshake on every connection, also where the opening one is just being answered."""
        self._closings += 1
        for ws in list(self.open):
            ws.close(code, reason)

    # -- WSGI ---------------------------------------------------------------------------------------

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        if environ.get("HTTP_UPGRADE", "").lower() != "websocket":
            return self._wsgi(environ, start_response)
        try:
            if environ["REQUEST_METHOD"] != "GET":
                raise NotFound
            handler, values = self.url_map.bind_to_environ(environ).match(websocket=True)
        except HTTPException:
            del environ["HTTP_UPGRADE"]  # an offer that nobody takes up; Flask would take it for an error
            return self._wsgi(environ, start_response)
        refusal = self._handshake(environ, handler, values)
        return [] if refusal is None else refusal(environ, start_response)

    def _handshake(self, environ: dict[str, Any], handler: Handler, values: Mapping[str, Any]) -> Any:
        """Check the opening handshake (RFC 6455, section 4.2) and run the handler, or return a refusal."""
        if not self._origin_allowed(environ):
            return problem_response(403, "forbidden", "this origin may not open websockets here")
        if environ.get("CONTENT_LENGTH", "").strip("0") or "HTTP_TRANSFER_ENCODING" in environ:
            return problem_response(400, "bad-handshake", "a handshake has no body")
        response = ServerProtocol().accept(_request(environ))
        if response.status_code != 101:
            detail = bytes(response.body or b"").decode().split("\n", 1)[0]
            refusal = problem_response(response.status_code, "bad-handshake", detail)
            refusal.headers.append(("Sec-WebSocket-Version", "13"))
            if "Upgrade" in response.headers:
                refusal.headers += UPGRADE
            return refusal
        if "grid.upgrade" not in environ:
            return problem_response(501, "unsupported", "this server hands no connections over")
        sock, early = environ["grid.upgrade"]()
        closings = self._closings
        with contextlib.suppress(OSError):
            sock.sendall(response.serialize())
        ws = WebSocket(
            sock,
            early,
            max_message=self._limits[handler],
            ping_interval=self._ping_interval,
            memory=self._memory,
        )
        self.open.add(ws)
        if closings != self._closings:  # it is connected since before, and was not among the open ones then
            ws.close(CloseCode.GOING_AWAY, "the node is stopping")
        self._run(environ, handler, ws, values)
        return None

    def _run(
        self, environ: dict[str, Any], handler: Handler, ws: WebSocket, values: Mapping[str, Any]
    ) -> None:
        try:
            with self.app.request_context(environ):
                handler(ws, **values)
        except GridError:
            pass  # the peer went away while the handler spoke to it
        except Exception:
            logger.exception("websocket handler of %s failed", environ.get("PATH_INFO"))
            ws.close(CloseCode.INTERNAL_ERROR)
        finally:
            self.open.discard(ws)
            ws.finish()

    def _origin_allowed(self, environ: dict[str, Any]) -> bool:
        origin = environ.get("HTTP_ORIGIN")
        if origin is None or origin in self._origins:
            return True
        # Hosts are compared, not schemes: behind a proxy that ends TLS they differ.
        return bool(
            origin != "null" and urlsplit(origin).netloc.lower() == environ.get("HTTP_HOST", "").lower()
        )


def _request(environ: dict[str, Any]) -> Request:
    headers = Headers()
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            headers[key[5:].replace("_", "-")] = value
    return Request(
        environ["PATH_INFO"], headers, method=environ["REQUEST_METHOD"], protocol=environ["SERVER_PROTOCOL"]
    )
