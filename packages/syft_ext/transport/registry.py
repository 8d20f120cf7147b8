"""Transports by the scheme of an address.

A package adds one without a change here: an entry point of the group ``grid.transports`` whose name is the scheme
and whose object takes ``(address, *, ca_file)`` and returns a :class:`~syft_ext.transport.base.Transport`. If it
needs an extra, the entry point says so (``webrtc = package.module:Class [webrtc]``), and whoever lacks it is told.
"""

from __future__ import annotations

import re
import threading
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol

from syft_ext.errors import BadRequest, InvalidConfig, Unsupported
from syft_ext.transport.base import Transport

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

    Its attribute ``public``, where it has one, is that of :class:`~syft_ext.transport.base.Transport`.
    """

    def __call__(self, address: str, *, ca_file: str | None = None) -> Transport: ...


_BUILT_IN = {
    scheme: EntryPoint(scheme, f"syft_ext.transport.{place}", GROUP)
    for scheme, place in (
        ("http", "http:HTTPTransport"),
        ("https", "http:HTTPTransport"),
        ("local", "local:open_local"),
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


def open_transport(address: str, *, ca_file: str | None = None) -> Transport:
    """The transport that the scheme of ``address`` names; ``host:port`` alone is HTTP.

    Raises :class:`~syft_ext.errors.BadRequest` for a scheme that nobody knows, and
    :class:`~syft_ext.errors.Unsupported` when its transport needs a package that is not installed.
    """
    scheme, separator, _ = address.partition("://")
    if not separator:
        scheme, address = "http", f"http://{address}"
    return _factory(scheme)(address, ca_file=ca_file)


def _factory(scheme: str) -> TransportFactory:
    if scheme in _registered:
        return _registered[scheme]
    require_scheme(scheme)
    return _load(_BUILT_IN.get(scheme) or _installed()[scheme])


@cache
def _installed() -> dict[str, EntryPoint]:
    """What installed packages offer; looked up once, and only for a scheme that is not built in."""
    found: dict[str, EntryPoint] = {}
    for entry in entry_points(group=GROUP):
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
