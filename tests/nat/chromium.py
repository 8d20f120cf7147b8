"""A real Chromium as the engine of a caller's WebRTC: its ICE, DTLS, SCTP and data channels, the SDK above them.

What a page does with them in TypeScript is tested where that is; here it is whether Chromium's network stack and
the gateway's meet, through which NATs, and whether what they carry is whole. Every message crosses from the page
to here as text, so rates say nothing of a browser's.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import time
from collections.abc import Sequence
from typing import Any

from playwright.async_api import Browser, Error, Page, async_playwright

from syft_ext.errors import BadRequest
from syft_ext.messages.peers import IceServer
from syft_ext.transport.webrtc.engine import PeerEvents, PeerPlace
from syft_ext.transport.webrtc.loop import loop
from syft_ext.transport.webrtc.terms import BUFFERED_LOW, LABEL, Channel
from tests.nat.bed import Bed
from tests.nat.sessions import standing_in

__all__ = ["MISSING", "Chromium", "program"]

MISSING = "no Chromium on this machine: a browser behind NATs is NOT tested"
_BATCH = 256 << 10

_PAGE = """
const ends = {};
const text = (buffer) => btoa(Array.from(new Uint8Array(buffer), (each) => String.fromCharCode(each)).join(""));
const bytes = (coded) => Uint8Array.from(atob(coded), (each) => each.charCodeAt(0));

async function make(id, servers, relayOnly, label, low) {
  const pc = new RTCPeerConnection({iceServers: servers, iceTransportPolicy: relayOnly ? "relay" : "all"});
  const channels = [0, 1].map((number) => {
    const channel = pc.createDataChannel(label, {negotiated: true, id: number, ordered: true});
    channel.binaryType = "arraybuffer";
    channel.bufferedAmountLowThreshold = low;
    channel.onmessage = (event) => tell(id, "message", number, text(event.data));
    channel.onclose = () => tell(id, "ended", 0, "the other end closed a channel");
    channel.onopen = async () => {
      if (channels.every((each) => each.readyState === "open")) tell(id, "opened", 0, await place(id));
    };
    return channel;
  });
  pc.onconnectionstatechange = () => {
    if (["failed", "closed"].includes(pc.connectionState)) tell(id, "ended", 0, pc.connectionState);
  };
  ends[id] = {pc, channels};
}
async function offer(id, patience) {
  const {pc} = ends[id];
  await pc.setLocalDescription(await pc.createOffer());
  if (pc.iceGatheringState !== "complete") {
    await new Promise((done) => {
      pc.onicegatheringstatechange = () => pc.iceGatheringState === "complete" && done();
      setTimeout(done, patience);
    });
  }
  return pc.localDescription.sdp;
}
const accept = (id, sdp) => ends[id].pc.setRemoteDescription({type: "answer", sdp});
async function send(id, number, messages) {
  const channel = ends[id].channels[number];
  for (const each of messages) channel.send(bytes(each));
  if (channel.bufferedAmount > channel.bufferedAmountLowThreshold) {
    await new Promise((done) => { channel.onbufferedamountlow = done; channel.addEventListener("close", done); });
  }
}
async function place(id) {
  const all = new Map(); (await ends[id].pc.getStats()).forEach((each) => all.set(each.id, each));
  const transport = [...all.values()].find((each) => each.type === "transport" && each.selectedCandidatePairId);
  const pair = transport && all.get(transport.selectedCandidatePairId);
  if (!pair) return "";
  const [local, remote] = [all.get(pair.localCandidateId), all.get(pair.remoteCandidateId)];
  return JSON.stringify([remote.address || remote.ip || "", remote.candidateType, local.candidateType]);
}
const end = (id) => { if (ends[id]) ends[id].pc.close(); delete ends[id]; };
"""


def program() -> str:
    """Where Chromium is; "" where there is none."""
    return shutil.which("chromium") or shutil.which("google-chrome") or ""


class Chromium:
    """A browser behind the bed's first NAT, until :meth:`close`."""

    def __init__(self, bed: Bed) -> None:
        self._ends: dict[int, ChromiumEnd] = {}
        self._numbers = itertools.count(1)
        with standing_in(bed, "la"):
            self._wait(self._start())

    @staticmethod
    def _wait(coroutine: Any, seconds: float = 120.0) -> Any:
        return asyncio.run_coroutine_threadsafe(coroutine, loop()).result(seconds)

    async def _start(self) -> None:
        self._playwright = await async_playwright().start()
        self._browser: Browser = await self._playwright.chromium.launch(
            executable_path=program(), args=["--no-sandbox"], timeout=120_000
        )
        self.version = self._browser.version
        self.page: Page = await self._browser.new_page()
        await self.page.expose_function("tell", self._told)
        await self.page.goto("about:blank")
        await self.page.add_script_tag(content=_PAGE)

    def _told(self, number: int, what: str, channel: int, said: str) -> None:
        if (end := self._ends.get(number)) is not None:
            end.told(what, channel, said)

    def engine(
        self, events: PeerEvents, servers: Sequence[IceServer], *, relay_only: bool = False
    ) -> ChromiumEnd:
        """An end of a session (:class:`~syft_ext.transport.webrtc.engine.Engine`)."""
        number = next(self._numbers)
        end = self._ends[number] = ChromiumEnd(self.page, number, events, servers, relay_only)
        return end

    def settled(self, seconds: float = 60.0) -> PeerPlace | None:
        """Where the other end of the latest session is, once no TURN server carries; where it was, after so long.
        Chromium takes the first way that answers, and changes to a better one."""
        end, deadline = self._ends[max(self._ends)], time.monotonic() + seconds
        while (place := self._wait(end.look())) is None or place.relayed:
            if time.monotonic() > deadline:
                break
            time.sleep(0.2)
        found: PeerPlace | None = place
        return found

    def close(self) -> None:
        self._wait(self._stop())

    async def _stop(self) -> None:
        await self._browser.close()
        await self._playwright.stop()


