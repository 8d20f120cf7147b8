"""pywsgi's HTTP/1.1 handler, made strict where it is lenient and bounded where it is not.

Beyond gevent's own: heads are read by ``Head``, which refuses what is ambiguous (RFC 9112, section 11.2:
request smuggling); an unread body is drained up to a limit, else the connection is closed without resetting it
under an answer that the client has not read yet; silent and slow clients are sent away; errors are problem
documents; the access log is structured. It works over gevent's sockets and over plain ones in threads.
"""

from __future__ import annotations

import contextlib
import logging
import re
import socket as sockets
import ssl
import time
from collections.abc import Sequence
from io import BufferedReader
from typing import Any
from urllib.parse import quote, unquote

from gevent.pywsgi import WSGIHandler

from grid.concurrency.offload import hung_up
from grid.config.logs import log_info
from grid.node.networks import network_of
from grid.web.http.application import Application, application_of
from grid.web.http.body import DRAIN_LIMIT, Body
from grid.web.http.headers import Head
from grid.web.http.incoming import Incoming
from grid.web.http.problems import error_response, problem_response
from grid.web.http.request_record import record_of
from grid.web.http.requestline import Refusal, RequestLine
from grid.web.http.response import Buffer, Headers, Response, http_date, status_line
from grid.web.http.response_headers import STRICT_TRANSPORT
from grid.web.http.wsgi import WSGI
from grid.web.limits.connections import ConnectionTable
from grid.web.limits.pace import Pace
from syft_ext.errors import RequestTimeout, TooManyRequests, Unavailable

__all__ = ["Handler", "ServerState", "peer_network", "too_many_connections"]

logger = logging.getLogger(__name__)
access = logging.getLogger("grid.access")

_PLAIN = re.compile(r"[A-Za-z0-9/%:@._~-]*")
LINGER = 3.0
SMALL = 16 << 10
SWALLOW = 64 << 10
#: Megabytes a second of one network that are swallowed behind refusals.
SWALLOWED = 8.0
PATIENCE = 0.5
SLICE = 1 << 20
"""What a client must be able to take within the timeout."""


