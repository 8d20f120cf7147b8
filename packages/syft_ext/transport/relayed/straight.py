"""A node at an address that somebody else told: what is said is sealed to its key, as where it is carried.

A signed answer says who answered, and not who reads: whoever told the address may carry what goes there to the
node, and open it on the way, TLS too, since the certificate is for a host that they named.
"""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from syft_ext.errors import BadRequest
from syft_ext.transport.base import Path
from syft_ext.transport.dialing import Dial
from syft_ext.transport.multiplexed import MultiplexedTransport
from syft_ext.transport.proxies import environment_dial
from syft_ext.transport.reasons import tls_context
from syft_ext.transport.relayed.sealed import MAX_SEALED, SEALED, SealedPipe, ask_sealed
from syft_ext.transport.websocket import open_websocket

__all__ = ["StraightTransport", "sealed_pipes"]

_SOCKETS = {"http": "ws", "https": "wss", "ws": "ws", "wss": "wss"}


class StraightTransport(MultiplexedTransport):
    """Exchanges over one pipe that is sealed to ``verify_key``, opened at the first, and again when it has ended.

    Args:
        address: of the node: ``http(s)://host:port``, or ``ws(s)://``.

    Raises :class:`~syft_ext.errors.BadRequest` for an address that is none of the web.
    """

    public = True

    def __init__(
        self, address: str, verify_key: str, *, ca_file: str | None = None, dial: Dial | None = None
    ) -> None:
        parts = urlsplit(address)
        if parts.scheme not in _SOCKETS or not parts.netloc:
            raise BadRequest(f"{address[:200]!r} is no address of the web")
        base = f"{_SOCKETS[parts.scheme]}://{parts.netloc}{parts.path.rstrip('/')}"
        super().__init__(address, sealed_pipes(base, SEALED, verify_key, ca_file=ca_file, dial=dial))

    @property
    def path(self) -> Path:
        return Path(taken="direct", failed={})


def sealed_pipes(
    base: str, path: str, verify_key: str, *, ca_file: str | None, dial: Dial | None
) -> Callable[[], SealedPipe]:
    """What opens pipes, sealed to ``verify_key``, over WebSockets to ``path`` at ``base`` (``ws(s)://host:port``)."""
    secure = base.startswith("wss:")
    tls, opened = tls_context(ca_file) if secure else None, dial or environment_dial(secure=secure)

    def open_pipe() -> SealedPipe:
        carried = open_websocket(
            base, path, dial=opened, tls=tls, max_size=MAX_SEALED, max_message=MAX_SEALED
        )
        return ask_sealed(carried, verify_key)

    return open_pipe
