"""Transports by the scheme of an address.

A package adds one without a change here: an entry point of the group ``grid.transports`` whose name is the scheme
and whose object takes ``(address, *, ca_file)`` and returns a :class:`~syft_ext.transport.base.Transport`. If it
needs an extra, the entry point says so (``webrtc = package.module:Class [webrtc]``), and whoever lacks it is told.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from functools import cache
from importlib.metadata import EntryPoint
from typing import Protocol

from syft_ext.errors import BadRequest, InvalidConfig, Unsupported
from syft_ext.installed import entry_points_of
from syft_ext.transport.base import Transport
from syft_ext.transport.dialing import Dial
from syft_ext.transport.plain import warn_if_plain

__all__ = [
    "GROUP",
    "TransportFactory",
    "is_public",
    "known_schemes",
    "open_transport",
    "register_transport",
    "require_scheme",
    "unregister_transport",
]

GROUP = "grid.transports"


class TransportFactory(Protocol):
    """Makes the transport for an address, without connecting yet. ``ca_file`` is a private CA, if any.

    Its attribute ``public``, where it has one, is that of :class:`~syft_ext.transport.base.Transport`; if that is
    true, it takes ``dial`` too (:class:`~syft_ext.transport.dialing.Dial`).
    """

    def __call__(self, address: str, *, ca_file: str | None = None) -> Transport: ...


_BUILT_IN = {
    scheme: EntryPoint(scheme, f"syft_ext.transport.{place}", GROUP)
    for scheme, place in (
        ("grid+http", "ways.transport:WaysTransport"),
        ("grid+https", "ways.transport:WaysTransport"),
        ("grid+webrtc", "ways.transport:WaysTransport"),
        ("http", "http:HTTPTransport"),
        ("https", "http:HTTPTransport"),
        ("local", "local:open_local"),
        ("relay+http", "relayed.relay:RelayTransport"),
        ("relay+https", "relayed.relay:RelayTransport"),
        ("webrtc+http", "webrtc.transport:WebRTCTransport"),
        ("webrtc+https", "webrtc.transport:WebRTCTransport"),
        ("ws", "websocket:WebSocketTransport"),
        ("wss", "websocket:WebSocketTransport"),
    )
}
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_registered: dict[str, TransportFactory] = {}
_lock = threading.Lock()


def register_transport(scheme: str, factory: TransportFactory) -> None:
    """Let addresses ``scheme://…`` be opened by ``factory`` in this process.

    Raises :class:`~syft_ext.errors.InvalidConfig` when the scheme has a transport already, or is none.
    """
    if not _SCHEME.fullmatch(scheme):
        raise InvalidConfig(f"not a scheme by RFC 3986, section 3.1, in lower case: {scheme[:40]!r}")
    with _lock:
        if scheme in known_schemes():
            raise InvalidConfig(f"{scheme}:// has a transport already")
        _registered[scheme] = factory


def unregister_transport(scheme: str) -> None:
    """Take back :func:`register_transport`."""
    with _lock:
        _registered.pop(scheme, None)


def known_schemes() -> list[str]:
    """The schemes that addresses may have here; nothing is imported to tell."""
    return sorted({*_BUILT_IN, *_registered, *_installed()})


def require_scheme(scheme: str) -> None:
    """Raise :class:`~syft_ext.errors.BadRequest`, naming the schemes there are, unless ``scheme`` is one."""
    if scheme not in _BUILT_IN and scheme not in _registered and scheme not in _installed():
        known = ", ".join(known_schemes())
        raise BadRequest(f"no transport is known for {scheme[:40]!r}; known are: {known}", known=known)


def is_public(scheme: str) -> bool:
    """Whether a stranger may name such an address for us to call: one that means the same on every machine."""
    return bool(getattr(_factory(scheme), "public", False))


def open_transport(address: str, *, ca_file: str | None = None, dial: Dial | None = None) -> Transport:
    """The transport that the scheme of ``address`` names; ``host:port`` alone is HTTP.

    Plain http to another machine is warned of (:mod:`syft_ext.transport.plain`).

    Args:
        dial: opens all its sockets; only what :func:`is_public` can be told so.

    Raises :class:`~syft_ext.errors.BadRequest` for a scheme that nobody knows, and
    :class:`~syft_ext.errors.Unsupported` when its transport needs a package that is not installed.
    """
    scheme, separator, _ = address.partition("://")
    if not separator:
        scheme, address = "http", f"http://{address}"
    warn_if_plain(address)
    factory = _factory(scheme)
    if dial is None:
        return factory(address, ca_file=ca_file)
    if not getattr(factory, "public", False):
        raise Unsupported(f"{scheme}:// opens its own connections; nobody can decide whereto")
    dialled: Callable[..., Transport] = factory
    return dialled(address, ca_file=ca_file, dial=dial)


def _factory(scheme: str) -> TransportFactory:
    if scheme in _registered:
        return _registered[scheme]
    require_scheme(scheme)
    return _load(_BUILT_IN.get(scheme) or _installed()[scheme])


@cache
def _installed() -> dict[str, EntryPoint]:
    """What installed packages offer; looked up once, and only for a scheme that is not built in."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points_of(GROUP):
        before = found.get(entry.name)
        if before is not None and before.value != entry.value:
            raise InvalidConfig(f"two packages offer {entry.name}://: {before.value} and {entry.value}")
        found[entry.name] = entry
    return found


@cache
def _load(entry: EntryPoint) -> TransportFactory:
    try:
        factory: TransportFactory = entry.load()
    except ImportError as error:
        package = entry.dist.name if entry.dist is not None else "grid-platform"
        what = f"{package}[{','.join(entry.extras)}]" if entry.extras else package
        raise Unsupported(
            f"{entry.name}:// needs a package that is not installed ({error.name or error}): "
            f'pip install "{what}"'
        ) from error
    return factory
