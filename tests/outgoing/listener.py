"""Something that listens on a loopback address and remembers what came."""

from __future__ import annotations

import socket
import threading
from typing import Self

__all__ = ["Listener"]


class Listener:
    """Answers each connection with ``answer`` (nothing: it is mute); ``got`` has the first bytes of each.

    Every address of 127.0.0.0/8 is this machine's.
    """

    def __init__(self, address: str = "127.0.0.1", answer: bytes = b"", port: int = 0) -> None:
        self.got: list[bytes] = []
        self._answer = answer
        self._socket = socket.create_server((address, port))
        self.port = self._socket.getsockname()[1]
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _ = self._socket.accept()
            except OSError:
                return
            self.got.append(b"")
            connection.settimeout(60)
            try:
                self.got[-1] = connection.recv(4096)
                if self._answer:
                    connection.sendall(self._answer)
                    connection.close()
                else:
                    self._open.append(connection)
            except OSError:
                connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(60)
        for connection in self._open:
            connection.close()
