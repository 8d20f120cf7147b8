"""A histogram as a tree of sums: noise on every level, made consistent afterwards.

M. Hay, V. Rastogi, G. Miklau, D. Suciu, "Boosting the accuracy of differentially private histograms through
consistency", 2010: among all counts of cells, those nearest to the noisy numbers of all levels (least squares). A
range of many cells is then a sum of few numbers, and no noisy number contradicts another.
"""

from __future__ import annotations

from functools import lru_cache
from math import sqrt

import numpy as np
from numpy.typing import NDArray

from grid.statistics.reading import Doubles

__all__ = [
    "FAN_OUT",
    "consistent",
    "interval_deviation",
    "level_sizes",
    "levels_of",
    "prefix_deviation",
    "tree_cells",
]

FAN_OUT = 8


def level_sizes(leaves: int) -> tuple[int, ...]:
    """Numbers on each level, the coarsest (at most :data:`FAN_OUT`) first."""
    sizes = [leaves]
    while sizes[-1] > FAN_OUT:
        sizes.append(-(-sizes[-1] // FAN_OUT))
    return tuple(sizes[::-1])


def tree_cells(leaves: int) -> int:
    """Numbers on all levels together."""
    return sum(level_sizes(leaves))


def levels_of(leaves: NDArray[np.int64]) -> NDArray[np.int64]:
    """The tree over counts of cells (groups × leaves), as groups × numbers of all levels, the coarsest first."""
    groups, many = leaves.shape
    levels = [leaves]
    for size in level_sizes(many)[-2::-1]:
        padded = np.zeros((groups, size * FAN_OUT), dtype=np.int64)
        padded[:, : levels[-1].shape[1]] = levels[-1]
        levels.append(padded.reshape(groups, size, FAN_OUT).sum(axis=2))
    return np.concatenate(levels[::-1], axis=1)


def consistent(tree: Doubles, leaves: int) -> Doubles:
    """The counts of cells (groups × leaves) that fit all levels best; noise is of equal variance everywhere."""
    sizes = level_sizes(leaves)
    starts = np.concatenate([[0], np.cumsum(sizes)])
    levels = [tree[:, start:stop].astype(np.float64) for start, stop in zip(starts, starts[1:], strict=False)]
    variance = [np.ones(size) for size in sizes]
    for depth in range(len(sizes) - 2, -1, -1):  # upwards: each number with what its parts say of it
        below = _sums(levels[depth + 1], sizes[depth])
        spread = _sums(variance[depth + 1][None], sizes[depth])[0]
        weight = spread / (1 + spread)
        levels[depth] = weight * levels[depth] + (1 - weight) * below
        variance[depth] = weight
    for depth in range(len(sizes) - 1):  # downwards: the parts of each number add up to it
        gap = levels[depth] - _sums(levels[depth + 1], sizes[depth])
        spread = _sums(variance[depth + 1][None], sizes[depth])[0]
        parent = np.arange(sizes[depth + 1]) // FAN_OUT
        levels[depth + 1] = levels[depth + 1] + gap[:, parent] * (variance[depth + 1] / spread[parent])
    return levels[-1]


def _sums(parts: Doubles, size: int) -> Doubles:
    padded = np.zeros((parts.shape[0], size * FAN_OUT))
    padded[:, : parts.shape[1]] = parts
    result: Doubles = padded.reshape(parts.shape[0], size, FAN_OUT).sum(axis=2)
    return result


@lru_cache(maxsize=64)
def _covariance(leaves: int) -> Doubles:
    """Of the counts that :func:`consistent` gives (leaves × leaves), for noise of variance 1."""
    weights = np.zeros((leaves, leaves))
    for level in range(len(level_sizes(leaves))):
        parent = np.arange(leaves) // FAN_OUT**level
        weights += parent[:, None] == parent[None, :]
    return np.linalg.inv(weights).astype(np.float64)


def interval_deviation(leaves: int, share: Doubles) -> float:
    """The standard deviation of a sum of ``share`` (0 to 1) of each cell, in that of one noisy number."""
    return sqrt(max(0.0, float(share @ _covariance(leaves) @ share)))


def prefix_deviation(leaves: int) -> float:
    """The largest standard deviation of the number of values below an edge, in that of one noisy number."""
    sums: Doubles = np.cumsum(np.cumsum(_covariance(leaves), axis=0), axis=1)
    return sqrt(max(np.diag(sums).tolist()))
