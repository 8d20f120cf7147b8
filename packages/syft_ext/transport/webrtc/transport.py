"""A node over WebRTC: frames over the two channels of a session that its Network helped to open.

``webrtc+https://network:443/<verify key of the node>`` (``webrtc+http`` where the Network has no TLS).
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Literal
from urllib.parse import urlsplit

from syft_ext.errors import BadRequest, Unavailable
from syft_ext.messages.envelope import Envelope
from syft_ext.messages.operation import operations
from syft_ext.messages.peers import IceServer
from syft_ext.transport.base import IncomingFrame, Path, Pieces, Transport
from syft_ext.transport.http import HTTPTransport
from syft_ext.transport.multiplexed import SegmentedFrames
from syft_ext.transport.relayed.relay import RelayTransport, relay_address
from syft_ext.transport.webrtc.engine import PeerPlace, load_engine
from syft_ext.transport.webrtc.loop import require_threads
from syft_ext.transport.webrtc.session import PeerSession
from syft_ext.transport.webrtc.signalling import Signaller, Signalling
from syft_ext.transport.webrtc.terms import CONTROL_FRAME, Channel

__all__ = ["Carry", "WebRTCTransport", "channel_for", "split_address"]

Carry = Literal["any", "free", "turn"]
"""What may carry a session: anything; anything but a TURN server; a TURN server only."""


class WebRTCTransport(Transport):
    """One session, which is opened at the first exchange, and again when it is over.

    Args:
        carry: what may carry it.
        signalling: makes what asks for a session; by default over the Network's relay.
    """

    # Its sockets are ICE's, and go wherever the other end's candidates say: nothing for a node to hand a dial to.
    public = False

    def __init__(
        self,
        address: str,
        *,
        ca_file: str | None = None,
        carry: Carry = "any",
        signalling: Callable[[], Signaller] | None = None,
    ) -> None:
        self._network, self._key = split_address(address)
        self.address, self._carry, self._ca_file = address, carry, ca_file
        self._signalling = signalling or self._relayed
        self._lock = threading.Lock()
        self._session: PeerSession | None = None
        self._lines: dict[Channel, SegmentedFrames] = {}
        load_engine()  # who lacks it hears of it now

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        line = self._connected()[channel_for(envelope)]
        return line.exchange(envelope, payload, timeout)

    @property
    def place(self) -> PeerPlace | None:
        """Where the other end of the open session is; None while there is none."""
        session = self._session
        return session.place if session is not None and not session.over else None

    @property
    def path(self) -> Path:
        place = self.place
        if place is None:
            return Path(taken="", failed={})
        return Path(taken="turn" if place.relayed else "webrtc", failed={})

    def is_broken(self) -> bool:
        session = self._session
        return session is not None and (session.over or any(each.ended for each in self._lines.values()))

    def open(self) -> None:
        """Open the session, if it is not. Raises as :meth:`exchange` does."""
        self._connected()

    def _connected(self) -> dict[Channel, SegmentedFrames]:
        with self._lock:
            if (
                self._session is None
                or self._session.over
                or any(each.ended for each in self._lines.values())
            ):
                self._end()
                self._session = self._opened()
                self._lines = {
                    channel: SegmentedFrames(pipe, self.address)
                    for channel, pipe in self._session.pipes.items()
                }
                for line in self._lines.values():
                    threading.Thread(target=line.run, daemon=True).start()
            return self._lines

    def _opened(self) -> PeerSession:
        require_threads()
        engine = load_engine()
        signalling = self._signalling()
        try:
            servers = self._usable(list(signalling.servers()))
            return PeerSession(
                self.address, engine, servers, signalling.offer, relay_only=self._carry == "turn"
            )
        finally:
            signalling.close()

    def _relayed(self) -> Signaller:
        relay = RelayTransport(relay_address(self._network, self._key), ca_file=self._ca_file)
        network = HTTPTransport(self._network, ca_file=self._ca_file)
        return Signalling(relay, self._key, network, owned=True)

    def _usable(self, servers: list[IceServer]) -> list[IceServer]:
        """Those of ``servers`` that may carry, or help. Raises when nothing would."""
        turn = [server for server in servers if any(url.startswith("turn") for url in server.urls)]
        if self._carry == "turn" and not turn:
            raise Unavailable("the Network names no TURN server")
        if self._carry == "free":
            return [
                IceServer(urls=urls)
                for server in servers
                if (urls := [url for url in server.urls if url.startswith("stun")])
            ]
        return servers

    def _end(self) -> None:
        lines, self._lines = self._lines, {}
        session, self._session = self._session, None
        for line in lines.values():
            line.close()
        if session is not None:
            session.hang_up("it was closed here")

    def close(self) -> None:
        with self._lock:
            self._end()


def channel_for(envelope: Envelope) -> Channel:
    """The channel for an exchange: what may be large goes where it delays nothing else."""
    operation = operations().get(envelope.operation)
    large = len(envelope.body) + envelope.payload_size > CONTROL_FRAME
    bulk = large or (operation is not None and operation.downloads)
    return Channel.BULK if bulk else Channel.CONTROL


def split_address(address: str) -> tuple[str, str]:
    """The Network's address (``http(s)://host:port``) and the node's verify key of ``…+http(s)://host:port/key``.

    Raises :class:`~syft_ext.errors.BadRequest` for anything else.
    """
    parts = urlsplit(address)
    scheme, key = parts.scheme.rpartition("+")[2], parts.path.removeprefix("/")
    if (
        scheme not in ("http", "https")
        or not parts.netloc
        or len(key) != 64
        or set(key) - set("0123456789abcdef")
    ):
        raise BadRequest(
            f"a node behind a Network is at {parts.scheme}://network:port/<its verify key, 64 hex digits>"
        )
    return f"{scheme}://{parts.netloc}", key
