"""Every translator against torch, through onnxruntime.

python -m tests.plans.onnx.conformance [--cases 30] [--first 0] [aten.add.Tensor ...]
"""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch._subclasses.fake_tensor import FakeTensorMode

from syft_ext.errors import VALUES, GridError, InvalidPlan, Unsupported
from syft_ext.plans import Plan
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
from syft_ext.plans.graph.dtypes import DTYPES, dtype_name
from syft_ext.plans.graph.ops import ALLOWED, result_count
from syft_ext.plans.onnx.executor import OnnxExecutor
from syft_ext.plans.onnx.refused import REFUSED

from .cases import Call, draw

# It writes down each refusal of a meta kernel at length.
logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)

__all__ = ["Outcome", "document_of", "hold", "operations"]

_TOLERANCE = {"f32": 3e-5, "f64": 1e-11}


@dataclass
class Outcome:
    """What came of the calls of one operation: equal, refused in words, not fitting; and where the two
    differ."""

    name: str
    equal: int = 0
    refused: int = 0
    unfit: int = 0
    wrong: list[str] = field(default_factory=list)


def operations() -> list[str]:
    """All that are not refused by name."""
    return [name for name in ALLOWED if name not in REFUSED]


def document_of(name: str, call: Call) -> tuple[Document, list[torch.Tensor]]:
    """One node of the call, whose tensors are inputs and whose results are outputs. Raises what torch
    raises for operands that do not fit."""
    args, kwargs = call
    flat: list[torch.Tensor] = []

    def written(value: Any) -> Any:
        if isinstance(value, torch.Tensor):
            flat.append(value)
            return ["r", len(flat) - 1]
        if isinstance(value, list):
            return ["l", *map(written, value)]
        return list(value) if isinstance(value, tuple) else value

    node = Node(
        0, [written(each) for each in args], {k: written(v) for k, v in kwargs.items()}, result_count(name)
    )
    with FakeTensorMode() as fake:
        plain = [_plain(each, fake) for each in args]
        given = ALLOWED[name](*plain, **{key: _plain(each, fake) for key, each in kwargs.items()})
    results = [given] if isinstance(given, torch.Tensor) else list(given)
    wanted = [(place, each) for place, each in enumerate(results) if each is not None]
    masked = kwargs.get("output_mask", args[-1] if isinstance(args[-1], list) and len(results) == 3 else None)
    if masked is not None and name.endswith("backward.default"):
        wanted = [(place, each) for place, each in wanted if masked[place]]
    outputs = [
        Output(f"y{place}", "result", dtype_name(each.dtype) or "?", list(each.shape), len(flat) + place)
        for place, each in wanted
    ]
    inputs = [
        Input(f"x{i}", "data", dtype_name(x.dtype) or "?", list(x.shape), None) for i, x in enumerate(flat)
    ]
    document = Document(
        format=FORMAT, version=VERSION, opset=OPSET, kind="statistics", name="one_call", doc="", provenance={},
        symbols={}, arguments=[Argument(f"x{i}", i) for i in range(len(flat))], inputs=inputs, consts=[],
        ops=[name], nodes=[node], outputs=outputs, result=["l", *range(len(outputs))],
        selftest=SelfTest(
            0, {}, 1e-3, 1e-4, [Generator("uniform", 0.0, 1.0)] * len(flat),
            [Summary([], 0.0, 0.0, [])] * len(outputs),
        ),
    )  # fmt: skip
    return document, flat


def _plain(value: Any, fake: FakeTensorMode) -> Any:
    if isinstance(value, torch.Tensor):
        return fake.from_tensor(value)
    if isinstance(value, list):
        return [_plain(each, fake) for each in value]
    return DTYPES[value[1]] if isinstance(value, tuple) else value


