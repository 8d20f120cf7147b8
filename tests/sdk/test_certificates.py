"""Certificates that are refused, over HTTP and WebSocket alike, with the reason in the message."""

from __future__ import annotations

import datetime
import socket
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from syft_ext.errors import Unavailable
from syft_ext.transport import Connection, open_transport
from tests.sdk.tls import certificate

NOW = datetime.datetime.now(datetime.UTC)
DAY = datetime.timedelta(days=1)


class TLSServer:
    """Shows a certificate to whoever comes, and hangs up."""

    def __init__(self, file: Path) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        self._context, self._server = context, socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                plain, _ = self._server.accept()
            except OSError:
                return
            try:
                self._context.wrap_socket(plain, server_side=True).close()
            except OSError:
                plain.close()

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


@pytest.fixture
def servers() -> Iterator[list[TLSServer]]:
    made: list[TLSServer] = []
    yield made
    for server in made:
        server.close()


@pytest.mark.parametrize("scheme", ["https", "wss"])
@pytest.mark.parametrize(
    ("host", "until", "trusted", "words"),
    [
        ("127.0.0.1", NOW - DAY / 2, True, "has expired"),
        ("10.9.9.9", NOW + DAY, True, "not valid for '127.0.0.1'"),
        ("127.0.0.1", NOW + DAY, False, "GRID_CA_FILE"),
    ],
)
def test_the_reason_is_said(
    servers: list[TLSServer],
    tmp_path: Path,
    scheme: str,
    host: str,
    until: datetime.datetime,
    trusted: bool,
    words: str,
) -> None:
    file = certificate(tmp_path, host=host, since=NOW - 2 * DAY, until=until)
    servers.append(TLSServer(file))
    address = f"{scheme}://127.0.0.1:{servers[0].port}"
    with pytest.raises(Unavailable) as refused:
        Connection(open_transport(address, ca_file=str(file) if trusted else None)).metadata()
    assert words in str(refused.value) and address in str(refused.value)


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_plain_words_to_tls(servers: list[TLSServer], tmp_path: Path, scheme: str) -> None:
    servers.append(TLSServer(certificate(tmp_path, host="127.0.0.1", since=NOW - DAY, until=NOW + DAY)))
    with pytest.raises(Unavailable, match=r"reached by (https|wss)"):
        Connection(open_transport(f"{scheme}://127.0.0.1:{servers[0].port}")).metadata()


@pytest.mark.parametrize("scheme", ["https", "wss"])
def test_tls_to_plain_words(scheme: str) -> None:
    server = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        peer, _ = server.accept()
        with peer:
            peer.recv(4096)
            peer.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

    threading.Thread(target=answer, daemon=True).start()
    with pytest.raises(Unavailable, match="does not speak TLS"):
        Connection(open_transport(f"{scheme}://127.0.0.1:{server.getsockname()[1]}")).metadata()
    server.close()
