"""A plan that returns gradients where parameters are expected: refused when it is traced, or said."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
import torch

import syft_ext as sy
from syft_ext.plans.tracing.errors import TraceError

X, Y = torch.randn(4, 3), torch.randint(0, 2, (4,))
PARAMS = [torch.randn(3, 2), torch.zeros(())]
Step = Callable[[torch.Tensor, Sequence[torch.Tensor]], Any]


def traced(step: Step, **kwargs: Any) -> sy.Plan:
    @sy.make_plan(**kwargs)
    def training_plan(  # type: ignore[no-untyped-def]
        xs=sy.Batch(X), ys=sy.Target(Y), lr=sy.Option(0.1), params=sy.Param([*PARAMS])
    ):
        weights = [each.detach().requires_grad_() for each in params]
        loss = torch.nn.functional.cross_entropy(xs @ weights[0] + weights[1], ys)
        return (loss, *step(loss, weights, lr))  # type: ignore[call-arg]

    return training_plan  # type: ignore[no-any-return]


def backward(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    loss.backward()  # type: ignore[no-untyped-call]
    return [each.grad for each in weights]


def by_autograd(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    return torch.autograd.grad(loss, weights)


def scaled(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    return [lr * (-each).clamp(-1, 1) for each in torch.autograd.grad(loss, weights)]


def clipped(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(weights, 1.0)
    return [each.grad.clone() for each in weights]


@pytest.mark.parametrize("step", [backward, by_autograd, scaled, clipped])
def test_gradients_are_not_averaged_as_parameters(step: Any) -> None:
    with pytest.raises(TraceError, match="is a gradient") as refusal:
        traced(step)
    assert "lr * param.grad" in str(refusal.value)


def test_who_says_that_they_are_results_gets_results() -> None:
    @sy.make_plan(outputs={"grads": "result"})
    def training_plan(xs=sy.Batch(X), ys=sy.Target(Y), params=sy.Param([PARAMS[0]])):  # type: ignore[no-untyped-def]
        weight = params[0].detach().requires_grad_()
        loss = torch.nn.functional.cross_entropy(xs @ weight, ys)
        grads = torch.autograd.grad(loss, [weight])
        return (loss, *grads)

    assert [output.role for output in training_plan.document.outputs] == ["metric", "result"]


def test_what_is_said_of_other_results_says_nothing_of_these() -> None:
    with pytest.raises(TraceError, match="is a gradient"):
        traced(backward, outputs={"loss": "result"})
    roles = [each.role for each in traced(backward, outputs={"params": "param"}).document.outputs]
    assert roles == ["metric", "param", "param"]


def sgd(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    return [w - lr * g for w, g in zip(weights, torch.autograd.grad(loss, weights), strict=True)]


def in_place(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    loss.backward()  # type: ignore[no-untyped-call]
    with torch.no_grad():
        for each in weights:
            each -= lr * each.grad
    return weights


def in_the_gradients_own_memory(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    grads = torch.autograd.grad(loss, weights)
    with torch.no_grad():
        return [g.mul_(-lr).add_(w) for w, g in zip(weights, grads, strict=True)]


def optimiser(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    step = torch.optim.SGD(weights, lr=0.1, momentum=0.9, weight_decay=0.01)
    loss.backward()  # type: ignore[no-untyped-call]
    step.step()
    return [each.detach() for each in weights]


def averaged_with_its_update(loss: torch.Tensor, weights: Sequence[torch.Tensor], lr: torch.Tensor) -> Any:
    moved = sgd(loss, weights, lr)
    return [torch.lerp(w, m, 0.5) for w, m in zip(weights, moved, strict=True)]


@pytest.mark.parametrize(
    "step", [sgd, in_place, in_the_gradients_own_memory, optimiser, averaged_with_its_update]
)
def test_parameters_that_moved_by_gradients_are_parameters(step: Any) -> None:
    roles = [output.role for output in traced(step).document.outputs]
    assert roles == ["metric", "param", "param"]
