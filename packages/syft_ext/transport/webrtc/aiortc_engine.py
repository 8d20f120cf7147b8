"""The engine that is there: aiortc, WebRTC in Python.

Where aiortc has no public name for something (the chosen candidate pair, the time for gathering, bytes that wait
to become a message), its parts are looked at; ``tests/transport/webrtc/test_engine.py`` finds out when they
change.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Sequence
from functools import partial
from typing import Any

from aiortc import (
    RTCConfiguration,
    RTCIceServer,
    RTCPeerConnection,
    RTCSessionDescription,
)
from aiortc.exceptions import InvalidAccessError, InvalidStateError, OperationError
from aiortc.rtcconfiguration import RTCIceTransportPolicy
from aiortc.sdp import candidate_from_sdp

from syft_ext.errors import BadRequest
from syft_ext.messages.peers import IceServer
from syft_ext.transport.webrtc.consent import ConsentChecks
from syft_ext.transport.webrtc.engine import PeerEvents, PeerPlace
from syft_ext.transport.webrtc.terms import BUFFERED_LOW, GATHERING, LABEL, MAX_CANDIDATES, Channel

__all__ = ["AiortcEnd"]

logger = logging.getLogger(__name__)

_NO_DESCRIPTION = (ValueError, KeyError, IndexError, AttributeError, AssertionError, TypeError)
_LINE = re.compile(r"(?:a=)?candidate:(.+)")
#: What aiortc takes of servers: one of each kind, and none that it cannot read.
_SERVER = re.compile(
    r"(?:stun:|turns?:)(?:\[[0-9a-fA-F:.]+\]|[^?:\s]+)(?::\d{1,5})?(?:\?transport=(?:udp|tcp))?"
)
#: Bytes, and fragments, that may wait to become messages. aiortc allows 1 MiB, and does not hold others to it.
_UNFINISHED, _FRAGMENTS = (1 << 20) + (64 << 10), 4 << 10


def _why_no_dtls(dtls: Any) -> str:
    """aiortc looks at keys after the handshake, and then at what it needs for pictures and sound."""
    if not dtls.encrypted:
        return "the handshake was broken off, or the two agree on no cipher"
    if not dtls._ssl.get_selected_srtp_profile():
        return "the other end names no profile of SRTP, which aiortc asks for"
    return "the other end holds another key than was told; somebody may stand in between"


class AiortcEnd:
    """One end of a connection; all as :class:`~syft_ext.transport.webrtc.engine.PeerEnd` says."""

    def __init__(self, events: PeerEvents, servers: Sequence[IceServer], *, relay_only: bool = False) -> None:
        self._events, self._over = events, False
        self._connection = RTCPeerConnection(
            RTCConfiguration(
                iceServers=[
                    RTCIceServer(urls=url, username=server.username, credential=server.credential)
                    for server in servers
                    for url in server.urls
                    if _SERVER.fullmatch(url)
                ],
                iceTransportPolicy=RTCIceTransportPolicy.RELAY if relay_only else RTCIceTransportPolicy.ALL,
            )
        )
        self._channels = {
            channel: self._connection.createDataChannel(LABEL, negotiated=True, id=int(channel))
            for channel in Channel
        }
        self._waiting = set(Channel)
        self._candidates = 0  # of the other end, all together
        self._handed = dict.fromkeys(Channel, 0)
        for channel, made in self._channels.items():
            made.bufferedAmountLowThreshold = BUFFERED_LOW
            made.on("open", partial(self._opened, channel))
            made.on("message", partial(self._received, channel))
            made.on("bufferedamountlow", partial(events.drained, channel))
            made.on("close", partial(self._ended, "the other end closed a channel"))
        self._connection.on("datachannel", self._foreign)
        self._connection.on("connectionstatechange", self._state_changed)
        ice: Any = self._ice()
        ice.get_component_candidates = partial(ice.get_component_candidates, timeout=GATHERING)
        self.consent = ConsentChecks(
            ice, partial(self._ended, "the other end has not answered for 30 seconds")
        )
        ice.query_consent = self.consent.keep

    def _ice(self) -> Any:
        sctp: Any = self._connection.sctp
        return sctp.transport.transport.iceGatherer._connection

    # -- descriptions -------------------------------------------------------------------------------

    async def offer(self) -> str:
        await self._connection.setLocalDescription(await self._connection.createOffer())
        return self._connection.localDescription.sdp

    async def answer(self, offer: str) -> str:
        await self._described(offer, "offer")
        await self._connection.setLocalDescription(await self._connection.createAnswer())
        return self._connection.localDescription.sdp

    async def accept(self, answer: str) -> None:
        await self._described(answer, "answer")

    async def _described(self, sdp: str, kind: str) -> None:
        self._count_candidates(sum(line.startswith("a=candidate:") for line in sdp.splitlines()))
        try:
            description = RTCSessionDescription(sdp, kind)
            lines = [line for line in sdp.splitlines() if line.startswith("m=")]
            if len(lines) != 1 or not lines[0].startswith("m=application "):
                raise BadRequest("a session is of data channels, and of nothing else")
            await self._connection.setRemoteDescription(description)
        except _NO_DESCRIPTION as error:
            raise BadRequest(f"this is no description of a session: {error}") from error
        except (InvalidAccessError, InvalidStateError, OperationError) as error:
            raise BadRequest(f"this description fits no session here: {error}") from error

    def _count_candidates(self, more: int) -> None:
        """Raise for more than one session may have: none of these is called then."""
        if self._candidates + more > MAX_CANDIDATES:
            raise BadRequest(f"a session has {MAX_CANDIDATES} candidates of either end at most")
        self._candidates += more

    async def add_candidates(self, lines: Sequence[str], *, done: bool) -> None:
        self._count_candidates(len(lines))
        for line in lines:
            try:
                found = _LINE.fullmatch(line.strip())
                if found is None:
                    raise ValueError(line[:80])
                candidate = candidate_from_sdp(found[1])
            except _NO_DESCRIPTION as error:
                raise BadRequest("this is no candidate (RFC 8839, section 5.1)") from error
            candidate.sdpMLineIndex = 0
            await self._add(candidate)
        if done:
            await self._add(None)

    async def _add(self, candidate: Any) -> None:
        try:
            await self._connection.addIceCandidate(candidate)
        except ValueError as error:  # after their end, or of a kind that is not known here: it is no use
            logger.debug("a candidate was left out: %s", error)

    # -- what happens -------------------------------------------------------------------------------

    def _opened(self, channel: Channel) -> None:
        self._waiting.discard(channel)
        if not self._waiting and not self._over:
            self._events.opened()

    def _received(self, channel: Channel, message: str | bytes) -> None:
        if self._over:
            return
        if isinstance(message, str):
            self._ended("text on a channel that carries frames")
            return
        self._events.received(channel, message)

    def _foreign(self, channel: Any) -> None:
        self._ended(f"a channel was opened that is not agreed (id {channel.id})")

    def _state_changed(self) -> None:
        state = self._connection.connectionState
        if state in ("failed", "closed"):
            self._ended(self._why_not() if self._waiting else "the connection was lost")

    def _why_not(self) -> str:
        """Why it was never open."""
        sctp: Any = self._connection.sctp
        if sctp.transport.state == "failed":
            return f"the two found each other, but DTLS failed: {_why_no_dtls(sctp.transport)}"
        return "no way was found between the two"

    def _ended(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._events.ended(reason)

    # -- channels -----------------------------------------------------------------------------------

    def send(self, channel: Channel, message: bytes) -> None:
        made = self._channels[channel]
        if made.readyState == "open":
            made.send(message)
            self._handed[channel] += len(message)

    def buffered(self, channel: Channel) -> int:
        return self._channels[channel].bufferedAmount

    def arrived(self, channel: Channel) -> int:
        sctp: Any = self._connection.sctp
        on_its_way = sum(
            len(chunk.user_data)
            for queue in (sctp._outbound_queue, sctp._sent_queue)
            for chunk in queue
            if chunk.stream_id == channel and not chunk._acked
        )
        return self._handed[channel] - self._channels[channel].bufferedAmount - on_its_way

    def flushed(self) -> bool:
        sctp: Any = self._connection.sctp
        return not (sctp._data_channel_queue or sctp._outbound_queue or sctp._sent_queue)

    def place(self) -> PeerPlace | None:
        pair = self._ice()._nominated.get(1)
        if pair is None:
            return None
        return PeerPlace(pair.remote_candidate.host, pair.remote_candidate.type, pair.local_candidate.type)

    def misuse(self) -> str:
        sctp: Any = self._connection.sctp
        streams = sctp._inbound_streams
        if len(streams) > len(Channel) or any(stream not in (*Channel,) for stream in streams):
            return "bytes came on a channel that is not agreed"
        chunks = [chunk for stream in streams.values() for chunk in stream.reassembly]
        if len(chunks) > _FRAGMENTS or sum(len(chunk.user_data) for chunk in chunks) > _UNFINISHED:
            return "more came than was allowed, and no message becomes of it"
        return ""

    async def close(self) -> None:
        self._over = True
        await asyncio.shield(self._connection.close())
