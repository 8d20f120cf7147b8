"""Proxies as the environment names them: one way for all transports that open sockets of their own.

``HTTP_PROXY`` (``http://``, ``ws://``), ``HTTPS_PROXY`` (``https://``, ``wss://``), ``ALL_PROXY`` for either, in
lower case too, which counts first; what ``NO_PROXY`` lists is reached directly, and so is this machine: a proxy
has another loopback. The proxy is asked for a tunnel (``CONNECT``, RFC 9110, section 9.3.6): WebSockets pass it
like HTTP, and of what goes through it keeps nothing.
"""

from __future__ import annotations

import base64
import os
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from ipaddress import ip_address, ip_network
from urllib.parse import unquote, urlsplit

from syft_ext.errors import InvalidConfig
from syft_ext.transport.dialing import Dial

__all__ = ["Proxy", "ProxyError", "environment_dial", "proxy_for"]

_PORTS = {"http": 3128, "https": 443}
_MAX_HEAD = 64 << 10


class ProxyError(OSError):
    """The proxy cannot be reached, or opens no tunnel; the text says which one, by whose word, and why."""


@dataclass(frozen=True, slots=True)
class Proxy:
    """One proxy.

    Attributes:
        secure: whether it is itself reached by TLS.
        authorization: the value of ``Proxy-Authorization``; "" for none. It is shown nowhere.
        variable: the environment variable that names it.
    """

    host: str
    port: int
    secure: bool
    authorization: str
    variable: str

    def __str__(self) -> str:
        return f"the proxy {self.host}:{self.port} ({self.variable})"

    @classmethod
    def parse(cls, text: str, variable: str) -> Proxy:
        """Read ``http(s)://[user:password@]host[:port]``; raises :class:`InvalidConfig` for anything else."""
        scheme, separator, rest = text.strip().partition("://")
        if not separator:
            scheme, rest = "http", text.strip()
        try:
            parts = urlsplit(f"//{rest}")
            host, port = parts.hostname, parts.port
        except ValueError:
            host, port = None, None
        if scheme.lower() not in _PORTS or not host:
            kind = scheme if separator and scheme.lower() not in _PORTS else "this"
            raise InvalidConfig(
                f"{variable} names no proxy that can be used here: {kind} is not http://host:port; "
                "a node that is reached directly belongs into NO_PROXY"
            )
        authorization = ""
        if parts.username is not None:
            pair = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
            authorization = f"Basic {base64.b64encode(pair.encode()).decode()}"
        return cls(host, port or _PORTS[scheme.lower()], scheme.lower() == "https", authorization, variable)

    def connect(self, host: str, port: int, timeout: float) -> socket.socket:
        """A socket that leads to ``host`` at ``port``; raises :class:`ProxyError`."""
        deadline = time.monotonic() + timeout
        try:
            tunnel = socket.create_connection((self.host, self.port), timeout)
        except OSError as error:
            raise ProxyError(f"{self} cannot be reached: {error.strerror or error}") from error
        try:
            if self.secure:
                tunnel = ssl.create_default_context().wrap_socket(tunnel, server_hostname=self.host)
            status, phrase = self._open(tunnel, host, port, deadline)
        except OSError as error:
            tunnel.close()
            raise ProxyError(f"{self} opens no tunnel: {error}") from error
        except BaseException:
            tunnel.close()
            raise
        if status // 100 != 2:
            tunnel.close()
            wants = "it wants a user and a password" if status == 407 else "it does not let you there"
            raise ProxyError(
                f"{self} answered HTTP {status} {phrase}".rstrip()
                + f": {wants}; if {host} is reached without it, add {host} to NO_PROXY"
            )
        return tunnel

    def _open(self, tunnel: socket.socket, host: str, port: int, deadline: float) -> tuple[int, str]:
        name = host.encode("idna").decode() if not _is_address(host) else host
        target = f"[{name}]:{port}" if ":" in name else f"{name}:{port}"
        lines = [f"CONNECT {target} HTTP/1.1", f"Host: {target}"]
        if self.authorization:
            lines.append(f"Proxy-Authorization: {self.authorization}")
        tunnel.sendall("\r\n".join([*lines, "", ""]).encode("ascii"))
        head = b""
        while not head.endswith(b"\r\n\r\n"):  # by single bytes: what follows the head is the node's
            tunnel.settimeout(max(deadline - time.monotonic(), 0.001))
            piece = tunnel.recv(1)
            if not piece or len(head) > _MAX_HEAD:
                raise ConnectionError(
                    "it hung up before it answered" if not piece else "its answer has no end"
                )
            head += piece
        version, _, rest = head.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")
        if not version.startswith("HTTP/1.") or not rest[:3].isdigit():
            raise ConnectionError("it does not speak HTTP")
        return int(rest[:3]), "".join(c for c in rest[3:].strip() if c.isprintable())[:80]


def proxy_for(
    host: str, port: int, *, secure: bool, environment: Mapping[str, str] | None = None
) -> Proxy | None:
    """The proxy that the environment names for a node; None where it is reached directly.

    Raises :class:`InvalidConfig`, naming the variable, for a proxy that cannot be used (SOCKS, say).
    """
    env = os.environ if environment is None else environment
    if _is_here(host) or _is_excepted(host, port, env.get("no_proxy") or env.get("NO_PROXY") or ""):
        return None
    for name in ("https_proxy" if secure else "http_proxy", "all_proxy"):
        for variable in (name, name.upper()):
            if env.get(variable, "").strip():
                return Proxy.parse(env[variable], variable)
    return None


def environment_dial(*, secure: bool) -> Dial:
    """Connects directly, or through the proxy that the environment names for nodes with TLS or without it."""

    def dial(host: str, port: int, timeout: float) -> socket.socket:
        proxy = proxy_for(host, port, secure=secure)
        if proxy is None:
            return socket.create_connection((host, port), timeout)
        return proxy.connect(host, port, timeout)

    return dial


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _is_here(host: str) -> bool:
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    return _is_address(name) and ip_address(name).is_loopback


def _is_excepted(host: str, port: int, listed: str) -> bool:
    """Whether ``NO_PROXY`` has it: ``*``, a name (and all below it), an address, a block; ``:port`` behind."""
    name = host.rstrip(".").lower()
    return any(_fits(entry.lower(), name, port) for entry in listed.replace(",", " ").split())


def _fits(entry: str, name: str, port: int) -> bool:
    if entry == "*":
        return True
    if _is_address(name):
        try:
            return ip_address(name) in ip_network(entry.strip("[]"), strict=False)
        except ValueError:
            pass  # a name, or one with a port
    bare, colon, wanted = entry.rpartition(":")
    if colon and wanted.isdigit() and (bare.startswith("[") or ":" not in bare):
        return int(wanted) == port and _fits(bare.strip("[]"), name, port)
    bare = entry.removeprefix("*").removeprefix(".").rstrip(".")
    return bool(bare) and (name == bare or name.endswith(f".{bare}"))
