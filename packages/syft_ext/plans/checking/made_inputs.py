"""Inputs that any machine can make, to the last bit: for self-tests, and for runs on mock rows. No torch.

They come from a counter-based integer hash (lowbias32), which is the same in every language.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.plans.graph.document import Document
from syft_ext.plans.graph.expr import eval_shape

__all__ = ["made_values"]

_MASK = np.uint64(0xFFFFFFFF)


def made_values(document: Document, sizes: Mapping[str, int]) -> list[NDArray[Any] | None]:
    """Float64 or int64 values for each input in the plan's order, as its self-test makes them; None for an input
    that takes its default. ``sizes``: of each symbol."""
    test = document.selftest
    made: list[NDArray[Any] | None] = []
    for site, (item, generator) in enumerate(zip(document.inputs, test.inputs, strict=True)):
        if generator.kind == "default":
            made.append(None)
            continue
        shape = eval_shape(item.shape, sizes)
        words = _hash(test.seed, site, math.prod(shape))
        if generator.kind == "integers":
            span = int(generator.high) - int(generator.low) + 1
            values: NDArray[Any] = words.astype(np.int64) % span + int(generator.low)
        else:
            unit = (words >> np.uint64(8)).astype(np.float64) / (1 << 24)
            values = generator.low + unit * (generator.high - generator.low)
            if generator.kind == "sorted":
                values = np.sort(values)
        made.append(values.reshape(shape))
    return made


def _hash(seed: int, site: int, count: int) -> NDArray[np.uint64]:
    """``count`` 32-bit words for input number ``site``."""
    with np.errstate(over="ignore"):
        key = np.uint64((seed * 0x9E3779B1 + site * 0x85EBCA77) & 0xFFFFFFFF)
        h = (np.arange(count, dtype=np.uint64) + key) & _MASK
        h ^= h >> np.uint64(16)
        h = (h * np.uint64(0x7FEB352D)) & _MASK
        h ^= h >> np.uint64(15)
        h = (h * np.uint64(0x846CA68B)) & _MASK
        return h ^ (h >> np.uint64(16))
