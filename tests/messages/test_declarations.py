"""What a message or an operation cannot be declared as."""

from __future__ import annotations

import msgspec
import pytest

from syft_ext.messages.datasets import Column
from syft_ext.messages.operation import Empty, Message, operation
from syft_ext.messages.permissions import USER, flag
from syft_ext.messages.plan_facts import PlanCost, PlanFacts, PlanInput, PlanOutput


def test_an_operation_is_declared_once_documented_and_with_the_fields_of_its_path() -> None:
    class Undocumented(Message):
        id: str

    Undocumented.__doc__ = None

    class Documented(Message):
        """Does nothing."""

        id: str

    for name, rest, message in (
        ("policy.get", "GET /nothing", Documented),
        ("nothing.get", "GET /nothing/{other}", Documented),
        ("nothing.get", "GET /nothing/{id}", Undocumented),
    ):
        with pytest.raises(TypeError, match="declared twice, undocumented, or path names"):
            operation(name, rest=rest, reply=Empty, permission=USER)(message)


def test_no_operation_asks_for_a_flag_that_no_role_can_carry() -> None:
    with pytest.raises(ValueError, match="no such permission flag: can_fly"):
        flag("can_fly")


@pytest.mark.parametrize("bounds", [{"low": 1.0}, {"high": 1.0}, {"low": 2.0, "high": 1.0}])
def test_a_column_has_two_bounds_in_their_order_or_none(bounds: dict[str, float]) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert({"name": "age", **bounds}, Column)


def test_what_the_sizes_of_data_would_follow_from_can_be_hidden() -> None:
    facts = PlanFacts(
        plan_id="ab",
        name="mean",
        kind="statistics",
        inputs=[
            PlanInput(name="x", role="data", source="object", dtype="f32", shape=[12, 3], object_id="cd"),
            PlanInput(name="w", role="hyper", source="value", dtype="f32", shape=[3]),
        ],
        outputs=[PlanOutput(name="out", role="result", dtype="f32", shape=[12])],
        cost=PlanCost(operations=1, flops=36, peak_bytes=144, output_bytes=48),
        problem="12 rows, the plan takes 10",
    )
    hidden = facts.hidden()
    assert [each.shape for each in hidden.inputs] == [None, [3]]
    assert [each.shape for each in hidden.outputs] == [None]
    assert (hidden.cost, hidden.problem) == (None, "")
    assert "12" not in str(msgspec.json.encode(hidden)) and facts.cost is not None
