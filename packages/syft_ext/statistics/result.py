"""What an analysis found: a table in notebook and terminal, pandas, or single numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from syft_ext.display.table import Table
from syft_ext.errors import NotFound
from syft_ext.statistics.analysis_spec import TABULAR
from syft_ext.statistics.combine import Key

if TYPE_CHECKING:
    import pandas

__all__ = ["Analysis", "Histogram"]

_BARS = "▁▂▃▄▅▆▇█"


class Histogram:
    """Counts in bins, between ``edges``.

    Attributes:
        counts: per bin; None where a site keeps a count back, so that the number would be too small.
        below, above: values outside of the bins; None likewise.
        at_least: per bin what the sites did tell.
    """

    def __init__(self, edges: Sequence[float], cells: Sequence[int], hidden: Sequence[bool]) -> None:
        shown = [None if secret else count for count, secret in zip(cells, hidden, strict=True)]
        self.edges = list(edges)
        self.below, *self.counts, self.above = shown
        self.at_least = list(cells[1:-1])

    def __str__(self) -> str:
        if len(self.counts) > 60:
            return f"{len(self.counts)} bins"
        most = max([count for count in self.counts if count] or [1])
        return "".join(
            "?" if count is None else " " if count <= 0 else _BARS[min(7, 8 * count // (most + 1))]
            for count in self.counts
        )

    def to_pandas(self) -> pandas.Series[Any]:
        """Counts by interval, closed on the left (pandas must be installed)."""
        import pandas

        index = pandas.IntervalIndex.from_breaks(self.edges, closed="left")
        return pandas.Series(self.counts, index=index, name="count")

    def table(self) -> Table:
        """One row for each bin; "–" where a count is kept back."""
        pairs = zip(self.edges, self.edges[1:], strict=False)
        rows = [(f"{low:g} – {high:g}", count) for (low, high), count in zip(pairs, self.counts, strict=True)]
        return Table("Histogram", ("from – to", "count"), rows, f"{self.below} below, {self.above} above")

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


@dataclass
class Analysis:
    """Results over all tables. ``result["mean", "age"]`` is one number, or one per group where there are groups.

    ``result["quantile", "age"]`` is a number per quantile, ``result["histogram", "age"]`` a :class:`Histogram`,
    ``result["correlation"]`` an array, ``result["linear_regression"]`` a
    :class:`~syft_ext.statistics.regression.Regression`; ``result["mean"]`` is all columns'.

    Attributes:
        groups: the keys of the groups.
        tables: Domain and name of each table that is in the result.
        notes: what is not in it: Domains that were left out, and that some keep small counts back.
        epsilon: by Domain, what this took from your privacy budget there; its numbers carry noise.
    """

    statistics: list[str]
    columns: list[str]
    by: list[str]
    groups: list[Key]
    values: dict[tuple[str, str], list[Any]]
    whole: dict[str, Any]
    q: list[float]
    tables: list[tuple[str, str]]
    notes: list[str] = field(default_factory=list)
    epsilon: dict[str, float] = field(default_factory=dict)

    def __getitem__(self, which: str | tuple[str, ...]) -> Any:
        """By statistic, or by statistic and column. None is what every site keeps back."""
        statistic, *column = (which,) if isinstance(which, str) else which
        if not column:
            if statistic in self.whole:
                return self.whole[statistic]
            return {name: self[statistic, name] for name in self.columns}
        found = self.values.get((statistic, column[0]))
        if found is None or len(column) > 1:
            known = ", ".join([*self.statistics, *self.columns])
            raise NotFound(f"this analysis has no {statistic!r} of {column[0]!r}; it has: {known}")
        if not self.by:
            return found[0]
        return {self._key(key): value for key, value in zip(self.groups, found, strict=True)}

    def _key(self, key: Key) -> Any:
        return key[0] if len(key) == 1 else key

    def _rows(self) -> tuple[list[str], list[list[Any]]]:
        """A row per group and column, a cell per statistic."""
        names = [name for name in TABULAR if name in self.statistics]
        quantiles = self.q if "quantile" in self.statistics else []
        headings = [*self.by, "column", *names, *(f"q{q:g}" for q in quantiles)]
        drawn = "histogram" in self.statistics
        rows = []
        for index, key in enumerate(self.groups):
            for column in self.columns:
                row = [*key, column, *(self.values[name, column][index] for name in names)]
                if quantiles:
                    found = self.values["quantile", column][index]
                    row += [found[q] for q in quantiles]
                if drawn:
                    row.append(self.values["histogram", column][index])
                rows.append(row)
        return [*headings, *(["histogram"] if drawn else [])], rows

    def table(self) -> Table:
        """What is per column and group."""
        headings, rows = self._rows()
        return Table(self._title(), headings, rows, "; ".join(self._notes()))

    def _matrix(self, name: str) -> Table:
        lines = zip(self.columns, self.whole[name].tolist(), strict=True)
        rows = [[column, *line] for column, line in lines]
        return Table(name.capitalize(), ["", *self.columns], rows)

    def _title(self) -> str:
        domains = dict.fromkeys(domain for domain, _ in self.tables)
        many = f"{len(self.tables)} table{'s' if len(self.tables) > 1 else ''}"
        return f"Statistics of {many} at {', '.join(domains)}"

    def _notes(self) -> list[str]:
        noise = [f"{domain} added noise: ε {epsilon:g} spent" for domain, epsilon in self.epsilon.items()]
        return [*self.notes, *noise]

    def to_pandas(self) -> pandas.DataFrame:
        """A row per group and column. Without such statistics: the one matrix or regression that there is."""
        import pandas

        headings, rows = self._rows()
        if self.values or not self.whole:
            return pandas.DataFrame(rows, columns=headings).set_index([*self.by, "column"])
        name, found = next(iter(self.whole.items()))
        if name in ("covariance", "correlation"):
            return pandas.DataFrame(found, index=self.columns, columns=self.columns)
        frame: pandas.DataFrame = found.to_pandas()
        return frame

    def _parts(self) -> list[Any]:
        parts: list[Any] = [self.table()] if self.values else []
        for name, found in self.whole.items():
            parts.append(self._matrix(name) if name in ("covariance", "correlation") else found)
        return parts if self.values else [Table(self._title(), [], [], "; ".join(self._notes())), *parts]

    def __repr__(self) -> str:
        return "\n\n".join(repr(part) for part in self._parts())

    def _repr_html_(self) -> str:
        return "".join(part._repr_html_() for part in self._parts())
