"""Kernels that do not keep to what was announced: a result of another type or shape goes nowhere."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from grid.compute.checking import Checker
from grid.compute.kernels import apply, own
from grid.compute.values import SessionMemory, Value
from syft_ext.errors import InvalidPlan
from syft_ext.messages.compute import Call
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.graph.ops import ALLOWED
from syft_ext.plans.ir import Plan
from tests.plans.documents import forge_calls, ints, ref


class Lying:
    """An operation whose meta implementation announces what its kernel does not give."""

    def __init__(self, given: torch.Tensor) -> None:
        self.given, self.true = given, ALLOWED["aten.exp.default"]
        self._schema, self.overloadpacket = self.true._schema, self.true.overloadpacket

    def __call__(self, x: torch.Tensor) -> Any:
        return self.true(x) if type(x) is not torch.Tensor else self.given

    @property
    def _op(self) -> Any:
        return self


OTHERS = {
    "a shape": torch.ones(4, 3),
    "a rank": torch.ones(3, 4, 1),
    "fewer elements": torch.ones(1, 4),
    "a type": torch.ones(3, 4, dtype=torch.float64),
    "a type of the same size": torch.ones(3, 4, dtype=torch.int32),
}


@pytest.mark.parametrize("other", OTHERS)
def test_a_result_of_another_type_or_shape_goes_nowhere(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    monkeypatch.setitem(ALLOWED, "aten.exp.default", Lying(OTHERS[other]))
    plan = Plan(
        forge_calls(
            [("f32", (3, 4))],
            [("aten.exp.default", [ref(0)]), ("aten.neg.default", [ref(1)])],
            ("f32", (3, 4)),
        )
    )
    with pytest.raises(InvalidPlan, match="than announced"):
        plan.run([torch.ones(3, 4)])
    value = _pointed("aten.exp.default", torch.ones(3, 4))
    assert "than announced" in value.failure
    assert value.tensor.shape == (3, 4) and value.tensor.isnan().all()


def test_a_result_laid_out_otherwise_is_laid_out_as_announced(monkeypatch: pytest.MonkeyPatch) -> None:
    given = torch.arange(12.0).reshape(4, 3).t()
    monkeypatch.setitem(ALLOWED, "aten.exp.default", Lying(given))
    plan = Plan(
        forge_calls(
            [("f32", (3, 4))],
            [("aten.exp.default", [ref(0)]), ("aten.reshape.default", [ref(1), ints(12)])],
            ("f32", (12,)),
        )
    )
    (flat,) = plan.run([torch.ones(3, 4)])
    assert torch.equal(flat, given.reshape(-1))
    value = _pointed("aten.exp.default", torch.ones(3, 4))
    assert value.tensor.is_contiguous() and torch.equal(value.tensor, given) and not value.failure


def _pointed(op: str, *operands: torch.Tensor) -> Value:
    values = {number: own(tensor, 0) for number, tensor in enumerate(operands)}
    call = Call(outs=[100], op=op, args=[ref(number) for number in values], kwargs={})
    with torch._C._AutoDispatchBelowAutograd():
        (value,) = apply(call, values, Checker(Limits()), SessionMemory(1 << 30))
    assert isinstance(value, Value)
    return value
