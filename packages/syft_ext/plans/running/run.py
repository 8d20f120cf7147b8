"""Execution of a checked plan on this machine with torch."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking.binding import Binder
from syft_ext.plans.checking.check import checked
from syft_ext.plans.checking.propagate import ValueType
from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.expr import Number, evaluate
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.running.codegen import Generated, generate

__all__ = ["Executor"]

_MAX_BINDINGS = 64


class Executor:
    """Runs one plan. The function is generated at the first run; a new symbol binding is checked first."""

    def __init__(self, plan_id: str, document: Document, limits: Limits) -> None:
        self.plan_id, self.document, self.limits = plan_id, document, limits
        self.binder = Binder(document)
        self._generated: Generated | None = None
        self._sizes: dict[tuple[int, ...], list[Number]] = {}
        self._lock = threading.Lock()

    def run(self, flat: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Results in plan order. Inputs are never written to, results share memory with nothing.

        Raises :class:`InvalidPlan` when an input does not fit, a limit would be passed or a kernel refuses
        its operands' values (an index out of range, for example).
        """
        binding = self.binder.bind(flat)
        key = tuple(binding.values())
        sizes = self._sizes.get(key)
        if sizes is None:
            sizes = self._prepare(key, binding)
        generated = self._generated
        assert generated is not None
        # The kernels are called below autograd: the plan has its gradients in the graph already. The results
        # are ordinary tensors, which inference_mode's would not be.
        with torch._C._AutoDispatchBelowAutograd():
            try:
                return generated.function(*flat, *sizes)
            except (RuntimeError, IndexError, ValueError, TypeError, ZeroDivisionError) as error:
                raise InvalidPlan(f"the plan failed on these values: {str(error)[:200]}") from error

    def _prepare(self, key: tuple[int, ...], binding: Mapping[str, int]) -> list[Number]:
        propagation = checked(self.plan_id, self.document, binding, self.limits)
        with self._lock:
            if self._generated is None:
                self._generated = generate(self.document, self._types(binding, propagation.types))
            sizes = [evaluate(expr, binding) for expr in self._generated.expressions]
            if len(self._sizes) >= _MAX_BINDINGS:
                self._sizes.clear()
            self._sizes[key] = sizes
        return sizes

    def _types(
        self, binding: Mapping[str, int], found: Sequence[ValueType | None]
    ) -> list[Sequence[ValueType | None]]:
        """Types at this binding and at a second one, of small odd sizes: what is equal at both is equal by form,
        and not because some size happens to be the batch size of the first run."""
        if not binding:
            return [found]
        try:
            other = checked(self.plan_id, self.document, self._generic(binding), self.limits)
        except InvalidPlan:
            return [[None] * len(found)]  # it works at some sizes only: no buffer is reused
        return [found, other.types]

    def _generic(self, binding: Mapping[str, int]) -> dict[str, int]:
        primes = iter((3, 5, 7, 11, 13, 17, 19, 23) * (1 + len(binding) // 8))
        generic = {}
        for name, size in binding.items():
            low, high = self.document.symbols[name]
            prime = next(primes)
            candidate = prime if prime != size else prime + 2
            generic[name] = min(max(candidate, low), high)
        return generic
