"""Services that exist to be called by the tests of the web front, and a process that serves them.

Run as a script, ``python probe.py HOME [PORT]``, this is a real node under gevent; ``PROBE_WEB`` may hold its
:class:`WebSettings` as JSON, ``PROBE_GRACE`` the seconds that running requests are given at its end.
"""

from __future__ import annotations

if __name__ == "__main__":
    from grid.web.patching import patch

    patch()

import os
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import blake3
import msgspec

from apps.assembly import open_node
from grid.node import Context, Download, Node, Principal, Service, handles
from grid.node.metadata import MetadataService
from grid.web.http.settings import WebSettings
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, Unavailable
from syft_ext.messages import (
    ANYONE,
    NODE,
    SIGNED,
    USER,
    WORKER,
    Empty,
    Message,
    Reply,
    flag,
    operation,
)


class EchoReply(Reply):
    name: str
    number: int
    ratio: float | None
    tags: list[str]
    data: bytes
    nested: dict[str, Any]
    secret: str


@operation(
    "probe.echo",
    rest="POST /probe/echo/{name}",
    reply=EchoReply,
    permission=ANYONE,
    headers={"secret": "Probe-Secret"},
)
class Echo(Message):
    """Say it again.

    Attributes:
        number: a number.
        data: bytes.
    """

    name: str
    number: int = 0
    ratio: float | None = None
    tags: list[str] = []
    data: bytes = b""
    nested: dict[str, Any] = {}
    secret: str = ""


@operation(
    "probe.search",
    rest="GET /probe/search",
    reply=EchoReply,
    permission=ANYONE,
    headers={"secret": "Probe-Secret"},
)
class Search(Message):
    """Like echo, with everything in the query string."""

    name: str = ""
    number: int = 0
    ratio: float | None = None
    tags: list[str] = []
    data: bytes = b""
    nested: dict[str, Any] = {}
    secret: str = ""


class UploadReply(Reply):
    name: str
    size: int
    digest: str
    stored: int


@operation(
    "probe.upload",
    rest="PUT /probe/uploads/{name}",
    reply=UploadReply,
    permission=USER,
    uploads=True,
    status=201,
)
class Upload(Message):
    """Take bytes; ``take`` of them at most."""

    name: str
    take: int | None = None


class Described(Reply):
    size: int
    kind: str


@operation(
    "probe.download", rest="GET /probe/downloads/{size}", reply=Described, permission=ANYONE, downloads=True
)
class DownloadBytes(Message):
    """Get ``size`` bytes; ``fail_at`` breaks off there."""

    size: int
    fail_at: int | None = None


@operation("probe.wait", rest="POST /probe/wait", reply=Described, permission=ANYONE)
class Wait(Message):
    """Answer after ``seconds``."""

    seconds: float


@operation("probe.meet", rest="POST /probe/meet", reply=Described, permission=ANYONE)
class Meet(Message):
    """Answer when ``count`` calls with this name are being answered at the same time; fails after a minute."""

    name: str
    count: int


@operation("probe.gate", rest="POST /probe/gate", reply=Described, permission=ANYONE)
class Gate(Message):
    """Answer once there is a file ``open`` in the node's home."""


@operation("probe.handled", rest="GET /probe/handled/{name}", reply=Described, permission=ANYONE)
class Handled(Message):
    """How often an echo, a search or an upload with this name was handled to its end."""

    name: str


@operation("probe.fail", rest="POST /probe/fail", permission=ANYONE)
class Fail(Message):
    """Fail: ``how`` is bug, conflict, facts or busy."""

    how: str = "bug"


@operation("probe.forget", rest="DELETE /probe/things/{name}", permission=flag("can_upload_data"))
class Forget(Message):
    """Needs a flag."""

    name: str


@operation("probe.work", rest="POST /probe/work", permission=WORKER)
class Work(Message):
    """Needs a worker."""

    amount: int


@operation("probe.associate", rest="POST /probe/associate", permission=NODE)
class Associate(Message):
    """Needs a node."""

    amount: int


@operation("probe.sign", rest="POST /probe/sign", reply=Described, permission=SIGNED)
class Sign(Message):
    """Needs a signature."""

    amount: int


