"""The child of a plan sandbox that runs plans by onnxruntime, without torch: each ONNX model is derived here, from
a plan that was checked here.

Forked by a nursery that has called :func:`prepare`; the arguments are those of
:mod:`syft_ext.plans.sandbox.child_main`.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

from syft_ext.confinement.rlimits import cpu_limit
from syft_ext.importing import importing
from syft_ext.plans.sandbox.child import confined, serve

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from syft_ext.plans.onnx.executor import OnnxExecutor
    from syft_ext.plans.sandbox.channel import Arena, LoadPlan, Price, Priced, Run, RunStep, Slot

__all__ = ["main", "prepare"]

_MAX_PLANS = 32
_failure = ""


def prepare() -> None:
    """In the nursery, once: import onnxruntime, and let it look at the processor. What fails is told by every
    child."""
    global _failure
    try:
        with importing():
            from syft_ext.plans.sandbox import channel

            assert channel.Arena is not None
            _warm_up()
    except Exception as error:
        _failure = f"the sandbox cannot start: {error}"


def main(arguments: list[str]) -> None:
    """Serve until the parent closes its end of the socket."""
    started = confined(arguments, _failure)
    if started is not None:
        serve(started, _OnnxRunner(started.arena, started.threads))


def _warm_up() -> None:
    from onnx import TensorProto, checker, helper

    from syft_ext.plans.checking import validate
    from syft_ext.plans.onnx.executor import session_of

    assert validate.validate is not None
    typed = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [8, 8]) for name in ("x", "y")]
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "x"], ["y"])], "warm_up", typed[:1], typed[1:]
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    checker.check_model(model)
    import numpy as np

    session_of(model.SerializeToString()).run(None, {"x": np.ones((8, 8), np.float32)})


class _OnnxRunner:
    """The plans that are loaded, and the memory in which their inputs and results are."""

    def __init__(self, arena: Arena, threads: int) -> None:
        self._arena, self._threads = arena, threads
        self._plans: OrderedDict[str, OnnxExecutor] = OrderedDict()

    def _read(self, plan: bytes, limits: dict[str, int]) -> OnnxExecutor:
        from syft_ext.plans.checking.validate import validate
        from syft_ext.plans.graph.document import decode
        from syft_ext.plans.graph.limits import Limits
        from syft_ext.plans.onnx.executor import OnnxExecutor

        bounds = Limits(**limits)
        document = decode(plan, bounds.max_plan_bytes)
        validate(document)
        return OnnxExecutor(document, bounds, threads=self._threads)

    def load(self, message: LoadPlan) -> None:
        executor = self._read(message.plan, message.limits)
        if message.prove:
            executor.self_test()
        self._plans[message.key] = executor
        while len(self._plans) > _MAX_PLANS:
            self._plans.popitem(last=False)

    def price(self, message: Price) -> Priced:
        from dataclasses import asdict

        from syft_ext.plans.sandbox.channel import Priced

        return Priced(asdict(self._read(message.plan, message.limits).cost(message.sizes)))

    def run(self, message: Run) -> None:
        self._arena.map(message.arena_bytes)
        executor = self._plans[message.key]
        results: list[NDArray[Any]] = []
        with cpu_limit(message.cpu_seconds):
            for step in message.steps:
                results = self._step(executor, step, results)

    def _step(self, executor: OnnxExecutor, step: RunStep, before: list[NDArray[Any]]) -> list[NDArray[Any]]:
        inputs = [before[each] if isinstance(each, int) else self._view(each) for each in step.inputs]
        results = executor.run(inputs)
        for slot, result in zip(step.outputs, results, strict=True):
            if slot is None:
                continue
            place = self._view(slot)
            if place.dtype != result.dtype or place.shape != result.shape:
                from syft_ext.errors import InvalidPlan

                raise InvalidPlan("a result is not of the declared type")
            place[...] = result
        return results

    def _view(self, slot: Slot) -> NDArray[Any]:
        from syft_ext.errors import Unsupported
        from syft_ext.plans.onnx.types import NUMPY

        if slot.dtype not in NUMPY:
            raise Unsupported(f"{slot.dtype} cannot be said exactly in ONNX", dtype=slot.dtype)
        return self._arena.raw(slot).view(NUMPY[slot.dtype]).reshape(slot.shape)
