"""The child of :class:`PlanSandbox` that runs plans by torch.

Forked by a nursery that has called :func:`prepare`, with the arguments
``socket_fd arena_fd directory memory_bytes threads permissive``.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING

from syft_ext.confinement.rlimits import cpu_limit
from syft_ext.importing import importing
from syft_ext.plans.sandbox.child import confined, serve

if TYPE_CHECKING:
    import torch

    from syft_ext.plans.ir import Plan
    from syft_ext.plans.sandbox.channel import Arena, LoadPlan, Price, Priced, Run, RunStep

__all__ = ["main", "prepare"]

_MAX_PLANS = 32


_failure = ""


def prepare() -> None:
    """In the nursery, once: import torch and warm up, with one thread. What fails here is told by every child."""
    global _failure
    try:
        with importing():
            import torch

            from syft_ext.plans.sandbox import channel

            assert channel.Arena is not None
            torch.set_num_threads(1)
            _warm_up()
    except Exception as error:
        _failure = f"the sandbox cannot start: {error}"


def main(arguments: list[str]) -> None:
    """Serve until the parent closes its end of the socket."""
    import torch

    started = confined(arguments, _failure)
    if started is not None:
        torch.set_num_threads(started.threads)
        serve(started, _Runner(started.arena))


def _warm_up() -> None:
    """Load what torch imports lazily (fake tensors, FLOP formulas), and let its libraries look at the processor,
    while files can be read."""
    import torch
    import torch.utils.flop_counter

    from syft_ext.plans.graph.document import (
        FORMAT,
        OPSET,
        VERSION,
        Argument,
        Document,
        Generator,
        Input,
        Node,
        Output,
        SelfTest,
        Summary,
    )
    from syft_ext.plans.ir import Plan

    shape = [["sym", "B"], 512]
    document = Document(
        format=FORMAT,
        version=VERSION,
        opset=OPSET,
        kind="statistics",
        name="warm_up",
        doc="",
        provenance={},
        symbols={"B": (1, 4096)},
        arguments=[Argument("x", 0)],
        inputs=[Input("x", "data", "f32", shape, None)],
        consts=[],
        ops=["aten.t.default", "aten.mm.default", "aten._softmax.default", "aten.sum.default"],
        nodes=[
            Node(0, [["r", 0]], {}, 1),
            Node(1, [["r", 0], ["r", 1]], {}, 1),
            Node(2, [["r", 2], 1, False], {}, 1),
            Node(3, [["r", 3]], {}, 1),
        ],
        outputs=[Output("y", "metric", "f32", [], 4)],
        result=0,
        selftest=SelfTest(
            0, {"B": 4}, 0.0, 0.0, [Generator("uniform", 0.0, 1.0)], [Summary([], 0.0, 0.0, [0.0])]
        ),
    )
    Plan(document)(torch.ones(512, 512))
    torch.nn.functional.conv2d(torch.ones(1, 1, 8, 8), torch.ones(1, 1, 3, 3))


class _Runner:
    """The plans that are loaded, and the memory in which their inputs and results are."""

    def __init__(self, arena: Arena) -> None:
        self._arena = arena
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    def load(self, message: LoadPlan) -> None:
        from syft_ext.plans.graph.limits import Limits
        from syft_ext.plans.ir import Plan

        plan = Plan.read(message.plan, Limits(**message.limits))
        if message.prove:
            plan.check()
            plan.self_test()
        self._plans[message.key] = plan
        while len(self._plans) > _MAX_PLANS:
            self._plans.popitem(last=False)

    def price(self, message: Price) -> Priced:
        from dataclasses import asdict

        from syft_ext.plans.graph.limits import Limits
        from syft_ext.plans.ir import Plan
        from syft_ext.plans.sandbox.channel import Priced

        plan = Plan.read(message.plan, Limits(**message.limits))
        return Priced(asdict(plan.check(None, **message.sizes)))

    def run(self, message: Run) -> None:
        self._arena.map(message.arena_bytes)
        plan = self._plans[message.key]
        results: tuple[torch.Tensor, ...] = ()
        with cpu_limit(message.cpu_seconds):
            for step in message.steps:
                results = self._step(plan, step, results)

    def _step(self, plan: Plan, step: RunStep, before: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        view = self._arena.view
        results = plan.run([before[each] if isinstance(each, int) else view(each) for each in step.inputs])
        for slot, result in zip(step.outputs, results, strict=True):
            if slot is None:
                continue
            place = view(slot)
            if place.dtype != result.dtype or place.shape != result.shape:
                from syft_ext.errors import InvalidPlan

                raise InvalidPlan("a result is not of the declared type")
            place.copy_(result)
        return results
