"""The self-test vector: inputs that any machine can make, and what the author's machine answered.

Standard components were measured to compute training plans silently wrong (an ONNX optimiser, a WebGPU backend,
an exporter). So every plan carries a vector, and a peer runs it
before it lets the plan touch data (:mod:`syft_ext.plans.checking.made_inputs` makes its inputs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch

from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.checking.made_inputs import made_values
from syft_ext.plans.checking.summaries import compare_summaries
from syft_ext.plans.graph.document import Document, Generator, Input, SelfTest, Summary
from syft_ext.plans.graph.dtypes import DTYPES

__all__ = ["compare", "generator_for", "make_inputs", "summarise"]

RTOL, ATOL = 1e-3, 1e-4


def generator_for(example: torch.Tensor, item: Input, marks: bool = True) -> Generator:
    """How to make inputs like ``example``: its range, its order, and a sensible spread where it is constant.

    ``marks=False`` leaves the one negative number out of whole ones that are not negative otherwise: -100 marks
    targets that do not count, and the numbers between it and zero mean nothing.
    """
    if item.default is not None:
        return Generator("default", 0.0, 0.0)
    values = example.detach().to(torch.float64)
    finite = values[torch.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
    low, high = max(low, -1e6), min(high, 1e6)
    if not example.dtype.is_floating_point:
        others = finite[finite != low]
        if not marks and low < 0 and others.numel() and float(others.min()) >= 0:
            low = float(others.min())
        return Generator("integers", float(math.floor(low)), float(math.floor(high)))
    if low == high and example.numel() > 1:
        # Zeros stand for "not trained yet": spread them, and keep what must not be negative (Adam's second
        # moment, a variance) positive.
        spread = {"param": (-0.1, 0.1)}.get(item.role, (0.0, 0.01)) if low == 0 else (-0.1 * low, 0.1 * low)
        return Generator("uniform", low + min(spread), low + max(spread))
    ordered = values.dim() == 1 and values.numel() > 2 and bool((values.diff() >= 0).all())
    return Generator("sorted" if ordered else "uniform", low, high)


def make_inputs(document: Document, test: SelfTest) -> list[torch.Tensor]:
    """The self-test's inputs, in plan order."""
    inputs = []
    for item, values in zip(document.inputs, made_values(document, test.symbols), strict=True):
        if values is None:
            assert item.default is not None  # proved by validate
            inputs.append(const_tensor(item.default))
        else:
            inputs.append(torch.from_numpy(values).to(DTYPES[item.dtype]))
    return inputs


def summarise(tensor: torch.Tensor) -> Summary:
    """Shape, mean, mean of absolute values, and the first eight values."""
    flat = tensor.detach().reshape(-1).to(torch.float64)
    mean, size = (float(flat.mean()), float(flat.abs().mean())) if flat.numel() else (0.0, 0.0)
    return Summary(list(tensor.shape), mean, size, [float(value) for value in flat[:8]])


def compare(document: Document, run: Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]) -> None:
    """Run the vector through ``run``; :class:`InvalidPlan` if this machine answers something else."""
    results = run(make_inputs(document, document.selftest))
    compare_summaries(document, [summarise(result) for result in results])
