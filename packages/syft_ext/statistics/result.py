"""What an analysis found: a table in notebook and terminal, pandas, or single numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape
from typing import TYPE_CHECKING, Any

from syft_ext.display.table import Table, cell_text
from syft_ext.errors import NotFound
from syft_ext.readable import readable
from syft_ext.statistics.analysis_spec import TABULAR
from syft_ext.statistics.dates import date_text, duration_text
from syft_ext.statistics.notes import group_in_words
from syft_ext.statistics.partial import Lack, Partial, lacks_in_words

if TYPE_CHECKING:
    import pandas

__all__ = ["Analysis", "Histogram", "WordCounts"]

Key = tuple[Any, ...]

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
        return _drawn(self.counts)

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


class WordCounts:
    """How many values are each of the words of a column of categories.

    Attributes:
        words: over all sites.
        counts: per word; None where a site keeps a count back, so that the number would be too small.
        other: values that no word stands for; None likewise.
        at_least: per word what the sites did tell.
    """

    def __init__(self, words: Sequence[str], cells: Sequence[int], hidden: Sequence[bool]) -> None:
        shown = [None if secret else count for count, secret in zip(cells, hidden, strict=True)]
        self.words = list(words)
        _, *self.counts, self.other = shown
        self.at_least = list(cells[1:-1])

    def __getitem__(self, word: str) -> int | None:
        """The count of one word."""
        return dict(zip(self.words, self.counts, strict=True))[word]

    def __str__(self) -> str:
        return _drawn(self.counts)

    def to_pandas(self) -> pandas.Series[Any]:
        """Counts by word, as ``value_counts`` has them (pandas must be installed)."""
        import pandas

        return pandas.Series(self.counts, index=self.words, name="count")

    def table(self) -> Table:
        """One row for each word; "–" where a count is kept back."""
        rows = [(word or "(missing)", count) for word, count in zip(self.words, self.counts, strict=True)]
        note = f"{self.other} values have no word" if self.other else ""
        return Table("Counts", ("word", "count"), rows, note)

    def __repr__(self) -> str:
        return repr(self.table())

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


def _drawn(counts: Sequence[int | None]) -> str:
    if len(counts) > 60:
        return f"{len(counts)} bins"
    most = max([count for count in counts if count] or [1])
    return "".join(
        "?" if count is None else " " if count <= 0 else _BARS[min(7, 8 * count // (most + 1))]
        for count in counts
    )


@dataclass
class Analysis:
    """Results over all tables. ``result["mean", "age"]`` is one number, or one per group where there are groups.

    ``result["quantile", "age"]`` is a number per quantile, ``result["histogram", "age"]`` a :class:`Histogram`,
    ``result["correlation"]`` an array, ``result["linear_regression"]`` a
    :class:`~syft_ext.statistics.regression.Regression`; ``result["mean"]`` is all columns'.

    What lacks a site's part is a :class:`~syft_ext.statistics.partial.Partial`, which is no number: its ``value``
    is. In text, such a number has a star; pandas has a column "partial", and ``attrs``.

    Attributes:
        groups: the keys of the groups, in words where their columns hold words.
        tables: Domain and name of each table that is in the result.
        notes: Domains that were left out, those whose numbers carry noise, and what could not be computed and why.
        missing: by column and group, how many values are missing at which Domain, as far as sites tell.
        left_out: tables that are in no number here.
        epsilon: by Domain, what this took from your privacy budget there.
        units: by Domain whose numbers carry noise, what this took of the table's ledger there.
        errors, whole_errors: see :meth:`error`.
        measured_in: by column its unit, where all sites tell the same. Of moments, tables show dates.
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
    units: dict[str, int] = field(default_factory=dict)
    errors: dict[tuple[str, str], list[Any]] = field(default_factory=dict)
    whole_errors: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, list[dict[str, int]]] = field(default_factory=dict)
    left_out: list[Lack] = field(default_factory=list)
    measured_in: dict[str, str] = field(default_factory=dict)

    @property
    def partial(self) -> bool:
        """Whether any number lacks a part."""
        return bool(self.lacks) or any(
            None in each.counts
            for (statistic, _), found in self.values.items()
            if statistic == "histogram"
            for each in map(_value, found)
        )

    @property
    def lacks(self) -> list[Lack]:
        """What some numbers, or all, are without: each once."""
        partials = [each for found in self.values.values() for value in found for each in _partials(value)]
        partials += [each for value in self.whole.values() for each in _partials(value)]
        return list(dict.fromkeys([*self.left_out, *(lack for each in partials for lack in each.lacks)]))

    def error(self, statistic: str, column: str = "") -> Any:
        """How far noise may have put a number: two standard deviations of it; 0 where all sites are exact.

        In the form of ``result[statistic, column]``: a number, or one per group; per quantile for quantiles
        (in the column's unit); for a histogram that of the bin with most noise; for a matrix a matrix, and
        for a regression by coefficient. It does not say how far the numbers of these rows are from those of
        the people they stand for.
        """
        if not column and statistic in self.whole_errors:
            return self.whole_errors[statistic]
        if not column:
            return {name: self.error(statistic, name) for name in self.columns}
        return self._by_group(self.errors.get((statistic, column)), statistic, column)

    def __getitem__(self, which: str | tuple[str, ...]) -> Any:
        """By statistic, or by statistic and column. None is what every site keeps back."""
        statistic, *column = (which,) if isinstance(which, str) else which
        if not column:
            if statistic in self.whole:
                return self.whole[statistic]
            return {name: self[statistic, name] for name in self.columns}
        found = self.values.get((statistic, column[0])) if len(column) == 1 else None
        return self._by_group(found, statistic, column[0])

    def _by_group(self, found: list[Any] | None, statistic: str, column: str) -> Any:
        if found is None:
            known = ", ".join([*self.statistics, *self.columns])
            raise NotFound(f"this analysis has no {statistic!r} of {column!r}; it has: {known}")
        if not self.by:
            return found[0]
        return {self._key(key): value for key, value in zip(self.groups, found, strict=True)}

    def _key(self, key: Key) -> Any:
        return key[0] if len(key) == 1 else key

    def _rows(self, *, errors: bool = False) -> tuple[list[str], list[list[Any]]]:
        """A row per group and column, a cell per statistic; with ``errors``, as text where a number has one."""

        def cell(statistic: str, column: str, index: int, q: float | None = None) -> Any:
            value = self.values[statistic, column][index]
            error: Any = self.errors[statistic, column][index] if (statistic, column) in self.errors else 0.0
            if q is not None:
                value, error = value[q], error[q] if error else 0.0
            if not errors:
                return _value(value)
            star, number = "*" if isinstance(value, Partial) else "", _value(value)
            if number is None or isinstance(number, Histogram | WordCounts):
                return f"{number}{star}" if star else number
            unit = self.measured_in.get(column, "")
            if (moment := date_text(statistic, number, unit)) is not None:
                return f"{moment}{f' ± {duration_text(error, unit)}' if error else ''}{star}"
            if error:
                return f"{number:.4g} ± {error:.2g}{star}"
            return f"{cell_text(number)}{star}" if star else number

        names = [name for name in TABULAR if name in self.statistics]
        quantiles = self.q if "quantile" in self.statistics else []
        headings = [*self.by, "column", *names, *(f"q{q:g}" for q in quantiles)]
        drawn = "histogram" in self.statistics
        rows = []
        for index, key in enumerate(self.groups):
            for column in self.columns:
                shown = [group_in_words([part]) for part in key] if errors else list(key)
                row = [*shown, column, *(cell(name, column, index) for name in names)]
                row += [cell("quantile", column, index, q) for q in quantiles]
                if drawn:
                    value = self.values["histogram", column][index]
                    row.append(f"{value}" if errors else _value(value))
                rows.append(row)
        return [*headings, *(["histogram"] if drawn else [])], rows

    def _lacks_of(self, index: int, column: str) -> str:
        found = [value[index] for (_, name), value in self.values.items() if name == column]
        return lacks_in_words(lack for value in found for each in _partials(value) for lack in each.lacks)

    def table(self) -> Table:
        """What is per column and group; what carries noise, with its error (:meth:`error`)."""
        headings, rows = self._rows(errors=True)
        return Table(self._title(), headings, rows, "; ".join(self._notes()))

    def _matrix(self, name: str) -> Table:
        star = "*" if isinstance(self.whole[name], Partial) else ""
        lines = zip(self.columns, _value(self.whole[name]).tolist(), strict=True)
        rows = [[column, *(f"{cell_text(number)}{star}" for number in line)] for column, line in lines]
        return Table(name.capitalize(), ["", *self.columns], rows)

    def _title(self) -> str:
        domains = dict.fromkeys(domain for domain, _ in self.tables)
        of = f" of {len(self.tables) + len(self.left_out)}" if self.left_out else ""
        many = f"{len(self.tables)}{of} table{'s' if len(self.tables) > 1 or of else ''}"
        return f"Statistics of {many} at {', '.join(domains)}"

    def _notes(self) -> list[str]:
        noise = [f"{domain} added noise: ε {epsilon:g} spent" for domain, epsilon in self.epsilon.items()]
        lacks = [f"* without {lacks_in_words(self.lacks)}"] if self.lacks else []
        told = tuple(f"left out: {lack.domain}: " for lack in self.left_out)
        return [*lacks, *(note for note in self.notes if not (told and note.startswith(told))), *noise]

    def to_pandas(self) -> pandas.DataFrame:
        """A row per group and column. Without such statistics: the one matrix or regression that there is.

        Where numbers lack a part, a column "partial" says what. ``attrs`` has "partial" (whether any does), and
        "lacks" and "notes" in text.
        """
        import pandas

        frame: pandas.DataFrame
        headings, rows = self._rows()
        if self.values or not self.whole:
            frame = pandas.DataFrame(rows, columns=headings).set_index([*self.by, "column"])
            if self.lacks:
                frame["partial"] = [
                    self._lacks_of(index, column)
                    for index in range(len(self.groups))
                    for column in self.columns
                ]
        else:
            name, found = next((name, _value(found)) for name, found in self.whole.items())
            if name in ("covariance", "correlation"):
                frame = pandas.DataFrame(found, index=self.columns, columns=self.columns)
            else:
                frame = found.to_pandas()
        frame.attrs |= {
            "partial": self.partial,
            "lacks": list(map(str, self.lacks)),
            "notes": list(self.notes),
        }
        return frame

    def _parts(self) -> list[Any]:
        parts: list[Any] = [self.table()] if self.values else []
        for name, found in self.whole.items():
            if name in ("covariance", "correlation"):
                parts.append(self._matrix(name))
                continue
            table = _value(found).table()
            if isinstance(found, Partial):
                table = Table(f"{table.title} *", table.headings, table.rows, table.note)
            parts.append(table)
        return parts

    def _above(self) -> list[str]:
        """What is said where no table of numbers by column says it: of which tables, and the notes."""
        return [] if self.values else [readable(line) for line in (self._title(), *self._notes())]

    def __repr__(self) -> str:
        above = ["\n".join(self._above())] if not self.values else []
        return "\n\n".join([*above, *(repr(part) for part in self._parts())])

    def _repr_html_(self) -> str:
        above = "".join(f"<div>{escape(line)}</div>" for line in self._above())
        return above + "".join(part._repr_html_() for part in self._parts())


def _value(value: Any) -> Any:
    """The number itself."""
    return value.value if isinstance(value, Partial) else value


def _partials(value: Any) -> list[Partial]:
    """Those that a value is, or holds by quantile."""
    each = list(value.values()) if isinstance(value, dict) else [value]
    return [one for one in each if isinstance(one, Partial)]
