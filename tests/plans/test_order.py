"""What a step returns goes back where it came from: results in another order, of the same types, are refused."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from syft_ext.plans import TraceError, trace
from syft_ext.plans.tracing import optim

X, Y = torch.arange(16.0).reshape(8, 2) / 8 - 1, torch.arange(16.0).reshape(8, 2).flip(0) / 9
PARAMS = {"a": torch.eye(2), "b": 2 * torch.eye(2)}
LIST = list(PARAMS.values())
ZEROS = [torch.zeros(2, 2)] * 2


def gradients(x: Any, y: Any, params: Any) -> Any:
    own = [p.detach().requires_grad_() for p in params]
    loss = (x @ own[0] @ own[1] - y).pow(2).mean()
    return loss, torch.autograd.grad(loss, own)


def updated(x: Any, y: Any, lr: Any, params: Any) -> tuple[Any, dict[str, Any]]:
    loss, found = gradients(x, y, params.values())
    return loss, {name: p - lr * g for (name, p), g in zip(params.items(), found, strict=True)}


def in_order(x: Any, y: Any, lr: Any, params: Any) -> Any:
    loss, new = updated(x, y, lr, params)
    return loss, new


def turned_round(x: Any, y: Any, lr: Any, params: Any) -> Any:
    loss, new = updated(x, y, lr, params)
    return loss, {"b": new["b"], "a": new["a"]}


def test_a_mapping_goes_back_by_its_keys() -> None:
    assert [each.role for each in trace(in_order, X, Y, 0.1, PARAMS).outputs] == ["metric", "param", "param"]
    with pytest.raises(TraceError, match=r"returns params\.b where params\.a is expected"):
        trace(turned_round, X, Y, 0.1, PARAMS)


def test_arguments_that_are_returned_under_their_names_in_another_order_are_refused() -> None:
    def exchanged(x: Any, y: Any, lr: Any, w: Any, b: Any) -> Any:
        loss, (dw, db) = gradients(x, y, [w, b])
        w, b = w - lr * dw, b - lr * db
        return loss, b, w

    with pytest.raises(TraceError, match="returns b where w is expected"):
        trace(exchanged, X, Y, 0.1, *LIST, roles={"w": "param", "b": "param"})


def momentum(x: Any, y: Any, lr: Any, params: Any, velocity: Any) -> Any:
    loss, found = gradients(x, y, params)
    p, v = optim.momentum(params, found, velocity, lr)
    return loss, p, v


def momentum_first(x: Any, y: Any, lr: Any, params: Any, velocity: Any) -> Any:
    loss, p, v = momentum(x, y, lr, params, velocity)
    return loss, v, p


def adam(x: Any, y: Any, lr: Any, params: Any, m: Any, v: Any, step: Any) -> Any:
    loss, found = gradients(x, y, params)
    p, new_m, new_v, after = optim.adam(params, found, m, v, step, lr)
    return loss, p, new_m, new_v, after


def adam_last(x: Any, y: Any, lr: Any, params: Any, m: Any, v: Any, step: Any) -> Any:
    loss, p, new_m, new_v, after = adam(x, y, lr, params, m, v, step)
    return loss, new_m, new_v, after, p


@pytest.mark.parametrize("rate", [0.0, 0.001, 0.1])
def test_a_state_is_not_taken_for_parameters(rate: float) -> None:
    states = [ZEROS, ZEROS, torch.tensor(0.0)]
    assert trace(momentum, X, Y, rate, LIST, ZEROS).outputs[1].role == "param"
    assert trace(adam, X, Y, rate, LIST, *states).outputs[1].role == "param"
    with pytest.raises(TraceError, match="seems to be an updated parameter where a state is expected"):
        trace(momentum_first, X, Y, rate, LIST, ZEROS)
    with pytest.raises(TraceError, match="seems to be an updated parameter where a state is expected"):
        trace(adam_last, X, Y, rate, LIST, *states)


def test_what_is_said_of_results_holds() -> None:
    said = {"v": "state", "p": "param"}
    plan = trace(momentum_first, X, Y, 0.1, LIST, ZEROS, outputs=said)  # type: ignore[arg-type]
    assert [each.role for each in plan.outputs] == ["metric", "state", "state", "param", "param"]
