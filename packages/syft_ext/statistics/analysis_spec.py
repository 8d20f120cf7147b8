"""What is asked of an analysis, checked before anybody is asked, and against what the tables have."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import MAX_BINS, Begin, Bins, Statistic
from syft_ext.statistics.agreement import Agreement
from syft_ext.statistics.sites import Site
from syft_ext.statistics.term_names import TermNames

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
    precision: how many times the units of guarded tables are paid, for noise of so much less variance.
    strict: whether numbers that lack a part are refused.
    """

    statistics: list[Any]
    columns: list[str] | None
    by: list[str]
    q: list[float]
    bins: Any
    range: Any
    target: str
    ddof: int
    precision: int
    strict: bool = False

    def histograms(self, agreement: Agreement, site: Site) -> list[Bins]:
        """The bins that are known before the sites are asked for extremes, or for the ends of their grids; of
        words, one for each of the site's own numbers."""
        if "histogram" not in self.statistics:
            return []
        found = []
        for name in agreement.columns:
            if (words := agreement.words.get(name)) is not None:
                if isinstance(self.bins, Mapping) and name in self.bins:
                    raise BadRequest(f"{name!r} holds words: each is a bin of its own", column=name)
                many = len(words.places(site))
                found.append(Bins(column=name, edges=[place - 0.5 for place in range(many + 1)]))
                continue
            bins, limits = _of(self.bins, name), _of(self.range, name)
            if not isinstance(bins, int):
                found.append(Bins(column=name, edges=[float(edge) for edge in bins]))
            elif limits is not None:
                low, high = limits
                found.append(Bins(column=name, low=float(low), high=float(high), count=bins))
        return found

    def found_bins(self, name: str, low: float, high: float) -> Bins:
        """Bins between the extremes that were found, as numpy chooses them; around a value that does not vary."""
        many = _of(self.bins, name)
        if math.isnan(low):  # no values
            low, high = 0.0, 1.0
        if not (math.isfinite(low) and math.isfinite(high)):
            raise BadRequest(f"{name!r} holds infinities; give the range of its histogram", column=name)
        if not math.isfinite((high - low) * many):
            raise BadRequest(
                f"the values of {name!r} lie too far apart: give the range of its histogram", column=name
            )
        # Doubles near a large value lie far apart: edges have to differ.
        least = 4 * many * math.ulp(max(abs(low), abs(high)))
        if low == high:
            half = max(0.5, least)
            low, high = low - half, high + half
        elif high - low < least:
            middle = low + (high - low) / 2
            low, high = min(low, middle - least), max(high, middle + least)
        return Bins(column=name, low=low, high=high, count=many)

    def begin(self, site: Site, agreement: Agreement, terms: TermNames, *, dry: bool = False) -> Begin:
        """What one site is asked first; ``dry``: only what it would cost."""
        return Begin(
            object_id=site.object_id,
            statistics=self.statistics,
            columns=agreement.columns,
            by=self.by,
            histograms=self.histograms(agreement, site),
            target=self.target,
            precision=self.precision,
            dry=dry,
            levels=terms.levels(site),
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
    precision: int,
    strict: bool = False,
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
    if not (isinstance(precision, int) and 1 <= precision <= 100):
        raise BadRequest("precision is a whole number from 1 to 100")
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
        precision=precision,
        strict=strict,
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
