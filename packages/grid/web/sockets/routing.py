"""WebSocket handlers by flask-sockets' API, on the router or a Flask app: ``@route``, ``register_blueprint``.

flask-sockets 0.2.1 fails every handshake on Werkzeug 2 and later, and gevent-websocket unmasks byte by byte
in Python; this keeps the API and replaces what is under it (``websockets``' handshake checks and C masking).
"""

from __future__ import annotations

import contextlib
import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, TypeVar
from urllib.parse import urlsplit

from websockets.datastructures import Headers
from websockets.frames import CloseCode
from websockets.http11 import Request as Handshake
from websockets.server import ServerProtocol

from grid.node.networks import network_of
from grid.web.http.problems import problem_response
from grid.web.http.request import Request
from grid.web.http.response import Response
from grid.web.http.routing import HANDSHAKE, Router
from grid.web.sockets.connection import WebSocket
from syft_ext.errors import GridError

__all__ = ["UPGRADE", "Sockets"]

logger = logging.getLogger(__name__)

UPGRADE = (("Upgrade", "websocket"), ("Connection", "Upgrade"))
"""What a 426 says (RFC 9110, sections 7.8 and 15.5.22)."""

Handler = Callable[..., Any]
F = TypeVar("F", bound=Handler)


class FlaskApp(Protocol):
    """What is asked of a Flask app."""

    extensions: dict[str, Any]

    def request_context(self, environ: dict[str, Any]) -> AbstractContextManager[Any]: ...


class Blueprint(Protocol):
    """What is asked of a blueprint of Flask's."""

    deferred_functions: list[Callable[[Any], Any]]

    def make_setup_state(
        self, app: Any, options: dict[str, Any], first_registration: bool = False
    ) -> Any: ...


class Sockets:
    """Routes WebSocket handshakes to handlers ``(ws, **values)``; ``ws.request`` is the handshake.

    Args:
        app: the router that the handlers are added to, or a Flask app, which need know nothing of them: our
            servers find them in its ``extensions["sockets"]``.
        origins: browser origins that may connect, beside the app's own. A request without Origin comes
            from no browser and is not cross-site: it is let through.
        max_message: default size limit of incoming messages, bytes; ``route(max_message=...)`` overrides it.
        ping_interval: see :class:`~grid.web.sockets.connection.WebSocket`.
        per_address: connections of one address (IPv6: one /64) that may be open before it is known who calls.

    A handler runs in the connection's greenlet (of a Flask app: in a request context) until it returns; then the
    connection is closed. It ends by itself when :meth:`WebSocket.receive` returns None.
    """

    def __init__(
        self,
        app: Router | FlaskApp,
        *,
        origins: Sequence[str] = (),
        max_message: int = 16 << 20,
        ping_interval: float = 20.0,
        per_address: int = 256,
    ) -> None:
        self.open: set[WebSocket] = set()
        self._closings = 0  # how often everybody was told to go
        self._origins = frozenset(origins)
        self._max_message = max_message
        self._ping_interval = ping_interval
        self._per_address = per_address
        self._strangers: Counter[str] = Counter()
        self._context: Callable[[dict[str, Any]], AbstractContextManager[Any]] = contextlib.nullcontext
        if isinstance(app, Router):
            self.router = app
        else:
            self.router, self._context = Router(), app.request_context
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
        """Let ``view_func`` handle ``rule``. Of Flask's options there are ``defaults`` and ``max_message``."""
        if view_func is None:
            raise TypeError(f"no handler for {rule}")
        handler: Handler = view_func
        max_message = options.pop("max_message", None) or self._max_message
        defaults = options.pop("defaults", None) or {}
        for flask_only in ("provide_automatic_options", "methods"):
            options.pop(flask_only, None)
        if unknown := [name for name, value in options.items() if value is not None]:
            raise TypeError(f"websockets do not know {', '.join(unknown)}")

        def view(request: Request, values: Mapping[str, Any]) -> Response | None:
            return self._handshake(request, handler, {**defaults, **values}, max_message)

        self.router.add(rule, HANDSHAKE, view)

    def register_blueprint(self, blueprint: Blueprint, **options: Any) -> None:
        """Take over the routes of a blueprint; ``url_prefix`` as in Flask."""
        # The state that Flask hands to a blueprint's deferred calls only ever asks the app for add_url_rule.
        state = blueprint.make_setup_state(self, options, first_registration=True)
        for deferred in blueprint.deferred_functions:
            deferred(state)

    def close_all(self, code: int = CloseCode.GOING_AWAY, reason: str = "the node is stopping") -> None:
        """Begin the closing handshake on every connection, also where the opening one is just being answered."""
        self._closings += 1
        for ws in list(self.open):
            ws.close(code, reason)

    def _handshake(
        self, request: Request, handler: Handler, values: Mapping[str, Any], max_message: int
    ) -> Response | None:
        """Check the opening handshake (RFC 6455, section 4.2) and run the handler, or return a refusal."""
        environ = request.environ
        if not self._origin_allowed(environ):
            return problem_response(403, "forbidden", "this origin may not open websockets here")
        if environ.get("CONTENT_LENGTH", "").strip("0") or "HTTP_TRANSFER_ENCODING" in environ:
            return problem_response(400, "bad-handshake", "a handshake has no body")
        network = network_of(request.record.remote)
        if self._strangers[network] >= self._per_address:
            refusal = problem_response(
                429, "too-many-requests", "too many websockets are open at this address"
            )
            refusal.headers.append(("Retry-After", "10"))
            return refusal
        response = ServerProtocol().accept(_handshake_of(environ))
        if response.status_code != 101:
            detail = bytes(response.body or b"").decode().split("\n", 1)[0]
            refusal = problem_response(response.status_code, "bad-handshake", detail)
            refusal.headers.append(("Sec-WebSocket-Version", "13"))
            if "Upgrade" in response.headers:
                refusal.headers += UPGRADE
            return refusal
        if "grid.upgrade" not in environ or request.record.memory is None:
            return problem_response(501, "unsupported", "this server hands no connections over")
        self._strangers[network] += 1
        leave = self._leaving(network)
        try:
            sock, early = environ["grid.upgrade"]()
            closings = self._closings
            with contextlib.suppress(OSError):
                sock.sendall(response.serialize())
            ws = WebSocket(
                sock,
                early,
                request=request,
                max_message=max_message,
                ping_interval=self._ping_interval,
                memory=request.record.memory,
                trusted=leave,
            )
            self.open.add(ws)
            if (
                closings != self._closings
            ):  # it is connected since before, and was not among the open ones then
                ws.close(CloseCode.GOING_AWAY, "the node is stopping")
            self._run(handler, ws, values)
        finally:
            leave()
        return None

    def _leaving(self, network: str) -> Callable[[], None]:
        """What takes one connection off the count of strangers, once."""
        left: list[bool] = []

        def leave() -> None:
            if not left:
                left.append(True)
                self._strangers[network] -= 1
                if not self._strangers[network]:
                    del self._strangers[network]

        return leave

    def _run(self, handler: Handler, ws: WebSocket, values: Mapping[str, Any]) -> None:
        environ = ws.request.environ
        try:
            with self._context(environ):
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


def _handshake_of(environ: dict[str, Any]) -> Handshake:
    headers = Headers()
    for key, value in environ.items():
        if key.startswith("HTTP_"):
            headers[key[5:].replace("_", "-")] = value
    return Handshake(
        environ["PATH_INFO"], headers, method=environ["REQUEST_METHOD"], protocol=environ["SERVER_PROTOCOL"]
    )
