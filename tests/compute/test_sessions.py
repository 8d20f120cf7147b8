"""What a session does: run, fetch, keep, order and repetition. Over a socket, on both engines."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator

import pytest
import torch

from grid.compute import session as ordering
from grid.quotas.limits import DEFAULTS
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound, QuotaExceeded, SessionLost
from syft_ext.messages import compute as c

from .lab import Lab, Remote, ref


@pytest.fixture
def remote(lab: Lab) -> Iterator[Remote]:
    remote = lab.sue.open()
    yield remote
    with contextlib.suppress(SessionLost):
        remote.close()


def test_own_tensors_are_computed_on_and_come_back(remote: Remote) -> None:
    x = torch.arange(6, dtype=torch.float32).reshape(2, 3)
    a = remote.put(x)
    b = remote.do("aten.t.default", ref(a))
    product = remote.do("aten.mm.default", ref(a), ref(b))
    twice = remote.do("aten.mul.Tensor", ref(product), 2.0)
    assert torch.equal(remote.fetch(twice), x @ x.T * 2)
    several = remote.fetch(a, b)
    assert torch.equal(several[0], x) and torch.equal(several[1], x.T)
    assert remote.view().done == 4 == remote.sent


def test_more_than_one_result_and_every_dtype(remote: Remote) -> None:
    for dtype in (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int8, torch.uint8):
        x = torch.tensor([[3, 1, 2], [0, 5, 4]]).to(dtype)
        assert torch.equal(remote.fetch(remote.put(x)), x)
    truth = torch.tensor([True, False])
    assert torch.equal(remote.fetch(remote.put(truth)), truth)
    x = torch.tensor([3.0, 1.0, 2.0])
    values = remote.do("aten.sort.default", ref(remote.put(x)), outs=2)
    first, second = remote.fetch(values, values + 1)
    assert first.tolist() == [1, 2, 3] and second.tolist() == [1, 2, 0]
    assert remote.fetch(remote.put(torch.empty(0, 3))).shape == (0, 3)


def test_a_large_value_streams(remote: Remote) -> None:
    x = torch.arange(1 << 20, dtype=torch.float32)
    a = remote.put(x)
    view = remote.do("aten.slice.Tensor", ref(a), 0, 3, 1 << 20, 2)
    assert torch.equal(remote.fetch(view), x[3::2])
    assert torch.equal(remote.fetch(a), x)


def test_stored_objects_are_described_and_loaded(lab: Lab, remote: Remote) -> None:
    w, b = torch.randn(3, 2), torch.randn(3)
    model = lab.owner.put({"weight": w, "bias": b}, "tensors", finders=[lab.sue.id])
    with pytest.raises(Forbidden):
        lab.sue.call(c.DescribeContent(object_id=model))
    lab.owner.share(model, programmers=[lab.sue.id])
    layout = lab.sue.call(c.DescribeContent(object_id=model))
    assert [(t.name, t.dtype, t.shape) for t in layout.tensors] == [
        ("weight", "f32", [3, 2]),
        ("bias", "f32", [3]),
    ]
    a = remote.load(model, "weight")
    total = remote.do("aten.sum.default", ref(a))
    with pytest.raises(Forbidden):
        remote.fetch(total)
    assert remote.check(total) == c.ValueAccess(readable=False, missing=[model])
    lab.owner.share(model, readers=[lab.sue.id])
    assert remote.check(total).readable
    assert torch.allclose(remote.fetch(total), w.sum())
    remote.send([c.Load(remote.new(), model, "scale")])
    assert remote.failures()[-1].code == "not-found"
    text = lab.owner.put(b"text", "bytes", readers=[lab.sue.id])
    with pytest.raises(BadRequest):
        lab.sue.call(c.DescribeContent(object_id=text))


def test_what_is_refused_poisons_what_follows_and_the_rest_goes_on(remote: Remote) -> None:
    x = torch.ones(2, 3)
    a = remote.put(x)
    bad, after, fine = remote.new(), remote.new(), remote.new()
    reply = remote.send(
        [
            c.Call([bad], "aten.mm.default", [ref(a), ref(a)], {}),
            c.Call([after], "aten.sum.default", [ref(bad)], {}),
            c.Call([fine], "aten.sum.default", [ref(a)], {}),
        ]
    )
    assert [(f.action, f.code) for f in reply.failures] == [(1, "bad-request")]
    assert remote.fetch(fine).item() == 6
    with pytest.raises(BadRequest, match=r"aten\.mm"):
        remote.fetch(after)
    with pytest.raises(BadRequest, match=r"aten\.mm"):
        remote.keep(after)


def test_dropped_values_are_gone_and_give_their_memory_back(remote: Remote) -> None:
    before = remote.view()
    a = remote.put(torch.zeros(1 << 20))
    view = remote.do("aten.reshape.default", ref(a), ["l", 1024, 1024])
    held = remote.view()
    assert held.memory - before.memory < (4 << 20) + 4096  # a view costs nothing but itself
    remote.send([c.Drop([a])])
    assert remote.view().memory > (4 << 20)  # the view still needs it
    remote.send([c.Drop([view])])
    after = remote.view()
    assert (after.memory, after.values) == (before.memory, before.values)
    with pytest.raises(NotFound):
        remote.fetch(a)


def test_a_session_has_a_limit_and_survives_reaching_it(remote: Remote) -> None:
    big = remote.put(torch.zeros(10 << 20))
    remote.do("aten.mul.Tensor", ref(big), 2.0)  # 80 MiB of 64
    assert [f.code for f in remote.failures()] == ["too-large"]
    remote.do("aten.full.default", ["l", 1 << 40], 0.0)
    remote.do("aten.expand.default", ref(big), ["l", 1 << 20, 10 << 20])
    print(remote.failures())
    assert [f.code for f in remote.failures()] == ["too-large"] * 3
    remote.put(torch.zeros(20 << 20))
    assert [f.code for f in remote.failures()] == ["too-large"] * 4
    assert remote.fetch(remote.do("aten.sum.default", ref(big))).item() == 0


# -- order ---------------------------------------------------------------------------------------------------


def test_what_comes_twice_runs_once(remote: Remote) -> None:
    x, y = remote.new(), remote.new()
    payload = torch.ones(2).numpy().tobytes()
    first = [c.Put(x, "f32", [2], 0)]
    second = [c.Call([y], "aten.mm.default", [ref(x), ref(x)], {})]
    once = remote.send(first, payload), remote.send(second)
    again = remote.send(first, payload, first=0), remote.send(second, first=1)
    assert [r.failures for r in once] == [r.failures for r in again] and again[1].done == 2
    # A batch of which a part has come: the rest runs.
    z = remote.new()
    rest = [*second, c.Call([z], "aten.add.Tensor", [ref(x), ref(x)], {})]
    reply = remote.send(rest, first=1)
    assert reply.done == 3 and len(reply.failures) == 1
    remote.sent = 3
    assert remote.fetch(z).tolist() == [2, 2]


def test_batches_that_overtake_each_other_wait(remote: Remote) -> None:
    x = remote.put(torch.zeros(1))
    batches = []
    for _ in range(8):
        out = remote.new()
        batches.append([c.Call([out], "aten.add.Tensor", [ref(x), 1.0], {})])
        x = out
    replies: dict[int, c.RanActions] = {}

    def send(index: int) -> None:
        replies[index] = remote.send(batches[index], first=1 + index)

    threads = [threading.Thread(target=send, args=(index,)) for index in reversed(range(8))]
    for thread in threads:
        thread.start()
        time.sleep(0.01)
    result = remote.fetch(x, after=9)  # waits as well
    for thread in threads:
        thread.join()
    assert result.item() == 8 and len(replies) == 8


def test_a_gap_is_a_conflict(remote: Remote, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ordering, "PATIENCE", 0.2)
    with pytest.raises(Conflict):
        remote.send([c.Drop([])], first=5)
    with pytest.raises(Conflict):
        remote.fetch(after=1)
    assert remote.put(torch.ones(1)) == 0


def test_a_closed_session_is_lost(remote: Remote) -> None:
    remote.close()
    for refused in (lambda: remote.put(torch.ones(1)), remote.close, lambda: remote.fetch(after=0)):
        with pytest.raises(SessionLost):
            refused()


# -- keeping -------------------------------------------------------------------------------------------------


def test_results_are_kept_as_objects(lab: Lab, remote: Remote) -> None:
    x = torch.randn(3)
    a, b = remote.put(x), remote.put(x * 2)
    one = remote.keep(a, description="mine", tags=["t"], searchable=True)
    assert one.kind == "tensor" and one.shape == [3] and one.owner == lab.sue.id and one.may_read
    assert torch.equal(lab.sue.get(one.id), x)
    named = remote.keep(a, b, names=["first", "second"])
    assert torch.equal(lab.sue.get(named.id, "tensors")["second"], x * 2)
    several = remote.keep(a, b)
    assert torch.equal(lab.sue.get(several.id, "list")[0], x)
    with pytest.raises(Forbidden):
        lab.sam.get(one.id)  # found, not read
    with pytest.raises(NotFound):
        lab.sam.get(several.id)
    for names in (["a"], ["a", "a"], ["a", "__metadata__"]):
        with pytest.raises(BadRequest):
            remote.keep(a, b, names=names)


def test_keeping_has_a_quota_for_who_may_not_upload(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(DEFAULTS, "object_bytes", 1000)
    remote = lab.sam.open()
    a = remote.put(torch.zeros(100))
    remote.keep(a)
    with pytest.raises(QuotaExceeded):
        remote.keep(a, a)
    remote.close()
    mine = lab.owner.open()
    mine.keep(mine.put(torch.zeros(1000)))
    mine.close()


def test_one_user_has_a_few_sessions_of_their_own(lab: Lab, remote: Remote) -> None:
    assert [s.session_id for s in lab.sue.call(c.ListComputeSessions()).sessions] == [remote.id]
    assert lab.sam.call(c.ListComputeSessions()).sessions == []
    stolen = Remote(lab.sam, remote.id)
    for theft in (lambda: stolen.put(torch.ones(1)), stolen.close, lambda: stolen.fetch(after=0)):
        with pytest.raises(SessionLost):
            theft()
    with pytest.raises(NotFound):
        lab.sue.open("0" * 32)
