"""Clipping and Gaussian noise, as the site's policy demands them of what learns from data.

The generator is seeded from the operating system for each use, so that nobody can draw the same noise again; or
from a secret and the question, so that whoever asks the same again gets the same noise, and nothing by averaging.
What is noisy is rounded to the precision of the model: the sums are kept in float64, and floating-point
noise is not exact in its last bits (I. Mironov, "On significance of the least significant bits", 2012); where
proven privacy of single numbers is needed, statistics with exact noise are the tool
(:mod:`grid.privacy.mechanisms.discrete_laplace`).
"""

from __future__ import annotations

from secrets import randbits
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Noise", "clip_factor"]

_BLOCK = 1 << 18


def clip_factor(squares: float, bound: float) -> float:
    """What to multiply a vector by, whose squares sum to this, so that its L2 norm is at most ``bound``."""
    norm = float(np.sqrt(squares))
    return 1.0 if norm <= bound else bound / norm


class Noise:
    """Independent Gaussian noise with standard deviation ``deviation``; 0 adds none.

    ``key``: 16 secret bytes that the noise follows from; None: fresh ones.
    """

    def __init__(self, deviation: float, key: bytes | None = None) -> None:
        self._deviation = deviation
        number = randbits(128) if key is None else int.from_bytes(key[:16], "big")
        self._random = np.random.Generator(np.random.Philox(key=number))

    def add(self, values: NDArray[Any]) -> None:
        """Add noise to a flat array of float64, in place."""
        if not self._deviation:
            return
        for start in range(0, len(values), _BLOCK):
            part = values[start : start + _BLOCK]
            part += self._deviation * self._random.standard_normal(len(part))
