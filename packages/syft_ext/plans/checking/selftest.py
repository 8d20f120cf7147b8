"""The self-test vector: inputs that any machine can make, and what the author's machine answered.

Standard components were measured to compute training plans silently wrong (an ONNX optimiser, a WebGPU backend,
an exporter). So every plan carries a vector, and a peer runs it
before it lets the plan touch data. The inputs come from a counter-based integer hash (lowbias32), which is
bit-exact in every language.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.graph.document import Document, Generator, Input, SelfTest, Summary
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.graph.expr import eval_shape

__all__ = ["compare", "generator_for", "make_inputs", "summarise"]

RTOL, ATOL = 1e-3, 1e-4
_MASK = np.uint64(0xFFFFFFFF)


def _hash(seed: int, site: int, count: int) -> np.ndarray:
    """``count`` 32-bit words for input number ``site``."""
    with np.errstate(over="ignore"):
        key = np.uint64((seed * 0x9E3779B1 + site * 0x85EBCA77) & 0xFFFFFFFF)
        h = (np.arange(count, dtype=np.uint64) + key) & _MASK
        h ^= h >> np.uint64(16)
        h = (h * np.uint64(0x7FEB352D)) & _MASK
        h ^= h >> np.uint64(15)
        h = (h * np.uint64(0x846CA68B)) & _MASK
        return h ^ (h >> np.uint64(16))


def generator_for(example: torch.Tensor, item: Input) -> Generator:
    """How to make inputs like ``example``: its range, its order, and a sensible spread where it is constant."""
    if item.default is not None:
        return Generator("default", 0.0, 0.0)
    values = example.detach().to(torch.float64)
    finite = values[torch.isfinite(values)]
    low, high = (float(finite.min()), float(finite.max())) if finite.numel() else (0.0, 0.0)
    low, high = max(low, -1e6), min(high, 1e6)
    if not example.dtype.is_floating_point:
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
    for site, (item, generator) in enumerate(zip(document.inputs, test.inputs, strict=True)):
        if generator.kind == "default":
            assert item.default is not None  # proved by validate
            inputs.append(const_tensor(item.default))
            continue
        shape = eval_shape(item.shape, test.symbols)
        words = _hash(test.seed, site, math.prod(shape))
        if generator.kind == "integers":
            span = int(generator.high) - int(generator.low) + 1
            values: np.ndarray = words.astype(np.int64) % span + int(generator.low)
        else:
            unit = (words >> np.uint64(8)).astype(np.float64) / (1 << 24)
            values = generator.low + unit * (generator.high - generator.low)
            if generator.kind == "sorted":
                values = np.sort(values)
        inputs.append(torch.from_numpy(values).reshape(shape).to(DTYPES[item.dtype]))
    return inputs


def summarise(tensor: torch.Tensor) -> Summary:
    """Shape, mean, mean of absolute values, and the first eight values."""
    flat = tensor.detach().reshape(-1).to(torch.float64)
    mean, size = (float(flat.mean()), float(flat.abs().mean())) if flat.numel() else (0.0, 0.0)
    return Summary(list(tensor.shape), mean, size, [float(value) for value in flat[:8]])


def compare(document: Document, run: Callable[[Sequence[torch.Tensor]], Sequence[torch.Tensor]]) -> None:
    """Run the vector through ``run``; :class:`InvalidPlan` if this machine answers something else."""
    test = document.selftest
    results = run(make_inputs(document, test))
    for output, expected, result in zip(document.outputs, test.outputs, results, strict=True):
        found = summarise(result)
        numbers = [
            (expected.mean, found.mean),
            (expected.abs_mean, found.abs_mean),
            *zip(expected.first, found.first, strict=False),
        ]
        same = expected.shape == found.shape and len(expected.first) == len(found.first)
        if not same or not all(_close(a, b, test.rtol, test.atol) for a, b in numbers):
            raise InvalidPlan(
                f"self-test: this machine computes output {output.name} differently from the plan's author",
                output=output.name,
            )


def _close(a: float, b: float, rtol: float, atol: float) -> bool:
    if math.isnan(a) or math.isnan(b):
        return math.isnan(a) and math.isnan(b)
    return a == b or abs(a - b) <= atol + rtol * max(abs(a), abs(b))
