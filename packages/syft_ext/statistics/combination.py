"""The answers of several sites put together, with what lacks of each number, and what is still to be asked."""

from __future__ import annotations

from collections.abc import Callable
from math import ceil, floor
from typing import Any

import numpy as np

from syft_ext.errors import BadRequest, Conflict
from syft_ext.messages.statistics import ColumnPartial, Continue, CountsInBins, Logistic, LogisticPartial
from syft_ext.statistics.agreement import Agreement
from syft_ext.statistics.analysis_spec import TABULAR, AnalysisSpec
from syft_ext.statistics.combine import ColumnTotals, CoTotals, HistogramTotals, all_groups, fields_of
from syft_ext.statistics.notes import group_in_words, missing_note, noise_notes, unknown_notes
from syft_ext.statistics.partial import Lack, lacks_in_words, or_partial
from syft_ext.statistics.quantiles import interpolate, ranks_for, resolution_of
from syft_ext.statistics.rank_rounds import Wanted, find_values
from syft_ext.statistics.regression import Regression, linear, logistic
from syft_ext.statistics.result import Analysis, Histogram, WordCounts
from syft_ext.statistics.sites import Site, Sites
from syft_ext.statistics.term_names import TermNames
from syft_ext.statistics.tolerance import rounding_of

__all__ = ["Combination"]

Numbers = dict[tuple[str, str], list[Any]]


