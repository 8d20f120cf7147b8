"""The fifteen plans of the prototypes, step after step, in the browser's engine and in torch.

    python -m tests.browser.steps [--steps 50] [--only mlp cnn] [--chromium]

Parameters, states and buffers go from each step into the next. Printed is, for each plan, the largest difference
of its first metric (or result) over all steps, as a share of its size where that is above 1; the exit status is 1
where one passes 1e-5 (1e-4 for convolutions), or memory grew after the first step.
"""

from __future__ import annotations

import argparse
import base64
import sys
from collections.abc import Iterator
from typing import Any

import torch

from syft_ext.plans import Plan, trace
from tests.plans.examples import all_examples

from .conformance import packed, unpacked
from .engines import Engine, chromium, node

__all__ = ["asked", "following", "largest_difference", "tolerance", "traced"]


def traced(*names: str) -> Iterator[tuple[str, tuple[Plan, list[torch.Tensor]]]]:
    """Plans of these names (all: none named), with inputs."""
    for name, example in all_examples(lstm_length=8).items():
        if not names or name in names:
            plan = trace(example.function, name=name, symbols=example.symbols, **example.arguments)
            yield name, (plan, plan.flatten((), example.arguments))


def tolerance(name: str) -> float:
    """Of the loss."""
    return 1e-4 if "cnn" in name else 1e-5


def largest_difference(engine: Engine, plan: Plan, flat: list[torch.Tensor], steps: int) -> float:
    """Of the first metric, or result, over so many steps. Raises AssertionError where memory grows."""
    back = following(plan)
    rest: list[Any] = [back.get(i, each) for i, each in enumerate(flat)]
    wanted = [next((i for i, output in enumerate(plan.outputs) if output.role == "metric"), 0)]
    expected = plan.run_chain([flat, *([rest] * (steps - 1))], wanted)
    later = [[back[i]] if i in back else i for i in range(len(flat))]
    chain = {
        "tensors": [packed(each) for each in flat],
        "steps": [list(range(len(flat))), *([later] * (steps - 1))],
        "wanted": wanted,
    }
    (found,) = engine.run([asked(plan, chain=chain)])
    assert "steps" in found, found
    assert found["bytes"][0] == found["bytes"][1], "memory grew from step to step"
    worst = 0.0
    for mine, theirs in zip(found["steps"], expected, strict=True):
        got, right = unpacked(mine[wanted[0]]).double(), theirs[wanted[0]]
        assert right is not None
        worst = max(worst, float((got - right).abs().max()) / max(1.0, float(right.abs().max())))
    return worst


def asked(plan: Plan, **more: Any) -> dict[str, Any]:
    """A plan for an engine: with ``inputs`` or a ``chain``; without, it tests itself."""
    return {"plan": base64.b64encode(plan.dumps()).decode(), "id": plan.id, **more}


def following(plan: Plan) -> dict[int, int]:
    """Input → the result that is its next value."""
    found: dict[int, int] = {}
    for role in ("param", "state", "buffer"):
        inputs = [i for i, item in enumerate(plan.inputs) if item.role == role]
        outputs = [i for i, item in enumerate(plan.outputs) if item.role == role]
        found.update(zip(inputs, outputs, strict=False))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=50)
    parser.add_argument("--only", nargs="*", default=[], help="plans with one of these in their names")
    parser.add_argument("--chromium", action="store_true", help="in real Chromium; else in Node")
    options = parser.parse_args()
    wrong = 0
    names = [
        name for name in all_examples() if not options.only or any(part in name for part in options.only)
    ]
    with (chromium if options.chromium else node)() as engine:
        for name, (plan, flat) in traced(*names):
            worst = largest_difference(engine, plan, flat, options.steps)
            wrong += worst > tolerance(name)
            print(f"{name}: {worst:.1e}", flush=True)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
