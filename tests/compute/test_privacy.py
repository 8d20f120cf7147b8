"""Who may not read learns nothing of the values by any answer: failures, poison, counts, memory, sizes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
import pytest
import torch

from syft_ext.errors import Forbidden, GridError, OperationFailed
from syft_ext.messages import compute as c

from .lab import Lab, Remote, ref

pytestmark = pytest.mark.parametrize("lab", ["sqlite"], indirect=True)  # nothing here depends on the engine

#: Operations that fail for some elements of their operands and not for others: (name, arguments after x).
DEPENDING: list[tuple[str, Callable[[int, int], list[Any]]]] = [
    ("aten.index_select.default", lambda x, data: [ref(data), 0, ref(x)]),
    ("aten.gather.default", lambda x, data: [ref(data), 0, ref(x)]),
    ("aten.embedding.default", lambda x, data: [ref(data), ref(x)]),
    ("aten.index.Tensor", lambda x, data: [ref(data), ["l", ref(x)]]),
    ("aten.scatter.value", lambda x, data: [ref(data), 0, ref(x), 1.0]),
    ("aten.remainder.Tensor", lambda x, data: [ref(x), ref(x)]),
    ("aten.div.Tensor_mode", lambda x, data: [ref(x), ref(x)]),
    ("aten.bitwise_right_shift.Tensor_Scalar", lambda x, data: [ref(x), 1]),
]


def observe(remote: Remote, secret: str) -> list[Any]:
    """Everything that a user without the permission to read is told during a program on ``secret``."""
    seen: list[Any] = []

    def told(what: Callable[[], Any]) -> None:
        try:
            answer = what()
        except GridError as error:
            answer = (type(error).__name__, error.detail)
        seen.append(msgspec.to_builtins(answer))

    x = remote.load(secret)
    data = remote.put(torch.ones(4, 3))
    vector = remote.put(torch.ones(4))
    for op, arguments in DEPENDING:
        operand = data if op == "aten.embedding.default" else vector
        kwargs = {"rounding_mode": "floor"} if op == "aten.div.Tensor_mode" else {}
        out = remote.new()
        told(lambda o=out, n=op, d=operand, k=kwargs, a=arguments: remote.send([c.Call([o], n, a(x, d), k)]))
        after = [remote.new(), remote.new(), remote.new()]
        told(
            lambda o=out, a=after: remote.send(
                [
                    c.Call([a[0]], "aten.reshape.default", [ref(o), ["l", -1]], {}),
                    c.Call([a[1]], "aten.sum.default", [ref(a[0])], {}),
                    c.Call([a[2]], "aten.expand.default", [ref(a[1]), ["l", 1 << 12]], {}),
                ]
            )
        )
        told(lambda o=out: remote.fetch(o))
        told(lambda a=after: remote.check(a[2]).readable)
        told(lambda a=after: remote.fetch(a[2]))
        told(lambda o=out: (lambda kept: (kept.size, kept.dtype, kept.shape, kept.may_read))(remote.keep(o)))
        told(remote.failures)
        told(lambda: [(v.done, v.values, v.memory) for v in [remote.view()]])
        told(lambda o=out: remote.send([c.Drop([o])]))
        told(lambda: [(v.done, v.values, v.memory) for v in [remote.view()]])
    # Shapes that depend on elements are refused whatever these are.
    truth = remote.do("aten.gt.Scalar", ref(x), 2)
    for op in ("aten.index.Tensor",):
        told(lambda o=op: remote.do(o, ref(vector), ["l", ref(truth)]))
    told(remote.failures)
    return seen


def test_answers_do_not_depend_on_elements(lab: Lab) -> None:
    """Two secrets: on one everything works, on the other everything fails. The user sees no difference."""
    seen = []
    for values in ([1, 2, 3, 1], [10**12, -7, 0, 4]):
        secret = lab.owner.put(torch.tensor(values))
        lab.owner.share(secret, programmers=[lab.sue.id])
        remote = lab.sue.open()
        answers = observe(remote, secret)
        remote.close()
        seen.append(str(answers).replace(secret, "SECRET"))
    assert seen[0] == seen[1]
    assert "OperationFailed" not in seen[0] and "Forbidden" in seen[0]


def test_who_may_read_is_told_what_failed_and_why(lab: Lab) -> None:
    for values, works in (([1, 2, 3, 1], True), ([10**12, -7, 0, 4], False)):
        secret = lab.owner.put(torch.tensor(values))
        remote = lab.owner.open()
        x, table = remote.load(secret), remote.put(torch.arange(4.0))
        chosen = remote.do("aten.index_select.default", ref(table), 0, ref(x))
        total = remote.do("aten.sum.default", ref(chosen))
        shape = remote.do("aten.full_like.default", ref(chosen), 5.0)
        kept = remote.keep(total)
        assert remote.failures() == []
        if works:
            assert remote.fetch(total).item() == lab.owner.get(kept.id).item() == 7
        else:
            for value in (chosen, total, shape):
                with pytest.raises(OperationFailed, match="index"):
                    remote.fetch(value)
            assert torch.isnan(lab.owner.get(kept.id))
        remote.close()


def test_a_failure_is_as_confidential_as_all_that_it_comes_from(lab: Lab) -> None:
    index = lab.owner.put(torch.tensor([9]))
    lab.owner.share(index, programmers=[lab.sue.id])
    remote = lab.sue.open()
    mine = remote.put(torch.ones(2))
    broken = remote.do("aten.index_select.default", ref(mine), 0, ref(remote.load(index)))
    laundered = remote.do("aten.zeros_like.default", ref(broken))  # not a bit of it, and yet
    for value in (broken, laundered):
        with pytest.raises(Forbidden):
            remote.fetch(value)
    kept = remote.keep(laundered)
    with pytest.raises(Forbidden):
        lab.sue.get(kept.id)
    remote.close()
