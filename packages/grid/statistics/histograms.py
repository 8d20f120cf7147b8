"""Values counted in bins, per group, as ``numpy.histogram`` counts them: half-open, the last bin closed."""

from __future__ import annotations

import numpy as np

from grid.statistics.moments import Codes
from grid.statistics.reading import Doubles
from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.statistics import Bins

__all__ = ["MAX_CELLS", "Histogram", "edges_of"]

MAX_CELLS = 1 << 20


def edges_of(bins: Bins) -> Doubles:
    """The edges of the bins; raises :class:`BadRequest` where they do not increase or are no numbers."""
    if bins.edges is not None:
        edges = np.array(bins.edges, dtype=np.float64)
    elif np.isfinite([bins.low, bins.high]).all() and bins.low < bins.high:
        edges = np.linspace(bins.low, bins.high, bins.count + 1)
    else:
        raise BadRequest(f"the bins of {bins.column!r} need a finite range, low < high", column=bins.column)
    if not (np.isfinite(edges).all() and (np.diff(edges) > 0).all()):
        raise BadRequest(f"the edges of {bins.column!r} must be finite and increase", column=bins.column)
    return edges


class Histogram:
    """Counts per group of values below, in each bin, and above: ``counts[group, 0 … bins + 1]``."""

    def __init__(self, bins: Bins, groups: int) -> None:
        self.edges = edges_of(bins)
        self.bins = len(self.edges) - 1
        self._even = bins.edges is None
        if groups * (self.bins + 2) > MAX_CELLS:
            raise TooLarge("too many bins for so many groups", limit=MAX_CELLS)
        self.counts = np.zeros((groups, self.bins + 2), dtype=np.int64)

    def add(self, values: Doubles, codes: Codes | None) -> None:
        """Take in a stretch of values, none of them NaN."""
        places = self._even_places(values) if self._even else self._places(values)
        if codes is not None:
            places += codes * (self.bins + 2)
        flat = np.bincount(places, minlength=self.counts.size)
        self.counts += flat.reshape(self.counts.shape)

    def _places(self, values: Doubles) -> Codes:
        places: Codes = np.searchsorted(self.edges, values, side="right")
        places[values == self.edges[-1]] = self.bins
        return places

    def _even_places(self, values: Doubles) -> Codes:
        """Computed, then put right by comparing with the edges: the same bins as those that a search finds."""
        low, high = self.edges[0], self.edges[-1]
        below, above = values < low, values > high
        inside = np.clip(values, low, high)
        places: Codes = ((inside - low) / (high - low) * self.bins).astype(np.intp)
        np.minimum(places, self.bins - 1, out=places)
        places -= inside < self.edges[places]
        places += (inside >= self.edges[places + 1]) & (places != self.bins - 1)
        places += 1
        places[below] = 0
        places[above] = self.bins + 1
        return places
