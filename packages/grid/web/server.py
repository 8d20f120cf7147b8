"""The process around a node's app: gevent's WSGI server, signals, a clean end."""

from __future__ import annotations

import contextlib
import gc
import logging
import resource
import signal
import socket
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gevent
from gevent.event import Event
from gevent.pool import Pool
from gevent.pywsgi import WSGIServer

from grid.node import Node
from grid.web.app import create_app
from grid.web.http.handler import Handler, ServerState, peer_network, too_many_connections
from grid.web.http.memory import return_freed_memory
from grid.web.http.settings import WebSettings

__all__ = ["serve"]

logger = logging.getLogger(__name__)

BACKLOG = 1024
TLS_HANDSHAKE = 10.0


class Server(WSGIServer):  # type: ignore[misc]  # gevent has no types
    """One listening socket; clients that are more than the settings allow are told so, and sent away."""

    handler_class = Handler

    def __init__(self, address: tuple[str, int], app: Any, connections: int = 0, **options: Any) -> None:
        super().__init__(address, app, backlog=BACKLOG, spawn=Pool(), log=None, **options)
        self.error_log = _ErrorLog()
        self.environ["wsgi.errors"] = self.error_log
        self.state = ServerState(app, connections)

    def do_handle(self, client_socket: Any, address: Any) -> None:
        """As gevent does, for those whom the table of connections takes. The others cost no greenlet."""
        network = peer_network(address)
        if not self.state.connections.open(network):
            self._refuse(client_socket)
            return
        super().do_handle(client_socket, address)

    def _refuse(self, client_socket: Any) -> None:
        with contextlib.suppress(OSError):
            if (
                not self.ssl_enabled
            ):  # else nothing can be said before a handshake, which costs more than this
                client_socket.settimeout(0)
                client_socket.send(too_many_connections())
                client_socket.shutdown(socket.SHUT_WR)
        client_socket.close()

    def do_close(self, client_socket: Any, address: Any) -> None:
        """gevent calls it once for each connection that it was given, whatever became of it."""
        super().do_close(client_socket, address)
        self.state.connections.close(peer_network(address))

    def update_environ(self) -> None:
        # pywsgi would ask the DNS for our own name here, and wait for it.
        self.environ["SERVER_NAME"] = str(self.address[0])
        super().update_environ()

    def wrap_socket_and_handle(self, client_socket: Any, address: Any) -> Any:
        """As gevent does, but with a limit on the TLS handshake: a silent client would keep its greenlet."""
        client_socket.settimeout(TLS_HANDSHAKE)
        with contextlib.suppress(OSError):
            return super().wrap_socket_and_handle(client_socket, address)
        return None

    def drain(self, grace: float) -> None:
        """Stop listening, finish what is being answered within ``grace`` seconds, then cut the rest off."""
        self.close()
        self.state.drain()
        self.stop(timeout=grace)


class _ErrorLog:
    """pywsgi's error log and ``wsgi.errors``."""

    def write(self, message: str) -> None:
        logger.warning("%s", message.rstrip())

    def writelines(self, lines: list[str]) -> None:
        self.write("".join(lines))

    def flush(self) -> None:
        """Logging flushes by itself."""


def serve(
    node: Node,
    host: str,
    port: int,
    *,
    on_ready: Callable[[str], None] = lambda url: None,
    settings: WebSettings | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    grace: float = 10.0,
) -> None:
    """Run ``node`` until SIGTERM or SIGINT; returns when it has stopped.

    The process must have called :func:`grid.web.patching.patch` first thing.

    Args:
        port: 0 takes a free one.
        on_ready: called with the real URL once requests are answered; ``node.address`` is set by then.
        tls_cert, tls_key: PEM files; HTTPS when both are given.
        grace: seconds that running requests are given at the end.
    """
    _raise_file_limit()
    return_freed_memory()
    context = _tls(tls_cert, tls_key)
    options: dict[str, Any] = {} if context is None else {"ssl_context": context}
    server = Server((host, port), create_app(node, settings), **options)
    server.init_socket()  # an occupied port is found out before anything starts
    url = _url(server, host, "http" if context is None else "https")
    node.address = node.address or url
    stopping = Event()
    handlers = [gevent.signal_handler(number, stopping.set) for number in (signal.SIGTERM, signal.SIGINT)]
    try:
        node.start()
        server.start()
        # What was loaded until here stays: collections need not look at it again and again.
        gc.collect()
        gc.freeze()
        on_ready(url)
        stopping.wait()
        logger.info("stopping")
        node.db.hurry()  # what waits for it would hold up the end
    finally:
        server.drain(grace)
        node.stop()
        for handler in handlers:
            handler.cancel()
        # The interpreter's end collects several times: a third of a second of pure computing, for nothing.
        gc.freeze()


def _url(server: Server, host: str, scheme: str) -> str:
    shown = {"": "127.0.0.1", "0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, host)  # noqa: S104 - compared
    shown = f"[{shown}]" if ":" in shown and not shown.startswith("[") else shown
    return f"{scheme}://{shown}:{server.socket.getsockname()[1]}"


def _tls(cert: Path | None, key: Path | None) -> ssl.SSLContext | None:
    if cert is None or key is None:
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    context.load_cert_chain(cert, key)
    return context


def _raise_file_limit() -> None:
    """A connection is a file descriptor; many systems start processes with 1,024."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < hard:
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
