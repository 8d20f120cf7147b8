"""The plan: a checked document, its bytes and id, and the ways to look at it and to run it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, Self

import torch
from blake3 import blake3

from syft_ext.display.line import announce
from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking import selftest
from syft_ext.plans.checking.binding import nest
from syft_ext.plans.checking.check import checked
from syft_ext.plans.checking.validate import validate
from syft_ext.plans.graph.document import Document, Input, Output, decode, encode
from syft_ext.plans.graph.limits import Cost, Limits
from syft_ext.plans.graph.text import as_html, as_text, describe_symbols
from syft_ext.plans.onnx.export import export
from syft_ext.plans.running.run import Executor
from syft_ext.plans.sandbox.tensors import LoadedPlan, TensorSandbox, shared_sandbox
from syft_ext.readable import readable

__all__ = ["Plan"]

_HERE = frozenset({torch.Tensor, torch.nn.Parameter})


class Plan:
    """A versioned graph of allow-listed tensor operations, as data.

    Make one with :func:`syft_ext.plans.make_plan` or :func:`syft_ext.plans.trace`, read one with
    :meth:`loads`. Neither reading nor checking runs code or allocates a tensor of the plan. Call it like the
    function it was traced from; arguments that are left out take the defaults the plan recorded.

    A plan that was traced here runs in this process; one that was read runs in a sandbox, for it is somebody
    else's: a process that can do nothing but compute.

    ``id`` is the BLAKE3 digest of the canonical bytes, in hex. ``limits`` is what one run may cost.
    ``sandbox`` is where it runs: True is the one that this process shares, False this process itself.
    ``guessed``: of a plan that was traced here, argument → role, where that was guessed from its name.
    """

    def __init__(
        self, document: Document, limits: Limits | None = None, *, sandbox: TensorSandbox | bool = False
    ) -> None:
        validate(document)
        self.document = document
        self.limits = limits or Limits()
        self.sandbox = sandbox
        self._executor = Executor(self.id, document, self.limits)
        self.guessed: Mapping[str, str] = {}

    # --- bytes ---------------------------------------------------------------------------------------------

    @classmethod
    def loads(
        cls,
        data: bytes | bytearray | memoryview,
        limits: Limits | None = None,
        *,
        sandbox: TensorSandbox | bool = True,
    ) -> Self:
        """Read a plan. Raises :class:`InvalidPlan`, or :class:`TooLarge` above ``limits.max_plan_bytes``.

        Args:
            sandbox: where it will run: a sandbox of yours, or the one that this process shares (True, and started
                at the first run). False: in this process, with its rights; that is said in a line of output.
        """
        limits = limits or Limits()
        plan = cls(decode(bytes(data), limits.max_plan_bytes), limits, sandbox=sandbox)
        if sandbox is False:
            announce(
                f"sandbox=False: plan {plan.id[:12]} of others will run in this process, with all its rights"
            )
        return plan

    @classmethod
    def read(cls, data: bytes | bytearray | memoryview, limits: Limits | None = None) -> Self:
        """As :meth:`loads`, to run in this process: for processes that are confined themselves."""
        limits = limits or Limits()
        return cls(decode(bytes(data), limits.max_plan_bytes), limits)

    def dumps(self) -> bytes:
        """The plan's canonical bytes (``application/vnd.grid.plan``)."""
        return self._bytes

    def to_onnx(self, **sizes: int) -> bytes:
        """The plan as an ONNX model (opset 18) for one size of each symbol, e.g. ``plan.to_onnx(B=64)``; a symbol
        left out takes its size from the self-test. Inputs and outputs have the plan's names.

        For runtimes elsewhere. Nothing here reads a model: consent is to the plan, and whoever runs its ONNX
        derives it themselves. Needs the extra ``onnx``; where onnxruntime is installed, it has passed the plan's
        self-test.

        Raises :class:`~syft_ext.errors.Unsupported`, naming the operation or type, for what ONNX cannot say
        exactly, :class:`InvalidPlan` as :meth:`check`.
        """
        self.check(None, **sizes)
        return export(self.document, self._bound(sizes), self.limits)

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
        return checked(self.id, self.document, self._bound(sizes), limits or self.limits).cost

    def _bound(self, sizes: Mapping[str, int]) -> dict[str, int]:
        unknown = set(sizes) - set(self.document.symbols)
        if unknown:
            raise InvalidPlan(f"the plan has no symbol {min(unknown)}")
        for name, size in sizes.items():
            low, high = self.document.symbols[name]
            if not low <= size <= high:
                raise InvalidPlan(f"{name} = {size} is outside [{low}, {high}]")
        return {**self.document.selftest.symbols, **sizes}

    def cost(self, **sizes: int) -> Cost:
        """Operations, FLOP and bytes of one run, e.g. ``plan.cost(B=64)``."""
        return self.check(self.limits, **sizes)

    # --- running -------------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run on this machine (see :class:`Plan`); with pointers among the arguments, where they point.

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
        """Flat inputs to flat outputs, both in plan order. Inputs are never written to.

        Raises :class:`InvalidPlan`; in a sandbox also :class:`DeadlineExceeded`, and :class:`Unconfined` on a
        machine that cannot confine it.
        """
        if self.sandbox is False:
            return self._executor.run(flat)
        self.bind(flat)  # says what does not fit in the words of the plan
        return self._where().run_flat(self.loaded(), flat)

    def run_chain(
        self, steps: Sequence[Sequence[torch.Tensor | int]], wanted: Sequence[int]
    ) -> list[list[torch.Tensor | None]]:
        """Run once for each of ``steps``: flat inputs, where a number is that result of the step before.

        Of all steps but the last only the ``wanted`` results come back, None stands for the others. Raises as
        :meth:`run`; what earlier steps gave is lost then.
        """
        if self.sandbox is not False:
            return self._where().run_chain(self.loaded(), steps, wanted)
        found: list[list[torch.Tensor | None]] = []
        results: tuple[torch.Tensor, ...] = ()
        for step in steps:
            results = self._executor.run([results[each] if isinstance(each, int) else each for each in step])
            found.append([result if position in wanted else None for position, result in enumerate(results)])
        return [*found[:-1], list(results)]

    def _where(self) -> TensorSandbox:
        return shared_sandbox() if isinstance(self.sandbox, bool) else self.sandbox

    def loaded(self, limits: Limits | None = None) -> LoadedPlan:
        """This plan as sandboxes take it, with other ``limits`` if they are given."""
        return LoadedPlan(self._bytes, self.id, self.document, limits or self.limits)

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
        return readable(
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
