"""What makes and ends WebRTC connections, as a session sees it: one interface, so that libraries can be exchanged.

An engine works in an asyncio event loop; everything here is called from that loop, and events come on it.
``aiortc`` is the one there is. libdatachannel's binding for asyncio (``aiolibdatachannel``) has no build for
Python before 3.12; it would stand beside ``aiortc_engine.py``, and pass the tests of engines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import Protocol

from syft_ext.errors import Unsupported
from syft_ext.messages.peers import IceServer
from syft_ext.transport.webrtc.terms import Channel

__all__ = ["EXTRA", "Engine", "PeerEnd", "PeerEvents", "PeerPlace", "load_engine"]

EXTRA = "grid-platform[webrtc]"


@dataclass(frozen=True, slots=True)
class PeerPlace:
    """Where the other end is, as ICE chose it.

    Attributes:
        address: of the remote candidate: who is at the other end, or the TURN server that carries for them.
        kind: of that candidate: ``host``, ``srflx``, ``prflx`` or ``relay`` (RFC 8445, section 4).
        local: the kind of our own.
    """

    address: str
    kind: str
    local: str

    @property
    def relayed(self) -> bool:
        """Whether a TURN server carries what passes, as far as this end knows."""
        return "relay" in (self.kind, self.local)


class PeerEvents(Protocol):
    """What an end tells. Nothing is told after :meth:`ended`, which is told once."""

    def opened(self) -> None:
        """Both channels are open."""

    def received(self, channel: Channel, message: bytes) -> None:
        """A message came. It must not wait: what is not taken at once has to be held."""

    def drained(self, channel: Channel) -> None:
        """What the channel has buffered went down to :data:`~syft_ext.transport.webrtc.terms.BUFFERED_LOW`."""

    def ended(self, reason: str) -> None:
        """The connection is over, or was never made."""


class PeerEnd(Protocol):
    """One end of a connection."""

    async def offer(self) -> str:
        """Our description (RFC 8866), to be offered."""

    async def answer(self, offer: str) -> str:
        """Our answer to the other end's offer. Raises :class:`~syft_ext.errors.BadRequest` for what is none."""

    async def accept(self, answer: str) -> None:
        """Take the other end's answer. Raises :class:`~syft_ext.errors.BadRequest` for what is none."""

    async def add_candidates(self, lines: Sequence[str], *, done: bool) -> None:
        """Take more candidates of the other end. Raises :class:`~syft_ext.errors.BadRequest` for what is none."""

    def send(self, channel: Channel, message: bytes) -> None:
        """Hand a message to a channel; nothing happens once the connection is over."""

    def buffered(self, channel: Channel) -> int:
        """Bytes that were handed to a channel and have not left it."""

    def arrived(self, channel: Channel) -> int:
        """Bytes of a channel that the other end has confirmed: whether it moves. What :meth:`buffered` tells
        stands still while lost packets are sent again."""

    def flushed(self) -> bool:
        """Whether all that was handed over has arrived."""

    def place(self) -> PeerPlace | None:
        """Where the other end is; None while nobody knows."""

    def misuse(self) -> str:
        """Why this end should be closed: what came and can become no message, other channels; "" while nothing is
        wrong. To be asked now and then."""

    async def close(self) -> None:
        """End it. May be called twice."""


class Engine(Protocol):
    """Makes ends. ``servers`` are for STUN and TURN; ``relay_only``: it goes over a TURN server, or not at all."""

    def __call__(
        self, events: PeerEvents, servers: Sequence[IceServer], *, relay_only: bool = False
    ) -> PeerEnd: ...


_ENGINES: dict[str, str] = {"aiortc": "syft_ext.transport.webrtc.aiortc_engine:AiortcEnd"}


def load_engine(name: str = "aiortc") -> Callable[..., PeerEnd]:
    """The engine of that name. Raises :class:`~syft_ext.errors.Unsupported`, naming the extra, where its library
    is not installed."""
    module, _, attribute = _ENGINES[name].partition(":")
    try:
        made: Callable[..., PeerEnd] = getattr(import_module(module), attribute)
    except ImportError as error:
        raise Unsupported(
            f"WebRTC needs a package that is not installed ({error.name or error}): pip install '{EXTRA}'"
        ) from error
    return made
