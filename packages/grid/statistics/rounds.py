"""Further rounds of an analysis: counts in ranges, histograms whose range had to be found, likelihoods.

What may be asked is checked here for all tables; answered where answers are exact.
"""

from __future__ import annotations

from grid.statistics.analyses import Analysis
from grid.statistics.columns import target_of
from grid.statistics.histograms import Histogram, edges_of
from grid.statistics.ranks import Ranks
from grid.statistics.regressions import LogisticSums
from grid.statistics.release import exact_histogram
from grid.statistics.sweep import ColumnWork, Opened, sweep
from syft_ext.errors import BadRequest, TooLarge
from syft_ext.messages.statistics import Continue, Partials, RankCounts, RankQuery

__all__ = ["answer_round", "check_round"]

_MAX_COUNTS = 1 << 20


def check_round(analysis: Analysis, message: Continue) -> None:
    """Raise :class:`BadRequest` for what the analysis was not begun for; count the histograms that it asks."""
    begun = analysis.message
    asked = set(begun.statistics)
    for given, statistic in (
        (message.ranks, "quantile"),
        (message.histograms, "histogram"),
        (message.logistic, "logistic_regression"),
    ):
        if given and statistic not in asked:
            raise BadRequest(f"this analysis was not begun for a {statistic.replace('_', ' ')}")
    for name in [*(rank.column for rank in message.ranks), *(bins.column for bins in message.histograms)]:
        if name not in begun.columns:
            raise BadRequest(f"this analysis is not about {name[:80]!r}", column=name)
    for bins in message.histograms:
        edges_of(bins)
        if not analysis.histograms.get(bins.column):
            raise BadRequest(f"the bins of {bins.column!r} are settled", column=bins.column)
    for rank in message.ranks:
        if rank.group >= len(analysis.codes):
            raise BadRequest("there is no such group, or it was not answered for")
    if sum(query.bins for query in message.ranks) > _MAX_COUNTS:
        raise TooLarge("too many ranges in one round", limit=_MAX_COUNTS)
    for bins in message.histograms:
        analysis.histograms[bins.column] -= 1


def answer_round(analysis: Analysis, opened: Opened, message: Continue) -> Partials:
    """Read the table once more, unless what was kept of it is enough."""
    known = [analysis.candidates.answer(query) for query in message.ranks]
    asked = [query for query, answer in zip(message.ranks, known, strict=True) if answer is None]
    size = 1 if analysis.groups is None else analysis.groups.size
    codes = analysis.codes if analysis.groups is not None else []
    work = []
    ranks: list[Ranks] = []
    histograms: list[tuple[str, Histogram]] = []
    for column in opened.table.take(analysis.message.columns):
        each = ColumnWork(column, size)
        if queries := [query for query in asked if query.column == column.name]:
            ranks.append(Ranks(queries, codes))
            each.sinks.append(ranks[-1])
        for bins in message.histograms:
            if bins.column == column.name:
                histograms.append((column.name, Histogram(bins, size)))
                each.sinks.append(histograms[-1][1])
        if each.sinks:
            work.append(each)
    logistic = None
    together = []
    if message.logistic is not None:
        target = target_of(analysis.message, opened.table)
        assert target is not None
        together = [*opened.table.take_terms(analysis.message.columns, analysis.message.levels), target]
        logistic = LogisticSums(message.logistic, len(together) - 1)
    if work or logistic is not None:
        sweep(
            opened,
            work,
            keys=analysis.keys,
            groups=analysis.groups,
            together=together,
            rows=logistic.add if logistic is not None else None,
        )
    reply = Partials(analysis_id=message.analysis_id, ranks=_in_order(message.ranks, known, ranks))
    for counters in ranks:
        for counter in counters.counters:
            if (keys := counter.keys()) is not None:
                analysis.candidates.keep(counter.query, keys)
    for name, histogram in histograms:
        reply.histograms.append(exact_histogram(name, histogram, analysis.codes))
    if logistic is not None:
        reply.logistic = logistic.result()
    return reply


def _in_order(
    queries: list[RankQuery], known: list[RankCounts | None], computed: list[Ranks]
) -> list[RankCounts]:
    found = {id(counter.query): counter.result() for counters in computed for counter in counters.counters}
    return [
        answer if answer is not None else found[id(query)]
        for query, answer in zip(queries, known, strict=True)
    ]
