"""Calls of every operation, as plans of one operation over views, and what torch makes of them.

    python -m tests.browser.conformance [--cases 30] [--seed 0] [--ops softmax index] [--chromium]

The calls are those of :mod:`tests.operations` (templates of Python's table: near the edges of what fits, zero
sizes, NaN and infinities, extremes of integers, indices out of range). An operand reaches the operation through
views, so that it is permuted, stepped over or repeated. ``--cases`` counts calls that torch answers, for each
operation; what it refuses is run as well. The exit status is 1 where the browser's engine answers otherwise.
"""

from __future__ import annotations

import argparse
import base64
import logging
import random
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import msgspec
import numpy as np
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from syft_ext.errors import GridError
from syft_ext.plans.graph.document import Document, Input, Node, Output, encode
from syft_ext.plans.graph.dtypes import DTYPES, dtype_name
from syft_ext.plans.graph.ops import ALLOWED, opset_of
from syft_ext.plans.ir import Plan
from syft_ext.plans.preconditions.announce import announce
from tests.operations.cases import Case, make_case
from tests.plans.documents import forge

__all__ = ["Question", "as_json", "differences", "packed", "questions", "unpacked"]

WIRE = {
    "f64": "F64",
    "f32": "F32",
    "i64": "I64",
    "i32": "I32",
    "i16": "I16",
    "i8": "I8",
    "u8": "U8",
    "b": "BOOL",
}
# It tells of each call that does not fit.
logging.getLogger("torch._subclasses.fake_tensor").setLevel(logging.CRITICAL)
torch.set_num_threads(1)  # small calls, beside whatever else runs
LARGEST = 1 << 14
LARGEST_RESULT = 1 << 20
MOST_SEEDS = 3000


@dataclass
class Question:
    """A plan with inputs, and what Python answers: results, or why it refuses."""

    case: Case
    plan: bytes
    id: str
    inputs: list[torch.Tensor]
    results: list[torch.Tensor] | None
    refused: str = ""

    def __str__(self) -> str:
        return str(self.case)


def questions(op: str, *, cases: int, seed: int) -> Iterator[Question]:
    """Until torch has answered ``cases`` of them."""
    answered = 0
    for number in range(seed, seed + MOST_SEEDS):
        case = make_case(op, number)
        if case is None or _has_halves(case) or sum(o.room for o in case.operands) > LARGEST:
            continue
        if any(size >= 1 << 32 for operand in case.operands for size in operand.shape):
            continue  # empty, and larger than steps can say
        try:
            question = _Asked(case).question()
        except OverflowError:
            continue  # a number that no plan can hold
        if question is None:
            continue
        answered += question.results is not None
        yield question
        if answered >= cases:
            return


def _has_halves(case: Case) -> bool:
    return any(half in str((case.args, case.kwargs)) for half in ("'f16'", "'bf16'")) or any(
        operand.dtype in ("f16", "bf16") for operand in case.operands
    )


_View: TypeAlias = tuple[int, list[tuple[str, list[Any]]]]
"""Number of an input, and the operations that make a view of it."""


