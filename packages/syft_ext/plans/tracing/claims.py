"""Holds a finished plan against the function that it was traced from, at every size where the two may part.

A plan claims a range of sizes, and was recorded at one. So it is run beside the function, on the inputs of its
self-test: at small sizes, which must agree; twice, since what changes from call to call would be fixed in the
plan; at 1, and beyond every branch of torch's own, where the range ends if they do not agree.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking import selftest
from syft_ext.plans.checking.summaries import same_summary
from syft_ext.plans.graph.document import Document, SelfTest
from syft_ext.plans.graph.limits import Limits
from syft_ext.plans.ir import Plan
from syft_ext.plans.tracing.errors import SourceLine, TraceError
from syft_ext.plans.tracing.reference import Reference

__all__ = ["held_against"]

_TRIED = 4096
"""Sizes above are not tried: where torch takes another way there, the range ends."""
_HALF = 3e-2
"""How far results of half precision may be apart, whose sums are rounded in another order."""
_CHANGES = (
    "pass what changes as an argument (a number, or sy.State to carry it from step to step); draw random numbers "
    "with torch and an argument named seed"
)


def held_against(
    plan: Plan, reference: Reference, doubtful: Mapping[str, set[int]], limits: Limits | None
) -> dict[str, tuple[int, int]]:
    """The bounds of the plan's symbols within which it computes what the function does.

    Args:
        plan: with its self-test.
        doubtful: of each symbol, sizes to look at.

    Raises :class:`TraceError` where they differ at the sizes of the self-test.
    """
    _check_same(plan, reference)
    bounds = dict(plan.symbols)
    for symbol, sizes in doubtful.items():
        here = plan.document.selftest.symbols[symbol]
        for size in sorted({1, *sizes}):
            low, high = bounds[symbol]
            if (
                low <= size <= high
                and size != here
                and not _agree_at(plan, reference, {symbol: size}, limits)
            ):
                bounds[symbol] = (size + 1, high) if size < here else (low, size - 1)
    ones = {symbol: 1 for symbol, (low, _) in bounds.items() if low == 1}
    if len(ones) > 1 and not _agree_at(plan, reference, ones, limits):
        bounds |= {symbol: (2, bounds[symbol][1]) for symbol in ones}
    return bounds


def _check_same(plan: Plan, reference: Reference) -> None:
    inputs = selftest.make_inputs(plan.document, plan.document.selftest)
    try:
        runs = reference.repeated(inputs)
    except Exception as error:
        raise TraceError(
            f"the function can be recorded, and fails on values: {type(error).__name__}: {_line(error)}",
            hint=_CHANGES,
        ) from error
    changed = runs.another_way
    if changed is None and not _same(plan, runs.first, [selftest.summarise(each) for each in runs.second]):
        changed = runs.other_values or SourceLine("", 0)
    if changed is not None:
        raise TraceError(
            f"{changed} does something else at every call: a counter, the time, or a random number that is not "
            "the plan's. It would be fixed in the plan",
            hint=_CHANGES,
            file=changed.file,
            line=changed.number,
        )
    for output, result, expected in zip(
        plan.document.outputs, runs.first, plan.document.selftest.outputs, strict=True
    ):
        if not _same(plan, [result], [expected]):
            raise TraceError(
                f"the plan computes {output.name} differently from the function: {expected.first[:3]} and "
                f"{selftest.summarise(result).first[:3]}, of shapes {expected.shape} and {list(result.shape)}",
                hint=_CHANGES,
                output=output.name,
            )


def _line(error: Exception) -> str:
    return str(error).strip().split("\n")[0][:200]


def _same(plan: Plan, results: Sequence[torch.Tensor], expected: Sequence[Any]) -> bool:
    document = plan.document
    types = {*(i.dtype for i in document.inputs), *(o.dtype for o in document.outputs)}
    rtol, atol = (_HALF, _HALF) if types & {"f16", "bf16"} else (selftest.RTOL, selftest.ATOL)
    return all(
        same_summary(selftest.summarise(result), summary, rtol, atol)
        for result, summary in zip(results, expected, strict=True)
    )


def _agree_at(plan: Plan, reference: Reference, sizes: Mapping[str, int], limits: Limits | None) -> bool:
    """Whether both give the same at these sizes; where one of them fails, they do not."""
    if any(size > _TRIED for size in sizes.values()):
        return False
    document = _at(plan.document, sizes)
    inputs = selftest.make_inputs(document, document.selftest)
    try:
        expected = reference.run(inputs)
    except Exception:
        return False
    try:
        found = Plan(document, limits).run(inputs)
    except InvalidPlan:
        return False
    return _same(plan, found, [selftest.summarise(each) for each in expected])


def _at(document: Document, sizes: Mapping[str, int]) -> Document:
    test: SelfTest = msgspec.structs.replace(
        document.selftest, symbols={**document.selftest.symbols, **sizes}
    )
    return msgspec.structs.replace(document, selftest=test)
