"""The rounds in which all sites count, until every order statistic that was asked for is found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Continue, RankQuery
from syft_ext.statistics.quantiles import RankSearch, Resolution
from syft_ext.statistics.sites import Site, Sites

__all__ = ["Wanted", "find_values"]

_QUERIES = 256
"""In one round at most: 256 queries of 4096 ranges are what a Domain answers at once."""

_Asked = tuple[str, int, int, int, int]


@dataclass(frozen=True, slots=True)
class Wanted:
    """The order statistics of one group of one column: their ranks, from 0, and the group's extremes."""

    column: str
    group: int
    ranks: Sequence[int]
    least: float
    most: float
    resolution: Resolution


def find_values(
    sites: Sites, wanted: Sequence[Wanted], at: Mapping[tuple[int, str], Mapping[int, int]]
) -> dict[tuple[str, int], dict[int, float]]:
    """The values by column and group, and by rank.

    Args:
        at: by ``id(site)`` and column, which of the site's own groups answer for the groups that ``Wanted``
        numbers.
    """
    searches = [
        (each.column, each.group, RankSearch.between(rank, each.least, each.most, each.resolution))
        for each in wanted
        for rank in each.ranks
    ]
    while running := [entry for entry in searches if entry[2].value is None]:
        queries = list(dict.fromkeys((column, group, *search.query) for column, group, search in running))
        counts = _round(sites, queries[:_QUERIES], at)
        for column, group, search in running:
            found = counts.get((column, group, *search.query))
            if found is not None:
                search.narrow(found)
    result: dict[tuple[str, int], dict[int, float]] = {}
    for column, group, search in searches:
        assert search.value is not None
        result.setdefault((column, group), {})[search.rank] = search.value
    return result


def _round(
    sites: Sites, queries: Sequence[_Asked], places: Mapping[tuple[int, str], Mapping[int, int]]
) -> dict[_Asked, NDArray[np.int64]]:
    """How many values are in each range, over all sites, by query."""
    sums = {query: np.zeros(query[-1], dtype=np.int64) for query in queries}

    def mine(site: Site) -> list[_Asked]:
        return [query for query in queries if query[1] in places[id(site), query[0]]]

    def ask(site: Site) -> Continue | None:
        ranks = [
            RankQuery(
                column=column,
                group=places[id(site), column][group],
                start=start - (1 << 63),
                shift=shift,
                bins=bins,
            )
            for column, group, start, shift, bins in mine(site)
        ]
        return Continue(analysis_id=site.begun.analysis_id, ranks=ranks) if ranks else None

    for site, reply in sites.again(ask):
        try:
            for query, answer in zip(mine(site), reply.ranks, strict=True):
                sums[query][answer.bins] += np.array(answer.counts, dtype=np.int64)
        except (IndexError, ValueError) as error:
            raise BadRequest(f"{site.domain} counted in other ranges than it was asked") from error
    return sums
