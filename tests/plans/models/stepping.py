"""A training step of a model, as README writes it: recorded as a plan, and in plain PyTorch."""

from __future__ import annotations

import inspect
import warnings
from typing import Any

import torch
from torch import Tensor, nn

import syft_ext as sy
from syft_ext.plans import Plan
from syft_ext.plans.tracing.optim import adam, adam_state

from .zoo import Case

__all__ = ["plain_step", "recorded", "run"]

_LR, _EPS = 0.01, 1e-3  # an eps at which the rounding of a gradient that is zero decides nothing


class _Whole(nn.Module):
    """The loss as a module, so that ``functional_call`` reaches losses with parts of their own too."""

    def __init__(self, case: Case) -> None:
        super().__init__()
        self.model, self.case = case.model(), case

    def forward(self, *data: Tensor) -> Tensor:
        return self.case.loss(self.model, *data)


def _trained(model: nn.Module) -> dict[str, Tensor]:
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def recorded(case: Case) -> tuple[Plan, nn.Module]:
    """The plan of one step (gradients and Adam), and the module it begins with."""
    model = _Whole(case)
    names, buffers = list(_trained(model)), [name for name, _ in model.named_buffers()]
    examples: dict[str, Any] = {f"x{i}": x if case.fixed else sy.Batch(x) for i, x in enumerate(case.data)}
    rows = len(examples)
    examples["params"] = sy.Param(_trained(model).values())
    if buffers:
        examples["buffers"] = sy.Buffer(model)
    m, v, count = adam_state(list(_trained(model).values()))
    examples |= {"moments": sy.State([*m, *v, count]), "lr": sy.Option(_LR)}
    if case.draws:
        examples["seed"] = sy.Seed(0)

    def step(**given: Any) -> list[Tensor]:
        leaves = [p.detach().requires_grad_() for p in given["params"]]
        kept = list(given.get("buffers", ()))
        tensors = dict(zip(names, leaves, strict=True)) | dict(zip(buffers, kept, strict=True))
        data = tuple(given[f"x{i}"] for i in range(rows))
        loss = torch.func.functional_call(model, tensors, data)
        grads = torch.autograd.grad(loss, leaves)
        size, state = len(leaves), given["moments"]
        new, m, v, count = adam(leaves, grads, state[:size], state[size:-1], state[-1], given["lr"], eps=_EPS)
        return [loss, *new, *m, *v, count, *kept]

    parameters = [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=x) for name, x in examples.items()
    ]
    step.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return sy.make_plan(step), model


def run(plan: Plan, case: Case, model: nn.Module) -> list[Tensor]:
    """What the plan makes of the case's data: loss, parameters, buffers."""
    parameters, buffers = list(_trained(model).values()), list(model.buffers())
    m, v, count = adam_state(parameters)
    flat = [*case.data, *parameters, *buffers, *m, *v, count, torch.tensor(_LR)]
    out = plan.run([x.detach() for x in flat])
    return [*out[: 1 + len(parameters)], *out[2 + 3 * len(parameters) :]]


def plain_step(case: Case) -> list[Tensor]:
    """The same by ``loss.backward()`` and ``torch.optim.Adam``."""
    model = _Whole(case)
    optimizer = torch.optim.Adam(_trained(model).values(), lr=_LR, eps=_EPS)
    loss = model(*case.data)
    loss.backward()
    optimizer.step()
    return [x.detach() for x in (loss, *_trained(model).values(), *model.buffers())]
