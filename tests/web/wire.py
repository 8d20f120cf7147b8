"""Raw sockets for tests: HTTP and WebSocket byte by byte, so that wrong bytes can be sent too."""

from __future__ import annotations

import base64
import os
import socket
import struct
from types import TracebackType
from typing import Self
from urllib.parse import urlsplit

KEY = base64.b64encode(b"0123456789abcdef").decode()
TEXT, BINARY, CLOSE, PING, PONG, CONT = 0x1, 0x2, 0x8, 0x9, 0xA, 0x0


class Wire:
    """A TCP connection to ``url``'s server; every read has a deadline."""

    def __init__(self, url: str, *, timeout: float = 60.0, buffer: int | None = None) -> None:
        parts = urlsplit(url)
        self.host = f"{parts.hostname}:{parts.port}"
        self.socket = socket.socket()
        if buffer is not None:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        self.socket.settimeout(timeout)
        self.socket.connect((parts.hostname, parts.port))
        self.file = self.socket.makefile("rb")

    def send(self, data: bytes | str) -> None:
        self.socket.sendall(data if isinstance(data, bytes) else data.encode("latin-1"))

    def response(self) -> tuple[int, dict[str, str], bytes]:
        """Status, headers (lower case) and body of one HTTP response."""
        status, headers = self.head()
        body = b""
        if "content-length" in headers:
            body = self.file.read(int(headers["content-length"]))
        return status, headers, body

    def head(self) -> tuple[int, dict[str, str]]:
        line = self.file.readline()
        if not line:
            raise ConnectionError("closed")
        headers = {}
        while (header := self.file.readline()) not in (b"\r\n", b""):
            name, _, value = header.decode("latin-1").partition(":")
            headers[name.strip().lower()] = value.strip()
        return int(line.split()[1]), headers

    def request(
        self, method: str, path: str, headers: dict[str, str] | None = None, body: bytes = b""
    ) -> tuple[int, dict[str, str], bytes]:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body:
            lines.append(f"Content-Length: {len(body)}")
        self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        return self.response()

    def closed(self) -> bool:
        """Whether the server hangs up (anything it still says is read and forgotten)."""
        try:
            while self.file.read(65536):
                pass
        except TimeoutError:
            return False
        except OSError:
            return True
        return True

    def close(self) -> None:
        self.file.close()
        self.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class RawSocket(Wire):
    """A WebSocket client that does as it is told."""

    def __init__(
        self, url: str, path: str, *, timeout: float = 60.0, buffer: int | None = None, **headers: str
    ) -> None:
        super().__init__(url, timeout=timeout, buffer=buffer)
        self.send(handshake(path, self.host, **headers))
        status, headers = self.head()
        if status != 101:
            self.close()
        assert status == 101, status
        assert headers["sec-websocket-accept"]

    def frame(
        self, opcode: int, data: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0
    ) -> None:
        self.send(frame_bytes(opcode, data, fin=fin, mask=mask, rsv=rsv))

    def read_frame(self) -> tuple[int, bytes, bool]:
        """Opcode, data, FIN; opcode -1 when the server hung up."""
        head = self.file.read(2)
        if len(head) < 2:
            return -1, b"", True
        assert not head[1] & 0x80, "servers do not mask"
        length = head[1] & 0x7F
        if length == 126:
            (length,) = struct.unpack("!H", self.file.read(2))
        elif length == 127:
            (length,) = struct.unpack("!Q", self.file.read(8))
        return head[0] & 0x0F, self.file.read(length), bool(head[0] & 0x80)

    def read_close(self) -> int:
        """The close code that the server sends; other frames before it are skipped."""
        while True:
            opcode, data, _ = self.read_frame()
            if opcode == CLOSE:
                return struct.unpack("!H", data[:2])[0] if data else 1005
            if opcode == -1:
                return 1006


def handshake(path: str, host: str, **headers: str) -> str:
    fields = {
        "Host": host,
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": "13",
        **{name.replace("_", "-"): value for name, value in headers.items()},
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if value]
    return f"GET {path} HTTP/1.1\r\n" + "\r\n".join(lines) + "\r\n\r\n"


def frame_bytes(
    opcode: int, data: bytes = b"", *, fin: bool = True, mask: bool = True, rsv: int = 0
) -> bytes:
    head = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    flag = 0x80 if mask else 0
    if len(data) < 126:
        head += bytes([flag | len(data)])
    elif len(data) < 1 << 16:
        head += bytes([flag | 126]) + struct.pack("!H", len(data))
    else:
        head += bytes([flag | 127]) + struct.pack("!Q", len(data))
    if not mask:
        return head + data
    if len(data) > 1 << 17:
        return head + bytes(4) + data  # a mask of zeros is one too, and quick
    key = os.urandom(4)
    return head + key + bytes(byte ^ key[index % 4] for index, byte in enumerate(data))
