"""Plans as ONNX: the fifteen examples step by step, what is refused, and what a model says of itself."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable

import numpy as np
import onnx
import pytest
import torch

from syft_ext.errors import VALUES, InvalidPlan, Unavailable, Unsupported
from syft_ext.plans import Int, Limits, Plan, trace
from syft_ext.plans.graph.ops import opset_of
from syft_ext.plans.onnx.executor import OnnxExecutor, session_of

from ..documents import forge
from ..examples import Example, all_examples

STEPS = 10
NAMES = sorted(all_examples(lstm_length=6))


@pytest.mark.parametrize("name", NAMES)
def test_ten_steps_are_those_of_torch(
    name: str, examples: dict[str, Example], traced: Callable[[str], Plan]
) -> None:
    plan, example = traced(name), examples[name]
    executor = OnnxExecutor(plan.document)
    executor.self_test()
    flat = [each.detach() for each in plan.flatten((), example.arguments)]
    ours, theirs = flat, [each.numpy() for each in flat]
    carried = [
        (place, index)
        for role in ("param", "state", "buffer")
        for place, index in zip(_places(plan.outputs, role), _places(plan.inputs, role), strict=False)
    ]
    for _ in range(STEPS):
        results, found = plan.run(ours), executor.run(theirs)
        for output, expected, result in zip(plan.outputs, results, found, strict=True):
            if output.role == "metric":
                np.testing.assert_allclose(result, expected.numpy(), rtol=1e-4, atol=1e-5)
        ours, theirs = list(ours), list(theirs)
        for place, index in carried:
            ours[index], theirs[index] = results[place], found[place]
    for expected, result in zip(results, found, strict=True):
        # Adam's steps are of one size whatever the gradient: one that is zero but for rounding moves by it.
        tolerance = 2e-2 if "adam" in name else 1e-4
        np.testing.assert_allclose(result, expected.numpy(), rtol=1e-3, atol=tolerance)


def _places(values: list[object], role: str) -> list[int]:
    return [place for place, each in enumerate(values) if getattr(each, "role", "") == role]


def test_a_model_has_the_plans_names_and_runs_by_itself(traced: Callable[[str], Plan]) -> None:
    plan = traced("logistic_regression")
    model = onnx.load_from_string(plan.to_onnx(B=5))
    assert [each.name for each in model.graph.input] == [each.name for each in plan.inputs]
    facts = {each.key: each.value for each in model.metadata_props}
    assert json.loads(facts["sizes"]) == {"B": 5}
    onnx.checker.check_model(model, full_check=True)
    session = session_of(model.SerializeToString())
    flat = [
        torch.ones(5, *each.shape[1:]) if each.role in ("data", "target") else None for each in plan.inputs
    ]
    given = {
        item.name: (torch.zeros(item.shape) if each is None else each).numpy()
        for item, each in zip(plan.inputs, flat, strict=True)
    }
    found = session.run(None, given)
    expected = plan.run([torch.from_numpy(given[item.name]) for item in plan.inputs])
    for result, tensor in zip(found, expected, strict=True):
        np.testing.assert_allclose(result, tensor.numpy(), rtol=1e-5, atol=1e-6)


def test_no_transpose_of_a_model_is_an_identity_and_no_product_has_a_vector(
    traced: Callable[[str], Plan],
) -> None:
    """Both have been folded into wrong results (onnxruntime 1.31, microsoft/onnxruntime#32228)."""
    for name in ("mlp_sgd", "logistic_regression", "transformer_adam", "kmeans"):
        model = onnx.shape_inference.infer_shapes(
            onnx.load_from_string(traced(name).to_onnx()), strict_mode=True
        )
        ranks = {
            each.name: len(each.type.tensor_type.shape.dim)
            for each in (*model.graph.value_info, *model.graph.input, *model.graph.output)
        } | {each.name: len(each.dims) for each in model.graph.initializer}
        for node in model.graph.node:
            if node.op_type == "Transpose":
                (order,) = [list(each.ints) for each in node.attribute if each.name == "perm"]
                assert order != sorted(order)
            if node.op_type == "MatMul":
                assert all(ranks[each] >= 2 for each in node.input)


@pytest.mark.parametrize("dtype", ["f16", "bf16"])
def test_halves_are_refused_by_name(dtype: str) -> None:
    plan = Plan(forge([("aten.add.Tensor", [["r", 0], ["r", 0]])], dtype=dtype, output=(dtype, (4, 4))))
    with pytest.raises(Unsupported, match=dtype):
        plan.to_onnx()


@pytest.mark.parametrize("name", ["lgamma", "digamma", "erfc", "erfinv"])
def test_what_onnx_cannot_say_is_refused_by_name(name: str) -> None:
    plan = Plan(forge([(f"aten.{name}.default", [["r", 0]])]))
    assert opset_of(plan.document.ops) == 2
    with pytest.raises(Unsupported, match=name) as caught:
        plan.to_onnx()
    assert caught.value.extra["op"] == f"aten.{name}.default"


def test_limits_hold_before_anything_is_allocated() -> None:
    steps = [("aten.full.default", [["l", 1 << 20, 1 << 20], 1.0]), ("aten.sum.default", [["r", 1]])]
    executor = OnnxExecutor(forge(steps, output=("f32", ())))
    with pytest.raises(InvalidPlan, match="elements in one tensor"):
        executor.run([np.zeros((4, 4), np.float32)])
    small = OnnxExecutor(forge([("aten.mm.default", [["r", 0], ["r", 0]])]), Limits(max_flops=10))
    with pytest.raises(InvalidPlan, match="floating-point operations"):
        small.run([np.zeros((4, 4), np.float32)])


def test_a_failure_on_values_says_so() -> None:
    steps = [
        ("aten._to_copy.default", [["r", 0]], {"dtype": ["d", "i64"]}),
        ("aten.embedding.default", [["r", 0], ["r", 1]]),
    ]
    executor = OnnxExecutor(forge(steps, output=("f32", (4, 4, 4))))
    assert executor.run([np.zeros((4, 4), np.float32)])[0].shape == (4, 4, 4)
    with pytest.raises(InvalidPlan) as caught:
        executor.run([np.full((4, 4), 9, np.float32)])
    assert caught.value.extra["reason"] == VALUES


def test_without_the_package_it_says_what_to_install(
    traced: Callable[[str], Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr("syft_ext.plans.onnx.export.find_spec", lambda name: None)
    with pytest.raises(Unavailable, match=r"grid-platform\[onnx\]"):
        traced("kmeans").to_onnx()


def test_a_plan_that_answers_otherwise_is_not_exported(traced: Callable[[str], Plan]) -> None:
    import msgspec

    document = traced("kmeans").document
    first = msgspec.structs.replace(document.selftest.outputs[0], mean=77.0)
    test = msgspec.structs.replace(document.selftest, outputs=[first, *document.selftest.outputs[1:]])
    with pytest.raises(InvalidPlan, match="self-test"):
        Plan(msgspec.structs.replace(document, selftest=test)).to_onnx()


def test_draws_of_a_plan_are_the_same(examples: dict[str, Example], traced: Callable[[str], Plan]) -> None:
    """Dropout's masks come from whole numbers, which are exact."""

    def draws(x: torch.Tensor, seed: int) -> torch.Tensor:
        return torch.nn.functional.dropout(x, 0.5)

    plan = trace(draws, x=torch.ones(64, 9), seed=Int(3))
    flat = plan.flatten((torch.ones(64, 9), 5))
    (expected,), (found,) = plan.run(flat), OnnxExecutor(plan.document).run([each.numpy() for each in flat])
    assert 0 < int((expected == 0).sum()) < expected.numel()
    assert (expected.numpy() == found).all()
