"""Hand-made plan documents, as a stranger would forge them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from syft_ext.plans.graph.document import (
    FORMAT,
    OPSET,
    VERSION,
    Argument,
    Const,
    Document,
    Generator,
    Input,
    Node,
    Output,
    SelfTest,
    Summary,
)

B: list[Any] = ["sym", "B"]
Step = tuple[Any, ...]


def forge(
    steps: Sequence[Step],
    *,
    shape: Sequence[Any] = (4, 4),
    dtype: str = "f32",
    output: tuple[str, Sequence[Any]] = ("f32", (4, 4)),
    symbols: dict[str, tuple[int, int]] | None = None,
    consts: Sequence[Const] = (),
    inputs: int = 1,
    outs: int = 1,
    result: int | None = None,
) -> Document:
    """A document whose nodes are ``(op, args[, kwargs[, outs]])``; its last value is the output."""
    symbols = symbols or {}
    ops = list(dict.fromkeys(step[0] for step in steps))
    nodes = [
        Node(
            ops.index(step[0]),
            list(step[1]),
            step[2] if len(step) > 2 else {},
            step[3] if len(step) > 3 else 1,
        )
        for step in steps
    ]
    last = inputs + len(consts) + sum(node.outs for node in nodes) - 1
    return Document(
        format=FORMAT,
        version=VERSION,
        opset=OPSET,
        kind="statistics",
        name="forged",
        doc="",
        provenance={},
        symbols=symbols,
        arguments=[Argument(f"x{i}", i) for i in range(inputs)],
        inputs=[Input(f"x{i}", "data", dtype, list(shape), None) for i in range(inputs)],
        consts=list(consts),
        ops=ops,
        nodes=nodes,
        outputs=[Output("y", "result", output[0], list(output[1]), last if result is None else result)],
        result=0,
        selftest=SelfTest(
            0,
            {name: low for name, (low, _) in symbols.items()},
            1e-3,
            1e-4,
            [Generator("uniform", 0.0, 1.0)] * inputs,
            [Summary([], 0.0, 0.0, [])],
        ),
    )


def ref(index: int) -> list[Any]:
    return ["r", index]


def ints(*values: Any) -> list[Any]:
    return ["l", *values]


def forge_calls(
    inputs: Sequence[tuple[str, Sequence[int]]], steps: Sequence[Step], output: tuple[str, Sequence[int]]
) -> Document:
    """As :func:`forge`, with inputs of their own types; the *first* result of the last step is the output."""
    drafted = forge(steps, inputs=len(inputs), output=output)
    last = drafted.nodes[-1].outs - 1
    return msgspec.structs.replace(
        drafted,
        inputs=[Input(f"x{i}", "data", dtype, list(shape), None) for i, (dtype, shape) in enumerate(inputs)],
        outputs=[msgspec.structs.replace(drafted.outputs[0], id=drafted.outputs[0].id - last)],
    )
