"""Which counts are kept back because they stand for few rows, so that none of them follows from the others.

The cells are parts of one whole whose size is taken to be known: the groups of a group-by, the bins of a
histogram. Cells of fewer rows than the policy's minimum are hidden (an empty cell stands for nobody, and is
shown). What is hidden must not follow from the rest:

- the hidden cells together hold at least the minimum, and are at least two, else the sum that follows from the
  whole would be such a small count itself;
- they do not all have to be as small, or as large, as a hidden cell can be.

Otherwise the smallest of the cells that are shown is hidden too (complementary suppression: L. Willenborg,
T. de Waal, "Elements of Statistical Disclosure Control", 2001, chapter 6), with all cells of its size: choosing
among them would say which of the hidden ones are small. Where the whole is so small that all cells could be
too few, all are hidden: that they are hidden then says nothing about them. One answer is protected; what
several answers about overlapping groups say together is the business of the site's ``statistics_epsilon``.
That a value is missing is no value: how many are missing is told wherever the column's count is.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["hidden_cells"]


def hidden_cells(counts: NDArray[Any], minimum: int) -> NDArray[np.bool_]:
    """Which of the cells are kept back."""
    hidden: NDArray[np.bool_] = (counts > 0) & (counts < minimum)
    if minimum > 1 and 0 < int(counts.sum()) <= len(counts) * (minimum - 1):
        return np.ones(len(counts), dtype=np.bool_)
    while hidden.any() and not _safe(counts[hidden], minimum):
        shown = ~hidden & (counts > 0)
        if not shown.any():
            return np.ones(len(counts), dtype=np.bool_)
        hidden = hidden | (shown & (counts == counts[shown].min()))
    return hidden


def _safe(hidden: NDArray[Any], minimum: int) -> bool:
    many, total = len(hidden), int(hidden.sum())
    if many < 2 or total < minimum:
        return False
    if (hidden >= minimum).any():
        return True
    return many < total < many * (minimum - 1)
