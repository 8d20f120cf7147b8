"""Summaries of a self-test's results, and whether two are the same. No torch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.document import Document, Summary

__all__ = ["compare_summaries", "same_summary", "summary_of"]


def summary_of(array: NDArray[Any]) -> Summary:
    """Shape, mean, mean of absolute values, and the first eight values."""
    flat = array.reshape(-1).astype(np.float64)
    mean, size = (float(flat.mean()), float(np.abs(flat).mean())) if flat.size else (0.0, 0.0)
    return Summary(list(array.shape), mean, size, [float(value) for value in flat[:8]])


def compare_summaries(document: Document, found: Sequence[Summary]) -> None:
    """Raise :class:`InvalidPlan` unless these are what the plan's author got for its self-test."""
    test = document.selftest
    for output, expected, summary in zip(document.outputs, test.outputs, found, strict=True):
        if not same_summary(expected, summary, test.rtol, test.atol):
            raise InvalidPlan(
                f"self-test: this machine computes output {output.name} differently from the plan's author",
                output=output.name,
            )


def same_summary(expected: Summary, found: Summary, rtol: float, atol: float) -> bool:
    """Whether two tensors are the same as far as their summaries tell; NaN is like NaN."""
    numbers = [
        (expected.mean, found.mean),
        (expected.abs_mean, found.abs_mean),
        *zip(expected.first, found.first, strict=False),
    ]
    same = expected.shape == found.shape and len(expected.first) == len(found.first)
    return same and all(_close(a, b, rtol, atol) for a, b in numbers)


def _close(a: float, b: float, rtol: float, atol: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= atol + rtol * max(abs(a), abs(b))
