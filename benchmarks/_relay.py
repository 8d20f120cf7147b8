"""A line with latency: a TCP relay that keeps what it carries for a while, both ways."""

from __future__ import annotations

import queue
import socket
import threading
import time
from urllib.parse import urlsplit

__all__ = ["Relay"]


class Relay:
    """Relays to the server at ``url``; every byte arrives ``delay`` seconds after it was sent, in each direction.

    Attributes:
        url: where the relay listens.
        delay: seconds one way; may be changed while it runs.
    """

    def __init__(self, url: str, delay: float = 0.0) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname, parts.port)
        self.delay = delay
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._connect, args=(near,), daemon=True).start()

    def _connect(self, near: socket.socket) -> None:
        time.sleep(2 * self.delay)  # the handshake
        try:
            far = socket.create_connection(self._server)
        except OSError:  # the server is gone
            near.close()
            return
        with near, far:
            threads = []
            for source, sink in ((near, far), (far, near)):
                source.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                line: queue.Queue[tuple[float, bytes]] = queue.Queue()
                threads.append(threading.Thread(target=self._read, args=(source, line), daemon=True))
                threads.append(threading.Thread(target=self._write, args=(sink, line), daemon=True))
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()

    def _read(self, source: socket.socket, line: queue.Queue[tuple[float, bytes]]) -> None:
        while True:
            try:
                data = source.recv(1 << 18)
            except OSError:
                data = b""
            line.put((time.monotonic() + self.delay, data))
            if not data:
                return

    @staticmethod
    def _write(sink: socket.socket, line: queue.Queue[tuple[float, bytes]]) -> None:
        while True:
            due, data = line.get()
            time.sleep(max(due - time.monotonic(), 0.0))
            try:
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    return
                sink.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        self._listener.close()