class Combination:
    """Of the sites that are left; raises :class:`~syft_ext.statistics.sites.SiteLost` when one goes meanwhile."""

    def __init__(self, spec: AnalysisSpec, sites: Sites, agreement: Agreement, terms: TermNames) -> None:
        self.spec, self.sites, self.agreement, self.terms = spec, sites, agreement, terms
        self.columns = agreement.columns
        self.asked = set(spec.statistics)
        self.notes: list[str] = []
        begun = [site.begun for site in sites.sites]
        if spec.by:
            groups = [
                [agreement.key(site, spec.by, key) for key in site.begun.groups] for site in sites.sites
            ]
            keys = {key for each in groups for key in each}
            self.groups: list[Any] = sorted(keys, key=lambda key: agreement.order(spec.by, key))
            at = all_groups(groups, self.groups)
        else:
            self.groups, at = [()], [np.zeros(1, dtype=np.intp)] * len(begun)
        self.at = {id(site): places for site, places in zip(sites.sites, at, strict=True)}
        self.totals = {name: ColumnTotals(len(self.groups)) for name in self.columns}
        #: By column and group, what its numbers lack; and how many values are missing, by site.
        self.lacks: dict[tuple[str, int], list[Lack]] = {}
        self.missing: dict[tuple[str, int], dict[str, int]] = {}
        for site in sites.sites:
            self._take(site)

    def _take(self, site: Site) -> None:
        """A site's first answer, which must be of the columns that it was asked for."""
        at, partials = self.at[id(site)], {partial.name: partial for partial in site.begun.columns}
        tabular = bool(self.asked - {"covariance", "correlation", "linear_regression", "logistic_regression"})
        if (set(partials) != set(self.columns) if tabular else partials) or len(partials) != len(
            site.begun.columns
        ):
            raise BadRequest(f"{site.domain} answered for other columns than it was asked for")
        needed = fields_of(self.asked)
        for name, partial in partials.items():
            try:
                hidden = self.totals[name].add(partial, at, needed)
            except BadRequest as error:
                raise BadRequest(f"{site.domain}: {error.detail}") from error
            self._note_lacks(site, name, partial, hidden.tolist())

    def _note_lacks(self, site: Site, name: str, partial: ColumnPartial, hidden: list[bool]) -> None:
        at = self.at[id(site)].tolist()
        few = f"keeps back what stands for fewer than about {site.view.min_rows + 2 * site.begun.noise:.0f} rows"
        for group, secret in zip(at, hidden, strict=True):
            if secret:
                self.lacks.setdefault((name, group), []).append(Lack(site.domain, site.name, few))
        if site.begun.noise:  # which groups a guarded site has is not told
            for group in set(range(len(self.groups))) - set(at):
                if self.agreement.may_have(site, self.spec.by, self.groups[group]):
                    lack = Lack(site.domain, site.name, f"{few}, if it has any of this group")
                    self.lacks.setdefault((name, group), []).append(lack)
        if not partial.missing:
            return
        noise = [3 * (each or 0.0) for each in partial.noise.get("missing", [])] or [0.0] * len(at)
        counts: list[int | None] = list(partial.count) or [None] * len(at)
        for group, count, gone, error in zip(at, counts, partial.missing, noise, strict=True):
            if gone is None or gone <= error:
                continue
            self.missing.setdefault((name, group), {})[site.label] = gone
            if count == 0:
                of = f" in {group_in_words(self.groups[group])}" if self.spec.by else ""
                self.notes.append(f"{name}: {site.label} has no value{of}: all {gone} are missing")

    def lacking(self, name: str, group: int) -> list[Lack]:
        """What is not in the numbers of a column and group."""
        return [*self.sites.lacks, *self.lacks.get((name, group), [])]

    def result(self) -> Analysis:
        """Everything that was asked, asking the sites on where that is needed."""
        self.notes = [*self.sites.notes, *self.agreement.notes, *self.notes]
        values: Numbers = {}
        errors: Numbers = {}
        for name in self.columns:
            for statistic in TABULAR:
                if statistic in self.asked:
                    values[statistic, name] = self._tabular(statistic, self.totals[name])
                    errors[statistic, name] = self._errors(statistic, self.totals[name])
        if "quantile" in self.asked:
            self._quantiles(values, errors)
        if "histogram" in self.asked:
            self._histograms(values, errors)
        whole, whole_errors = self._together()
        marked = {
            (statistic, name): [
                self._marked(value, self.lacking(name, group)) for group, value in enumerate(found)
            ]
            for (statistic, name), found in values.items()
        }
        sites = self.sites.sites
        self.notes += unknown_notes(self.asked, self.groups, self.spec.ddof, self.totals)
        self.notes += noise_notes(sites, self.asked)
        if self.asked != {"missing"}:
            self.notes += [
                missing_note(name, self.missing) for name in self.columns if self._lacks_values(name)
            ]
        found = Analysis(
            statistics=self.spec.statistics,
            columns=self.columns,
            by=self.spec.by,
            groups=self.groups,
            values=marked,
            whole={name: or_partial(made, self.sites.lacks) for name, made in whole.items()},
            q=self.spec.q,
            tables=[(site.domain, site.name) for site in sites],
            notes=list(dict.fromkeys(self.notes)),
            epsilon={site.domain: site.begun.epsilon for site in sites if site.begun.epsilon},
            units={site.domain: site.begun.units for site in sites if site.begun.noise},
            errors=errors,
            whole_errors=whole_errors,
            missing={
                name: [self.missing.get((name, group), {}) for group in range(len(self.groups))]
                for name in self.columns
            },
            left_out=list(self.sites.lacks),
            measured_in=self.agreement.units,
        )
        if self.spec.strict and found.partial:
            raise Conflict(f"these numbers would lack a part (strict): {lacks_in_words(found.lacks)}")
        return found

    def _lacks_values(self, name: str) -> bool:
        return any(column == name for column, _ in self.missing)

    @staticmethod
    def _marked(value: Any, lacks: list[Lack]) -> Any:
        if isinstance(value, dict):
            return {q: or_partial(each, lacks) for q, each in value.items()}
        if isinstance(value, Histogram | WordCounts) and all(count is None for count in value.counts):
            return value  # no number of it is told
        return or_partial(value, lacks)

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

    def _errors(self, statistic: str, totals: ColumnTotals) -> list[Any]:
        """Two standard deviations of the noise; extremes have none, for a guarded site tells none."""
        if statistic in ("min", "max"):
            return [0.0] * len(self.groups)
        numbers = 2 * totals.deviation(statistic, self.spec.ddof)
        return [
            number if seen else None for number, seen in zip(numbers.tolist(), totals.answered, strict=True)
        ]

    # -- quantiles --------------------------------------------------------------------------------------

    def _quantiles(self, values: Numbers, errors: Numbers) -> None:
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
                if count > 0:
                    ranks = sorted({rank for q in self.spec.q for rank in self._ranks(name, group, q)})
                    least, most = float(totals.min[group]), float(totals.max[group])
                    wanted.append(Wanted(name, group, ranks, least, most, resolution))
        found = find_values(self.sites, wanted, self._answering())
        for name in self.columns:
            values["quantile", name], errors["quantile", name] = [], []
            for group in range(len(self.groups)):
                pairs = {q: self._quantile(found.get((name, group), {}), name, group, q) for q in self.spec.q}
                values["quantile", name].append({q: value for q, (value, _) in pairs.items()})
                errors["quantile", name].append({q: error for q, (_, error) in pairs.items()})

    def _answering(self) -> dict[tuple[int, str], dict[int, int]]:
        """By site and column, which of the site's groups answer for which: not those that it keeps back."""
        found: dict[tuple[int, str], dict[int, int]] = {}
        for site in self.sites.sites:
            for partial in site.begun.columns:
                at = self.at[id(site)].tolist()
                told = [number is not None for number in partial.count]
                found[id(site), partial.name] = {
                    group: place for place, (group, seen) in enumerate(zip(at, told, strict=True)) if seen
                }
        return found

    def _ranks(self, name: str, group: int, q: float) -> list[int]:
        """The order statistics that a quantile is made of, and those that noise may have taken for them."""
        totals = self.totals[name]
        count = int(totals.count[group])
        low, high, _ = ranks_for(count, q)
        off = 2 * float(np.sqrt(totals.noise["rank"][group]))
        if not off:
            return [low, high]
        place = (count - 1) * q
        first, last = max(0, floor(place - off)), min(count - 1, ceil(place + off))
        return [low, high, first, last]

    def _quantile(
        self, found: dict[int, float], name: str, group: int, q: float
    ) -> tuple[float | None, float | None]:
        """The quantile, and how far off noise may have put it."""
        totals = self.totals[name]
        if not totals.answered[group] and totals.kept_back[group]:
            return None, None
        count = int(totals.count[group])
        if count <= 0:
            return float("nan"), 0.0
        low, high, fraction = ranks_for(count, q)
        value = interpolate(found[low], found[high], fraction)
        ranks = self._ranks(name, group, q)[2:]
        return value, max((abs(found[rank] - value) for rank in ranks), default=0.0)

    # -- histograms -------------------------------------------------------------------------------------

    def _histograms(self, values: Numbers, errors: Numbers) -> None:
        words = self.agreement.words
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
        answers = [(site, list(site.begun.histograms)) for site in self.sites.sites]
        if rest:

            def ask(site: Site) -> Continue:
                return Continue(analysis_id=site.begun.analysis_id, histograms=rest)

            more = {id(site): reply.histograms for site, reply in self.sites.again(ask)}
            answers = [(site, [*begun, *more[id(site)]]) for site, begun in answers]
        merged: dict[str, HistogramTotals] = {}
        for site, counts in answers:
            if sorted(each.column for each in counts) != sorted(self.columns):
                raise BadRequest(f"{site.domain} answered for other histograms than it was asked for")
            for each in counts:
                by_word = self._by_word(site, each) if each.column in words else each
                if each.column not in merged:
                    merged[each.column] = HistogramTotals(len(self.groups), by_word.edges)
                merged[each.column].add(by_word, self.at[id(site)])
        for name in self.columns:
            totals = merged[name]
            shown: Callable[..., Histogram | WordCounts] = Histogram
            first: list[Any] = totals.edges.tolist()
            if name in words:
                shown, first = WordCounts, words[name].words
            rows = zip(totals.counts.tolist(), totals.kept_back.tolist(), strict=True)
            values["histogram", name] = [shown(first, counts, hidden) for counts, hidden in rows]
            errors["histogram", name] = [2 * totals.noise**0.5] * len(self.groups)

    def _by_word(self, site: Site, counts: CountsInBins) -> CountsInBins:
        """A site's counts of its own numbers, in the order of all sites' words; a word that it lacks has none."""
        words = self.agreement.words[counts.column]
        codes = words.codes[id(site)]
        known = len(words.places(site))
        if counts.edges != [place - 0.5 for place in range(known + 1)]:
            raise BadRequest(f"{site.domain} counted in other bins than it was asked for")
        rows: list[list[int | None]] = []
        for row in counts.counts:
            below, *cells, above = row
            outside = None if below is None or above is None else below + above
            rows.append([0, *(0 if code is None else cells[code] for code in codes), outside])
        edges = [place - 0.5 for place in range(len(codes) + 1)]
        return CountsInBins(column=counts.column, edges=edges, counts=rows, noise=counts.noise)

    # -- all columns together -----------------------------------------------------------------------------

    def _together(self) -> tuple[dict[str, Any], dict[str, Any]]:
        """What is not per column and group, matrices and regressions, and their errors."""
        if not self.asked & {"covariance", "correlation", "linear_regression", "logistic_regression"}:
            return {}, {}
        partials = []
        for site in self.sites.sites:
            if site.begun.comoments is None:
                raise BadRequest(f"{site.domain} did not answer what it was asked")
            partials.append(self.terms.renamed(site, site.begun.comoments))
            if not site.begun.comoments.rows:
                self.notes.append(f"{site.label} has no row without a missing value in these columns")
        totals = CoTotals(partials)
        totals.rounding = np.array([self._rounding(name) for name in self.terms.owners])
        made: dict[str, Any] = {}
        errors: dict[str, Any] = {}
        columns = len(self.columns)
        if self.asked & {"covariance", "correlation"}:
            for name, fault in zip(self.columns, totals.faults(), strict=False):
                if fault:
                    self.notes.append(f"{name} {fault}: its correlations are not defined (NaN)")
        if "covariance" in self.asked:
            made["covariance"] = totals.covariance(self.spec.ddof)[:columns, :columns]
            free = max(totals.rows - self.spec.ddof, 1)
            errors["covariance"] = 2 * np.sqrt(totals.noise[:columns, :columns]) / free
            if totals.rows <= self.spec.ddof:
                self.notes.append(f"covariance: {totals.rows} complete rows are too few (NaN)")
        if "correlation" in self.asked:
            made["correlation"] = totals.correlation()[:columns, :columns]
            errors["correlation"] = 2 * totals.correlation_deviation()[:columns, :columns]
        if self.spec.target:
            self._regressions(totals, made)
        for name, fitted in made.items():
            if isinstance(fitted, Regression):
                errors[name] = {each: 2 * noise for each, noise in fitted.noise.items()}
        return made, errors

    def _regressions(self, totals: CoTotals, made: dict[str, Any]) -> None:
        chosen, kept, notes = self.terms.chosen(totals)
        self.notes += notes
        if "linear_regression" in self.asked:
            made["linear_regression"] = linear(chosen)
        if "logistic_regression" in self.asked:
            ask = self.terms.asking(kept, len(totals.names) - 1, self._ask_logistic)
            made["logistic_regression"] = logistic(chosen, ask)
        for name in ("linear_regression", "logistic_regression"):
            if name in made and made[name].note:
                self.notes.append(f"{name.replace('_', ' ')}: {made[name].note}")

    def _rounding(self, name: str) -> float:
        return max(
            rounding_of(column.dtype)
            for site in self.sites.sites
            for column in site.view.columns
            if column.name == name
        )

    def _ask_logistic(self, point: Logistic) -> list[LogisticPartial]:
        def ask(site: Site) -> Continue:
            return Continue(analysis_id=site.begun.analysis_id, logistic=point)

        answers = []
        for site, reply in self.sites.again(ask):
            if reply.logistic is None:
                raise BadRequest(f"{site.domain} did not answer what it was asked")
            answers.append(reply.logistic)
        return answers
