"""Execution of a checked plan on this machine with torch."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import TypeAlias

import torch

from syft_ext.errors import VALUES, InvalidPlan
from syft_ext.plans.checking.binding import Binder, const_tensor
from syft_ext.plans.checking.check import checked
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.running.codegen import generate

__all__ = ["Executor"]

_MAX_BINDINGS = 64
_Function: TypeAlias = Callable[..., tuple[torch.Tensor, ...]]


class Executor:
    """Runs one plan. A symbol binding is checked at its first run, and the function for it generated: what
    the kernels' results are held against, and which elements are looked at, depends on sizes."""

    def __init__(self, plan_id: str, document: Document, limits: Limits) -> None:
        self.plan_id, self.document, self.limits = plan_id, document, limits
        self.binder = Binder(document)
        self._consts: list[torch.Tensor] | None = None
        self._functions: dict[tuple[int, ...], _Function] = {}
        self._lock = threading.Lock()

    def run(self, flat: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Results in plan order. Inputs are never written to, results share memory with nothing.

        Raises :class:`InvalidPlan` when an input does not fit, a limit would be passed, an operation must
        not see its operands' values (an index out of range, for example) or its kernel refuses them: the last two
        with ``reason`` :data:`~syft_ext.errors.VALUES`.
        """
        binding = self.binder.bind(flat)
        key = tuple(binding.values())
        function = self._functions.get(key)
        if function is None:
            function = self._prepare(key, binding)
        # The kernels are called below autograd: the plan has its gradients in the graph already. The results
        # are ordinary tensors, which inference_mode's would not be.
        with torch._C._AutoDispatchBelowAutograd():
            try:
                return function(*flat)
            except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
                detail = f"the plan failed on these values: {str(error)[:200]}"
                raise InvalidPlan(detail, reason=VALUES) from error

    def _prepare(self, key: tuple[int, ...], binding: Mapping[str, int]) -> _Function:
        propagation = checked(self.plan_id, self.document, binding, self.limits)
        with self._lock:
            if self._consts is None:
                self._consts = [const_tensor(const) for const in self.document.consts]
            function = generate(self.document, propagation, binding, self._consts).function
            if len(self._functions) >= _MAX_BINDINGS:
                self._functions.clear()
            self._functions[key] = function
        return function
