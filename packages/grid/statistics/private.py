"""Differentially private counts, sums, means and histograms, by Laplace noise for the site's epsilon.

Two tables are neighbours when one has one row more. Per column there are up to four releases: the count, the
sum of the values' distances from the middle of the owner's bounds, the number of missing values, and a histogram.
One row changes one group and one bin of each of them, so each costs epsilon once, however many groups and bins
there are. Means and sums are computed from the noisy count and sum, which costs nothing.

Groups are the values that the schema allows, not those that occur: which do, nobody was asked to tell.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from grid.privacy.accounting.pure import PureAccountant
from grid.privacy.mechanisms.registry import ChosenMechanism, choose_mechanism
from grid.statistics.columns import Column
from grid.statistics.groups import Groups
from grid.statistics.moments import Codes
from grid.statistics.reading import Doubles
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Begin

__all__ = ["MECHANISMS", "ClippedSums", "allowed_groups", "cost", "missing_bounds", "noisy"]

#: Statistics that can be had with noise.
MECHANISMS = frozenset({"count", "missing", "sum", "mean", "histogram"})

_GRID = 1 << 24
"""Steps between the middle of the bounds and either of them."""


class ClippedSums:
    """Exact whole sums of a column's values, clipped to its bounds; one entry per group."""

    def __init__(self, bounds: tuple[float, float], groups: int) -> None:
        self.low, self.high = bounds
        self.count = np.zeros(groups, dtype=np.int64)
        self._steps = np.zeros(groups, dtype=np.int64)

    @property
    def _middle(self) -> float:
        return self.low + (self.high - self.low) / 2

    @property
    def _half(self) -> float:
        return (self.high - self.low) / 2

    def clip(self, values: Doubles) -> Doubles:
        """The values within the bounds: what lies outside counts as the nearer bound."""
        clipped: Doubles = np.clip(values, self.low, self.high)
        return clipped

    def add(self, values: Doubles, codes: Codes | None) -> None:
        """Take in a stretch of clipped values."""
        groups = len(self.count)
        places = np.zeros(len(values), dtype=np.intp) if codes is None else codes
        steps = np.clip(np.rint((values - self._middle) / self._half * _GRID), -_GRID, _GRID)
        self.count += np.bincount(places, minlength=groups)
        # Sums of so few whole numbers of 25 bits are exact in doubles.
        self._steps += np.bincount(places, weights=steps, minlength=groups).astype(np.int64)

    def release(self, epsilon: float, *, sums: bool) -> tuple[NDArray[np.int64], Doubles, Doubles]:
        """Noisy counts and, computed from them and the noisy sums of distances, sums and means."""
        count = noisy(self.count, epsilon)
        if not sums:
            nothing = np.full(len(count), np.nan)
            return count, nothing, nothing
        distance = noisy(self._steps, epsilon, _GRID) / _GRID * self._half
        mean = np.clip(self._middle + distance / np.maximum(count, 1), self.low, self.high)
        return count, self._middle * count + distance, mean


def noisy(counts: NDArray[np.int64], epsilon: float, sensitivity: int = 1) -> NDArray[np.int64]:
    """The whole numbers with noise on each."""
    flat = counts.astype(np.int64).ravel()  # a copy
    _mechanism(epsilon, sensitivity).noise().add(flat)
    return flat.reshape(counts.shape)


def _mechanism(epsilon: float, sensitivity: int = 1) -> ChosenMechanism:
    return choose_mechanism("discrete_laplace", sensitivity=sensitivity, epsilon=epsilon)


def cost(message: Begin, epsilon: float) -> float:
    """What the analysis takes from the privacy budget."""
    asked = set(message.statistics)
    releases = bool(asked & {"count", "sum", "mean"}) + bool(asked & {"sum", "mean"}) + ("missing" in asked)
    account = PureAccountant()
    account.compose(_mechanism(epsilon).event(), releases * len(message.columns) + len(message.histograms))
    return account.epsilon()


def allowed_groups(keys: Sequence[Column], bounds: Mapping[str, tuple[float, float]]) -> Groups:
    """All groups that the schema allows. Raises :class:`BadRequest` for a column without bounds."""
    values = []
    for column in keys:
        if column.spec.dtype == "BOOL":
            low, high = 0, 1
        elif column.name in bounds:
            low, high = (int(bound) for bound in bounds[column.name])
        else:
            raise missing_bounds(column.name)
        if high - low >= 1 << 16:
            raise BadRequest(f"the bounds of {column.name!r} allow too many groups", column=column.name)
        values.append(np.arange(low, high + 1))
    return Groups(values)


def missing_bounds(name: str) -> BadRequest:
    """The error for a column whose owner gave no bounds: without them no noise would cover any value."""
    return BadRequest(
        f"this site adds noise for the bounds of each column, and its owner gave none for {name!r} "
        "(low and high in the schema)",
        column=name,
    )
