"""The child of :class:`PlanSandbox`: loads, checks and runs plans, and can do nothing else.

Started as ``python -I -c BOOTSTRAP socket_fd arena_fd directory memory_bytes threads``.
"""

from __future__ import annotations

import os
import socket
import sys
from collections import OrderedDict
from typing import TYPE_CHECKING

# Only modules that start no thread may be imported before the network is dropped.
from syft_ext.importing import importing
from syft_ext.plans.sandbox.lockdown import cpu_limit, drop_network, enter

if TYPE_CHECKING:
    from syft_ext.plans.ir import Plan
    from syft_ext.plans.sandbox.channel import Arena, LoadPlan, Price, Priced, Run

__all__ = ["main"]

_MAX_PLANS = 32


def main(arguments: list[str]) -> None:
    """Serve until the parent closes its end of the socket."""
    socket_fd, arena_fd, directory, memory_bytes, threads = arguments
    os.chdir(directory)
    protections = drop_network()
    channel = socket.socket(fileno=int(socket_fd))
    channel.setblocking(True)  # a parent under gevent made it non-blocking

    with importing():
        import torch

        from syft_ext.plans.sandbox.channel import Arena, Failed, Ready, send

    torch.set_num_threads(int(threads))
    try:
        with importing():
            _warm_up()
        protections += enter(int(memory_bytes))
    except Exception as error:
        send(channel, Failed(f"the sandbox cannot start: {error}", {}))
        return
    send(channel, Ready(protections))
    _serve(channel, Arena(int(arena_fd)))


def _warm_up() -> None:
    """Load what torch imports lazily (fake tensors, FLOP formulas) and start its threads, while files can be
    read and threads be made."""
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


def _serve(channel: socket.socket, arena: Arena) -> None:
    from syft_ext.errors import GridError
    from syft_ext.plans.sandbox.channel import Done, Failed, LoadPlan, Price, Run, receive, send

    plans: OrderedDict[str, Plan] = OrderedDict()
    while (message := receive(channel)) is not None:
        try:
            if isinstance(message, LoadPlan):
                _load(message, plans)
            elif isinstance(message, Run):
                _run(message, plans, arena)
            send(channel, _price(message) if isinstance(message, Price) else Done())
        except GridError as error:
            plain = {k: v for k, v in error.extra.items() if v is None or isinstance(v, str | int | float)}
            send(channel, Failed(error.detail, plain))
        except MemoryError:
            send(channel, Failed("the plan needs more memory than the sandbox has", {"limit": "memory"}))
        except Exception as error:  # whatever a kernel raises on a stranger's data stays a message
            send(channel, Failed(f"the plan failed: {type(error).__name__}: {str(error)[:200]}", {}))


def _load(message: LoadPlan, plans: OrderedDict[str, Plan]) -> None:
    from syft_ext.plans.graph.limits import Limits
    from syft_ext.plans.ir import Plan

    plan = Plan.loads(message.plan, Limits(**message.limits))
    if message.prove:
        plan.check()
        plan.self_test()
    plans[plan.id] = plan
    while len(plans) > _MAX_PLANS:
        plans.popitem(last=False)


def _price(message: Price) -> Priced:
    from dataclasses import asdict

    from syft_ext.plans.graph.limits import Limits
    from syft_ext.plans.ir import Plan
    from syft_ext.plans.sandbox.channel import Priced

    plan = Plan.loads(message.plan, Limits(**message.limits))
    return Priced(asdict(plan.check(None, **message.sizes)))


def _run(message: Run, plans: OrderedDict[str, Plan], arena: Arena) -> None:
    with cpu_limit(message.cpu_seconds):
        _run_steps(message, plans, arena)


def _run_steps(message: Run, plans: OrderedDict[str, Plan], arena: Arena) -> None:
    arena.map(message.arena_bytes)
    plan = plans[message.plan_id]
    for step in message.steps:
        results = plan.run([arena.view(slot) for slot in step.inputs])
        for slot, result in zip(step.outputs, results, strict=True):
            view = arena.view(slot)
            if view.dtype != result.dtype or view.shape != result.shape:
                from syft_ext.errors import InvalidPlan

                raise InvalidPlan("a result is not of the declared type")
            view.copy_(result)


if __name__ == "__main__":
    main(sys.argv[1:])
