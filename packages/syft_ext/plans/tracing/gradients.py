"""Which of a function's results are gradients, and no parameters that moved by them.

Both have the same types, and an average of gradients that is taken for a model is none. A result is a gradient
where it came from autograd by itself, or by what only scales or changes gradients: not where a parameter has part
in it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import torch
import torch.utils._pytree as pytree

from syft_ext.plans.graph.document import Output
from syft_ext.plans.tracing.errors import TraceError

__all__ = ["Gradients", "refuse_gradients"]

_READ: Any = torch._C.TensorBase.__dict__["grad"].__get__  # a getset descriptor
_SCALE = frozenset(
    getattr(where, name)
    for where, names in (
        (
            torch.Tensor,
            ("mul", "__mul__", "__rmul__", "mul_", "div", "__truediv__", "div_", "multiply", "divide"),
        ),
        (torch, ("mul", "div", "multiply", "divide", "true_divide")),
    )
    for name in names
)


class Gradients:
    """Those that were seen while the user's function ran, and what was made of nothing else."""

    def __init__(self) -> None:
        self._seen: dict[int, torch.Tensor] = {}  # kept, so that no other tensor gets the same id
        self.returned: frozenset[int] = frozenset()
        """Which of the flat results are gradients, once the function has returned."""

    def note(self, func: Callable[..., Any], args: Any, result: Any) -> None:
        """What a call of the user's gave."""
        gradients = func == _READ or func is torch.autograd.grad or self._only_gradients(func, args)
        for each in pytree.tree_leaves(result):
            if isinstance(each, torch.Tensor):
                if gradients:
                    self._seen[id(each)] = each
                else:
                    self._seen.pop(id(each), None)  # changed in place, by what is no gradient

    def _only_gradients(self, func: Callable[..., Any], args: Any) -> bool:
        tensors = [each for each in pytree.tree_leaves(args) if isinstance(each, torch.Tensor)]
        known = [each for each in tensors if id(each) in self._seen]
        if not known:
            return False
        # Numbers that are tensors, learning rates say, scale: a parameter of one number is added.
        others = [each for each in tensors if id(each) not in self._seen]
        return not others or (func in _SCALE and all(each.dim() == 0 for each in others))

    def finish(self, outputs: Sequence[Any]) -> None:
        """The function has returned these."""
        self.returned = frozenset(
            index for index, each in enumerate(outputs) if self._seen.get(id(each)) is each
        )


def refuse_gradients(outputs: Sequence[Output], returned: frozenset[int], said: AbstractSet[str]) -> None:
    """Raise :class:`TraceError` where gradients are taken for updated parameters; not those that are named in
    ``said``, whole or by what stands before the dot: of these whoever wrote the plan told what they are."""
    names = [
        output.name
        for index, output in enumerate(outputs)
        if index in returned
        and output.role == "param"
        and said.isdisjoint((output.name, output.name.split(".")[0]))
    ]
    if names:
        raise TraceError(
            f"{names[0]} is a gradient, where an updated parameter is expected: reports are averaged as models",
            hint="return param - lr * param.grad: averaged, that is one step of FedSGD; or say what they are for "
            f'code of your own that takes them: outputs={{"{names[0].partition(".")[0]}": "result"}}',
        )