@dataclass
class _Asked:
    """A call on its way to become a plan: inputs, the views of them, the call."""

    case: Case
    inputs: list[torch.Tensor] = field(default_factory=list)
    steps: list[tuple[Any, ...]] = field(default_factory=list)

    def question(self) -> Question | None:
        chance = random.Random(str(self.case))
        views = [self._view(operand.build(), chance) for operand in self.case.operands]
        places, value = {}, len(self.inputs)
        for index, (source, chain) in enumerate(views):
            places[index] = source
            for op, args in chain:
                self.steps.append((op, [["r", places[index]], *args]))
                places[index] = value
                value += 1
        args = [_rewired(argument, places) for argument in self.case.args]
        kwargs = {name: _rewired(argument, places) for name, argument in self.case.kwargs.items()}
        count = len(ALLOWED[self.case.op]._schema.returns)
        self.steps.append((self.case.op, args, kwargs, count))
        announced = self._announced(views)
        document = self._document(value, announced)
        try:
            plan = Plan(document)
        except GridError as error:
            return Question(self.case, encode(document), _id(document), self.inputs, None, error.detail)
        try:
            results = list(plan.run(self.inputs))
        except GridError as error:
            if "limit" in error.extra:
                return None  # memory that a kernel of torch takes for itself: another machine's takes other
            return Question(self.case, plan.dumps(), plan.id, self.inputs, None, error.detail)
        if any(dtype_name(each.dtype) not in WIRE for each in results):
            return None
        if sum(each.numel() for each in results) > LARGEST_RESULT:
            return None  # as text, that is more than a page may hold
        return Question(self.case, plan.dumps(), plan.id, self.inputs, results)

    def _seen(self, source: int, chain: Sequence[tuple[str, list[Any]]]) -> torch.Tensor:
        tensor = self.inputs[source]
        for op, args in chain:
            tensor = ALLOWED[op](tensor, *(arg[1:] if isinstance(arg, list) else arg for arg in args))
        return tensor

    def _view(self, tensor: torch.Tensor, chance: random.Random) -> _View:
        """An input and the views of it that have the elements of ``tensor``."""
        number = len(self.inputs)
        rank, kind = tensor.dim(), chance.choice(["plain", "permuted", "stepped", "expanded"])
        chain: list[tuple[str, list[Any]]] = []
        given = tensor
        if rank and kind == "permuted":
            order = chance.sample(range(rank), rank)
            given = tensor.permute(order)
            back = sorted(range(rank), key=lambda place: order[place])
            chain = [("aten.permute.default", [["l", *back]])]
        elif rank and kind == "stepped" and tensor.numel():
            dim = chance.randrange(rank)
            wide = [*tensor.shape]
            wide[dim] = 2 * wide[dim] + 1
            given = torch.zeros(wide, dtype=tensor.dtype)
            given.narrow(dim, 1, wide[dim] - 1)[
                tuple(slice(None, None, 2) if d == dim else slice(None) for d in range(rank))
            ] = tensor
            chain = [("aten.slice.Tensor", [dim, 1, wide[dim], 2])]
        elif rank and kind == "expanded" and 0 in tensor.stride() and tensor.numel():
            for dim, stride in enumerate(tensor.stride()):
                if stride == 0:
                    given = given.narrow(dim, 0, 1)
            chain = [("aten.expand.default", [["l", *tensor.shape]])]
        self.inputs.append(given.contiguous().clone())
        return number, chain

    def _announced(self, views: Sequence[_View]) -> list[tuple[str, list[int]] | None]:
        """Types of the results; those that are not computed are None. Empty where the call does not fit."""
        seen = [self._seen(source, chain) for source, chain in views]
        with FakeTensorMode(allow_non_fake_inputs=False):
            operands = [torch.empty_strided(x.shape, x.stride(), dtype=x.dtype) for x in seen]
            try:
                args = [_resolved(argument, operands) for argument in self.case.args]
                kwargs = {name: _resolved(argument, operands) for name, argument in self.case.kwargs.items()}
                found = announce(self.case.op, args, kwargs).results
            except Exception:  # whatever a meta kernel raises: the call does not fit
                return []
            return [r if r is None else (dtype_name(r.dtype) or "", list(r.shape)) for r in found]

    def _document(self, first: int, announced: Sequence[tuple[str, list[int]] | None]) -> Document:
        drafted = forge([("aten.neg.default", [["r", 0]])])
        ops = list(dict.fromkeys(step[0] for step in self.steps))
        nodes = [
            Node(ops.index(s[0]), list(s[1]), s[2] if len(s) > 2 else {}, s[3] if len(s) > 3 else 1)
            for s in self.steps
        ]
        outputs = [
            Output(f"y{place}", "result", *result, first + place)
            for place, result in enumerate(announced)
            if result is not None and not _unspecified(self.case.op, place)
        ] or [Output("y", "result", "f32", [1, 2, 3], first)]
        inputs = [
            Input(f"x{i}", "data", dtype_name(x.dtype) or "", list(x.shape), None)
            for i, x in enumerate(self.inputs)
        ]
        test = msgspec.structs.replace(
            drafted.selftest,
            inputs=drafted.selftest.inputs[:1] * len(inputs),
            outputs=drafted.selftest.outputs[:1] * len(outputs),
        )
        return msgspec.structs.replace(
            drafted,
            opset=opset_of(ops),
            arguments=[
                msgspec.structs.replace(drafted.arguments[0], name=f"x{i}", tree=i)
                for i in range(len(inputs))
            ],
            inputs=inputs,
            ops=ops,
            nodes=nodes,
            outputs=outputs,
            result=["t", *range(len(outputs))] if len(outputs) > 1 else 0,
            selftest=test,
        )


