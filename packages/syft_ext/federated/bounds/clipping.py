"""Clipping whose bound holds for the numbers that are sent, not only for those before rounding.

The difference is taken in float64, in which every smaller float is exact. Its norm is estimated from above: a
sum of n squares in floating point is off by at most n roundings, whatever the order of its terms (N. Higham,
"Accuracy and Stability of Numerical Algorithms", 2002, section 3.1). What is scaled is rounded towards zero,
so that rounding makes no number larger. So the exact L2 norm of what is sent is at most the bound.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from syft_ext.errors import InvalidTensors

__all__ = ["Pair", "blocks", "clip_scale", "to_float", "towards_zero"]

Pair = tuple[torch.Tensor, torch.Tensor]
"""A tensor of the model, and the trained one: flat, of one dtype, on the CPU."""

BLOCK = 1 << 20
"""Numbers at a time: what is worked on is small beside the model."""

_INTEGERS = {2: torch.int16, 4: torch.int32, 8: torch.int64}
_SLACK = 2.0**-52


def blocks(pair: Pair) -> Iterator[tuple[slice, torch.Tensor]]:
    """The difference (model − trained) of a pair in float64, stretch by stretch."""
    before, after = pair
    for start in range(0, before.numel(), BLOCK):
        part = slice(start, min(start + BLOCK, before.numel()))
        yield part, before[part].double() - after[part].double()


def _largest(pairs: Sequence[Pair]) -> float:
    """The largest size of a number. Raises :class:`InvalidTensors` for one that is not finite."""
    largest = 0.0
    for pair in pairs:
        for _, part in blocks(pair):
            found = float(part.abs().max())
            if not math.isfinite(found):
                raise InvalidTensors("what was learned holds a number that is not finite")
            largest = max(largest, found)
    return largest


def clip_scale(pairs: Sequence[Pair], bound: float) -> float:
    """What to multiply the difference by, so that its exact L2 norm is at most ``bound`` after it was rounded
    towards zero; 1 where it is small enough. Raises :class:`InvalidTensors` for what is not finite."""
    largest = _largest(pairs)
    if largest == 0.0:
        return 1.0
    count, squares = 0, 0.0
    for pair in pairs:
        for _, part in blocks(pair):
            part /= largest  # no square is too large or too small for a double
            squares += float(torch.dot(part, part))
            count += part.numel()
    above = math.sqrt(squares * (1 + (count + 16) * _SLACK)) * (1 + 4 * _SLACK)
    norm = largest * above * (1 + 4 * _SLACK)
    if norm <= bound:
        return 1.0
    scale = bound / norm * (1 - 8 * _SLACK)
    # A scale so small has lost digits, and may be too large for that; nothing of the difference remains anyway.
    return scale if scale > 2.0**-1000 else 0.0


def towards_zero(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float64 ``values`` in ``dtype``, of which none is further from zero than it was."""
    rounded = values.to(dtype)
    further = rounded.double().abs() > values.abs()
    # Floats are sign and magnitude: one less as a whole number is the next one towards zero, of infinity the
    # largest finite one.
    bits = rounded.view(_INTEGERS[rounded.element_size()])
    return (bits - further.to(bits.dtype)).view(dtype)


def to_float(values: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """float64 ``values`` in ``dtype``, to the nearest, and the largest finite number for what is beyond it."""
    end = torch.finfo(dtype).max
    return values.clamp(-end, end).to(dtype)