class ChromiumEnd:
    """One end, in the page (:class:`~syft_ext.transport.webrtc.engine.PeerEnd`)."""

    def __init__(
        self, page: Page, number: int, events: PeerEvents, servers: Sequence[IceServer], relay_only: bool
    ) -> None:
        self._page, self._number, self._events = page, number, events
        self._servers, self._relay_only = servers, relay_only
        self._queues: dict[Channel, asyncio.Queue[bytes]] = {channel: asyncio.Queue() for channel in Channel}
        self._waiting, self._left = dict.fromkeys(Channel, 0), dict.fromkeys(Channel, 0)
        self._place: PeerPlace | None = None
        self._over = False
        self._senders = [asyncio.get_running_loop().create_task(self._send_all(each)) for each in Channel]

    async def _do(self, call: str, *arguments: Any) -> Any:
        return await self._page.evaluate(f"(all) => {call}(...all)", [self._number, *arguments])

    async def offer(self) -> str:
        servers = [
            {"urls": each.urls, "username": each.username, "credential": each.credential}
            if each.username
            else {"urls": each.urls}
            for each in self._servers
        ]
        await self._do("make", servers, self._relay_only, LABEL, BUFFERED_LOW)
        return str(await self._do("offer", 3000))

    async def answer(self, offer: str) -> str:
        raise BadRequest("a page offers")

    async def accept(self, answer: str) -> None:
        await self._do("accept", answer)

    async def add_candidates(self, lines: Sequence[str], *, done: bool) -> None:
        raise BadRequest("a gateway tells its candidates with its answer")

    def told(self, what: str, channel: int, said: str) -> None:
        if self._over:
            return
        if what == "message":
            self._events.received(Channel(channel), base64.b64decode(said))
        elif what == "opened":
            self._place = PeerPlace(*json.loads(said)) if said else None
            self._events.opened()
        else:
            self._end(said)

    def send(self, channel: Channel, message: bytes) -> None:
        self._waiting[channel] += len(message)
        self._queues[channel].put_nowait(bytes(message))

    def buffered(self, channel: Channel) -> int:
        return self._waiting[channel]

    def arrived(self, channel: Channel) -> int:
        return self._left[channel]

    def flushed(self) -> bool:
        return not any(self._waiting.values())

    async def _send_all(self, channel: Channel) -> None:
        queue = self._queues[channel]
        with contextlib.suppress(Error):  # the page ended it meanwhile
            await self._send_from(queue, channel)

    async def _send_from(self, queue: asyncio.Queue[bytes], channel: Channel) -> None:
        while not self._over:
            batch = [await queue.get()]
            while not queue.empty() and sum(map(len, batch)) < _BATCH:
                batch.append(queue.get_nowait())
            await self._do("send", int(channel), [base64.b64encode(each).decode() for each in batch])
            sent = sum(map(len, batch))
            self._waiting[channel] -= sent
            self._left[channel] += sent
            if self._waiting[channel] <= BUFFERED_LOW:
                self._events.drained(channel)

    def place(self) -> PeerPlace | None:
        return self._place

    async def look(self) -> PeerPlace | None:
        """Where the other end is now."""
        said = await self._do("place")
        self._place = PeerPlace(*json.loads(said)) if said else None
        return self._place

    def misuse(self) -> str:
        return ""

    def _end(self, reason: str) -> None:
        if not self._over:
            self._over = True
            self._events.ended(reason)

    async def close(self) -> None:
        self._over = True
        for sender in self._senders:
            sender.cancel()
        with contextlib.suppress(Error):  # the browser is gone already
            await self._do("end")
