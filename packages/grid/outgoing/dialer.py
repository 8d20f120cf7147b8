"""The socket to an address that somebody else named: resolved once, checked, and connected to just that.

Nothing is resolved again between the check and the connection, so that a name which changes its mind (DNS
rebinding) gains nothing; a new connection is checked anew. Where the owner lets the node use a proxy (setting
``proxy``), that is asked for the address that was checked; it resolves only names that the owner lists.
"""

from __future__ import annotations

import contextlib
import logging
import socket
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address
from typing import Protocol

from grid.outgoing.addresses import IPAddress
from grid.outgoing.policy import OutgoingPolicy, is_disguised
from syft_ext.errors import Forbidden, InvalidConfig
from syft_ext.transport import Transport, open_transport
from syft_ext.transport.address import NodeAddress
from syft_ext.transport.pipe import MessagePipe
from syft_ext.transport.proxies import Proxy, proxy_for
from syft_ext.transport.reasons import tls_context
from syft_ext.transport.websocket import open_websocket

__all__ = ["Dialer", "GuardedOpener", "Outgoing", "Resolver", "resolve"]

logger = logging.getLogger(__name__)

#: From a host to its addresses, best first. Raises OSError, or UnicodeError for what is no name.
Resolver = Callable[[str], Sequence[IPAddress]]
_MAX_TRIES = 4


def resolve(host: str) -> list[IPAddress]:
    """What the system's resolver says; whatever spelling of an address it understands is one here as well."""
    found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM, proto=socket.IPPROTO_TCP)
    addresses = (ip_address(str(place[0]).partition("%")[0]) for *_, place in found)
    return list(dict.fromkeys(addresses))


class Dialer:
    """Connects where ``policy`` allows it (:class:`~syft_ext.transport.dialing.Dial`).

    Raises :class:`Forbidden` when the host resolves to nothing that is allowed, OSError when nobody is there.

    Args:
        secure: whether TLS will be spoken: there is a proxy for either.
    """

    def __init__(self, policy: OutgoingPolicy, resolver: Resolver = resolve, *, secure: bool = False) -> None:
        self._policy, self._resolver, self._secure = policy, resolver, secure

    def __call__(self, host: str, port: int, timeout: float) -> socket.socket:
        deadline = time.monotonic() + timeout
        name = host.removesuffix(".").lower()
        proxy = self._proxy(name, port) if self._policy.proxy else None
        if proxy is not None and self._policy.lists(name, port):
            return proxy.connect(name, port, timeout)
        found = [] if is_disguised(host) else self._resolver(host)
        allowed = [address for address in found if self._policy.allows(name, port, address)]
        if not allowed:
            logger.warning("refused to call %s:%d: it is at %s", name, port, ", ".join(map(str, found)))
            raise Forbidden(
                f"this node's settings do not let it call {name}:{port}: its owner may list it in allow_addresses",
                reason="address-not-allowed",
            )
        if proxy is not None:
            return proxy.connect(str(allowed[0]), port, deadline - time.monotonic())
        try:
            return _connect(allowed[:_MAX_TRIES], port, deadline)
        except OSError as error:
            raise self._hinted(error, name, port) from error

    def _proxy(self, name: str, port: int) -> Proxy | None:
        return proxy_for(name, port, secure=self._secure)

    def _hinted(self, error: OSError, name: str, port: int) -> OSError:
        """The error, with a word about a proxy that is there and not used."""
        with contextlib.suppress(InvalidConfig):
            if unused := self._proxy(name, port):
                said = error.strerror or error
                return OSError(f"{said}; the setting `proxy` does not let this node use {unused}")
        return error


def _connect(addresses: Sequence[IPAddress], port: int, deadline: float) -> socket.socket:
    failure: OSError = TimeoutError("no time is left")
    for address in addresses:
        left = deadline - time.monotonic()
        if left <= 0:
            break
        family = socket.AF_INET if address.version == 4 else socket.AF_INET6
        connection = socket.socket(family, socket.SOCK_STREAM)
        try:
            connection.settimeout(left)
            connection.connect((str(address), port))
        except OSError as error:
            connection.close()
            failure = error
        except BaseException:
            connection.close()
            raise
        else:
            return connection
    raise failure


class Outgoing(Protocol):
    """What leads to addresses that others name."""

    def transport(self, address: str, /) -> Transport:
        """The transport to the node there, not connected yet."""

    def pipe(self, address: str, path: str, max_message: int, /) -> MessagePipe:
        """A WebSocket to ``path`` of the node there. Raises :class:`Unavailable` when nobody is there."""


class GuardedOpener:
    """Connects only where ``policy`` allows it.

    Args:
        ca_file: PEM file with a private authority of the peers' certificates; "" for the public ones.
        resolver: how hosts become addresses.
    """

    def __init__(self, policy: OutgoingPolicy, *, ca_file: str = "", resolver: Resolver = resolve) -> None:
        self._policy, self._ca_file = policy, ca_file or None
        self._dialers = {secure: Dialer(policy, resolver, secure=secure) for secure in (False, True)}

    def transport(self, address: str) -> Transport:
        parsed = NodeAddress.parse(address)
        if parsed.public:
            return open_transport(address, ca_file=self._ca_file, dial=self._dialers[parsed.secure])
        if not self._policy.allows_place(address):
            raise Forbidden(
                f"this node's settings do not let it call {address}: its owner may list it in allow_addresses",
                reason="address-not-allowed",
            )
        return open_transport(address, ca_file=self._ca_file)

    def pipe(self, address: str, path: str, max_message: int) -> MessagePipe:
        parsed = NodeAddress.parse(address)
        return open_websocket(
            parsed.ws,
            path,
            dial=self._dialers[parsed.secure],
            tls=tls_context(self._ca_file) if parsed.secure else None,
            max_size=max_message,
            max_message=max_message,
        )
