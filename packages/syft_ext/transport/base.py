"""The one interface of all transports: a frame goes out, a frame comes back."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from syft_ext.messages.envelope import Envelope
from syft_ext.transport.payload import PayloadReader

__all__ = ["Buffers", "IncomingFrame", "Pieces", "Transport"]

Buffers = Sequence[bytes | bytearray | memoryview]
Pieces = Iterable[bytes | bytearray | memoryview]


@dataclass(slots=True)
class IncomingFrame:
    """An answer: its envelope (unverified) and its payload, which must be read or drained."""

    envelope: Envelope
    payload: PayloadReader


class Transport(ABC):
    """Carries frames to one node. Implementations: HTTP(S), WebSocket, in-process; WebRTC fits in likewise.

    A transport knows nothing of operations, identities or tokens, and may be used from several threads.

    Attributes:
        public: whether its addresses mean the same on every machine. A node calls back at an address that a
            stranger claims; one that leads into its own process or machine must not be among them.
    """

    public: ClassVar[bool] = False
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

    def close(self) -> None:  # noqa: B027 - not every transport holds something
        """Release sockets and threads."""