def content(start: int, stop: int) -> Iterator[bytes]:
    """Bytes that say where they are."""
    piece = 1 << 16
    while start < stop:
        block = start // piece
        data = (block.to_bytes(8, "big") * (piece // 8))[start % piece :][: stop - start]
        yield data
        start += len(data)


class ProbeService(Service):
    """Everything that is open, and what users may do."""

    token_kind = "user"

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.stored: dict[str, int] = {}
        self.handled: Counter[str] = Counter()
        self.calls = 0
        self._meetings: dict[str, threading.Barrier] = {}

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        return Principal("user", claims["sub"], flags=frozenset(claims.get("flags", ())))

    def _echo(self, message: Any) -> EchoReply:
        self.calls += 1
        self.handled[message.name] += 1
        return EchoReply(
            name=message.name,
            number=message.number,
            ratio=message.ratio,
            tags=message.tags,
            data=message.data,
            nested=message.nested,
            secret=message.secret,
        )

    @handles(Echo)
    def echo(self, ctx: Context, message: Echo) -> EchoReply:
        return self._echo(message)

    @handles(Search)
    def search(self, ctx: Context, message: Search) -> EchoReply:
        return self._echo(message)

    @handles(Upload)
    def upload(self, ctx: Context, message: Upload) -> UploadReply:
        self.calls += 1
        hasher, size = blake3.blake3(), 0
        while message.take is None or size < message.take:
            piece = ctx.body.read()
            if not piece:
                break
            hasher.update(piece)
            size += len(piece)
        self.stored[message.name] = size
        self.handled[message.name] += 1
        return UploadReply(name=message.name, size=size, digest=hasher.hexdigest(), stored=len(self.stored))

    @handles(DownloadBytes)
    def download(self, ctx: Context, message: DownloadBytes) -> Download:
        hasher = blake3.blake3()
        for piece in content(0, message.size):
            hasher.update(piece)

        def chunks(start: int, stop: int) -> Iterator[bytes]:
            sent = start
            for piece in content(start, stop):
                if message.fail_at is not None and sent >= message.fail_at:
                    raise RuntimeError("the disk is on fire")
                sent += len(piece)
                yield piece

        reply = Described(size=message.size, kind="bytes")
        return Download(reply, chunks, message.size, hasher.hexdigest())

    @handles(Wait)
    def wait(self, ctx: Context, message: Wait) -> Described:
        time.sleep(message.seconds)
        return Described(size=0, kind=f"waited {message.seconds}")

    @handles(Meet)
    def meet(self, ctx: Context, message: Meet) -> Described:
        meeting = self._meetings.setdefault(message.name, threading.Barrier(message.count))
        meeting.wait(60.0)
        return Described(size=message.count, kind="met")

    @handles(Gate)
    def gate(self, ctx: Context, message: Gate) -> Described:
        while not (self.node.home / "open").exists():
            time.sleep(0.01)
        return Described(size=0, kind="let through")

    @handles(Handled)
    def count(self, ctx: Context, message: Handled) -> Described:
        return Described(size=self.handled[message.name], kind="times")

    @handles(Fail)
    def fail(self, ctx: Context, message: Fail) -> Empty:
        if message.how == "conflict":
            raise Conflict("it is taken", by="somebody")
        if message.how == "facts":
            raise Conflict("strange facts", fact=object())
        if message.how == "busy":
            raise Unavailable("later", retry_after=7)
        raise RuntimeError("password=hunter2 at /secret/path")

    @handles(Forget)
    def forget(self, ctx: Context, message: Forget) -> Empty:
        self.calls += 1
        return Empty()

    @handles(Sign)
    def sign(self, ctx: Context, message: Sign) -> Described:
        return Described(size=message.amount, kind=ctx.principal.verify_key)


class WorkerService(Service):
    """Vouches for workers."""

    token_kind = "worker"

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        return Principal("worker", claims["sub"])

    @handles(Work)
    def work(self, ctx: Context, message: Work) -> Empty:
        return Empty()


class NodeService(Service):
    """Vouches for nodes; can be told to be unwell."""

    token_kind = "node"
    unwell = ""
    checks = "other side"

    def principal_of_token(self, claims: Mapping[str, Any]) -> Principal:
        return Principal("node", claims["sub"])

    def check(self) -> None:
        if self.unwell:
            raise Unavailable(self.unwell)

    @handles(Associate)
    def associate(self, ctx: Context, message: Associate) -> Empty:
        return Empty()


def make_node(home: Path, *, clock: Clock | None = None) -> Node:
    services = [MetadataService, ProbeService, WorkerService, NodeService]
    return open_node("domain", home, "probe", services, clock=clock)


def token_of(node: Node, kind: str = "user", *, key: str = "", lifetime: float = 600.0, **claims: Any) -> str:
    return node.tokens.issue(kind, "somebody", lifetime, key=key, **claims)[0]


def main() -> None:
    from grid.web.server import serve

    node = make_node(Path(sys.argv[1]))
    settings = msgspec.convert(msgspec.json.decode(os.environ.get("PROBE_WEB", "{}")), WebSettings)
    Path(sys.argv[1], "user.token").write_text(token_of(node, lifetime=3600.0))
    serve(
        node,
        "127.0.0.1",
        int(sys.argv[2]) if len(sys.argv) > 2 else 0,
        on_ready=lambda url: print("ready", url, flush=True),
        settings=settings,
        tls_cert=Path(sys.argv[3]) if len(sys.argv) > 3 else None,
        tls_key=Path(sys.argv[4]) if len(sys.argv) > 4 else None,
        grace=float(os.environ.get("PROBE_GRACE", 3.0)),
    )
    print("stopped", flush=True)


if __name__ == "__main__":
    main()
