"""Nodes for tests: in this process on threads, or in a process of their own.

:class:`ServedNode` is quick and shares objects with the test; it runs the very handler, app and WebSockets
of a real node, one thread per connection instead of one greenlet, so that nothing needs monkey patching and
a handler may block as long as it likes. What is special to gevent, signals and start-up need
:class:`RunningNode`: the real thing, started as a user starts it.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from gevent.pywsgi import WSGISecureEnviron, WSGIServer

from grid.node import Node
from grid.web.app import create_app
from grid.web.http.application import Application
from grid.web.http.handler import Handler, ServerState, peer_network, too_many_connections
from grid.web.http.settings import WebSettings
from grid.web.http.wsgi import WSGI

__all__ = ["RunningNode", "ServedNode"]


class ServedApp:
    """Serves an application on a free port of 127.0.0.1 from threads of this process, until :meth:`close`.

    Attributes:
        url: ``http://127.0.0.1:port``.
    """

    secure_environ_class = WSGISecureEnviron  # what pywsgi's handler expects of its server

    def __init__(self, app: Application | WSGI) -> None:
        self.application = app
        self.state = ServerState(app)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=512)
        self._port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self._port}"
        self._connections: dict[threading.Thread, socket.socket] = {}
        self._closed = False
        self._acceptor = threading.Thread(target=self._accept, name="served-app", daemon=True)
        self._acceptor.start()

    def get_environ(self) -> dict[str, Any]:
        """What pywsgi's handler asks of its server."""
        return {
            **WSGIServer.base_env,
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": str(self._port),
            "wsgi.url_scheme": "http",
            "wsgi.errors": None,
            "wsgi.multithread": True,
        }

    def _accept(self) -> None:
        while True:
            try:
                connection, address = self._listener.accept()
            except OSError:
                return
            if not self.state.connections.open(peer_network(address)):
                with contextlib.suppress(OSError):
                    connection.sendall(too_many_connections())
                    connection.shutdown(socket.SHUT_WR)
                connection.close()
                continue
            thread = threading.Thread(target=self._serve, args=(connection, address), daemon=True)
            self._connections[thread] = connection
            thread.start()

    def _serve(self, connection: socket.socket, address: Any) -> None:
        try:
            Handler(connection, address, self).handle()
        finally:
            connection.close()
            self.state.connections.close(peer_network(address))
            self._connections.pop(threading.current_thread(), None)

    def close(self, grace: float = 5.0) -> None:
        """Finish what is being answered within ``grace`` seconds, then cut the rest off."""
        if self._closed:
            return
        self._closed = True
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        self._acceptor.join()
        self.state.drain()
        deadline = time.monotonic() + grace
        for thread in list(self._connections):
            thread.join(max(0.0, deadline - time.monotonic()))
        for thread, connection in list(self._connections.items()):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
            thread.join(1.0)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class ServedNode(ServedApp):
    """:class:`ServedApp` over the whole app of ``node``, which is started here and stopped at the end.

    ``node.address`` is set to the URL when it was empty.
    """

    def __init__(self, node: Node, settings: WebSettings | None = None) -> None:
        super().__init__(create_app(node, settings))
        self.node = node
        node.address = node.address or self.url
        node.start()

    def close(self, grace: float = 5.0) -> None:
        if not self._closed:
            super().close(grace)
            self.node.stop()


class RunningNode:
    """A node as a process: started by ``command``, ready when it prints ``ready <url>``.

    Attributes:
        url: what it printed.
        lines: the last lines of its output, standard error included.
        process: for its pid, or to kill it (``SIGKILL``: :meth:`kill`).
    """

    def __init__(
        self,
        command: Sequence[str | Path],
        *,
        env: Mapping[str, str] | None = None,
        timeout: float = 240.0,
    ) -> None:
        self.lines: deque[str] = deque(maxlen=1000)
        self.url = ""
        self._ready = threading.Event()
        self.process = subprocess.Popen(  # noqa: S603 - the caller's own command
            [str(part) for part in command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={**os.environ, "PYTHONUNBUFFERED": "1", **(env or {})},
            text=True,
        )
        assert self.process.stdout is not None
        self._reader = threading.Thread(target=self._read, args=(self.process.stdout,), daemon=True)
        self._reader.start()
        if not self._ready.wait(timeout) or not self.url:
            self.kill()
            raise RuntimeError("the node did not get ready:\n" + "".join(self.lines))

    def _read(self, output: IO[str]) -> None:
        with output:
            for line in output:
                self.lines.append(line)
                if line.startswith("ready ") and not self.url:
                    self.url = line.split()[1]
                    self._ready.set()
        self._ready.set()  # its output ended: it will not get ready any more

    def stop(self, timeout: float = 30.0) -> int:
        """Ask it to stop (``SIGTERM``) and wait; its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
            raise
        self._reader.join(5)
        return status

    def kill(self) -> None:
        """End it at once (``SIGKILL``)."""
        self.process.kill()
        self.process.wait()
        self._reader.join(5)

    def __enter__(self) -> RunningNode:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop()
