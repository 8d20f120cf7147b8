"""Clients that mean no good, many at a time, from an address of their own; and honest ones, who are timed.

    python benchmarks/_hostile.py KIND URL ADDRESS CONNECTIONS SECONDS [TOKEN SESSION]
    python benchmarks/_hostile.py honest URL ADDRESS USERS SECONDS TOKEN...

Each is a process. An attack's last line is a JSON object of what became of its connections; the honest say how
long each of their calls took, in seconds.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import math
import os
import resource
import secrets
import struct
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "packages"))

__all__ = ["KINDS"]

PAUSE = 1.0
"""Seconds after which a client that was sent away comes again."""
OWNER = "owner@bench.example"
_BLOCK = b"[" * (256 << 10)


class Attack:
    """One group of clients.

    Attributes:
        until: when to stop, by the loop's clock.
        came: how often one of them connected, or tried to.
        outcomes: statuses of answers, and what else became of connections, counted.
    """

    def __init__(self, url: str, address: str, seconds: float, *secret: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.address = parts.hostname or "", parts.port or 80, address
        self.until = time.monotonic() + seconds
        self.token, self.session = (*secret, "", "")[:2]
        self.outcomes: Counter[str] = Counter()
        self.held = self.most = self.came = 0

    @property
    def over(self) -> bool:
        return time.monotonic() > self.until

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        try:
            return await asyncio.open_connection(self.host, self.port, local_addr=(self.address, 0))
        finally:
            self.came += 1

    def head(self, method: str, path: str, *fields: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", *fields, "", ""]
        return "\r\n".join(lines).encode()

    async def keep(self, client: Callable[[Attack], Awaitable[None]]) -> None:
        """One connection of the group, made again whenever it ends."""
        while not self.over:
            try:
                await client(self)
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                self.outcomes[type(error).__name__] += 1
            await asyncio.sleep(PAUSE)

    async def answer(self, reader: asyncio.StreamReader) -> int:
        """The status of an answer, which is read to its end."""
        line = await reader.readline()
        if not line:
            self.outcomes["hung up"] += 1
            raise EOFError
        status = int(line.split()[1])
        length = 0
        while (field := await reader.readline()) not in (b"\r\n", b""):
            if field.lower().startswith(b"content-length:"):
                length = int(field.split(b":")[1])
        if status != 101:
            await reader.readexactly(length)
        self.outcomes[str(status)] += 1
        return status

    async def hold(self, writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
        """Keep the connection until the node ends it."""
        self.held += 1
        self.most = max(self.most, self.held)
        try:
            line = await reader.read(1 << 16)
            self.outcomes[line.split()[1].decode() if line.startswith(b"HTTP/1.1") else "ended"] += 1
        finally:
            self.held -= 1
            writer.close()


async def idle(attack: Attack) -> None:
    """Connects, and says nothing."""
    reader, writer = await attack.connect()
    await attack.hold(writer, reader)


async def slow_heads(attack: Attack) -> None:
    """A byte of a head now and then."""
    reader, writer = await attack.connect()

    async def drip() -> None:
        for byte in attack.head("GET", "/metadata", "X-Filling: " + "x" * 2000):
            writer.write(bytes([byte]))
            await asyncio.sleep(2)

    dripping = asyncio.create_task(drip())
    try:
        await attack.hold(writer, reader)
    finally:
        dripping.cancel()


async def half_bodies(attack: Attack) -> None:
    """As much as strangers' bodies may have, but for the last byte."""
    reader, writer = await attack.connect()
    head = attack.head("POST", "/auth/login", "Content-Type: application/json", "Content-Length: 16000")
    writer.write(head + b'{"email": "' + b"x" * 15_900)
    await attack.hold(writer, reader)


