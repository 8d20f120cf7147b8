"""The plan: a checked document, its bytes and id, and the ways to look at it and to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import torch
from blake3 import blake3

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking import selftest
from syft_ext.plans.checking.binding import nest
from syft_ext.plans.checking.check import checked
from syft_ext.plans.checking.validate import validate
from syft_ext.plans.graph.document import Document, Input, Output, decode, encode
from syft_ext.plans.graph.limits import Cost, Limits
from syft_ext.plans.graph.text import as_html, as_text, describe_symbols
from syft_ext.plans.running.run import Executor

__all__ = ["Plan"]

_HERE = frozenset({torch.Tensor, torch.nn.Parameter})


class Plan:
    """A versioned graph of allow-listed tensor operations, as data.

    Make one with :func:`syft_ext.plans.make_plan` or :func:`syft_ext.plans.trace`, read one with
    :meth:`loads`. Neither reading nor checking runs code or allocates a tensor of the plan. Call it like the
    function it was traced from; arguments that are left out take the defaults the plan recorded.

    ``id`` is the BLAKE3 digest of the canonical bytes, in hex. ``limits`` is what one run may cost.
    """

    def __init__(self, document: Document, limits: Limits | None = None) -> None:
        validate(document)
        self.document = document
        self.limits = limits or Limits()
        self._executor = Executor(self.id, document, self.limits)

    # --- bytes ---------------------------------------------------------------------------------------------

    @classmethod
    def loads(cls, data: bytes | bytearray | memoryview, limits: Limits | None = None) -> Plan:
        """Read a plan. Raises :class:`InvalidPlan`, or :class:`TooLarge` above ``limits.max_plan_bytes``."""
        limits = limits or Limits()
        return cls(decode(bytes(data), limits.max_plan_bytes), limits)

    def dumps(self) -> bytes:
        """The plan's canonical bytes (``application/vnd.grid.plan``)."""
        return self._bytes

    @cached_property
    def _bytes(self) -> bytes:
        return encode(self.document)

    @cached_property
    def id(self) -> str:
        """64 hex digits that name exactly these bytes."""
        return blake3(self._bytes).hexdigest()

    # --- what it is ----------------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """What its author called it."""
        return self.document.name

    @property
    def kind(self) -> str:
        """``training``, ``averaging``, ``statistics`` or ``inference``."""
        return self.document.kind

    @property
    def __doc__(self) -> str:  # type: ignore[override]  # a plan documents itself as its function did
        return self.document.doc

    @property
    def symbols(self) -> dict[str, tuple[int, int]]:
        """Sizes that may vary from call to call, with their inclusive bounds."""
        return dict(self.document.symbols)

    @property
    def inputs(self) -> list[Input]:
        """Every tensor that a run takes, in order, with its name, role, dtype and shape."""
        return list(self.document.inputs)

    @property
    def outputs(self) -> list[Output]:
        """Every tensor that a run gives, in order, with its name, role, dtype and shape."""
        return list(self.document.outputs)

    def inputs_with_role(self, role: str) -> list[Input]:
        """The inputs of one role, in order."""
        return [item for item in self.document.inputs if item.role == role]

    def outputs_with_role(self, role: str) -> list[Output]:
        """The outputs of one role, in order."""
        return [item for item in self.document.outputs if item.role == role]

    def split(self, results: Any) -> dict[str, list[tuple[str, torch.Tensor]]]:
        """The results of a call, flat, by role: ``{"metric": [("loss", t), ...], "param": [...]}``."""
        groups: dict[str, list[tuple[str, torch.Tensor]]] = {}
        for output, tensor in zip(self.document.outputs, flat_results(results), strict=True):
            groups.setdefault(output.role, []).append((output.name, tensor))
        return groups

    # --- what it costs -------------------------------------------------------------------------------------

    def check(self, limits: Limits | None = None, **sizes: int) -> Cost:
        """Propagate shapes without data and compare with ``limits`` (default: the plan's own).

        ``sizes`` binds symbols, e.g. ``B=64``; a symbol left out takes its size from the self-test. Raises
        :class:`InvalidPlan` when an operation refuses its operands or a limit would be passed.
        """
        unknown = set(sizes) - set(self.document.symbols)
        if unknown:
            raise InvalidPlan(f"the plan has no symbol {min(unknown)}")
        for name, size in sizes.items():
            low, high = self.document.symbols[name]
            if not low <= size <= high:
                raise InvalidPlan(f"{name} = {size} is outside [{low}, {high}]")
        binding = {**self.document.selftest.symbols, **sizes}
        return checked(self.id, self.document, binding, limits or self.limits).cost

    def cost(self, **sizes: int) -> Cost:
        """Operations, FLOP and bytes of one run, e.g. ``plan.cost(B=64)``."""
        return self.check(self.limits, **sizes)

    # --- running -------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on this machine, in this process; with pointers among the arguments, where they point.

        Results have the structure the function returned.
        """
        flat = self.flatten(args, kwargs)
        if not _HERE.issuperset(map(type, flat)):
            for tensor in flat:
                if hasattr(tensor, "run_plan"):  # a syft_ext.pointers.RemoteTensor
                    return self.nest(tensor.run_plan(self, flat))
        return self.nest(self.run(flat))

    def flatten(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> list[torch.Tensor]:
        """The flat inputs, in plan order, of a call with ``args`` and ``kwargs``; types are checked."""
        return self._executor.binder.flatten(args, kwargs or {})

    def bind(self, flat: Sequence[torch.Tensor]) -> dict[str, int]:
        """The size of every symbol for these flat inputs; :class:`InvalidPlan` if one does not fit."""
        return self._executor.binder.bind(flat)

    def run(self, flat: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """Flat inputs to flat outputs, both in plan order. Inputs are never written to."""
        return self._executor.run(flat)

    def nest(self, results: Sequence[torch.Tensor]) -> Any:
        """Flat outputs in the structure that the traced function returned."""
        return nest(self.document.result, results)

    def self_test(self) -> None:
        """Raise :class:`InvalidPlan` unless this machine reproduces the plan's self-test vector."""
        selftest.compare(self.document, self.run)

    # --- looking at it -------------------------------------------------------------------------------------

    def text(self) -> str:
        """What will run, line by line, for a reviewer."""
        return as_text(self.document, self.id)

    def __repr__(self) -> str:
        arguments = ", ".join(argument.name for argument in self.document.arguments)
        sizes = describe_symbols(self.document)
        return (
            f"<Plan {self.name}({arguments}) {self.kind}, {len(self.document.nodes)} operations"
            f"{', ' + sizes if sizes else ''}, id {self.id[:12]}>"
        )

    def _repr_html_(self) -> str:
        try:
            cost = self.cost()
        except InvalidPlan:
            cost = None  # a plan that fails its check can still be looked at
        return as_html(self.document, self.id, cost)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Plan) and self.id == other.id

    def __hash__(self) -> int:
        return hash(self.id)


def flat_results(results: Any) -> list[torch.Tensor]:
    """The tensors of a nested result, in order."""
    if isinstance(results, torch.Tensor):
        return [results]
    children = results.values() if isinstance(results, Mapping) else results
    return [tensor for child in children for tensor in flat_results(child)]
