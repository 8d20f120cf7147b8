"""Write what today's code puts on the wire and into files, for every later version to read.

    python -m tests.wire.make tests/wire/2

writes a new folder and refuses one that is there: what was written once stays as it is. It is time for another
folder when a format has grown (new operations, new fields), so that what it has now is kept as well. Keys, nonces,
ids and clocks are fixed, so that two runs of one version write the same bytes.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import msgspec
import torch
from nacl.signing import SigningKey

import syft_ext as sy
from grid.node.tokens import Tokens
from syft_ext.audit.entries import Checkpoint, Entry, genesis_previous, seal
from syft_ext.audit.export import export_lines
from syft_ext.clock import ManualClock
from syft_ext.errors import Conflict
from syft_ext.identity import Identity
from syft_ext.messages import GetMetadata, NodeMetadata, compute, operations
from syft_ext.messages.envelope import Envelope, digest_of, frame_head, seal_reply, seal_request
from syft_ext.tensors import encode_tensors
from syft_ext.transport.segments import CloseCode, Segments
from tests.wire.examples import example

USER, NODE = (Identity(SigningKey(bytes(range(start, start + 32)))) for start in (0, 100))
NOW = 1_800_000_000.25
PAYLOAD = b"the payload of a message"


@contextmanager
def fixed() -> Iterator[None]:
    """Randomness that counts."""
    numbers = count(1)
    with (
        patch("secrets.token_bytes", lambda size: next(numbers).to_bytes(size, "big")),
        patch("grid.node.tokens.new_id", lambda: f"{next(numbers):032x}"),
    ):
        yield


def main(folder: Path) -> None:
    folder.mkdir(parents=True)
    expected: dict[str, Any] = {"verify_keys": {"user": USER.verify_key, "node": NODE.verify_key}}
    with fixed():
        for name, maker in MAKERS.items():
            data, values = maker()
            (folder / name).write_bytes(data)
            expected[name] = values
    text = json.dumps(expected, indent=1, sort_keys=True, ensure_ascii=False)
    (folder / "expected.json").write_text(text + "\n")


# -- messages -----------------------------------------------------------------------------------------


def request() -> Envelope:
    message = example(operations()["node.metadata"].message)
    return seal_request(USER, message, now=NOW, recipient=NODE.node_id, token="a.b.c", payload=[PAYLOAD])


def reply() -> Envelope:
    size, digest = digest_of([PAYLOAD])
    answer = example(NodeMetadata)
    return seal_reply(NODE, request(), answer, now=NOW + 1, payload_size=size, payload_digest=digest)


def refusal() -> Envelope:
    return seal_reply(NODE, request(), Conflict("it is there already", field="name"), now=NOW + 2)


def told(envelope: Envelope) -> dict[str, Any]:
    """What a reader must find in an envelope."""
    return {
        field: value.hex() if isinstance(value, bytes) else value
        for field, value in msgspec.structs.asdict(envelope).items()
    }


def make_messages() -> tuple[bytes, Any]:
    made = {}
    for name, operation in sorted(operations().items()):
        made[f"{name} request"], made[f"{name} reply"] = example(operation.message), example(operation.reply)
    return (
        msgspec.msgpack.encode({name: msgspec.msgpack.encode(value) for name, value in made.items()}),
        {name: json.loads(msgspec.json.encode(value)) for name, value in made.items()},
    )


def make_actions() -> tuple[bytes, Any]:
    """The body of ``compute.run``'s ``actions``: one of each."""
    actions = [
        compute.Load(1, "a" * 32, "weights"),
        compute.Put(3, "f32", [2, 3], 16),
        compute.Call([4], "aten.add.Tensor", [["r", 1], ["r", 3]], {"alpha": 2}),
        compute.RunPlan([5, 6], "b" * 64, [3, 4]),
        compute.Drop([1]),
    ]
    return msgspec.msgpack.encode(actions), json.loads(msgspec.json.encode(actions))


def make_frames() -> tuple[bytes, Any]:
    """A connection that carries whole frames, each a message: two questions, and the answers, last first."""
    first, second = request(), seal_request(USER, GetMetadata(), now=NOW, recipient="")
    answers = [seal_reply(NODE, asked, example(NodeMetadata), now=NOW) for asked in (second, first)]
    frames = [frame_head(first) + PAYLOAD, *map(frame_head, (second, *answers))]
    return msgspec.msgpack.encode(frames), [
        {
            "operation": each.operation,
            "in_reply_to": each.in_reply_to.hex(),
            "payload_size": each.payload_size,
        }
        for each in (first, second, *answers)
    ]


