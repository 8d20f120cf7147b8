"""How users write the address of a node, and what it means."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import urlsplit

from syft_ext.errors import BadRequest

__all__ = ["NodeAddress"]

_SCHEMES = {"http": False, "ws": False, "https": True, "wss": True}


@dataclass(frozen=True, slots=True)
class NodeAddress:
    """One node, reachable over HTTP and WebSocket at the same port.

    Attributes:
        netloc: ``host:port``.
        secure: TLS.
        websocket: the user wrote ``ws://`` or ``wss://``: everything goes over one WebSocket.
    """

    netloc: str
    secure: bool = False
    websocket: bool = False

    @classmethod
    def parse(cls, text: str, *, secure: bool = False) -> NodeAddress:
        """Read ``host:port``, ``http(s)://…`` or ``ws(s)://…``; ``secure`` counts where no scheme says it.

        Raises :class:`~syft_ext.errors.BadRequest` for anything else.
        """
        text = text.strip()
        scheme, separator, rest = text.partition("://")
        if not separator:
            scheme, rest = ("https" if secure else "http"), text
        rest = rest.removesuffix("/")
        try:
            parts = urlsplit(f"//{rest}")
            usable = scheme in _SCHEMES and parts.hostname and not parts.username and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.path or parts.query or parts.fragment:
            raise BadRequest(f"not the address of a node: {text[:200]!r} (write http://host:port)")
        return cls(parts.netloc.lower(), _SCHEMES[scheme], scheme in ("ws", "wss"))

    @property
    def http(self) -> str:
        return f"{'https' if self.secure else 'http'}://{self.netloc}"

    @property
    def ws(self) -> str:
        return f"{'wss' if self.secure else 'ws'}://{self.netloc}"

    def __str__(self) -> str:
        return self.http
