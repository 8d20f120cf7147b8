"""A TCP proxy in front of a database that goes mute: connections stay, and nothing comes through any more."""

from __future__ import annotations

import contextlib
import socket
import threading
from typing import Self

from sqlalchemy import URL

__all__ = ["MuteProxy"]


class MuteProxy:
    """``url`` is that of the database through the proxy. While it is mute, new ones are taken and ignored."""

    def __init__(self, url: URL) -> None:
        self._target = (url.host or "127.0.0.1", url.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0))
        port = self._listener.getsockname()[1]
        self.url = url.set(host="127.0.0.1", port=port).render_as_string(hide_password=False)
        self._speaking = threading.Event()
        self._speaking.set()
        self._sockets: list[socket.socket] = []

    def mute(self) -> None:
        """Say nothing any more, in either direction."""
        self._speaking.clear()

    def speak(self) -> None:
        """Go on, with what was said meanwhile too."""
        self._speaking.set()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._target)
                self._sockets += [client, server]
                for source, sink in ((client, server), (server, client)):
                    threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(65536):
                self._speaking.wait()
                sink.sendall(data)
        with contextlib.suppress(OSError):
            sink.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        threading.Thread(target=self._accept, daemon=True).start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._speaking.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._sockets:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
