"""Clients that do not keep to the rules: every batch has an answer, and the session goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import torch

from grid.compute import running
from syft_ext.errors import BadRequest, Conflict, Forbidden, InvalidPlan, NotFound, TooLarge
from syft_ext.messages import compute as c
from syft_ext.messages.policy import SitePolicy
from syft_ext.plans import trace
from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.ir import Plan
from tests.plans.examples import all_examples

from .lab import Lab, Remote, ref

pytestmark = pytest.mark.parametrize("lab", ["sqlite"], indirect=True)  # nothing here depends on the engine


@pytest.fixture
def remote(lab: Lab) -> Iterator[Remote]:
    remote = lab.sue.open()
    yield remote
    assert remote.fetch(remote.put(torch.tensor([5]))).item() == 5  # still there
    remote.close()


def send(remote: Remote, raw: bytes) -> c.RanActions:
    message = c.RunActions(session_id=remote.id, first=remote.sent, actions=raw)
    reply: c.RanActions = remote.person.call(message)
    return reply


UNREADABLE = [
    b"",
    b"\xc1",
    b"\x93",
    msgspec.msgpack.encode({"load": 1}),
    msgspec.msgpack.encode([["delete-everything", 1]]),
    msgspec.msgpack.encode([["load", 1, "../../node.key"]]),
    msgspec.msgpack.encode([["load", -1, "0" * 32]]),
    msgspec.msgpack.encode([["put", 1, "f32", [-1], 0]]),
    msgspec.msgpack.encode([["put", 1, "f32", [1], -4]]),
    msgspec.msgpack.encode([["put", (1 << 53) + 1, "f32", [1], 0]]),
    msgspec.msgpack.encode([["put", 1, "f32", [1] * 17, 0]]),
    msgspec.msgpack.encode([["call", [1], "x" * 81, [], {}]]),
    msgspec.msgpack.encode([["plan", [1], "nothex", [1]]]),
    msgspec.msgpack.encode([["drop", [1], "more"]]),
    msgspec.msgpack.encode([["drop", list(range(5000))]]),
    b"\x91\x95\xa4call\x91\x01\xa1x\x91" + b"\x91" * 100_000 + b"\xc0\x80",
]


def test_what_cannot_be_read_is_refused_as_a_whole(remote: Remote) -> None:
    for raw in UNREADABLE:
        with pytest.raises(BadRequest):
            send(remote, raw)
    assert remote.view().done == 0


BAD_CALLS: list[Any] = [
    ["call", [10], "aten.empty.memory_format", [["l", 1]], {}],
    ["call", [10], "os.system", ["id"], {}],
    ["call", [10], "aten.add_.Tensor", [["r", 0], ["r", 0]], {}],
    ["call", [10], "aten.sum.default", [["r", 99]], {}],
    ["call", [10], "aten.sum.default", [["r", 1 << 53]], {}],
    ["call", [10], "aten.sum.default", [["r", 1 << 60]], {}],
    ["call", [10], "aten.sum.default", [["r", -1]], {}],
    ["call", [10], "aten.sum.default", [["r", True]], {}],
    ["call", [10], "aten.sum.default", [["r", 0, 0]], {}],
    ["call", [10], "aten.sum.default", [["s", ["sym", "B"]]], {}],
    ["call", [10], "aten.sum.default", [[]], {}],
    ["call", [10], "aten.sum.default", [{"r": 0}], {}],
    ["call", [10], "aten.sum.default", [b"bytes"], {}],
    ["call", [10], "aten.sum.default", [["l", ["l", ["l", ["l", ["l", ["r", 0]]]]]]], {}],
    ["call", [10], "aten.sum.default", [["r", 0]], {"dtype": ["d", "f128"]}],
    ["call", [10], "aten.sum.default", [["r", 0]], {"pin_memory": True}],
    ["call", [10], "aten.sum.default", [], {}],
    ["call", [10], "aten.sum.default", [["r", 0], 1, 2, 3], {}],
    ["call", [10, 11], "aten.sum.default", [["r", 0]], {}],
    ["call", [], "aten.sum.default", [["r", 0]], {}],
    ["call", [10, 10], "aten.sort.default", [["r", 0]], {}],
    ["call", [11, 10], "aten.sort.default", [["r", 0]], {}],
    ["call", [0], "aten.sum.default", [["r", 0]], {}],
    ["call", [10], "aten.full.default", [["l", 1 << 62, 1 << 62], 0.0], {}],
    ["call", [10], "aten.full.default", [["l", -5], 0.0], {}],
    ["call", [10], "aten.full.default", [["l", (1 << 64) - 1], 0.0], {}],
    ["call", [10], "aten.repeat.default", [["r", 0], ["l", 1 << 40]], {}],
    ["call", [10], "aten.slice.Tensor", [["r", 0], 7, 0, 1], {}],
    ["call", [10], "aten.gelu.default", [["r", 0]], {"approximate": "__import__('os')"}],
    ["put", 10, "f32", [1], 0],
    ["put", 10, "f32", [1 << 40, 1 << 40], 0],
    ["put", 10, "object", [1], 0],
    ["put", 10, "f32", [1], 1 << 62],
    ["load", 10, "0" * 32],
    ["plan", [10], "0" * 64, [0]],
]


def test_what_cannot_be_done_is_a_failure_of_that_action(remote: Remote) -> None:
    remote.put(torch.tensor([2.0, 1.0]))
    for index, call in enumerate(BAD_CALLS):
        shifted = [call[0], _shift(call[1], 20 * index), *call[2:]]
        reply = send(remote, msgspec.msgpack.encode([shifted]))
        assert [f.action for f in reply.failures] == [1 + index] and reply.done == 2 + index, call
        assert reply.failures[0].code in ("bad-request", "not-found", "too-large"), call
        remote.sent += 1
    remote.next = 20 * len(BAD_CALLS) + 20
    assert remote.fetch(0).tolist() == [2, 1]


def _shift(outs: Any, by: int) -> Any:
    """Other numbers for the results, but for those that are there already."""
    if isinstance(outs, int):
        return outs + by
    return [out + by if out else out for out in outs]


def test_tensors_of_one_payload_may_overlap_and_must_lie_within(remote: Remote) -> None:
    raw = torch.arange(8, dtype=torch.uint8).numpy().tobytes()
    reply = remote.send(
        [
            c.Put(0, "u8", [8], 0),
            c.Put(1, "u8", [4], 2),
            c.Put(2, "i16", [2], 1),  # not aligned
            c.Put(3, "b", [8], 0),
            c.Put(4, "u8", [1], 8),
            c.Put(5, "i64", [2], 0),
            c.Put(6, "u8", [0], 8),
        ],
        raw,
    )
    assert [(f.action, f.code) for f in reply.failures] == [(4, "bad-request"), (5, "bad-request")]
    remote.next = 7
    all_, part, odd, truth, empty = remote.fetch(0, 1, 2, 3, 6)
    assert all_.tolist() == list(range(8)) and part.tolist() == [2, 3, 4, 5]
    assert odd.tolist() == [0x0201, 0x0403] and empty.tolist() == []
    assert truth.view(torch.uint8).tolist() == [0, 1, 1, 1, 1, 1, 1, 1]  # no bool is neither 0 nor 1


def test_a_payload_that_has_no_room_is_a_failure_of_who_needs_it(remote: Remote) -> None:
    x = remote.new()
    reply = remote.send([c.Put(x, "u8", [65 << 20], 0), c.Drop([])], bytes(65 << 20))
    assert [(f.action, f.code) for f in reply.failures] == [(0, "too-large")] and reply.done == 2
    remote.put(torch.ones(1))


def test_another_sessions_values_are_not_there(lab: Lab, remote: Remote) -> None:
    other = lab.sam.open()
    theirs = other.put(torch.tensor([42.0]))
    assert theirs == 0
    remote.send([c.Call([5], "aten.clone.default", [ref(theirs)], {})])
    assert [f.code for f in remote.failures()] == ["not-found"]
    with pytest.raises(NotFound):
        remote.fetch(theirs)
    other.close()
    remote.next = 6


@pytest.fixture(scope="module")
def plan() -> Plan:
    example = all_examples()["logistic_regression"]
    return trace(example.function, symbols=example.symbols, **example.arguments)


def test_plans_are_proved_and_run_on_values(remote: Remote, plan: Plan) -> None:
    data = plan.dumps()
    kept = remote.person.call(c.PutPlan(session_id=remote.id), data)
    assert kept.plan_id == plan.id
    assert remote.person.call(c.PutPlan(session_id=remote.id), data) == kept
    arguments = all_examples()["logistic_regression"].rebatch(7)
    inputs = [remote.put(tensor) for tensor in arguments.values()]
    outs = [remote.new() for _ in plan.outputs]
    assert remote.send([c.RunPlan(outs, plan.id, inputs)]).failures == []
    for mine, theirs in zip(plan.run(list(arguments.values())), remote.fetch(*outs), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-5)
    for broken in (b"", b"\x80", data[:-1], data + b"\0", data.replace(b"aten.", b"oten.", 1)):
        with pytest.raises(InvalidPlan):
            remote.person.call(c.PutPlan(session_id=remote.id), broken)
    for wrong in (inputs[:-1], [*inputs, inputs[0]], [10_000] * len(inputs), inputs[::-1]):
        remote.send([c.RunPlan([remote.new() for _ in plan.outputs], plan.id, wrong)])
    remote.send([c.RunPlan([remote.new()], plan.id, inputs)])
    assert [f.code for f in remote.failures()] == [
        "bad-request", "bad-request", "not-found", "invalid-plan", "bad-request",
    ]  # fmt: skip
    with pytest.raises(InvalidPlan):
        remote.fetch(remote.next - 2)


def test_the_policy_decides_on_plans_at_every_run(lab: Lab, remote: Remote, plan: Plan) -> None:
    data = plan.dumps()
    inputs = [remote.put(tensor) for tensor in all_examples()["logistic_regression"].rebatch(4).values()]
    lab.policy(SitePolicy(allowed_operations=["aten.sum.default"]))
    with pytest.raises(Forbidden):
        remote.person.call(c.PutPlan(session_id=remote.id), data)
    lab.policy(SitePolicy())
    remote.person.call(c.PutPlan(session_id=remote.id), data)
    lab.policy(SitePolicy(allowed_operations=["aten.sum.default"]))
    remote.send([c.RunPlan([remote.new() for _ in plan.outputs], plan.id, inputs)])
    assert [f.code for f in remote.failures()] == ["forbidden"]


def argument(chance: random.Random, depth: int = 0) -> Any:
    """Anything that msgpack can say, and more often something that looks like an argument."""
    kind = chance.randrange(12 if depth < 4 else 9)
    if kind >= 9:
        parts = [argument(chance, depth + 1) for _ in range(chance.randrange(4))]
        return ["l", *parts] if kind < 11 else parts
    return chance.choice(
        [
            None, True, 0, 1, -1, chance.randrange(-(1 << 63), 1 << 64), chance.random() * 1e3, float("nan"),
            "none", b"b", {"k": 1}, ["d", chance.choice(["f32", "i64", "b", "?"])],
            *[["r", chance.randrange(-2, 12)] for _ in range(8)],
        ]
    )  # fmt: skip


def test_whatever_a_call_says_it_is_answered(remote: Remote) -> None:
    """No operation on any arguments takes the host down or leaves the session without an answer."""
    chance = random.Random(5)
    tensors = [
        torch.randn(3, 4),
        torch.randn(4),
        torch.tensor(2.0),
        torch.tensor([1, 0, 2]),
        torch.ones(2, 2) > 0,
    ]
    for tensor in (*tensors, torch.empty(0, 3), torch.randn(1, 2, 4, 4)):
        remote.put(tensor)
    codes: set[str] = set()
    for _ in range(40):
        calls = []
        for _ in range(60):
            op = chance.choice(sorted(ALLOWED))
            outs = [remote.new() for _ in range(len(ALLOWED[op]._schema.returns))]
            calls.append(["call", outs, op, [argument(chance) for _ in range(chance.randrange(5))], {}])
        reply = send(remote, msgspec.msgpack.encode(calls))
        remote.sent += len(calls)
        assert reply.done == remote.sent
        codes.update(failure.code for failure in reply.failures)
    assert codes <= {"bad-request", "not-found", "too-large"}


def test_a_session_that_only_fails_ends(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "MAX_FAILURES", 20)
    remote = lab.sue.open()
    for _ in range(20):
        remote.do("no.such.op")
    with pytest.raises(Conflict):
        remote.do("no.such.op")
    remote.close()


def test_a_batch_is_bounded(remote: Remote) -> None:
    with pytest.raises((BadRequest, TooLarge)):
        send(remote, bytes((4 << 20) + 1))
    with pytest.raises(BadRequest):
        send(remote, msgspec.msgpack.encode([["drop", []]] * (1 << 16) + [["drop", []]]))
