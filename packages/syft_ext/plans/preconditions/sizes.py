"""Arithmetic of shapes."""

from __future__ import annotations

import math
from collections.abc import Sequence

from syft_ext.errors import InvalidPlan

__all__ = ["broadcast", "extent"]


def extent(shape: Sequence[int]) -> int:
    """Elements of a tensor of this shape, empty dimensions counted as one: kernels loop over the others."""
    return math.prod(max(size, 1) for size in shape)


def broadcast(*shapes: Sequence[int]) -> tuple[int, ...]:
    """The shape that these shapes are brought to together. Raises :class:`InvalidPlan` if there is none."""
    result = [1] * max((len(shape) for shape in shapes), default=0)
    for shape in shapes:
        for place, size in enumerate(shape, len(result) - len(shape)):
            if result[place] == 1:
                result[place] = size
            elif size not in (1, result[place]):
                raise InvalidPlan("the operands do not match each other")
    return tuple(result)