def _unspecified(op: str, place: int) -> bool:
    """The buffer of log_sigmoid_forward is what the kernel's vectors left: its size depends on the machine."""
    return op == "aten.log_sigmoid_forward.default" and place == 1


def _id(document: Document) -> str:
    from blake3 import blake3

    return blake3(encode(document)).hexdigest()


def _rewired(argument: Any, places: dict[int, int]) -> Any:
    if isinstance(argument, list):
        if argument[0] == "r":
            return ["r", places[argument[1]]]
        if argument[0] == "l":
            return ["l", *(_rewired(part, places) for part in argument[1:])]
    return argument


def _resolved(argument: Any, operands: Sequence[torch.Tensor]) -> Any:
    if isinstance(argument, list):
        if argument[0] == "r":
            return operands[argument[1]]
        if argument[0] == "l":
            return [_resolved(part, operands) for part in argument[1:]]
        return DTYPES[argument[1]]
    return argument


# -- on the way there and back --------------------------------------------------------------------------------


def as_json(question: Question) -> dict[str, Any]:
    """What packages/grid_js/test/support/cases.ts takes."""
    return {
        "plan": base64.b64encode(question.plan).decode(),
        "id": question.id,
        "inputs": [packed(each) for each in question.inputs],
    }


def packed(tensor: torch.Tensor) -> dict[str, Any]:
    """A tensor as JSON."""
    raw = tensor.reshape(-1).clone().numpy().tobytes() if tensor.numel() else b""
    return {
        "dtype": WIRE[dtype_name(tensor.dtype) or ""],
        "shape": list(tensor.shape),
        "data": base64.b64encode(raw).decode(),
    }


def unpacked(given: dict[str, Any]) -> torch.Tensor:
    """What :func:`packed` made."""
    name = next(name for name, wire in WIRE.items() if wire == given["dtype"])
    raw = bytearray(base64.b64decode(given["data"]))
    if not raw:
        return torch.zeros(given["shape"], dtype=DTYPES[name])
    return torch.frombuffer(raw, dtype=DTYPES[name]).reshape(given["shape"])


def differences(question: Question, outcome: dict[str, Any]) -> str:
    """In what the engine's answer differs from Python's; empty where it does not."""
    if "failed" in outcome:
        return f"failed: {outcome['failed']}"
    if question.results is None:
        # What was drawn declares a type that no result has: who says so has computed it.
        if "results" in outcome or (
            "it declares" in outcome["refused"] and "it declares" not in question.refused
        ):
            return f"computed, although Python refuses: {question.refused}"
        return ""
    if "refused" in outcome:
        return f"refused: {outcome['refused']}"
    found = [unpacked(each) for each in outcome["results"]]
    if question.case.op in ("aten.topk.default", "aten.sort.default"):
        return _unlike_order(question, found)
    for place, (expected, got) in enumerate(zip(question.results, found, strict=True)):
        said = _unlike(expected, got, question)
        if said:
            return f"result {place}: {said}"
    return ""


#: Their sums and squares overflow in the one and not in the other, and how infinities and NaN come of that is not
#: said.
_MOMENTS = frozenset(
    f"aten.{name}"
    for name in (
        "native_layer_norm.default",
        "native_group_norm.default",
        "_native_batch_norm_legit.no_stats",
        "native_batch_norm_backward.default",
    )
)
#: Where products are beyond f32, it depends on the order whether their sum is infinite or NaN: it is not finite.
_SUMS_OF_PRODUCTS = frozenset({"aten.convolution.default", "aten.convolution_backward.default"})
#: Kernels that torch computes less exactly than the engine does: how far its results may lie from the exact ones.
_LOOSE = {"aten.erfinv.default": 2e-5, "aten.digamma.default": 2e-5, "aten.lgamma.default": 1e-5}


