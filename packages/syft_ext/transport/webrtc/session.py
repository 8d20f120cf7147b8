"""The caller's end of a session: two pipes over one connection."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from syft_ext.errors import GridError, Unavailable
from syft_ext.messages.peers import IceServer
from syft_ext.transport.webrtc.engine import PeerEnd, PeerPlace
from syft_ext.transport.webrtc.loop import call, loop
from syft_ext.transport.webrtc.pipe import ChannelPipe
from syft_ext.transport.webrtc.terms import LINGER, OPENING, STALLED, Channel

__all__ = ["PeerSession"]

_LOOK = 2.0
"""Seconds between two looks at whether it goes on."""


class PeerSession:
    """Open once the constructor returns.

    Args:
        peer: what the other end is called in errors.
        signal: takes our offer to the other end, and returns its answer. It may wait.

    Attributes:
        pipes: by channel.
        place: where the other end is.

    Raises :class:`~syft_ext.errors.Unavailable` when none can be opened, and what ``signal`` raises.
    """

    def __init__(
        self,
        peer: str,
        engine: Callable[..., PeerEnd],
        servers: Sequence[IceServer],
        signal: Callable[[str], str],
        *,
        relay_only: bool = False,
    ) -> None:
        self._peer = peer
        self._over = False
        self._closing: asyncio.Task[None] | None = None
        self.pipes: dict[Channel, ChannelPipe] = {}
        self._loop = loop()
        self._end = call(self._make(engine, servers, relay_only), OPENING)
        try:
            offer = call(self._end.offer(), OPENING)
            answer = signal(offer)
            call(self._open(answer), OPENING + 1)
        except BaseException:
            self.hang_up("it was never open")
            raise
        self.place: PeerPlace | None = self._end.place()

    async def _make(
        self, engine: Callable[..., PeerEnd], servers: Sequence[IceServer], relay_only: bool
    ) -> PeerEnd:
        self._opened: asyncio.Future[None] = self._loop.create_future()
        self._opened.add_done_callback(lambda done: done.cancelled() or done.exception())  # asked or not
        end = engine(self, servers, relay_only=relay_only)
        self.pipes = {channel: ChannelPipe(channel, end, self._loop, self.hang_up) for channel in Channel}
        return end

    async def _open(self, answer: str) -> None:
        await self._end.accept(answer)
        try:
            await asyncio.wait_for(asyncio.shield(self._opened), OPENING)
        except TimeoutError:
            raise Unavailable(f"no WebRTC session with {self._peer} in {OPENING:g} seconds") from None
        self._loop.call_later(_LOOK, self._look, (), 0.0)

    @property
    def over(self) -> bool:
        """Whether nothing can be sent over it any more."""
        return self._over

    def hang_up(self, reason: str) -> None:
        """Let go what waits to leave, and close. From any thread; may be called twice."""
        self._loop.call_soon_threadsafe(self._hang_up, reason)

    def _hang_up(self, reason: str) -> None:
        if self._closing is None:
            self._closing = self._loop.create_task(self._finish(reason))

    async def _finish(self, reason: str) -> None:
        deadline = self._loop.time() + LINGER
        while not self._over and self._loop.time() < deadline:
            if not any(pipe.waiting() for pipe in self.pipes.values()) and self._end.flushed():
                break
            await asyncio.sleep(0.01)
        self._fail(Unavailable(f"the session with {self._peer} is over: {reason}"))
        await self._end.close()

    def _fail(self, failure: GridError) -> None:
        self._over = True
        if not self._opened.done():
            self._opened.set_exception(failure)
        for pipe in self.pipes.values():
            pipe.end(failure)

    def _look(self, before: tuple[int, ...], since: float) -> None:
        """Now and then: what waits to leave, must."""
        if self._over:
            return
        arrived = tuple(map(self._end.arrived, Channel))
        if arrived != before or not any(pipe.waiting() for pipe in self.pipes.values()):
            since = self._loop.time()
        if misuse := self._end.misuse():
            self._hang_up(misuse)
        elif self._loop.time() - since > STALLED:
            self._hang_up("nothing is taken of what is sent")
        else:
            self._loop.call_later(_LOOK, self._look, arrived, since)

    # -- what the connection tells, on the loop -----------------------------------------------------

    def opened(self) -> None:
        if not self._opened.done():
            self._opened.set_result(None)

    def received(self, channel: Channel, message: bytes) -> None:
        if not self.pipes[channel].deliver(message):
            self._hang_up("more came than was asked for")

    def drained(self, channel: Channel) -> None:
        self.pipes[channel].drain()

    def ended(self, reason: str) -> None:
        self._fail(Unavailable(f"{self._peer}: {reason}"))
        self._hang_up(reason)