def hold(name: str, call: Call, outcome: Outcome) -> None:
    """Run the call both ways and note what came of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            document, flat = document_of(name, call)
            plan = Plan(document)
            plan.check()
        except (InvalidPlan, RuntimeError, IndexError, TypeError, ValueError, OverflowError, AssertionError):
            outcome.unfit += 1
            return
        expected: list[NDArray[Any]] | None
        try:
            expected = [each.numpy() for each in plan.run(flat)]
        except InvalidPlan as error:
            # Its kernel does not know the type: whoever records a plan meets that.
            if error.extra.get("reason") != VALUES or "not implemented" in str(error):
                outcome.unfit += 1
                return
            expected = None
    try:
        found: Sequence[NDArray[Any]] | None = OnnxExecutor(document).run([x.numpy() for x in flat])
    except Unsupported:
        outcome.refused += 1
        return
    except GridError as error:
        if expected is None:
            outcome.equal += 1  # both refuse
        else:
            outcome.wrong.append(f"{_shown(call)}: raised {error}")
        return
    if expected is None:
        outcome.wrong.append(f"{_shown(call)}: torch refuses the values, onnxruntime gives {found}")
        return
    assert found is not None
    for output, ours, theirs in zip(document.outputs, expected, found, strict=True):
        tolerance = _TOLERANCE.get(output.dtype, 0.0)
        difference = _difference(ours, theirs, tolerance, _rounding(name, output.name, flat))
        if difference:
            outcome.wrong.append(f"{_shown(call)}: {output.name}: {difference}")
            return
    outcome.equal += 1


def _rounding(name: str, output: str, flat: Sequence[torch.Tensor]) -> NDArray[Any] | float:
    """What a sum of many numbers, of which little is left, may be off by, added up in whichever order: of the
    gradient of a convolution's bias, that is its last bit's share of the sum of magnitudes. Processors differ in
    the order."""
    if (name, output) != ("aten.convolution_backward.default", "y2") or not flat[0].is_floating_point():
        return 0.0
    magnitudes = flat[0].double().abs().transpose(0, 1).flatten(1).sum(1)
    return (torch.finfo(flat[0].dtype).eps * magnitudes).numpy()


def _difference(
    ours: NDArray[Any], theirs: NDArray[Any], tolerance: float, rounding: NDArray[Any] | float = 0.0
) -> str:
    if (ours.dtype, ours.shape) != (theirs.dtype, theirs.shape):
        return f"{ours.dtype}{list(ours.shape)} and {theirs.dtype}{list(theirs.shape)}"
    if not tolerance:
        same = ours == theirs
    else:
        with np.errstate(all="ignore"):
            near = np.abs(ours - theirs) <= tolerance * np.maximum(np.abs(ours), 1) + rounding
        same = (ours == theirs) | near | (np.isnan(ours) & np.isnan(theirs))
        # Near the end of the type, formulas differ in where they overflow.
        end = np.finfo(ours.dtype).max / 4
        over = (np.abs(ours) > end) & (np.abs(theirs) > end) & (np.sign(ours) == np.sign(theirs))
        same &= (np.isfinite(ours) == np.isfinite(theirs)) | over
        same |= over
    if same.all():
        return ""
    return f"{ours[~same].ravel()[:4]} and {theirs[~same].ravel()[:4]}"


def _shown(call: Call) -> str:
    def one(value: Any) -> str:
        if isinstance(value, torch.Tensor):
            text = f"{dtype_name(value.dtype)}{list(value.shape)}"
            return f"{text}={value.tolist()}" if value.numel() <= 8 else text
        return f"[{', '.join(map(one, value))}]" if isinstance(value, list) else str(value)

    return f"({', '.join(map(one, call[0]))}, { ({k: one(v) for k, v in call[1].items()}) })"


def held(names: Sequence[str], first: int, count: int) -> Iterator[Outcome]:
    """Each of ``names`` with calls ``first``, …, until so many were comparable; at most eight times as
    many."""
    for name in names:
        outcome = Outcome(name)
        for number in range(first, first + 8 * count):
            hold(name, draw(name, number), outcome)
            if outcome.equal + outcome.refused + len(outcome.wrong) >= count:
                break
        yield outcome


def main() -> int:
    """Print what differs; the exit status says whether anything does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--cases", type=int, default=30)
    parser.add_argument("--first", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    wrong = 0
    for outcome in held(asked.names or operations(), asked.first, asked.cases):
        few = outcome.equal < min(asked.cases, 30) // 2
        if outcome.wrong or few:
            sys.stdout.write(
                f"{outcome.name}: equal {outcome.equal}, refused {outcome.refused}, unfit {outcome.unfit}, "
                f"wrong {len(outcome.wrong)}\n"
            )
            for line in outcome.wrong[:3]:
                sys.stdout.write(f"    {line[:400]}\n")
        wrong += len(outcome.wrong)
    sys.stdout.write(f"{wrong} differences\n")
    return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())
