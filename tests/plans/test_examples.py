"""The thirteen computations: traced, sent as bytes, checked and run, they equal eager PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from syft_ext.plans import Limits, Plan
from syft_ext.plans.ir import flat_results

from .examples import Example, all_examples

NAMES = list(all_examples())
# One Adam step divides gradients of 1e-9 by their own size; the order of the additions shows there.
TOLERANCE = {"transformer_torch_adam": 2e-4, "transformer_adam": 2e-4, "mlp_torch_adam": 1e-6}


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.filterwarnings("ignore:var..:UserWarning")  # eager warns about the variance of one row, rightly
def test_the_plan_equals_eager_at_every_batch_size(
    name: str, examples: dict[str, Example], traced: Callable[[str], Plan]
) -> None:
    plan, example = traced(name), examples[name]
    plan.self_test()
    for size in (None, 1, 7, 33) if example.symbols else (None,):
        arguments = example.arguments if size is None else example.rebatch(size)
        before = [tensor.clone() for tensor in plan.flatten((), arguments)]
        found = flat_results(plan(**arguments))
        assert all(torch.equal(a, b) for a, b in zip(before, plan.flatten((), arguments), strict=True))
        if example.has_seed:
            continue  # eager draws other dropout masks: test_dropout
        expected = flat_results(example.function(**arguments))
        for output, a, b in zip(plan.outputs, expected, found, strict=True):
            torch.testing.assert_close(
                b,
                a.detach(),
                rtol=1e-4,
                atol=TOLERANCE.get(name, 1e-6),
                equal_nan=True,
                msg=lambda m, o=output: f"{o.name}: {m}",
            )


@pytest.mark.parametrize("name", NAMES)
def test_the_check_prices_every_example_within_modest_limits(
    name: str, traced: Callable[[str], Plan]
) -> None:
    plan = traced(name)
    cost = plan.check(Limits(max_bytes=1 << 28, max_flops=10**10))
    assert cost.ops == len(plan.document.nodes) and cost.peak_bytes > 0 and cost.flops > 0


def test_roles_of_a_training_plan(traced: Callable[[str], Plan]) -> None:
    plan = traced("cnn_batchnorm")
    assert plan.kind == "training"
    roles = {role: len(plan.inputs_with_role(role)) for role in ("data", "target", "hyper", "param", "state")}
    assert roles == {"data": 1, "target": 1, "hyper": 1, "param": 8, "state": 8}
    assert [(o.role, o.name) for o in plan.outputs[:3]] == [
        ("metric", "loss"),
        ("metric", "accuracy"),
        ("param", "params.0"),
    ]
    for role in ("param", "state", "buffer"):
        expected = [(item.dtype, item.shape) for item in plan.inputs_with_role(role)]
        assert [(out.dtype, out.shape) for out in plan.outputs_with_role(role)] == expected


def test_fifty_steps_of_training_follow_eager(
    examples: dict[str, Example], traced: Callable[[str], Plan]
) -> None:
    plan, example = traced("mlp_sgd"), examples["mlp_sgd"]
    fixed = {key: example.arguments[key] for key in ("x", "y", "lr")}
    mine = theirs = example.arguments["params"]
    losses = []
    for _ in range(50):
        loss, _, *mine = plan(**fixed, params=mine)
        _, _, *theirs = example.function(**fixed, params=theirs)
        losses.append(float(loss))
    assert losses[-1] < 0.1 < 2 < losses[0]
    for a, b in zip(mine, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-5)


def test_dropout_draws_from_the_seed(examples: dict[str, Example], traced: Callable[[str], Plan]) -> None:
    plan, arguments = traced("mlp_dropout"), dict(examples["mlp_dropout"].arguments)
    first, again = plan(**{**arguments, "seed": 1}), plan(**{**arguments, "seed": 1})
    other = plan(**{**arguments, "seed": 2})
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[2], other[2])
    del arguments["seed"]  # a seed has a default: the example
    assert torch.equal(plan(**arguments)[0], plan(**{**arguments, "seed": 7})[0])
