"""How users write the address of a node, and what it means."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, unquote, urlsplit

from syft_ext.errors import BadRequest
from syft_ext.transport import registry

__all__ = ["NodeAddress"]

_WEB = {"http": "http", "https": "https", "ws": "http", "wss": "https"}
_WEBSOCKET = {"http": "ws", "https": "wss"}
#: Addresses of nodes behind a Network, and how that is spoken to.
_CARRIED = {
    "grid+webrtc": "https",
    **{f"{way}+{web}": web for way in ("grid", "webrtc", "relay") for web in ("http", "https")},
}
_KEY = re.compile(r"[0-9a-fA-F]{64}")
_REST = re.compile(r"([^/?#@]*)(/[^?#]*)?(?:\?([^#]+))?")


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """One node, and the transport to reach it by.

    A node of the web is reachable over HTTP and WebSocket at the same port: ``http://h:1`` and ``ws://h:1`` are
    the same node, reached in different ways.

    Attributes:
        scheme: which transport (:mod:`syft_ext.transport.registry`).
        authority: ``host:port`` on the web; elsewhere whatever the transport makes of it, maybe nothing.
        path: begins with a slash, or is empty; always empty on the web.
        query: without its question mark.
    """

    scheme: str
    authority: str
    path: str = ""
    query: str = ""

    @classmethod
    def parse(cls, text: str, *, secure: bool = False) -> NodeAddress:
        """Read ``host:port``, ``http(s)://…``, ``ws(s)://…`` or an address of another transport.

        ``secure`` counts where no scheme says it. Raises :class:`~syft_ext.errors.BadRequest` for anything else.
        """
        text = text.strip()
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = ("https" if secure else "http"), text
        if scheme in _WEB:
            return cls(scheme, _web_authority(rest, text))
        registry.require_scheme(scheme)
        found = _REST.fullmatch(rest)
        if found is None or not rest.isascii() or not rest.isprintable() or " " in rest:
            raise _not_one(text)
        authority, path, query = (part or "" for part in found.groups())
        path = "" if path == "/" and authority else path
        if not authority and not path:
            raise _not_one(text)
        if scheme in _CARRIED:
            scheme, authority, path = _carried(scheme, authority, path)
        return cls(scheme, authority.lower(), path, query)

    @property
    def url(self) -> str:
        """What was parsed, in its one normal form: parsing it gives this address again."""
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.authority}{self.path}{query}"

    @property
    def public(self) -> bool:
        """Whether it means the same on every machine, so that a stranger may name it for us to call."""
        return registry.is_public(self.scheme)

    @property
    def secure(self) -> bool:
        """Whether it says TLS."""
        return self.scheme in ("wss", "grid+webrtc") or self.scheme.endswith("https")

    @property
    def websocket(self) -> bool:
        """Whether the user wrote ``ws://`` or ``wss://``: everything goes over one WebSocket."""
        return self.scheme in ("ws", "wss")

    @property
    def web(self) -> bool:
        """Whether it is a node of the web: reachable over HTTP and WebSocket."""
        return self.scheme in _WEB

    @property
    def http(self) -> str:
        """Raises :class:`~syft_ext.errors.BadRequest` when it is no node of the web."""
        return f"{self._of_the_web()}://{self.authority}"

    @property
    def ws(self) -> str:
        """Raises :class:`~syft_ext.errors.BadRequest` when it is no node of the web."""
        return f"{_WEBSOCKET[self._of_the_web()]}://{self.authority}"

    def _of_the_web(self) -> str:
        if not self.web:
            raise BadRequest(f"{self.url} cannot be reached over HTTP")
        return _WEB[self.scheme]

    def __str__(self) -> str:
        """The name of the node in files and messages: one for the web, whichever way leads there."""
        return self.http if self.web else self.url


def _carried(scheme: str, authority: str, path: str) -> tuple[str, str, str]:
    """The one way to write a node behind a Network: what is known of it (its key, a session) is kept by that."""
    web = _CARRIED[scheme]
    scheme = "grid+https" if scheme == "grid+webrtc" else scheme
    name = unquote(path.removeprefix("/"))
    name = name.lower() if _KEY.fullmatch(name) else name
    path = "/" + quote(name, safe="") if name else ""
    return scheme, authority.removesuffix({"http": ":80", "https": ":443"}[web]), path


def _web_authority(rest: str, text: str) -> str:
    rest = rest.removesuffix("/")
    try:
        parts = urlsplit(f"//{rest}")
        usable = parts.hostname and not parts.username and parts.port != 0
    except ValueError:
        usable = False
    if not usable or parts.path or parts.query or parts.fragment:
        raise _not_one(text)
    return parts.netloc.lower()


def _not_one(text: str) -> BadRequest:
    return BadRequest(f"not the address of a node: {text[:200]!r} (write http://host:port)")
