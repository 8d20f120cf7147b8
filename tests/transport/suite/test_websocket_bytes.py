"""What goes over a WebSocket is written down: clients and nodes of different versions understand each other.

The files in ``wire`` hold the WebSocket frames of one conversation, unmasked, as the first version sent them.
``python -m tests.transport.suite.test_websocket_bytes`` writes them anew, from this version.
"""

from __future__ import annotations

import base64
import hashlib
import socket
import struct
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import IO

import pytest

from grid.web.testing import ServedNode
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict
from syft_ext.identity import Identity
from syft_ext.messages.envelope import Envelope, frame_head, seal_reply, seal_request
from syft_ext.transport import open_transport
from tests.web.probe import DownloadBytes, Echo, EchoReply, Upload, content, make_node
from tests.web.wire import BINARY, RawSocket

WIRE = Path(__file__).parent / "wire"
START = 1_700_000_000.0
SIZE = 150_000
#: A message, its payload. Small, with a payload, and one that is answered with a large one.
REQUESTS = (
    (Echo(name="ada", number=3, data=b"\0\xff"), b""),
    (Upload(name="up"), b"".join(content(0, 50_000))),
    (DownloadBytes(size=SIZE), b""),
)


def identity(name: str, folder: Path) -> Identity:
    (folder / name).write_text(hashlib.sha256(name.encode()).hexdigest())
    return Identity.load_or_create(folder / name)


def requests(me: Identity, node: Identity) -> list[tuple[Envelope, bytes]]:
    made = []
    for number, (message, payload) in enumerate(REQUESTS):
        envelope = seal_request(
            me, message, now=START + 1, recipient=node.node_id, payload=[payload] if payload else ()
        )
        envelope.nonce = bytes([number]) * 16
        made.append((envelope.sign(me), payload))
    return made


def read_frame(file: IO[bytes]) -> bytes:
    """One WebSocket frame as it came; its mask, which is random, is taken off."""
    head = file.read(2)
    length = head[1] & 0x7F
    if length >= 126:
        head += file.read(2 if length == 126 else 8)
        length = int.from_bytes(head[2:], "big")
    mask = file.read(4) if head[1] & 0x80 else b""
    data = file.read(length)
    if mask:
        key = int.from_bytes(mask * (length // 4) + mask[: length % 4], "big")
        data = (int.from_bytes(data, "big") ^ key).to_bytes(length, "big")
    return head + data


def message_of(file: IO[bytes]) -> bytes:
    """The frames of one message."""
    frames = b""
    while True:
        frame = read_frame(file)
        frames += frame
        if frame[0] & 0x80:
            return frames


def client_side(folder: Path) -> bytes:
    """What a client sends for :data:`REQUESTS`: to a server that answers each with an error."""
    me, node = identity("me", folder), identity("node", folder)
    recorded = []
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            line, _ = listening.accept()
            with line, line.makefile("rb") as file:
                key = b""
                while (header := file.readline()) != b"\r\n":
                    if header.lower().startswith(b"sec-websocket-key:"):
                        key = header.split(b":")[1].strip()
                proof = hashlib.sha1(key + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()
                accept = base64.b64encode(proof)
                line.sendall(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
                )
                for envelope, _ in requests(me, node):
                    recorded.append(message_of(file))
                    data = frame_head(seal_reply(node, envelope, Conflict("taken"), now=START))
                    line.sendall(bytes([0x80 | BINARY, 126]) + struct.pack(">H", len(data)) + data)
                file.read(1)

        server = threading.Thread(target=serve)
        server.start()
        transport = open_transport(f"ws://127.0.0.1:{listening.getsockname()[1]}")
        for envelope, payload in requests(me, node):
            pieces = [payload[:20_000], memoryview(payload)[20_000:]] if payload else ()
            with pytest.raises(Conflict):
                transport.exchange(envelope, pieces, timeout=240).envelope.reply_as(EchoReply)
        transport.close()
        server.join(60)
    return b"".join(recorded)


def server_side(folder: Path, patch: pytest.MonkeyPatch) -> bytes:
    """What a node sends to :data:`REQUESTS`, and to what is no frame."""
    me, hashed = identity("me", folder), identity("node", folder)
    home = folder / "home"
    home.mkdir()
    (home / "node.key").write_text(hashlib.sha256(b"node").hexdigest())
    clock = ManualClock(START)
    node = make_node(home, clock=clock)
    clock.advance(1.0)
    patch.setattr(
        "syft_ext.messages.envelope.secrets", SimpleNamespace(token_bytes=lambda count: b"n" * count)
    )
    recorded = b""
    with ServedNode(node) as served, RawSocket(served.url, "/messages") as raw:
        messages = [frame_head(envelope) + payload for envelope, payload in requests(me, hashed)]
        for message in [*messages, b"no frame"]:
            raw.frame(BINARY, message)
            recorded += message_of(raw.file)  # type: ignore[arg-type]
    return recorded


def written(side: str) -> bytes:
    return (WIRE / f"websocket-{side}.bin").read_bytes()


def test_what_a_client_sends(tmp_path: Path) -> None:
    assert client_side(tmp_path) == written("client")


def test_what_a_node_sends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert server_side(tmp_path, monkeypatch) == written("node")


def main(sides: Sequence[str] = ("client", "node")) -> None:
    for side in sides:
        with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
            sent = client_side(Path(folder)) if side == "client" else server_side(Path(folder), patch)
        (WIRE / f"websocket-{side}.bin").write_bytes(sent)


if __name__ == "__main__":
    main()
