"""What an analysis would cost, asked of every Domain before it is begun; nothing is measured or spent by
asking."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from syft_ext.display.table import Table
from syft_ext.messages.statistics import Begin
from syft_ext.statistics.agreement import agree
from syft_ext.statistics.analysis_spec import spec_of
from syft_ext.statistics.sites import Missing, Site, Sites, listed
from syft_ext.statistics.term_names import TermNames

__all__ = ["AnalysisPrice", "SitePrice", "price"]


@dataclass(frozen=True, slots=True)
class SitePrice:
    """Attributes:
    units: what the table's ledger would be charged: 0 where all of it was asked before, or answers are exact.
    left: what the ledger has left for everybody; None where answers are exact.
    epsilon: what your own budget there would be charged.
    error: two standard deviations of the noise in a count, in rows, as far as it is known yet.
    """

    domain: str
    table: str
    units: int
    left: int | None
    epsilon: float
    error: float


class AnalysisPrice(list[SitePrice]):
    """By table; shows itself."""

    def table(self) -> Table:
        """A row for each table."""
        rows = [(each.domain, each.table, each.units, each.left, each.epsilon, each.error) for each in self]
        return Table("Price", ("domain", "table", "units", "units left", "epsilon", "± rows"), rows)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def price(
    tables: Any,
    statistics: str | Sequence[str],
    *,
    columns: str | Sequence[str] | None = None,
    by: str | Sequence[str] | None = None,
    bins: Any = 10,
    range: Any = None,
    target: str = "",
    precision: int = 1,
    missing: Missing = "error",
    timeout: float = 60.0,
) -> AnalysisPrice:
    """What :func:`~syft_ext.statistics.analyze.analyze` would cost, asked with the same arguments."""
    spec = spec_of(statistics, columns, by, 0.5, bins, range, target, 1, precision)
    sites = Sites(listed(tables), timeout=timeout, missing=missing)
    sites.describe()
    agreement = agree(sites.sites, spec.columns, spec.by, spec.target, spec.statistics)
    terms = TermNames.of(agreement, spec.target, sites.sites)

    def dry(site: Site) -> Begin:
        return spec.begin(site, agreement, terms, dry=True)

    return AnalysisPrice(
        SitePrice(site.domain, site.name, reply.units, reply.left, reply.epsilon, 2 * reply.noise)
        for site, reply in sites.ask(dry)
    )
