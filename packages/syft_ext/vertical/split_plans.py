"""The two plans of a split network: a bottom for one owner, a top for the one with the label.

What crosses has its names: ``activations`` of a batch one way, ``gradients`` of its loss by them the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch

from syft_ext.errors import BadRequest
from syft_ext.plans import Batch, Option, Param, Plan, Target, trace

__all__ = ["bottom_plan", "leaves_of", "parts_of", "top_plan"]

_EXAMPLES = 4
Loss = Callable[[Any, Any], Any]


def parts_of(top: torch.nn.Module, own: torch.nn.Module | None) -> torch.nn.ModuleDict:
    """What is trained at the label's owner."""
    return torch.nn.ModuleDict({**({} if own is None else {"own": own}), "top": top})


def leaves_of(module: torch.nn.Module) -> list[torch.Tensor]:
    """Its parameters, in the order of its plan. Raises :class:`BadRequest` for none, or for a module with buffers,
    which no plan here hands on from batch to batch."""
    leaves = [each.detach() for each in module.parameters()]
    if not leaves or any(True for _ in module.buffers()):
        raise BadRequest("each part of a split network has parameters, and no buffers (as batch norm has)")
    return leaves


def _call(module: torch.nn.Module, leaves: Sequence[Any], given: Any, part: str = "") -> Any:
    """The module, or a part of it, with these parameters."""
    names = [name for name, _ in module.named_parameters()]
    named: Mapping[str, Any] = dict(zip(names, leaves, strict=True))
    if not part:
        return torch.func.functional_call(module, dict(named), (given,))
    inner = {name[len(part) + 1 :]: leaf for name, leaf in named.items() if name.startswith(f"{part}.")}
    return torch.func.functional_call(module.get_submodule(part), inner, (given,))


def bottom_plan(bottom: torch.nn.Module, columns: int, width: int, lr: float | None) -> Plan:
    """Activations of a batch; with ``lr`` also one step against the gradients that came back of them."""
    x, params = Batch(torch.zeros(_EXAMPLES, columns)), Param(bottom)
    if lr is None:

        def split_bottom_predicts(x: Any, params: Any) -> Any:
            """Activations of the rows of a split network's bottom."""
            activations = _call(bottom, params, x)
            return activations  # noqa: RET504 - as below

        return trace(split_bottom_predicts, x=x, params=params)

    def split_bottom(x: Any, gradients: Any, lr: Any, params: Any) -> Any:
        """Activations, and parameters after a step of gradient descent, of a split network's bottom."""

        def pulled(leaves: Any) -> Any:
            activations = _call(bottom, leaves, x)
            return (activations * gradients).sum(), activations

        slopes, activations = torch.func.grad(pulled, has_aux=True)(list(params))
        return (activations, *[old - lr * each for old, each in zip(params, slopes, strict=True)])

    given = Batch(torch.zeros(_EXAMPLES, width))
    return trace(split_bottom, x=x, gradients=given, lr=Option(float(lr)), params=params, kind="training")


def top_plan(
    parts: torch.nn.ModuleDict, columns: int, width: int, lr: float | None, mean_loss: Loss, labels: int
) -> Plan:
    """The loss of a batch, gradients by its activations and one step; without ``lr``, predictions."""
    came, params = Batch(torch.zeros(_EXAMPLES, width)), Param(parts)
    rows: dict[str, Any] = {"x": Batch(torch.zeros(_EXAMPLES, columns))} if columns else {}

    def output(leaves: Any, activations: Any, x: Any) -> Any:
        joined = activations if x is None else torch.cat([activations, _call(parts, leaves, x, "own")], dim=1)
        return _call(parts, leaves, joined, "top")

    if lr is None:

        def split_top_predicts(activations: Any, params: Any, x: Any = None) -> Any:
            """Predictions of a split network's top."""
            predictions = output(list(params), activations, x)
            return predictions  # noqa: RET504 - a plan takes names of results from here

        return trace(split_top_predicts, activations=came, params=params, **rows)

    def split_top(y: Any, activations: Any, lr: Any, params: Any, x: Any = None) -> Any:
        """Loss, gradients by activations, and parameters after a step of gradient descent, of a split network's
        top."""

        def of_batch(leaves: Any, activations: Any) -> Any:
            return mean_loss(output(leaves, activations, x), y)

        found = torch.func.grad_and_value(of_batch, argnums=(0, 1))(list(params), activations)
        (slopes, gradients), loss = found
        return (loss, gradients, *[old - lr * each for old, each in zip(params, slopes, strict=True)])

    y, step = Target(torch.zeros(_EXAMPLES, labels)), Option(float(lr))
    return trace(split_top, y=y, activations=came, lr=step, params=params, **rows, kind="training")
