"""One peer's session at a gateway: what comes goes to the node, what the node says goes out as it is taken."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from grid.peers.gateway.wire import (
    HEAD,
    ChannelGreeting,
    GatewayLimits,
    OfferOrder,
    Splitter,
    encode,
    reachable,
)
from syft_ext.transport.pipe import CloseCode
from syft_ext.transport.segments import Segments
from syft_ext.transport.webrtc.engine import PeerEnd
from syft_ext.transport.webrtc.terms import (
    BUFFERED,
    LINGER,
    MAX_MESSAGE,
    STREAMS,
    WINDOW,
    Channel,
)

__all__ = ["GatewaySession"]

logger = logging.getLogger(__name__)

MOST_HELD = len(Channel) * STREAMS * (WINDOW + MAX_MESSAGE)
"""Bytes that a peer may have sent and the node not taken: more than there can be credit for is no accident."""


class GatewaySession:
    """A peer's session, from its offer to its end.

    Args:
        socket: the node's. over: called once with why it ended.

    Attributes:
        last: when something was last said, by the loop's clock.
        made_at: when it was made, by the same.
    """

    def __init__(
        self,
        offer: OfferOrder,
        engine: Callable[..., PeerEnd],
        socket: Path,
        over: Callable[[GatewaySession, str], None],
    ) -> None:
        self.key, self.session = offer.key, offer.session
        self._offer, self._socket, self._over = offer, socket, over
        self._loop = asyncio.get_running_loop()
        self._end = engine(self, offer.servers)
        self._ways: dict[Channel, _Way] = {}
        self._early: list[tuple[Channel, bytes]] = []  # came before there was a way to the node
        self._closing: asyncio.Task[None] | None = None
        self.made_at = self.last = self._loop.time()
        self.is_open = False
        self._arrived: tuple[int, ...] = ()
        self._moved = self.last

    async def answer(self) -> str:
        """Our answer to the offer. Raises :class:`~syft_ext.errors.BadRequest` for what is none."""
        return await self._end.answer(self._offer.sdp)

    async def add_candidates(self, lines: list[str], *, done: bool) -> None:
        """Take more candidates of the peer. Raises :class:`~syft_ext.errors.BadRequest` for what is none."""
        await self._end.add_candidates(lines, done=done)

    @property
    def held(self) -> int:
        """Bytes that came, and that the node has not taken."""
        return sum(way.held for way in self._ways.values()) + sum(len(each) for _, each in self._early)

    def look(self, limits: GatewayLimits) -> None:
        """Whether it may go on: called now and then."""
        now = self._loop.time()
        arrived = tuple(map(self._end.arrived, Channel))
        if arrived != self._arrived or not any(map(self._end.buffered, Channel)):
            self._moved = now
        self._arrived = arrived
        if misuse := self._end.misuse():
            self.close(CloseCode.PROTOCOL_ERROR, misuse)
        elif not self.is_open and now - self.made_at > limits.opening:
            self.close(CloseCode.GOING_AWAY, "it was not open in time")
        elif now - self._moved > limits.stalled:
            self.close(CloseCode.GOING_AWAY, "nothing is taken of what is sent")
        elif now - self.last > limits.idle:
            self.close(CloseCode.GOING_AWAY, "nothing was said for long")

    # -- what the connection tells ------------------------------------------------------------------

    def opened(self) -> None:
        self.is_open = True
        self.last = self._loop.time()
        self._connecting = self._loop.create_task(self._connect())

    async def _connect(self) -> None:
        place = self._end.place()
        if place is None:
            self.close(CloseCode.INTERNAL_ERROR, "nobody knows where this session leads")
            return
        try:
            with reachable(self._socket) as path:
                for channel in Channel:
                    greeting = ChannelGreeting(self.key, self.session, channel, place.address, place.kind)
                    made = _Way(self, channel)
                    await self._loop.create_unix_connection(partial(_itself, made), path)
                    made.write(encode(greeting))
                    self._ways[channel] = made
                    if self._closing is not None:
                        made.close()
        except OSError as error:
            logger.warning("the node takes no session: %s", error)
            self.close(CloseCode.INTERNAL_ERROR, "the node takes no session now")
            return
        early, self._early = self._early, []
        for channel, message in early:
            self.received(channel, message)

    def received(self, channel: Channel, message: bytes) -> None:
        self.last = self._loop.time()
        if self._closing is not None:
            return
        if len(message) > MAX_MESSAGE:
            self.close(CloseCode.PROTOCOL_ERROR, f"a message of {len(message)} bytes")
            return
        way = self._ways.get(channel)
        if way is None or self._early:
            self._early.append((channel, message))
        else:
            way.write(HEAD.pack(len(message)) + message)
        if self.held > MOST_HELD:
            self.close(CloseCode.TRY_AGAIN_LATER, "more came than there was credit for")

    def drained(self, channel: Channel) -> None:
        way = self._ways.get(channel)
        if way is not None:
            way.resume()

    def ended(self, reason: str) -> None:
        self._finish_soon(reason, linger=False)

    # -- what the node says -------------------------------------------------------------------------

    def to_peer(self, channel: Channel, message: bytes) -> bool:
        """Send it; whether the channel takes more now."""
        self.last = self._loop.time()
        self._end.send(channel, message)
        return self._end.buffered(channel) <= BUFFERED

    def node_hung_up(self) -> None:
        """The node has said all that it had to say."""
        self._finish_soon("the node ended it", linger=True)

    # -- the end ------------------------------------------------------------------------------------

    def close(self, code: int, reason: str) -> None:
        """Tell the peer why, and end it."""
        if self._closing is None:
            if self.is_open:
                self._end.send(Channel.CONTROL, Segments.close(code, reason))
            self._finish_soon(reason, linger=self.is_open)

    def _finish_soon(self, reason: str, *, linger: bool) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._finish(reason, linger=linger))

    async def finished(self) -> None:
        """Return once it is over."""
        if self._closing is not None:
            await asyncio.shield(self._closing)

    async def _finish(self, reason: str, *, linger: bool) -> None:
        for way in self._ways.values():
            way.close()
        until = self._loop.time() + LINGER
        while linger and not self._end.flushed() and self._loop.time() < until:
            await asyncio.sleep(0.01)
        try:
            await asyncio.wait_for(self._end.close(), LINGER)
        except Exception:  # of the engine's own, at the end of whatever a stranger sent
            logger.info("a session did not end in order", exc_info=True)
        finally:
            self._early.clear()
            self._over(self, reason)


class _Way(asyncio.Protocol):
    """The connection to the node for one channel."""

    def __init__(self, session: GatewaySession, channel: Channel) -> None:
        self._session, self._channel = session, channel
        self._splitter = Splitter()
        self._transport: asyncio.Transport | None = None
        self._paused = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def write(self, data: bytes) -> None:
        """Towards the node. What it does not take is held, and counted."""
        if self._transport is not None:
            self._transport.write(data)

    @property
    def held(self) -> int:
        """Bytes that the node has not taken."""
        return self._transport.get_write_buffer_size() if self._transport is not None else 0

    def data_received(self, data: bytes) -> None:
        more = True
        for message in self._splitter.messages(data):
            more = self._session.to_peer(self._channel, message)
        if not more and self._transport is not None:
            self._paused = True
            self._transport.pause_reading()  # then the node waits

    def resume(self) -> None:
        """The channel takes more."""
        if self._paused and self._transport is not None and not self._transport.is_closing():
            self._paused = False
            self._transport.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._session.node_hung_up()

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


def _itself(way: _Way) -> _Way:
    return way
