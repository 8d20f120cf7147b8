"""The one call of a scientist: statistics of tables at one Domain or many, as if their rows were together."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from syft_ext.messages.statistics import Begin, Continue, Logistic, LogisticPartial
from syft_ext.statistics.analysis_spec import TABULAR, AnalysisSpec, spec_of
from syft_ext.statistics.combine import ColumnTotals, CoTotals, HistogramTotals, all_groups
from syft_ext.statistics.quantiles import interpolate, ranks_for, resolution_of
from syft_ext.statistics.rank_rounds import Wanted, find_values
from syft_ext.statistics.regression import linear, logistic
from syft_ext.statistics.result import Analysis, Histogram
from syft_ext.statistics.sites import Missing, Site, SiteLost, Sites

__all__ = ["analyze"]


def analyze(
    tables: Any,
    statistics: str | Sequence[str],
    *,
    columns: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    q: float | Sequence[float] = (0.25, 0.5, 0.75),
    bins: Any = 10,
    range: Any = None,
    target: str = "",
    ddof: int = 1,
    missing: Missing = "error",
    timeout: float = 60.0,
) -> Analysis:
    """Statistics of all rows of the tables together. The rows stay where they are.

    Args:
        tables: a table or several: assets of datasets (``domain.datasets["diabetes"]["patients"]``), datasets
            with one asset, objects, or what a Network's search found (``network.search(…).assets``).
        statistics: of count, missing, sum, mean, variance, std, min, max, quantile, histogram, covariance,
            correlation, linear_regression and logistic_regression.
        columns: of numbers; None: all that the tables have in common. NaN counts as missing.
        by: columns of integers, truth values or categories; one result per combination of values.
        q: which quantiles, with linear interpolation.
        bins: how many bins of equal width, or their edges; by column where a mapping is given.
        range: least and largest value of histograms; None: those of the data. By column where a mapping.
        target: the column that a regression explains by ``columns``.
        ddof: variances and covariances are divided by the number of values less this.
        missing: "error": a Domain that refuses or does not answer is an error that names it; "skip": it is
            left out, which the result's ``notes`` say.
        timeout: seconds for everything together.

    Raises:
        BadRequest: there is no such column or statistic, or a range is missing that a Domain does not tell.
        Forbidden: you lack the permission, or a site's policy does not allow this statistic.
        DeadlineExceeded, Unavailable: a Domain did not answer.
    """
    spec = spec_of(statistics, columns, by, q, bins, range, target, ddof)
    listed = list(tables) if isinstance(tables, Iterable) and not hasattr(tables, "client") else [tables]
    sites = Sites(listed, timeout=timeout, missing=missing)
    sites.describe()
    names = spec.choose_columns(sites.sites)
    histograms = spec.histograms(sites.sites, names)

    def begin(site: Site) -> Begin:
        return spec.begin(site, names, histograms)

    for site, partials in sites.ask(begin):
        site.begun = partials
    while True:
        try:
            return _Combination(spec, sites, names).result()
        except SiteLost:
            continue  # the others' first answers are still good


class _Combination:
    """Puts the answers of the sites that are left together, and asks for what is still needed."""

    def __init__(self, spec: AnalysisSpec, sites: Sites, columns: list[str]) -> None:
        self.spec, self.sites, self.columns = spec, sites, columns
        self.asked = set(spec.statistics)
        begun = [site.begun for site in sites.sites]
        if spec.by:
            self.groups, at = all_groups([partials.groups for partials in begun])
        else:
            self.groups, at = [()], [np.zeros(1, dtype=np.intp)] * len(begun)
        self.at = {id(site): places for site, places in zip(sites.sites, at, strict=True)}
        self.totals = {name: ColumnTotals(len(self.groups)) for name in columns}
        for site in sites.sites:
            for partial in site.begun.columns:
                self.totals[partial.name].add(partial, self.at[id(site)])

    def result(self) -> Analysis:
        values: dict[tuple[str, str], list[Any]] = {}
        for name in self.columns:
            for statistic in TABULAR:
                if statistic in self.asked:
                    values[statistic, name] = self._tabular(statistic, self.totals[name])
        if "quantile" in self.asked:
            values.update(self._quantiles())
        if "histogram" in self.asked:
            values.update(self._histograms())
        whole = self._together()
        sites = self.sites.sites
        return Analysis(
            statistics=self.spec.statistics,
            columns=self.columns,
            by=self.spec.by,
            groups=self.groups,
            values=values,
            whole=whole,
            q=self.spec.q,
            tables=[(site.domain, site.name) for site in sites],
            notes=[*self.sites.notes, *self._kept_back()],
            epsilon={site.domain: site.begun.epsilon for site in sites if site.begun.epsilon},
        )

    def _tabular(self, statistic: str, totals: ColumnTotals) -> list[Any]:
        if statistic == "variance":
            numbers = totals.variance(self.spec.ddof)
        elif statistic == "std":
            numbers = np.sqrt(totals.variance(self.spec.ddof))
        else:
            numbers = getattr(totals, statistic)
        return [
            number if seen else None for number, seen in zip(numbers.tolist(), totals.answered, strict=True)
        ]

    def _quantiles(self) -> dict[tuple[str, str], list[Any]]:
        wanted: list[Wanted] = []
        for name in self.columns:
            totals = self.totals[name]
            resolution = resolution_of(
                column.dtype
                for site in self.sites.sites
                for column in site.view.columns
                if column.name == name
            )
            for group, count in enumerate(totals.count.tolist()):
                if count:
                    ranks = sorted({rank for q in self.spec.q for rank in ranks_for(count, q)[:2]})
                    least, most = float(totals.min[group]), float(totals.max[group])
                    wanted.append(Wanted(name, group, ranks, least, most, resolution))
        found = find_values(self.sites, wanted, self.at)
        result: dict[tuple[str, str], list[Any]] = {}
        for name in self.columns:
            counts = self.totals[name].count.tolist()
            result["quantile", name] = [
                {q: self._quantile(found.get((name, group), {}), count, q) for q in self.spec.q}
                for group, count in enumerate(counts)
            ]
        return result

    @staticmethod
    def _quantile(values: dict[int, float], count: int, q: float) -> float:
        if not count:
            return float("nan")
        low, high, fraction = ranks_for(count, q)
        return interpolate(values[low], values[high], fraction)

    def _histograms(self) -> dict[tuple[str, str], list[Any]]:
        known = {counts.column for counts in self.sites.sites[0].begun.histograms}
        rest = [
            self.spec.found_bins(
                name,
                float(np.fmin.reduce(totals.min, initial=np.nan)),
                float(np.fmax.reduce(totals.max, initial=np.nan)),
            )
            for name, totals in self.totals.items()
            if name not in known
        ]
        answers = [(site, counts) for site in self.sites.sites for counts in site.begun.histograms]
        if rest:

            def ask(site: Site) -> Continue:
                return Continue(analysis_id=site.begun.analysis_id, histograms=rest)

            answers += [(site, one) for site, reply in self.sites.again(ask) for one in reply.histograms]
        merged: dict[str, HistogramTotals] = {}
        for site, counts in answers:
            if counts.column not in merged:
                merged[counts.column] = HistogramTotals(len(self.groups), counts.edges)
            merged[counts.column].add(counts, self.at[id(site)])
        return {("histogram", name): _shown(merged[name], len(self.groups)) for name in self.columns}

    def _together(self) -> dict[str, Any]:
        """What is not per column and group: matrices and regressions."""
        partials = [site.begun.comoments for site in self.sites.sites if site.begun.comoments is not None]
        if not partials:
            return {}
        totals = CoTotals(partials)
        columns = len(self.columns)
        made: dict[str, Any] = {}
        if "covariance" in self.asked:
            made["covariance"] = totals.covariance(self.spec.ddof)[:columns, :columns]
        if "correlation" in self.asked:
            made["correlation"] = totals.correlation()[:columns, :columns]
        if "linear_regression" in self.asked:
            made["linear_regression"] = linear(totals)
        if "logistic_regression" in self.asked:
            made["logistic_regression"] = logistic(totals, self._ask_logistic)
        return made

    def _ask_logistic(self, point: Logistic) -> list[LogisticPartial]:
        def ask(site: Site) -> Continue:
            return Continue(analysis_id=site.begun.analysis_id, logistic=point)

        return [reply.logistic for _, reply in self.sites.again(ask)]

    def _kept_back(self) -> list[str]:
        domains = {site.domain: site.view.min_rows for site in self.sites.sites if site.begun.suppressed}
        return [
            f"{domain} keeps back what stands for fewer than {rows} rows" for domain, rows in domains.items()
        ]


def _shown(totals: HistogramTotals, groups: int) -> list[Histogram]:
    edges = totals.edges.tolist()
    rows = zip(totals.counts.tolist(), totals.kept_back.tolist(), strict=True)
    return [Histogram(edges, counts, hidden) for counts, hidden in rows]