class ServerState:
    """What the handlers of one server share.

    Attributes:
        application: answers requests.
        settings, observer: the application's.
        connections: who is connected.
        draining: the server is stopping: connections close after the answer they are at.
        idle: handlers that wait for a next request; they may be cut off when the server stops.
    """

    def __init__(self, app: Application | WSGI, connections: int = 0) -> None:
        """``connections``: clients at a time; 0: as the settings say."""
        self.application = application_of(app)
        self.observer, self.settings = self.application.observer, self.application.settings
        proxies = self.application.proxies
        self.connections = ConnectionTable(
            connections or self.settings.connections,
            self.settings.connections_per_address,
            exempt=lambda network: proxies is not None and proxies.trusts(network),
            make_room=self.make_room,
        )
        # What nobody wants is swallowed for a while, so that who sends it finds the answer; not at any speed.
        self.swallowing = Pace(SWALLOWED, 4 * SWALLOWED)
        self.draining = False
        self.idle: set[Handler] = set()

    def make_room(self) -> None:
        """Of the network with most connections that wait for a request, let those go that wait longest."""
        waiting: dict[str, list[Handler]] = {}
        for handler in list(self.idle):
            waiting.setdefault(handler.network, []).append(handler)
        if waiting:
            most = max(waiting.values(), key=len)
            most.sort(key=lambda handler: handler.rests_since)
            for handler in most[: max(1, len(most) // 8)]:
                handler.let_go()

    def drain(self) -> None:
        """Begin to stop: connections that wait for a request end now, others after their answer."""
        self.draining = True
        for handler in list(self.idle):
            handler.let_go()
        if self.application.sockets is not None:
            self.application.sockets.close_all()


class Handler(WSGIHandler):  # type: ignore[misc]  # gevent has no types
    """Serves the requests of one connection."""

    lingering = False
    head: Head | None = None
    status: Any
    wsgi_input: Body

    def __init__(self, sock: Any, address: Any, server: Any) -> None:
        self.incoming = Incoming(sock, server.state.settings.idle_timeout)
        super().__init__(sock, address, server, BufferedReader(self.incoming))
        self.network = peer_network(address)
        self._first, self.rests_since = True, 0.0
        with contextlib.suppress(OSError):
            sock.setsockopt(sockets.IPPROTO_TCP, sockets.TCP_NODELAY, 1)

    def let_go(self) -> None:
        """Whoever waits for a request on this connection finds that none will come; called from outside."""
        with contextlib.suppress(OSError, AttributeError):
            self.socket.shutdown(sockets.SHUT_RD)

    def _is_listening(self) -> bool:
        """Whether the client may still read an answer: it has not hung up."""
        try:
            return not hung_up(self.socket.fileno())
        except (OSError, ValueError, AttributeError):
            return False

    # -- reading the request ------------------------------------------------------------------------

    def read_requestline(self) -> str:
        """Wait for a request; "" when there will be none. All of it is read later, unless it has come already."""
        if self.server.state.draining:
            return ""
        if self._first:  # who connects has something to say; that it takes so long is no waiting
            self._first = False
            self.incoming.begin_head(self.server.state.settings.head_timeout)
        else:
            self.incoming.begin_nothing()
        self.rests_since = time.monotonic()
        self.server.state.idle.add(self)
        try:
            if not self.rfile.peek(1):
                return ""
        finally:
            self.server.state.idle.discard(self)
        self.head = Head.take(self.rfile)
        return "a request"

    def handle_one_request(self) -> Any:
        """As pywsgi does; whoever sent what cannot be read gets an answer, and time to read it."""
        result = super().handle_one_request()
        if isinstance(result, tuple):  # a request that could not be read, and its answer
            with contextlib.suppress(OSError):
                self.socket.sendall(result[1])
            self.lingering, result = True, None
        elif self.close_connection and self.code != 101 and not self.server.state.draining:
            self.lingering = True
        if self.lingering and self.socket is not None:
            self._linger()
        return result

    def read_request(self, raw_requestline: str) -> bool:
        self.command = ""
        if self.head is None:
            self.incoming.begin_head(self.server.state.settings.head_timeout)
            line = RequestLine.read(self.rfile)
            self.command = line.method
            self.head = Head.read(line, self.rfile)
        self.command, self.path, self.request_version, self.headers, self.content_length, closes = self.head
        self.close_connection = closes or self.server.state.draining
        return True

    def get_environ(self) -> dict[str, Any]:
        environ: dict[str, Any] = self.server.get_environ()
        path, _, query = self.path.partition("?")
        host, port = self.client_address[:2] if isinstance(self.client_address, tuple) else ("", 0)
        environ.update(
            self.headers.environ(),
            REQUEST_METHOD=self.command,
            SCRIPT_NAME="",
            PATH_INFO=unquote(path, "latin-1"),
            QUERY_STRING=query,
            SERVER_PROTOCOL=self.request_version,
            REMOTE_ADDR=str(host),
            REMOTE_PORT=str(port),
        )
        modern = self.request_version == "HTTP/1.1"
        expects = None
        if modern and environ.get("HTTP_EXPECT", "").lower() == "100-continue":
            expects = self.socket
        chunked = "HTTP_TRANSFER_ENCODING" in environ
        if chunked or self.content_length:
            self.incoming.begin_body(self.server.state.settings.slowest_body)
        body = Body(self.rfile, self.content_length, expects, chunked, record_of(environ))
        self.wsgi_input = environ["wsgi.input"] = body
        record_of(environ).alive = self._is_listening
        environ["wsgi.input_terminated"] = True
        if not modern:
            environ.pop("HTTP_UPGRADE", None)  # RFC 9110, section 7.8: to be ignored
        elif environ.get("HTTP_UPGRADE", "").lower() == "websocket" and not (chunked or self.content_length):
            environ["grid.upgrade"] = self.upgrade
        return environ

    def upgrade(self) -> tuple[Any, bytes]:
        """Give the connection away: its socket, and what was read beyond the request already."""
        self.close_connection = True
        self.code, self.status, self._orig_status = 101, None, "101"
        self.incoming.hurry()
        early = b""
        with contextlib.suppress(OSError):  # TLS: nothing decrypted yet
            early = self.rfile.read1(len(self.rfile.peek(1)))
        return self.socket, early

    # -- answering ----------------------------------------------------------------------------------

    def run_application(self) -> None:
        """Of the application's answer we know more than WSGI can say: it is sent without it in between."""
        answered = self.server.state.application.answer(self.environ)
        if answered is not None:
            self._answer(*answered)

    def _answer(self, response: Response, more: Headers) -> None:
        """Send an answer; ``more``: headers beside its own."""
        headers = [*response.headers, *more, ("Date", http_date(int(time.time())))]
        if self._must_close() or self.close_connection:
            self.close_connection = True
            headers.append(("Connection", "close"))
        elif self.request_version == "HTTP/1.0":
            headers.append(("Connection", "keep-alive"))
        head = _head(response.status, headers)
        body = b"" if self.command == "HEAD" else response.body
        pieces = iter((body,) if isinstance(body, bytes) else body)
        first = next(pieces, b"")  # content that cannot be read is an error still, not a cut-off answer
        self.code, self.status, self.headers_sent = response.status, b"%d" % response.status, True
        self._sendall(head, first)
        for piece in pieces:
            self._sendall(piece)

    def _must_close(self) -> bool:
        """Whether this answer is the connection's last: too much of the body is left, or the server stops."""
        unread = self.wsgi_input.unread()
        if unread is None or unread > DRAIN_LIMIT or (unread and self.wsgi_input.awaited()):
            self.lingering = True
            return True
        draining: bool = self.server.state.draining
        return draining

    def _sendall(self, data: Buffer, more: Buffer = b"") -> None:
        """Send both: in one system call as far as the socket has room, and in one packet if they are small."""
        sent = 0
        if not isinstance(self.socket, ssl.SSLSocket):
            sent = self.socket.sendmsg((data, more))
        elif len(more) <= SMALL:
            data, more = b"".join((data, more)), b""
        self.response_length += sent
        for view in (memoryview(data).cast("B"), memoryview(more).cast("B")):
            for start in range(sent, len(view), SLICE):
                piece = view[start : start + SLICE]
                self.socket.sendall(piece)
                self.response_length += len(piece)
            sent = max(0, sent - len(view))

    def _linger(self) -> None:
        """Let a client that still sends find the answer: hang up our half, and swallow the rest for a while."""
        deadline = time.monotonic() + LINGER
        with contextlib.suppress(OSError):
            self.socket.shutdown(sockets.SHUT_WR)
            while (left := deadline - time.monotonic()) > 0:
                if not self.server.state.swallowing.takes(self.network, SWALLOW / (1 << 20)):
                    time.sleep(
                        min(left, PATIENCE)
                    )  # the answer is there; who does not read it now never will
                    return
                self.socket.settimeout(left)
                if not self.socket.recv(SWALLOW):
                    return

    def _handle_client_error(self, error: Exception) -> tuple[str, bytes]:
        if isinstance(error, EOFError):
            return "400", b""
        if isinstance(error, Refusal):
            logger.info("unreadable request from %s: %s", self.client_address, error)
        elif isinstance(error, TimeoutError):
            error = Refusal("the request did not come in time", RequestTimeout.status, RequestTimeout.code)
        else:
            logger.debug("connection of %s broke: %s", self.client_address, error)
            error = Refusal("the connection broke")
        # The texts of refusals are ours.
        secure = [STRICT_TRANSPORT] if isinstance(self.socket, ssl.SSLSocket) else []
        answer = _raw(error.status, error.code, str(error), content=self.command != "HEAD", headers=secure)
        return str(error.status), answer

    def handle_error(self, kind: Any, error: Any, trace: Any) -> None:
        """An exception that came out of the application while it answered."""
        if isinstance(error, OSError):
            logger.debug("connection of %s broke: %s", self.client_address, error)
            self.close_connection = True
            return
        if not issubclass(kind, Exception):  # the server ends this greenlet
            error = Unavailable("the node is stopping")
        elif self.headers_sent:
            # The answer is on its way; cutting it short is all that tells the client.
            logger.error("an answer was cut short", exc_info=(kind, error, trace))
            self.close_connection = True
            return
        self.close_connection = True
        if self.headers_sent:
            return
        with contextlib.suppress(OSError):
            self._answer(error_response(error), [])

    def log_error(self, msg: str, *args: Any) -> None:
        logger.info(msg, *args)

    def log_request(self) -> None:
        if self.environ is None:
            return
        record = record_of(self.environ)
        status = abs(self.code or 0)
        seconds = (self.time_finish or time.time()) - self.time_start
        if self.server.state.observer is not None and status != 101:
            self.server.state.observer.observe(record, status, seconds, self.response_length)
        if access.isEnabledFor(logging.INFO):
            path = (self.path or "").split("?", 1)[0]  # queries stay out of logs
            if not _PLAIN.fullmatch(path):
                path = quote(path, safe="/%:@-._~")
            peer = self.client_address[0] if isinstance(self.client_address, tuple) else "-"
            log_info(
                access,
                f"method={self.command} path={path} status={status} outcome={record.outcome or status} "
                f"operation={record.operation or '-'} received={record.received} "
                f"sent={self.response_length} ms={seconds * 1e3:.1f} peer={peer} id={record.request_id}",
            )


def peer_network(address: Any) -> str:
    """Whom a connection from ``address`` (as the socket says it) is counted for."""
    return network_of(str(address[0])) if isinstance(address, tuple) else ""


def too_many_connections() -> bytes:
    """What a connection is told that is not taken."""
    detail = "too many connections from this address"
    return _raw(429, TooManyRequests.code, detail, content=True, headers=[("Retry-After", "5")])


def _raw(
    status: int, code: str, detail: str, *, content: bool, headers: Sequence[tuple[str, str]] = ()
) -> bytes:
    """A whole response, for requests that never reached the application."""
    response = problem_response(status, code, detail)
    assert isinstance(response.body, bytes)
    date = ("Date", http_date(int(time.time())))
    head = _head(status, [*response.headers, *headers, date, ("Connection", "close")])
    return head + response.body if content else head


def _head(status: int, headers: Headers) -> bytes:
    """The head of an answer. Raises :class:`ValueError` rather than let a value begin another line."""
    lines = [f"HTTP/1.1 {status_line(status)}", *[f"{name}: {value}" for name, value in headers], "", ""]
    head = "\r\n".join(lines)
    if head.count("\n") != len(lines) - 1 or head.count("\r") != len(lines) - 1:
        raise ValueError("a line break in a header of the answer")
    return head.encode("latin-1")
