"""An end of a session that says whatever a test wants."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from syft_ext.transport.webrtc.aiortc_engine import AiortcEnd
from syft_ext.transport.webrtc.engine import PeerPlace
from syft_ext.transport.webrtc.loop import call
from syft_ext.transport.webrtc.terms import BUFFERED, Channel

__all__ = ["Deaf", "RawPeer"]

T = TypeVar("T")
PATIENCE = 60.0


class Deaf:
    """Who wants to hear nothing of an end."""

    def opened(self) -> None: ...

    def received(self, channel: Channel, message: bytes) -> None: ...

    def drained(self, channel: Channel) -> None: ...

    def ended(self, reason: str) -> None: ...


class RawPeer:
    """Opens a session; ``signal`` takes its offer to whom it is for.

    Attributes:
        end: the engine's end.
        came: messages, in the order in which they came.
        why: why it ended, once it has.
    """

    def __init__(self, signal: Callable[[str], str]) -> None:
        self.came: list[tuple[Channel, bytes]] = []
        self.why = ""
        self._changed = threading.Condition()
        self._opened = False
        self.end: AiortcEnd = call(self._make(), PATIENCE)
        answer = signal(call(self.end.offer(), PATIENCE))
        call(self.end.accept(answer), PATIENCE)
        self.until(lambda: self._opened)

    async def _make(self) -> AiortcEnd:
        return AiortcEnd(self, [])

    def until(self, met: Callable[[], object]) -> None:
        with self._changed:
            assert self._changed.wait_for(met, PATIENCE), f"it did not come to that (ended: {self.why!r})"

    def on_loop(self, work: Callable[[], T]) -> T:
        """What ``work`` returns, done in the loop of the sessions."""

        async def do() -> T:
            return work()

        return call(do(), PATIENCE)

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return call(work, PATIENCE)

    def send(self, *messages: bytes, channel: Channel = Channel.CONTROL) -> None:
        """Send them, without asking whether they are allowed, at the speed that the network has."""

        async def do() -> None:
            for message in messages:
                self.end.send(channel, message)
                while self.end.buffered(channel) > BUFFERED and not self.why:
                    await asyncio.sleep(0.001)

        call(do(), PATIENCE)

    @property
    def place(self) -> PeerPlace | None:
        return self.on_loop(self.end.place)

    def messages(self, channel: Channel = Channel.CONTROL) -> list[bytes]:
        with self._changed:
            return [message for each, message in self.came if each is channel]

    def close(self) -> None:
        call(self.end.close(), PATIENCE)

    # -- what the engine tells ----------------------------------------------------------------------

    def opened(self) -> None:
        with self._changed:
            self._opened = True
            self._changed.notify_all()

    def received(self, channel: Channel, message: bytes) -> None:
        with self._changed:
            self.came.append((channel, message))
            self._changed.notify_all()

    def drained(self, channel: Channel) -> None:
        pass

    def ended(self, reason: str) -> None:
        with self._changed:
            self.why = reason
            self._changed.notify_all()
