"""Fixed point: real numbers as whole ones, with the range checked where they come in."""

from __future__ import annotations

import math

import torch

from syft_ext.errors import BadRequest, OutOfRange
from syft_ext.mpc.ring import LIMIT

__all__ = ["PRECISIONS", "decode", "encode", "public_scale", "raw_bound"]

PRECISIONS = range(8, 21)
"""Bits behind the point that a session may have; 16 is the default: steps of 1.5e-5."""
_PUBLIC_BITS = 24
_SMALLEST_INTEGER = 1 << 20


def raw_bound(bound: float, precision: int) -> int:
    """The largest whole number of values up to ``bound``. Raises :class:`BadRequest` for what cannot be held."""
    if not math.isfinite(bound) or bound <= 0 or bound * (1 << precision) > LIMIT:
        raise BadRequest(f"values up to {bound:g} cannot be held with {precision} bits behind the point")
    return math.ceil(bound * (1 << precision))


def encode(values: torch.Tensor, precision: int, bound: float) -> torch.Tensor:
    """int64, rounded to the nearest step of 2^-``precision``.

    Raises :class:`OutOfRange` for values larger than ``bound``, for infinities and for what is no number: what
    would wrap around is refused and never silent.
    """
    limit = raw_bound(bound, precision)
    scaled = (values.to(torch.float64) * (1 << precision)).round()
    if not bool((scaled.abs() <= limit).all()):  # false for NaN, too
        raise OutOfRange(f"a value lies outside of the stated range, ±{bound:g}")
    return scaled.to(torch.int64)


def decode(raw: torch.Tensor, fraction: int) -> torch.Tensor:
    """Float64 of whole numbers with ``fraction`` bits behind the point."""
    return raw.to(torch.float64) / (1 << fraction)


def public_scale(values: torch.Tensor) -> tuple[torch.Tensor, int, int]:
    """Public factors as whole numbers: the numbers, the bits behind their point, the largest size.

    Small whole factors stay what they are (no truncation follows); others get 24 significant bits, so that a
    mean over a thousand rows is not off by a hundredth, as 1/1000 with 16 bits behind the point would be.
    """
    exact = values.to(torch.float64)
    if not bool(torch.isfinite(exact).all()):
        raise OutOfRange("a public factor is no finite number")
    largest = float(exact.abs().max()) if exact.numel() else 0.0
    if largest <= _SMALLEST_INTEGER and bool((exact == exact.round()).all()):
        return exact.to(torch.int64), 0, max(int(largest), 1)
    bits = _PUBLIC_BITS - math.frexp(largest)[1]
    if bits < 1:
        raise OutOfRange(f"a public factor of {largest:g} is too large to be multiplied with")
    bits = min(bits, 48)
    raw = (exact * (1 << bits)).round().to(torch.int64)
    return raw, bits, max(int(raw.abs().max()), 1)
