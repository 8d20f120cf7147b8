"""The functional optimisers and the adapter equal torch.optim over several steps."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from syft_ext.plans import Plan, trace
from syft_ext.plans.tracing import optim

torch.manual_seed(0)
X, Y, W = torch.randn(16, 3), torch.randn(16), torch.randn(3)


def gradient(w: Tensor, x: Tensor, y: Tensor) -> Tensor:
    leaf = w.detach().requires_grad_()
    (grad,) = torch.autograd.grad(((x @ leaf - y) ** 2).mean(), leaf)
    return grad


def reference(kind: type[torch.optim.Optimizer], steps: int, **options: Any) -> Tensor:
    w = W.clone().requires_grad_()
    optimizer = kind([w], lr=0.1, **options)
    for _ in range(steps):
        w.grad = gradient(w, X, Y)
        optimizer.step()
    return w.detach()


def run(plan: Plan, state: Any, steps: int) -> Tensor:
    plan = Plan.loads(plan.dumps())
    params = [W]
    for _ in range(steps):
        params, state = plan(X, Y, 0.1, params, state)
    return params[0]


def plain(x: Any, y: Any, lr: Any, params: Any, state: Any) -> Any:
    return optim.sgd(params, [gradient(params[0], x, y)], lr, weight_decay=0.01), state


def heavy_ball(x: Any, y: Any, lr: Any, params: Any, state: Any) -> Any:
    return optim.momentum(params, [gradient(params[0], x, y)], state, lr, beta=0.8)


def nesterov(x: Any, y: Any, lr: Any, params: Any, state: Any) -> Any:
    return optim.momentum(params, [gradient(params[0], x, y)], state, lr, nesterov=True)


def adam(x: Any, y: Any, lr: Any, params: Any, state: Any) -> Any:
    params, *state = optim.adam(params, [gradient(params[0], x, y)], *state, lr)
    return params, state


def adamw(x: Any, y: Any, lr: Any, params: Any, state: Any) -> Any:
    params, *state = optim.adamw(params, [gradient(params[0], x, y)], *state, lr, weight_decay=0.1)
    return params, state


@pytest.mark.parametrize(
    ("step", "state", "kind", "options"),
    [
        (plain, [torch.zeros(1)], torch.optim.SGD, {"weight_decay": 0.01}),
        (heavy_ball, optim.momentum_state([W]), torch.optim.SGD, {"momentum": 0.8}),
        (nesterov, optim.momentum_state([W]), torch.optim.SGD, {"momentum": 0.9, "nesterov": True}),
        (adam, list(optim.adam_state([W])), torch.optim.Adam, {}),
        (adamw, list(optim.adam_state([W])), torch.optim.AdamW, {"weight_decay": 0.1}),
    ],
    ids=["sgd", "momentum", "nesterov", "adam", "adamw"],
)
def test_functional_optimisers(
    step: Callable[..., Any], state: Any, kind: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    plan = trace(
        step, X, Y, 0.1, [W], state, roles={"state": "state"}, symbols={"x": {0: "B"}, "y": {0: "B"}}
    )
    torch.testing.assert_close(run(plan, state, 4), reference(kind, 4, **options), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        (torch.optim.SGD, {}),
        (torch.optim.SGD, {"momentum": 0.9, "nesterov": True, "weight_decay": 0.01}),
        (torch.optim.Adam, {}),
        (torch.optim.Adam, {"amsgrad": True}),
        (torch.optim.AdamW, {"weight_decay": 0.1}),
        (torch.optim.Adamax, {}),
    ],
)
def test_torch_optimisers_through_the_adapter(
    kind: type[torch.optim.Optimizer], options: dict[str, Any]
) -> None:
    state = optim.TorchOptimizer.init(kind, [W], **options)

    def step(x: Any, y: Any, lr: Any, params: Any, state: Any) -> Any:
        optimizer = optim.TorchOptimizer(kind, params, lr, state, **options)
        ((x @ optimizer.params[0] - y) ** 2).mean().backward()
        optimizer.step()
        return optimizer.params, optimizer.state

    plan = trace(step, X, Y, 0.1, [W], state)
    torch.testing.assert_close(run(plan, state, 4), reference(kind, 4, **options), rtol=1e-4, atol=1e-5)


def test_plain_use_of_torch_optim_on_parameters() -> None:
    def step(x: Any, y: Any, params: Any) -> Any:
        optimizer = torch.optim.SGD(params, lr=0.1)
        ((x @ params[0] - y) ** 2).mean().backward()
        optimizer.step()
        return params

    plan = trace(step, X, Y, [torch.nn.Parameter(W)])
    torch.testing.assert_close(plan(X, Y, [W])[0], reference(torch.optim.SGD, 1))
