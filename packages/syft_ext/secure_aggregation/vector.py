"""A difference as words, and a sum of words as numbers again: whole steps of a grid, and the weight as the last
word.

A participant's words are w · q₁ … w · q_d and w, where q is its difference on the grid, clipped there to the
rules' norm, with its share of the noise if there is any. The sum of words modulo 2^bits is the sum itself: the
rules leave room.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.privacy.noise import DiscreteGaussian
from syft_ext.secure_aggregation.masks import WORDS
from syft_ext.secure_aggregation.rules import SumRules

__all__ = ["Sum", "read_sum", "steps_of", "to_words"]

Parts = Callable[[], Iterable[NDArray[Any]]]


def steps_of(parts: Parts, rules: SumRules, noise_key: bytes = b"") -> NDArray[np.int64]:
    """A vector of floats, in parts, as steps of the grid: clipped, and with this participant's share of the noise.

    Args:
        noise_key: 32 bytes that nobody else knows, of this round alone; looked at where the rules demand noise.

    Raises :class:`~syft_ext.errors.InvalidTensors` for a number that is not finite.
    """
    grid = rules.grid
    magnitude = grid.measure(parts)
    steps: NDArray[np.int64] = np.concatenate(
        [grid.clip(part, magnitude) for part in parts()] or [np.empty(0, np.int64)]
    )
    if rules.noise is not None:
        DiscreteGaussian(rules.variance).draws(noise_key).add(steps)
    return steps


def to_words(steps: NDArray[np.int64], weight: int, rules: SumRules) -> NDArray[Any]:
    """The words of a participant whose difference is ``steps``, before any mask. Raises :class:`BadRequest` for
    a weight that the rules do not have."""
    if not 1 <= weight <= rules.max_weight:
        raise BadRequest(f"a weight of 1 to {rules.max_weight}", field="samples")
    words = np.empty(len(steps) + 1, WORDS[rules.bits])
    np.multiply(steps, weight, out=words[:-1], casting="unsafe") if weight != 1 else np.copyto(
        words[:-1], steps, casting="unsafe"
    )
    words[-1] = weight
    return words


class Sum:
    """What is read of an opened sum.

    Attributes:
        steps: Σ w · q, int64, exact.
        weight: Σ w.
    """

    def __init__(self, steps: NDArray[np.int64], weight: int) -> None:
        self.steps, self.weight = steps, weight

    def means(self, rules: SumRules) -> NDArray[np.float64]:
        """The weighted mean of the differences, in doubles: one rounding for each number."""
        found: NDArray[np.float64] = np.ldexp(
            self.steps.astype(np.float64) / self.weight, rules.grid.exponent
        )
        return found


def read_sum(words: NDArray[Any], survivors: int, rules: SumRules) -> Sum:
    """An opened sum of so many participants. Raises :class:`BadRequest` where the masks have not cancelled, or
    somebody said a weight that nobody may have."""
    signed = words.view(np.dtype(f"<i{rules.bits // 8}"))
    weight = int(words[-1])
    if not survivors <= weight <= survivors * rules.max_weight:
        raise BadRequest("the sum cannot be read: masks are left in it, or a weight was not as the rules are")
    steps = signed[:-1].astype(np.int64)
    return Sum(steps, weight)