async def big_bodies(attack: Attack) -> None:
    """Eight megabytes for a login, or as an envelope."""
    reader, writer = await attack.connect()
    kind = secrets.choice(("application/json", "application/vnd.grid.message"))
    path = "/auth/login" if kind == "application/json" else "/messages"
    size = (8 << 20) - 100
    writer.write(attack.head("POST", path, f"Content-Type: {kind}", f"Content-Length: {size}"))
    if path == "/messages":
        writer.write(b"GRD1" + struct.pack(">I", size - 8))

    async def send() -> None:
        for _ in range(size // len(_BLOCK)):
            writer.write(_BLOCK)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        await attack.answer(reader)
    finally:
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending
        writer.close()


async def _upgrade(attack: Attack, path: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    reader, writer = await attack.connect()
    key = base64.b64encode(secrets.token_bytes(16)).decode()
    fields = (
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Version: 13",
        f"Sec-WebSocket-Key: {key}",
    )
    writer.write(attack.head("GET", path, *fields))
    if await attack.answer(reader) != 101:
        writer.close()
        raise EOFError
    return reader, writer


async def upgrades(attack: Attack) -> None:
    """Upgrades, and stays."""
    reader, writer = await _upgrade(attack, secrets.choice(("/ws", "/messages")))
    await attack.hold(writer, reader)


async def big_events(attack: Attack) -> None:
    """Fifteen megabytes of lists as an event, without a token."""
    reader, writer = await _upgrade(attack, "/ws")
    size = 15 << 20
    writer.write(b"\x81\xff" + struct.pack(">QI", size, 0))

    async def send() -> None:
        for _ in range(size // len(_BLOCK)):
            writer.write(_BLOCK)
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        frame = await reader.read(1 << 16)
        code = struct.unpack(">H", frame[2:4])[0] if len(frame) >= 4 and frame[0] == 0x88 else "ended"
        attack.outcomes[f"closed {code}"] += 1
    finally:
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending
        writer.close()


async def bad_logins(attack: Attack) -> None:
    """Guesses at the owner's password, and at those of people there are not."""
    reader, writer = await attack.connect()
    try:
        while not attack.over:
            email = secrets.choice((OWNER, f"{secrets.token_hex(4)}@nowhere.example"))
            body = json.dumps({"email": email, "password": secrets.token_hex(8)}).encode()
            fields = ("Content-Type: application/json", f"Content-Length: {len(body)}")
            writer.write(attack.head("POST", "/auth/login", *fields) + body)
            await attack.answer(reader)
            await asyncio.sleep(PAUSE / 4)
    finally:
        writer.close()


async def handshakes(attack: Attack) -> None:
    """Asks to associate, each time with another key, and never goes on."""
    from syft_ext.identity import Identity
    from syft_ext.messages.envelope import frame_head, seal_request
    from syft_ext.messages.network import ReceiveAssociation

    reader, writer = await attack.connect()
    message = ReceiveAssociation(
        kind="worker", name="w", address="", challenge=secrets.token_bytes(32), note=""
    )
    try:
        while not attack.over:
            node = os.environ["NODE_ID"]
            envelope = seal_request(Identity.generate(), message, now=time.time(), recipient=node)
            frame = frame_head(envelope)
            kind = "Content-Type: application/vnd.grid.message"
            writer.write(attack.head("POST", "/messages", kind, f"Content-Length: {len(frame)}") + frame)
            await attack.answer(reader)
            await asyncio.sleep(PAUSE / 4)
    finally:
        writer.close()


def _bomb() -> bytes:
    """A plan of 40 MB, nearly all of it lists in one operation's arguments."""
    import msgspec

    from syft_ext.plans.graph.document import Document, Node, SelfTest

    document = Document(
        format="grid.plan",
        version=1,
        opset=1,
        kind="statistics",
        name="bomb",
        doc="",
        provenance={},
        symbols={},
        arguments=[],
        inputs=[],
        consts=[],
        ops=["aten.sum.default"],
        nodes=[Node(0, [["l", "MARKER"]], {}, 1)],
        outputs=[],
        result=0,
        selftest=SelfTest(0, {}, 0.0, 0.0, [], []),
    )
    count = 40_000_000
    plan = msgspec.msgpack.encode(document)
    return plan.replace(b"\xa6MARKER", b"\xdd" + struct.pack(">I", count) + b"\x90" * count)


_plan: list[bytes] = []


async def plan_bombs(attack: Attack) -> None:
    """A user's plans that become gigabytes when they are decoded."""
    if not _plan:
        _plan.append(_bomb())
    reader, writer = await attack.connect()
    fields = (f"Authorization: Bearer {attack.token}", f"Content-Length: {len(_plan[0])}")
    path = f"/compute/sessions/{attack.session}/plans"
    writer.write(attack.head("POST", path, "Content-Type: application/octet-stream", *fields))

    async def send() -> None:
        view = memoryview(_plan[0])
        for start in range(0, len(view), len(_BLOCK)):
            writer.write(view[start : start + len(_BLOCK)])
            await writer.drain()

    sending = asyncio.create_task(send())
    try:
        await attack.answer(reader)
    finally:
        sending.cancel()
        with contextlib.suppress(OSError, asyncio.CancelledError):
            await sending
        writer.close()


KINDS: dict[str, Callable[[Attack], Awaitable[None]]] = {
    "slow-heads": slow_heads,
    "idle": idle,
    "half-bodies": half_bodies,
    "big-bodies": big_bodies,
    "upgrades": upgrades,
    "bad-logins": bad_logins,
    "handshakes": handshakes,
    "big-events": big_events,
    "plan-bombs": plan_bombs,
}
"""What one connection of each group does."""


async def run(kind: str, url: str, address: str, connections: int, seconds: float, *secret: str) -> None:
    """Let a group loose, and end it ``seconds`` after all have come, however long that takes; print what became of
    it."""
    attack = Attack(url, address, math.inf, *secret)
    group = [asyncio.create_task(attack.keep(KINDS[kind])) for _ in range(connections)]
    while attack.came < connections:
        await asyncio.sleep(0.05)
    await asyncio.sleep(seconds)
    attack.until = time.monotonic()
    for each in group:
        each.cancel()
    for ended in await asyncio.gather(*group, return_exceptions=True):
        if isinstance(ended, Exception):
            raise ended
    print(json.dumps({"kind": kind, "held": attack.most, "outcomes": dict(attack.outcomes)}))


async def honest(url: str, address: str, users: int, seconds: float, *tokens: str) -> None:
    """``users`` people who look at their account, ask who the node is, and log in anew now and then."""
    attack = Attack(url, address, seconds)
    times: list[float] = []
    refused = Counter[str]()

    async def user(number: int) -> None:
        reader, writer = await attack.connect()
        count = 0
        await asyncio.sleep(number * 0.02)
        while not attack.over or count < 2:  # however slow the machine is, somebody was answered
            token = tokens[number % len(tokens)]
            path = "/metadata" if count % 5 == 4 else "/users/me"
            begun = time.perf_counter()
            writer.write(attack.head("GET", path, f"Authorization: Bearer {token}"))
            status = await attack.answer(reader)
            times.append(time.perf_counter() - begun)
            if status != 200:
                refused[str(status)] += 1
            count += 1
            await asyncio.sleep(0.1)
        writer.close()

    await asyncio.gather(*(user(number) for number in range(users)))
    print(json.dumps({"kind": "honest", "times": times, "refused": dict(refused)}))


def main() -> None:
    kind, url, address, count, seconds, *secret = sys.argv[1:]
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    if kind == "honest":
        asyncio.run(honest(url, address, int(count), float(seconds), *secret))
    else:
        asyncio.run(run(kind, url, address, int(count), float(seconds), *secret))


if __name__ == "__main__":
    main()
