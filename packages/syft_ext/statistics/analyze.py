"""The one call of a scientist: statistics of tables at one Domain or many, as if their rows were together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Begin
from syft_ext.statistics.agreement import agree
from syft_ext.statistics.analysis_spec import spec_of
from syft_ext.statistics.combination import Combination
from syft_ext.statistics.result import Analysis
from syft_ext.statistics.sites import Missing, Site, SiteLost, Sites, listed
from syft_ext.statistics.term_names import TermNames

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
    precision: int = 1,
    missing: Missing = "error",
    strict: bool = False,
    timeout: float = 60.0,
) -> Analysis:
    """Statistics of all rows of the tables together. The rows stay where they are.

    What the sites say of their columns is compared first: columns are joined by name, categories by word
    (:mod:`syft_ext.statistics.agreement`). A number that lacks a site's part is a
    :class:`~syft_ext.statistics.partial.Partial`, which says whose. Numbers of guarded tables carry noise:
    ``result.error("mean", "age")`` says how much, and what a question would cost of a table's ledger,
    :func:`syft_ext.statistics.price.price`.

    Args:
        tables: a table or several: assets of datasets (``domain.datasets["diabetes"]["patients"]``), datasets
            with one asset, objects, or what a Network's search found (``network.search(…).assets``).
        statistics: of count, missing, sum, mean, variance, std, min, max, quantile, histogram, covariance,
            correlation, linear_regression and logistic_regression.
        columns: of numbers; None: all that the tables have in common. NaN counts as missing. Of categories there
            are count, missing and histogram (a count of each word); regressions take each word as a column.
        by: columns of integers, truth values or categories; one result per combination of values or words.
        q: which quantiles, with linear interpolation.
        bins: how many bins of equal width, or their edges; by column where a mapping is given.
        range: least and largest value of histograms; None: those of the data (of guarded tables: of a grid that
            holds them). By column where a mapping.
        target: the column that a regression explains by ``columns``.
        ddof: variances and covariances are divided by the number of values less this.
        precision: at guarded tables, pay so many times the units, for noise of so much less variance.
        missing: "error": a Domain that refuses or does not answer is an error that names it; "skip": it is
            left out, and every number says so.
        strict: refuse, where a number would lack a part: whatever a site keeps back, or has no values of.
        timeout: seconds for everything together. With ``missing="skip"`` no Domain is waited for longer than half
            of what is left, so that the others can go on.

    Raises:
        BadRequest: there is no such column or statistic, the sites mean different things by one, or a range is
            missing that a Domain does not tell.
        Conflict: ``strict``, and a number lacks a part.
        Forbidden: you lack the permission, or a site's policy does not allow this statistic.
        DeadlineExceeded, Unavailable: a Domain did not answer.
    """
    if strict and missing == "skip":
        raise BadRequest('strict refuses numbers that lack a part, and missing="skip" asks for them')
    spec = spec_of(statistics, columns, by, q, bins, range, target, ddof, precision, strict)
    sites = Sites(listed(tables), timeout=timeout, missing=missing)
    sites.describe()
    agreement = agree(sites.sites, spec.columns, spec.by, spec.target, spec.statistics)
    terms = TermNames.of(agreement, spec.target, sites.sites)

    def begin(site: Site) -> Begin:
        return spec.begin(site, agreement, terms)

    for site, partials in sites.ask(begin):
        site.begun = partials
    while True:
        try:
            return Combination(spec, sites, agreement, terms).result()
        except SiteLost:
            continue  # the others' first answers are still good
