"""What is asked of an analysis, checked before anybody is asked, and against what the tables have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import MAX_BINS, Begin, Bins, Statistic
from syft_ext.statistics.sites import Site

__all__ = ["TABULAR", "AnalysisSpec", "spec_of"]

#: Statistics of which there is one number per column and group.
TABULAR = ("count", "missing", "sum", "mean", "variance", "std", "min", "max")
_KNOWN: tuple[str, ...] = get_args(Statistic)
_REGRESSIONS = ("linear_regression", "logistic_regression")


@dataclass(slots=True)
class AnalysisSpec:
    """Attributes:
    q: the quantiles, increasing.
    bins: number of bins or edges, by column.
    range: least and largest value of histograms, by column; None: found in the data or the schemas.
    ddof: variances are divided by the number of values less this.
    """

    statistics: list[Any]
    columns: list[str] | None
    by: list[str]
    q: list[float]
    bins: Any
    range: Any
    target: str
    ddof: int

    def choose_columns(self, sites: Sequence[Site]) -> list[str]:
        """The columns, all of which every table must have; without any named, those that all have."""
        views = [{column.name for column in site.view.columns} for site in sites]
        taken = {*self.by, self.target}
        common = [
            column.name
            for column in sites[0].view.columns
            if column.name not in taken and all(column.name in view for view in views)
        ]
        chosen = common if self.columns is None else self.columns
        wanted = [*chosen, *self.by, *([self.target] if self.target else [])]
        for site, view in zip(sites, views, strict=True):
            for name in wanted:
                if name not in view:
                    known = ", ".join(sorted(view)[:20])
                    raise BadRequest(
                        f"{site.domain}: {site.name} has no column {name!r}; it has: {known}", column=name
                    )
        if not chosen:
            raise BadRequest("the tables have no columns in common")
        return chosen

    def histograms(self, sites: Sequence[Site], columns: Sequence[str]) -> list[Bins]:
        """The bins that are known before the data are asked for their extremes.

        Where a site's policy does not let extremes out, the bounds that the owners gave take their place.
        """
        if "histogram" not in self.statistics:
            return []
        guarded = any(site.view.min_rows > 1 or site.view.epsilon is not None for site in sites)
        found = []
        for name in columns:
            bins, limits = _of(self.bins, name), _of(self.range, name)
            if not isinstance(bins, int):
                found.append(Bins(column=name, edges=[float(edge) for edge in bins]))
            elif limits is not None:
                low, high = limits
                found.append(Bins(column=name, low=float(low), high=float(high), count=bins))
            elif guarded:
                low, high = _bounds(sites, name)
                found.append(Bins(column=name, low=low, high=high, count=bins))
        return found

    def found_bins(self, name: str, low: float, high: float) -> Bins:
        """Bins between the extremes that were found, as numpy chooses them."""
        if math.isnan(low):  # no values
            low, high = 0.0, 1.0
        elif low == high:
            low, high = low - 0.5, high + 0.5
        if not (math.isfinite(low) and math.isfinite(high)):
            raise BadRequest(f"{name!r} holds infinities; give the range of its histogram", column=name)
        return Bins(column=name, low=low, high=high, count=_of(self.bins, name))

    def begin(self, site: Site, columns: list[str], histograms: list[Bins]) -> Begin:
        """What one site is asked first."""
        return Begin(
            object_id=site.object_id,
            statistics=self.statistics,
            columns=columns,
            by=self.by,
            histograms=histograms,
            target=self.target,
        )


def spec_of(
    statistics: str | Sequence[str],
    columns: str | Sequence[str] | None,
    by: str | Sequence[str] | None,
    q: float | Sequence[float],
    bins: Any,
    limits: Any,
    target: str,
    ddof: int,
) -> AnalysisSpec:
    """Raises :class:`BadRequest` for what can be seen to be wrong before any table is known."""
    names = list(dict.fromkeys(_names(statistics)))
    unknown = [name for name in names if name not in _KNOWN]
    if unknown or not names:
        raise BadRequest(f"statistics are: {', '.join(_KNOWN)}; not {unknown[0] if unknown else 'none'!r}")
    if target and not set(names) & set(_REGRESSIONS):
        raise BadRequest("only a regression has a target")
    quantiles = [q] if isinstance(q, int | float) else list(q)
    if not quantiles or not all(isinstance(each, int | float) and 0 <= each <= 1 for each in quantiles):
        raise BadRequest("quantiles are numbers from 0 to 1")
    for each in bins.values() if isinstance(bins, Mapping) else [bins]:
        _check_bins(each)
    for each in limits.values() if isinstance(limits, Mapping) else [limits]:
        _check_range(each)
    return AnalysisSpec(
        statistics=names,
        columns=None if columns is None else _names(columns),
        by=[] if by is None else _names(by),
        q=sorted({float(each) for each in quantiles}),
        bins=bins,
        range=limits,
        target=target,
        ddof=ddof,
    )


def _names(given: str | Sequence[str]) -> list[str]:
    names = [given] if isinstance(given, str) else list(given)
    if not all(isinstance(name, str) for name in names):
        raise BadRequest("columns and statistics are named by text")
    return names


def _check_bins(bins: Any) -> None:
    if isinstance(bins, int) and not isinstance(bins, bool):
        if not 1 <= bins <= MAX_BINS:
            raise BadRequest(f"bins: from 1 to {MAX_BINS}")
        return
    try:
        edges = [float(edge) for edge in bins]
    except (TypeError, ValueError):
        raise BadRequest("bins: their number, or their edges") from None
    increase = all(low < high for low, high in zip(edges, edges[1:], strict=False))
    if not (2 <= len(edges) <= MAX_BINS + 1 and increase and all(map(math.isfinite, edges))):
        raise BadRequest(f"bins: 2 to {MAX_BINS + 1} finite edges that increase")


def _check_range(limits: Any) -> None:
    if limits is None:
        return
    try:
        low, high = map(float, limits)
    except (TypeError, ValueError):
        raise BadRequest("range: two numbers") from None
    if not (math.isfinite(low) and math.isfinite(high) and low < high):
        raise BadRequest("range: two finite numbers, the smaller one first")


def _of(given: Any, name: str) -> Any:
    """What was given for this column, where it was given by column."""
    if not isinstance(given, Mapping):
        return given
    return given.get(name, 10 if any(isinstance(each, int) for each in given.values()) else None)


def _bounds(sites: Sequence[Site], name: str) -> tuple[float, float]:
    lows, highs = [], []
    for site in sites:
        column = next(each for each in site.view.columns if each.name == name)
        if column.low is None or column.high is None:
            raise BadRequest(
                f"{site.domain} does not tell the extremes of {name!r}; give the range of its histogram",
                column=name,
            )
        lows.append(column.low)
        highs.append(column.high)
    return min(lows), max(highs)
