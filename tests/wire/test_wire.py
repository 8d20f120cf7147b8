"""What an earlier version wrote can be read: each folder here holds bytes that were written once (``make.py``)."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

import syft_ext as sy
from grid.node.tokens import Tokens
from syft_ext.audit.export import verify_export
from syft_ext.clock import ManualClock
from syft_ext.errors import BadSignature, Conflict, InvalidToken
from syft_ext.messages import NodeMetadata, compute, operation_of, operations
from syft_ext.messages.envelope import Envelope, digest_of, frame_head, open_frame
from syft_ext.tensors import decode_tensors, encode_tensors, read_layout
from syft_ext.transport.frames import WholeFrame, read_whole
from syft_ext.transport.segments import (
    ConnectionClosed,
    CreditReceived,
    DataReceived,
    Segments,
    StreamOpened,
    StreamReset,
)
from tests.wire import make

HERE = Path(__file__).parent
FOLDERS = sorted(path.parent for path in HERE.glob("*/expected.json"))


@pytest.fixture(params=FOLDERS, ids=lambda folder: folder.name)
def folder(request: pytest.FixtureRequest) -> Path:
    found: Path = request.param
    return found


@cache
def expected(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "expected.json").read_text())
    return found


def test_there_is_nothing_that_no_test_reads() -> None:
    for folder in FOLDERS:
        names = {path.name for path in folder.iterdir()} - {"expected.json"}
        assert names == expected(folder).keys() - {"verify_keys"} and names <= make.MAKERS.keys(), folder
    assert FOLDERS


def test_what_was_written_once_is_not_written_again() -> None:
    with pytest.raises(FileExistsError):
        make.main(FOLDERS[0])


# -- messages -----------------------------------------------------------------------------------------


def open_checked(folder: Path, name: str, sender: str) -> tuple[Envelope, bytes]:
    """The envelope of a frame, which holds what was written and verifies, and its payload."""
    data = (folder / name).read_bytes()
    envelope, payload = open_frame(data)
    assert make.told(envelope) == expected(folder)[name]
    assert envelope.sender == expected(folder)["verify_keys"][sender]
    envelope.verify()
    if payload:
        assert digest_of([payload]) == (envelope.payload_size, envelope.payload_digest)
    assert frame_head(envelope) + payload == data
    return envelope, bytes(payload)


def test_a_signed_request(folder: Path) -> None:
    envelope, payload = open_checked(folder, "request.bin", "user")
    assert payload == make.PAYLOAD
    message = operations()[envelope.operation].decode(envelope.body)
    assert operation_of(message).name == "node.metadata"
    envelope.recipient = "somebody else"
    with pytest.raises(BadSignature):
        envelope.verify()


def test_a_signed_reply(folder: Path) -> None:
    envelope, payload = open_checked(folder, "reply.bin", "node")
    assert payload == make.PAYLOAD
    assert is_in(
        expected(folder)["messages.bin"]["node.metadata reply"], as_json(envelope.reply_as(NodeMetadata))
    )


def test_a_signed_error(folder: Path) -> None:
    envelope, _ = open_checked(folder, "error.bin", "node")
    with pytest.raises(Conflict, match="it is there already") as caught:
        envelope.reply_as(NodeMetadata)
    assert caught.value.extra == {"field": "name"}


def as_json(message: Any) -> Any:
    return json.loads(msgspec.json.encode(message))


def is_in(then: Any, now: Any) -> bool:
    """Whether ``now`` says all that was said ``then``: structs may have grown since."""
    if isinstance(then, dict):
        return isinstance(now, dict) and all(key in now and is_in(then[key], now[key]) for key in then)
    if isinstance(then, list):
        return isinstance(now, list) and len(then) == len(now) and all(map(is_in, then, now))
    return bool(then == now)


def test_every_message(folder: Path) -> None:
    """Requests and replies of all operations that there were."""
    written = msgspec.msgpack.decode((folder / "messages.bin").read_bytes(), type=dict[str, bytes])
    values = expected(folder)["messages.bin"]
    assert written.keys() == values.keys()
    assert len(written) == 2 * len({name.partition(" ")[0] for name in written})
    for name, data in written.items():
        operation, _, side = name.partition(" ")
        spec = operations()[operation]
        read = spec.decode(data) if side == "request" else msgspec.msgpack.decode(data, type=spec.reply)
        assert is_in(values[name], as_json(read)), name
        again = msgspec.msgpack.encode(read)
        assert is_in(msgspec.msgpack.decode(data), msgspec.msgpack.decode(again)), name


def test_actions_of_a_compute_session(folder: Path) -> None:
    data = (folder / "actions.bin").read_bytes()
    actions = msgspec.msgpack.decode(data, type=list[compute.Action])
    assert as_json(actions) == expected(folder)["actions.bin"]
    assert msgspec.msgpack.encode(actions) == data


def test_frames_on_one_connection(folder: Path) -> None:
    frames = msgspec.msgpack.decode((folder / "frames.bin").read_bytes(), type=list[bytes])
    found = []
    for frame in frames:
        envelope, payload = read_whole(WholeFrame(frame))
        envelope.verify()
        data = bytes(payload.read_all())  # checks the digest
        assert frame_head(envelope) + data == frame
        told = make.told(envelope)
        found.append({name: told[name] for name in ("operation", "in_reply_to", "payload_size")})
    assert found == expected(folder)["frames.bin"]


def test_segments(folder: Path) -> None:
    """Both ends, replayed: each message means what it meant."""
    sent = msgspec.msgpack.decode((folder / "segments.bin").read_bytes(), type=list[tuple[str, bytes]])
    told = expected(folder)["segments.bin"]
    limits = {"max_message": told["max_message"], "window": told["window"]}
    ends = {"asks": Segments(asks=True, **limits), "answers": Segments(asks=False, **limits)}
    for _ in range(2):
        ends["asks"].new_stream()
    found = []
    for sender, message in sent:
        written = written_by(ends[sender], message)
        assert written == message
        event = ends["answers" if sender == "asks" else "asks"].receive(message)
        found.append(event_as_json(event))
    assert found == told["events"]


def written_by(end: Segments, message: bytes) -> bytes | None:
    """What this end writes to say the same."""
    kind, stream, body = message[0], int.from_bytes(message[1:5], "big"), message[5:]
    if kind == 1:
        return end.open(stream, int.from_bytes(body[:8], "big"), body[8:])
    if kind == 2:
        return end.data(stream, body)
    if kind == 3:
        return end.consumed(stream, int.from_bytes(body, "big"))
    code, reason = int.from_bytes(body[:2], "big"), body[2:].decode()
    return end.reset(stream, code, reason) if kind == 4 else Segments.close(code, reason)


def event_as_json(event: object) -> list[Any]:
    name = type(event).__name__
    match event:
        case StreamOpened(stream, size, data):
            return [name, stream, size, data.hex()]
        case DataReceived(stream, data):
            return [name, stream, data.hex()]
        case CreditReceived(stream):
            return [name, stream]
        case StreamReset(stream, code, reason):
            return [name, stream, code, reason]
        case ConnectionClosed(code, reason):
            return [name, code, reason]
    raise AssertionError(f"unexpected: {event}")


# -- files --------------------------------------------------------------------------------------------


def test_a_plan(folder: Path) -> None:
    data, told = (folder / "plan.bin").read_bytes(), expected(folder)["plan.bin"]
    plan = sy.Plan.loads(data)
    assert (plan.id, plan.name) == (told["id"], told["name"])
    assert plan.dumps() == data
    plan.self_test()
    loss, after = plan(torch.tensor(told["x"]), torch.tensor(told["w"]))
    assert loss.item() == pytest.approx(told["loss"], rel=1e-6)
    assert after.tolist() == pytest.approx(told["after"], rel=1e-6)


def test_a_tensor_file(folder: Path) -> None:
    data, told = (folder / "tensors.bin").read_bytes(), expected(folder)["tensors.bin"]
    tensors = decode_tensors(data)
    found = [[name, [str(value.dtype), value.tolist()]] for name, value in tensors.items()]
    assert found == told["tensors"]  # the order counts
    assert dict(read_layout(data).metadata) == told["metadata"]
    assert encode_tensors(tensors, told["metadata"]) == data


def test_an_audit_export(folder: Path, tmp_path: Path) -> None:
    path, told = folder / "audit.jsonl", expected(folder)["audit.jsonl"]
    report = verify_export(path, verify_key=expected(folder)["verify_keys"]["node"])
    assert report.intact, report  # and each line is byte for byte as this version writes it
    assert {"node_id": report.node_id, "entries": report.entries, "signed_up_to": report.signed_up_to} == {
        name: told[name] for name in ("node_id", "entries", "signed_up_to")
    }
    data = path.read_bytes()
    assert [line["hash"] for line in map(json.loads, data.splitlines()) if "seq" in line] == told["hashes"]
    (tmp_path / "changed.jsonl").write_bytes(data.replace("müller".encode(), b"muellers", 1))
    assert not verify_export(tmp_path / "changed.jsonl").intact


def test_a_token(folder: Path) -> None:
    token, told = (folder / "token.jwt").read_text(), expected(folder)["token.jwt"]
    tokens = Tokens(make.NODE, ManualClock(told["now"] + 1))
    assert tokens.verify(token, signed_by=told["signed_by"]) == told["claims"]
    late = Tokens(make.NODE, ManualClock(told["claims"]["exp"]))
    for verifier, signer in ((tokens, make.NODE.verify_key), (late, told["signed_by"])):
        with pytest.raises(InvalidToken):
            verifier.verify(token, signed_by=signer)
