"""Loss and accuracy of one report, as they leave where reports are clipped but get no noise."""

from __future__ import annotations

import math

__all__ = ["DIGITS", "coarse"]

DIGITS = 4
"""Significant digits that are left."""

_SMALLEST, _LARGEST = 1e-6, 1e6


def coarse(value: float | None) -> float | None:
    """``value`` to four significant digits, between 10⁻⁶ and 10⁶ in size, or 0.

    A plan makes a metric of whatever it likes, and a double holds a whole number of a row: what is left is one of
    fewer than 220,000 values (18 bits), in place of one of 2⁶⁴. None for what is not a number.
    """
    if value is None or math.isnan(value):
        return None
    if abs(value) >= _LARGEST:
        return math.copysign(_LARGEST, value)
    return float(f"{value:.{DIGITS - 1}e}") if abs(value) >= _SMALLEST else 0.0
