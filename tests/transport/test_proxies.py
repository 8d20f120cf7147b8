"""Proxies of the environment: HTTP and WebSocket take the same way, nodes only where their owner says so."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from grid.outgoing.dialer import Dialer
from grid.outgoing.policy import AllowedAddress, OutgoingPolicy
from grid.web.testing import ServedNode
from syft_ext.errors import Forbidden, InvalidConfig, Unavailable
from syft_ext.transport import Connection, open_transport
from syft_ext.transport.proxies import ProxyError, proxy_for
from tests.web.fixtures import running, served  # noqa: F401

NAME = "node.hospital.example"  # resolved by the proxy alone


class ForwardProxy:
    """Tunnels to ``target`` whatever name it is asked for; with a ``status``, refuses.

    Attributes:
        asked: the heads of requests.
    """

    def __init__(self, target: tuple[str, int], status: str = "") -> None:
        self.asked: list[str] = []
        self._target, self._status = target, status
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port = self._server.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://ann:p%40ss@127.0.0.1:{self.port}"

    def _serve(self) -> None:
        while True:
            try:
                peer, _ = self._server.accept()
            except OSError:
                return
            threading.Thread(target=self._tunnel, args=(peer,), daemon=True).start()

    def _tunnel(self, peer: socket.socket) -> None:
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += peer.recv(1)
        self.asked.append(head.decode())
        if self._status:
            peer.sendall(f"HTTP/1.1 {self._status}\r\nContent-Length: 0\r\n\r\n".encode())
            peer.close()
            return
        with peer, socket.create_connection(self._target) as behind:
            peer.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
            there = threading.Thread(target=_pump, args=(peer, behind), daemon=True)
            there.start()
            _pump(behind, peer)
            there.join(60)

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for end in (source, sink):
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


@pytest.mark.parametrize(
    ("environment", "host", "secure", "found"),
    [
        ({"HTTP_PROXY": "http://p:1"}, "a.example", False, "p:1 (HTTP_PROXY)"),
        ({"HTTP_PROXY": "http://p:1"}, "a.example", True, ""),
        ({"HTTPS_PROXY": "p:1"}, "a.example", True, "p:1 (HTTPS_PROXY)"),
        ({"ALL_PROXY": "http://p"}, "a.example", True, "p:3128 (ALL_PROXY)"),
        ({"ALL_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "a.example", False, "q:2 (http_proxy)"),
        ({"HTTP_PROXY": "http://p:1", "http_proxy": "http://q:2"}, "a.example", False, "q:2 (http_proxy)"),
        ({"ALL_PROXY": "http://p:1"}, "localhost", False, ""),
        ({"ALL_PROXY": "http://p:1"}, "127.0.0.1", True, ""),
        ({"ALL_PROXY": "http://p:1"}, "::1", True, ""),
        ({"ALL_PROXY": "http://p:1"}, "10.1.2.3", True, "p:1 (ALL_PROXY)"),
        ({"ALL_PROXY": ""}, "a.example", True, ""),
        ({}, "a.example", True, ""),
    ],
)
def test_which_proxy(environment: Mapping[str, str], host: str, secure: bool, found: str) -> None:
    proxy = proxy_for(host, 5000, secure=secure, environment=environment)
    assert (str(proxy) if proxy else "") == (f"the proxy {found}" if found else "")


@pytest.mark.parametrize(
    ("listed", "host", "direct"),
    [
        ("*", "a.example", True),
        ("a.example", "a.example", True),
        ("a.example", "b.a.example", True),
        (".a.example", "b.a.example", True),
        ("*.a.example", "b.a.example", True),
        ("a.example", "ba.example", False),
        ("x.example, A.EXAMPLE", "a.example", True),
        ("x.example a.example", "a.example.", True),
        ("a.example:5000", "a.example", True),
        ("a.example:5001", "a.example", False),
        ("10.0.0.0/8", "10.1.2.3", True),
        ("10.0.0.0/8", "11.1.2.3", False),
        ("10.1.2.3", "10.1.2.3", True),
        ("10.1.2.3:5000", "10.1.2.3", True),
        ("fd00::/8", "fd00::1", True),
        ("[fd00::1]:5000", "fd00::1", True),
        ("", "a.example", False),
        (",", "a.example", False),
    ],
)
def test_what_no_proxy_excepts(listed: str, host: str, direct: bool) -> None:
    environment = {"ALL_PROXY": "http://p:1", "NO_PROXY": listed}
    assert (proxy_for(host, 5000, secure=False, environment=environment) is None) == direct


@pytest.mark.parametrize("text", ["socks5://p:1080", "ftp://p", "http://", "http://p:x"])
def test_a_proxy_that_cannot_be_used_is_named(text: str) -> None:
    with pytest.raises(InvalidConfig, match="ALL_PROXY"):
        proxy_for("a.example", 5000, secure=True, environment={"ALL_PROXY": text})


@pytest.fixture
def behind(served: ServedNode) -> Iterator[ForwardProxy]:  # noqa: F811 - a fixture
    port = int(served.url.rsplit(":", 1)[1])
    proxy = ForwardProxy(("127.0.0.1", port))
    yield proxy
    proxy.close()


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_node_that_only_the_proxy_reaches(
    behind: ForwardProxy, scheme: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", behind.url)
    address = f"{scheme}://{NAME}:5000"
    transport = open_transport(address)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GRID_PLAIN_HTTP", "accept")
        Connection(transport).metadata()
    transport.close()
    assert behind.asked[0].startswith(f"CONNECT {NAME}:5000 HTTP/1.1\r\n")
    assert "Proxy-Authorization: Basic YW5uOnBAc3M=" in behind.asked[0]


@pytest.mark.parametrize("scheme", ["http", "ws", "https", "wss"])
@pytest.mark.parametrize("status", ["403 Forbidden", "407 Proxy Authentication Required"])
def test_a_proxy_that_refuses_is_named_and_so_is_the_way_out(
    scheme: str, status: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    proxy = ForwardProxy(("127.0.0.1", 1), status)
    monkeypatch.setenv("ALL_PROXY", proxy.url)
    with pytest.raises(Unavailable) as refused:
        Connection(open_transport(f"{scheme}://{NAME}:5000")).metadata()
    proxy.close()
    said = str(refused.value)
    for words in (f"127.0.0.1:{proxy.port} (ALL_PROXY)", f"HTTP {status}", f"add {NAME} to NO_PROXY"):
        assert words in said
    assert "p%40ss" not in said and "p@ss" not in said, "passwords are shown to nobody"


@pytest.mark.parametrize("scheme", ["http", "ws"])
def test_a_proxy_that_is_not_there(scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
    with pytest.raises(Unavailable, match=rf"the proxy 127.0.0.1:{port} \(ALL_PROXY\) cannot be reached"):
        Connection(open_transport(f"{scheme}://{NAME}:5000")).metadata()


def test_a_node_uses_it_only_where_its_owner_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy = ForwardProxy(("127.0.0.1", 1), "403 Forbidden")
    monkeypatch.setenv("ALL_PROXY", proxy.url)

    def resolver(host: str) -> list[object]:
        from ipaddress import ip_address

        return [ip_address("192.0.2.1" if host == "public.example" else "127.0.0.9")]

    def dialer(use: bool) -> Dialer:
        listed = [AllowedAddress.parse("192.0.2.1"), AllowedAddress.parse("listed.example")]
        return Dialer(OutgoingPolicy(listed, proxy=use), resolver)  # type: ignore[arg-type]

    with pytest.raises(OSError, match="setting `proxy` does not let this node use the proxy") as direct:
        dialer(False)("public.example", 5000, 0.2)
    assert not isinstance(direct.value, ProxyError) and not proxy.asked
    for name, asked in (("public.example", "192.0.2.1"), ("listed.example", "listed.example")):
        with pytest.raises(ProxyError, match="403"):
            dialer(True)(name, 5000, 5)
        # A name that nobody listed was resolved and checked here: the proxy is asked for what that led to.
        assert proxy.asked.pop().startswith(f"CONNECT {asked}:5000 ")
    with pytest.raises(Forbidden):
        dialer(True)("inner.example", 5000, 5)
    assert not proxy.asked
    proxy.close()


def test_the_file_of_authorities_is_named_when_it_cannot_be_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "ca.pem"
    broken.write_text("no certificate")
    for scheme in ("https", "wss"):
        with pytest.raises(InvalidConfig, match=r"ca\.pem cannot be used: it holds no certificate"):
            Connection(open_transport(f"{scheme}://localhost:1", ca_file=str(broken))).metadata()
    monkeypatch.setenv("GRID_CA_FILE", str(tmp_path / "gone.pem"))
    with pytest.raises(InvalidConfig, match=r"gone\.pem cannot be used: No such file"):
        open_transport("https://localhost:1")