def _unlike(expected: torch.Tensor, got: torch.Tensor, question: Question) -> str:
    if expected.dtype != got.dtype or expected.shape != got.shape:
        return f"{got.dtype}{list(got.shape)} instead of {expected.dtype}{list(expected.shape)}"
    if not expected.dtype.is_floating_point:
        same = torch.equal(expected, got)
        return "" if same else f"{got.flatten()[:6].tolist()} instead of {expected.flatten()[:6].tolist()}"
    a, b = expected.double().numpy(), got.double().numpy()
    narrow = expected.dtype == torch.float32 or any(x.dtype == torch.float32 for x in question.inputs)
    rtol = _LOOSE.get(question.case.op, 1e-5) if narrow else 1e-10
    finite = a[np.isfinite(a)]
    scale = float(np.abs(finite).max()) if finite.size else 0.0
    inputs = [x.double()[torch.isfinite(x.double())].abs() for x in question.inputs if x.is_floating_point()]
    largest = max([1.0, *(float(x.max()) for x in inputs if x.numel())])
    atol = (1e-6 if narrow else 1e-11) * max(scale, 1.0 if largest < 1e6 else largest)
    moments = question.case.op in _MOMENTS
    close = np.isclose(b, a, rtol=rtol, atol=atol, equal_nan=True)
    if question.case.op in _SUMS_OF_PRODUCTS and narrow and largest > 1e18:
        close |= ~(np.isfinite(a) | np.isfinite(b))
    if moments and (largest > 1e18 or any(not bool(x.isfinite().all()) for x in question.inputs)):
        close |= ~np.isfinite(a)
    if close.all():
        return ""
    at = np.argwhere(~close)[0]
    return f"{b[tuple(at)]!r} instead of {a[tuple(at)]!r} at {at.tolist()} ({(~close).sum()} of {close.size})"


def _unlike_order(question: Question, found: list[torch.Tensor]) -> str:
    """Which of equal elements comes first is not said: the values are the same, and lie where the places say."""
    assert question.results is not None
    values, places = question.results
    if values.shape != found[0].shape or places.shape != found[1].shape or found[1].dtype != torch.int64:
        return "another type"
    top = question.case.op == "aten.topk.default"
    given = dict(
        zip(
            ("k", "dim", "largest", "sorted") if top else ("dim", "largest"),
            question.case.args[1:],
            strict=False,
        )
    )
    dim, largest, in_order = given.get("dim", -1), given.get("largest", top), given.get("sorted", True)
    x = question.case.operands[0].build()
    if not values.dim() or not values.numel():
        return _unlike(values, found[0], question)
    expected = values if in_order else values.sort(dim=dim, descending=largest, stable=True).values
    ordered = found[1].sort(dim=dim).values
    if values.shape[dim] > 1 and not bool((ordered.diff(dim=dim) > 0).all()):
        return "a place is given twice"
    return _unlike(expected, found[0], question) or _unlike(found[0], x.gather(dim, found[1]), question)


# -- by hand --------------------------------------------------------------------------------------------------


def main() -> int:
    from .engines import chromium, node

    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cases", type=int, default=30, help="calls that torch answers, for each operation")
    parser.add_argument("--seed", type=int, default=0, help="number of the first call")
    parser.add_argument(
        "--ops", nargs="*", default=[], help="only operations with one of these in their names"
    )
    parser.add_argument("--chromium", action="store_true", help="in real Chromium; else in Node")
    options = parser.parse_args()
    ops = [op for op in ALLOWED if not options.ops or any(part in op for part in options.ops)]
    start, wrong, answered, refused = time.monotonic(), 0, 0, 0
    few = []
    with (chromium if options.chromium else node)() as engine:
        for op in ops:
            engine.renew()
            asked = list(questions(op, cases=options.cases, seed=options.seed))
            found = [
                differences(q, o) for q, o in zip(asked, engine.run([as_json(q) for q in asked]), strict=True)
            ]
            mine = sum(question.results is not None for question in asked)
            answered, refused = answered + mine, refused + len(asked) - mine
            few += [op] if mine < options.cases else []
            bad = [(question, said) for question, said in zip(asked, found, strict=True) if said]
            wrong += len(bad)
            for question, said in bad[:3]:
                print(f"{question}\n    {said}", flush=True)
            if bad:
                print(f"  {op}: {len(bad)} of {len(asked)}", flush=True)
    print(
        f"{len(ops)} operations: {answered} calls that torch answers, {refused} that it refuses; {wrong} answered "
        f"otherwise; fewer than {options.cases} for {few or 'none'}; {time.monotonic() - start:.0f} s"
    )
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
