"""A block of operations captured once, sent once, and run where the data are."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.utils._pytree as pytree

from syft_ext.messages.compute import RunPlan
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import eval_shape
from syft_ext.plans.ir import Plan
from syft_ext.plans.tracing.decorator import trace
from syft_ext.pointers.cells import meta_of
from syft_ext.pointers.record import bring_along, session_of
from syft_ext.pointers.routes import add_functions
from syft_ext.pointers.tensor import RemoteTensor, wrap

__all__ = ["remote", "run_plan"]


def run_plan(plan: Plan, flat: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
    """Run a plan where its remote inputs are; the results stay there. Local inputs are sent along.

    Raises :class:`~syft_ext.errors.InvalidPlan` when an input does not fit.
    """
    session = session_of(flat, {})
    binding = plan.bind(flat)
    session.plan(plan.id, plan.dumps())
    with torch.no_grad():
        inputs = [t if isinstance(t, RemoteTensor) else bring_along(session, t) for t in flat]
    numbers = [tensor.cell.now().number for tensor in inputs]
    handles = session.record(
        len(plan.outputs), lambda outs: RunPlan(outs=outs, plan_id=plan.id, inputs=numbers)
    )
    metas = [
        meta_of(torch.empty(eval_shape(output.shape, binding), dtype=DTYPES[output.dtype], device="meta"))
        for output in plan.outputs
    ]
    return tuple(wrap(session, handle, meta) for handle, meta in zip(handles, metas, strict=True))


add_functions({RemoteTensor.run_plan: run_plan})


def remote(function: Callable[..., Any]) -> Callable[..., Any]:
    """Decorate a function so that it goes to the data whole: recorded once for arguments of a form, then one
    action per call however many operations it has.

        @sy.remote
        def step(x, y, w): ...
        loss, w = step(data, target, w)

    Its tensors are arguments (in lists, tuples and dicts as well); everything else is configuration. With local
    arguments only it is an ordinary function. Raises :class:`~syft_ext.plans.TraceError`.
    """
    plans: dict[Any, Plan] = {}

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = pytree.tree_flatten((args, kwargs))
        if not any(isinstance(leaf, RemoteTensor) for leaf in leaves):
            return function(*args, **kwargs)
        key = spec, tuple(_form(leaf) for leaf in leaves)
        if key not in plans:
            plans[key] = _capture(function, leaves, spec)
        plan = plans[key]
        return plan([leaf for leaf in leaves if isinstance(leaf, torch.Tensor)])

    return call


def _form(leaf: Any) -> Any:
    if isinstance(leaf, torch.Tensor):
        return leaf.dtype, tuple(leaf.shape), leaf.requires_grad
    return type(leaf), leaf


def _capture(function: Callable[..., Any], leaves: list[Any], spec: pytree.TreeSpec) -> Plan:
    def block(tensors: list[torch.Tensor]) -> Any:
        given = iter(tensors)
        filled = [next(given) if isinstance(leaf, torch.Tensor) else leaf for leaf in leaves]
        args, kwargs = pytree.tree_unflatten(filled, spec)
        return function(*args, **kwargs)

    examples = [
        torch.zeros(leaf.shape, dtype=leaf.dtype, requires_grad=leaf.requires_grad)
        for leaf in leaves
        if isinstance(leaf, torch.Tensor)
    ]
    block.__name__, block.__doc__ = getattr(function, "__name__", "block"), function.__doc__
    return trace(block, examples, symbols={}, roles={"tensors": "data"})
