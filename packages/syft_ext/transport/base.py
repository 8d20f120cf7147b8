"""The one interface of all transports: a frame goes out, a frame comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar, TypedDict

from syft_ext.messages.envelope import Envelope
from syft_ext.transport.payload import PayloadReader

__all__ = ["Buffers", "IncomingFrame", "Path", "Pieces", "Transport"]

Buffers = Sequence[bytes | bytearray | memoryview]
Pieces = Iterable[bytes | bytearray | memoryview]


@dataclass(slots=True)
class IncomingFrame:
    """An answer: its envelope (unverified) and its payload, which must be read or drained."""

    envelope: Envelope
    payload: PayloadReader


class Path(TypedDict):
    """How a node is reached.

    ``taken``: ``direct``, ``webrtc`` (a session between the two), ``turn`` (one that a TURN server carries),
    ``relay`` (sealed, through its Network); "" while there is no connection. ``failed``: of other ways, why not.
    """

    taken: str
    failed: dict[str, str]


class Transport(ABC):
    """Carries frames to one node. Implementations: HTTP(S), WebSocket, in-process; WebRTC fits in likewise.

    A transport knows nothing of operations, identities or tokens, and may be used from several threads.

    Attributes:
        public: whether its addresses mean the same on every machine. A node calls back at an address that a
            stranger claims; one that leads into its own process or machine must not be among them. Such a
            transport is handed a ``dial`` there (:mod:`syft_ext.transport.dialing`), and uses no other socket.
        ahead: seconds by which the clock at the other end is ahead of ours, as the node told.
        streams: whether the head of an answer is there before the rest of it; else a frame comes whole, or not.
    """

    public: ClassVar[bool] = False
    streams: ClassVar[bool] = False
    ahead: float = 0.0
    address: str

    @abstractmethod
    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        """Send one frame and wait at most ``timeout`` seconds for the head of its answer.

        ``payload`` has ``envelope.payload_size`` bytes in all; it is read once.

        Raises :class:`~syft_ext.errors.Unavailable` when the node cannot be reached or hangs up, and
        :class:`~syft_ext.errors.DeadlineExceeded` when it does not answer in time.
        """

    @property
    def path(self) -> Path:
        """How the node is reached, and which ways were tried in vain; maybe nothing before the first exchange."""
        return Path(taken="direct", failed={})

    def is_broken(self) -> bool:
        """Whether its connection has ended, so that the next exchange opens another; False where none is kept."""
        return False

    def is_unintroduced(self) -> bool:
        """Whether the other end does not know yet who speaks here, and would take large frames from nobody.

        What then is sent first must be small; once it is answered, any frame may follow.
        """
        return False

    def close(self) -> None:  # noqa: B027 - not every transport holds something
        """Release sockets and threads."""

    def abort(self) -> None:
        """Close, and end what is under way: for a peer that was given its time. Closing does so for most."""
        self.close()