def make_segments() -> tuple[bytes, Any]:
    """One that carries frames in segments: each message with who sent it ("asks", "answers")."""
    asks, answers = (
        Segments(asks=True, max_message=64, window=64),
        Segments(asks=False, max_message=64, window=64),
    )
    first, second = asks.new_stream(), asks.new_stream()
    sent: list[tuple[str, bytes]] = []

    def send(side: str, message: bytes | None) -> None:
        assert message is not None
        sent.append((side, message))
        (answers if side == "asks" else asks).receive(message)

    question = bytes(range(100))
    send("asks", asks.open(first, len(question), question[:40]))
    send("asks", asks.open(second, 4, b"ping"))
    send("answers", answers.consumed(first, 40))
    send("asks", asks.data(first, question[40:90]))
    send("answers", answers.reset(second, CloseCode.TRY_AGAIN_LATER, "später"))
    send("asks", asks.data(first, question[90:]))
    send("answers", answers.open(first, 6, b"answer"))
    send("answers", Segments.close(CloseCode.GOING_AWAY, "the node stops"))
    return msgspec.msgpack.encode(sent), {
        "max_message": 64,
        "window": 64,
        "events": [
            ["StreamOpened", 1, 100, question[:40].hex()],
            ["StreamOpened", 2, 4, b"ping".hex()],
            ["CreditReceived", 1],
            ["DataReceived", 1, question[40:90].hex()],
            ["StreamReset", 2, 1013, "später"],
            ["DataReceived", 1, question[90:].hex()],
            ["StreamOpened", 1, 6, b"answer".hex()],
            ["ConnectionClosed", 1001, "the node stops"],
        ],
    }


# -- files --------------------------------------------------------------------------------------------


X, W = torch.tensor([[1.0, 2.0], [3.0, 4.0]]), torch.tensor([0.5, -1.0])


@sy.make_plan(symbols={"x": {0: "B"}})
def step(x: torch.Tensor = X, w: torch.Tensor = W) -> tuple[torch.Tensor, torch.Tensor]:
    """One step of gradient descent towards x · w = 1."""
    leaf = w.detach().requires_grad_()
    loss = ((x @ leaf - 1) ** 2).mean()
    loss.backward()
    return loss, w - 0.1 * leaf.grad


def make_plan() -> tuple[bytes, Any]:
    loss, w = step(X, W)
    return step.dumps(), {
        "id": step.id, "name": "step", "x": X.tolist(), "w": W.tolist(), "loss": loss.item(), "after": w.tolist()
    }  # fmt: skip


TENSORS = {
    "float32": torch.tensor([[1.5, -2.0], [0.0, 3.25]]),
    "float64": torch.tensor(0.1, dtype=torch.float64),
    "float16": torch.tensor([1.0, 2.5], dtype=torch.float16),
    "bfloat16": torch.tensor([1.0, -8.0], dtype=torch.bfloat16),
    "int64": torch.tensor([1 << 40, -1]),
    "int32": torch.tensor([7], dtype=torch.int32),
    "int16": torch.tensor([-7], dtype=torch.int16),
    "int8": torch.tensor([-128], dtype=torch.int8),
    "uint8": torch.tensor([255], dtype=torch.uint8),
    "bool": torch.tensor([True, False]),
    "nothing": torch.zeros(0, 3),
}


def make_tensors() -> tuple[bytes, Any]:
    values = {name: [str(value.dtype), value.tolist()] for name, value in TENSORS.items()}
    return encode_tensors(TENSORS, {"made": "once"}), {
        "tensors": list(values.items()),
        "metadata": {"made": "once"},
    }


def make_audit() -> tuple[bytes, Any]:
    entries: list[Entry] = []
    for seq, operation in enumerate(("node.start", "datasets.create", "objects.download")):
        entry = Entry(
            seq=seq,
            at=NOW + seq,
            actor_kind="user" if seq else "system",
            actor_id=f"{seq:032x}",
            actor_name="müller@example.org",
            operation=operation,
            objects=msgspec.Raw(b'["%032x"]' % seq),
            grants=msgspec.Raw(b"[]"),
            outcome="ok" if seq < 2 else "forbidden",
            detail=msgspec.Raw(b'{"name":"readings"}'),
            previous=entries[-1].hash if entries else genesis_previous(NODE.node_id),
        )
        entries.append(seal(entry))
    kept, head = (
        Checkpoint(node_id=NODE.node_id, seq=each.seq, hash=each.hash, at=each.at + 1).sign(NODE)
        for each in (entries[1], entries[2])
    )
    lines = list(export_lines(NODE.node_id, NODE.verify_key, [kept], entries, head))
    hashes = [entry.hash for entry in entries]
    return b"".join(lines), {"entries": 3, "signed_up_to": 2, "node_id": NODE.node_id, "hashes": hashes}


def make_token() -> tuple[bytes, Any]:
    token, claims = Tokens(NODE, ManualClock(NOW)).issue(
        "user", "9" * 32, 3600.0, key=USER.verify_key, role="owner"
    )
    return token.encode(), {"now": NOW, "signed_by": USER.verify_key, "claims": claims}


MAKERS = {
    "request.bin": lambda: (frame_head(envelope := request()) + PAYLOAD, told(envelope)),
    "reply.bin": lambda: (frame_head(envelope := reply()) + PAYLOAD, told(envelope)),
    "error.bin": lambda: (frame_head(envelope := refusal()), told(envelope)),
    "messages.bin": make_messages,
    "actions.bin": make_actions,
    "frames.bin": make_frames,
    "segments.bin": make_segments,
    "plan.bin": make_plan,
    "tensors.bin": make_tensors,
    "audit.jsonl": make_audit,
    "token.jwt": make_token,
}

if __name__ == "__main__":
    main(Path(sys.argv[1]))
