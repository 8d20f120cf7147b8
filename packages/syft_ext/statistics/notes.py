"""What is to be known of the numbers of an analysis, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from syft_ext.statistics.combine import ColumnTotals
from syft_ext.statistics.sites import Site

__all__ = ["group_in_words", "missing_note", "noise_notes", "unknown_notes"]

_SHOWN = 5


def group_in_words(key: Sequence[Any]) -> str:
    """A group's key, for people."""
    return ", ".join(str(part) if part != "" else "(missing)" for part in key)


def unknown_notes(
    asked: set[str], groups: Sequence[Sequence[Any]], ddof: int, totals: Mapping[str, ColumnTotals]
) -> list[str]:
    """Why numbers are NaN, and which columns do not vary."""
    notes = []
    for name, each in totals.items():
        told = each.answered
        counted = bool(asked & {"count", "mean", "variance", "std", "quantile"})
        if counted and asked & {"mean", "min", "max", "quantile", "variance", "std"}:
            none = told & (each.count <= 0)
            notes += _note(name, "has no values", groups, none, "its statistics are not defined (NaN)")
        if asked & {"variance", "std"}:
            few = told & (each.count > 0) & (each.count <= ddof)
            notes += _note(
                name,
                f"has no more values than ddof = {ddof}",
                groups,
                few,
                "variance and deviation are not defined (NaN)",
            )
            same = told & (each.count > ddof) & each.does_not_vary
            notes += _note(name, "does not vary", groups, same, "its deviation is 0")
    return notes


def _note(name: str, fault: str, groups: Sequence[Sequence[Any]], where: Any, so: str) -> list[str]:
    places = np.flatnonzero(where).tolist()
    if not places:
        return []
    keys = [group_in_words(groups[place]) for place in places[:_SHOWN]]
    more = f" and {len(places) - _SHOWN} more groups" if len(places) > _SHOWN else ""
    of = f" in {'; '.join(keys)}{more}" if groups[places[0]] else ""
    return [f"{name} {fault}{of}: {so}"]


def missing_note(name: str, missing: Mapping[tuple[str, int], Mapping[str, int]]) -> str:
    """How many values of a column are missing where; other statistics are without them."""
    sums: dict[str, int] = {}
    for (column, _), sites in missing.items():
        if column == name:
            for label, count in sites.items():
                sums[label] = sums.get(label, 0) + count
    said = ", ".join(f"{count:,} at {label}" for label, count in sums.items())
    return f"{name}: {sum(sums.values()):,} missing values are not in its statistics ({said})"


def noise_notes(sites: Sequence[Site], asked: set[str]) -> list[str]:
    """What the guarded sites' numbers are, and what this took of their ledgers."""
    notes = []
    for site in sites:
        begun = site.begun
        if not begun.noise:
            continue
        error = f"±{2 * begun.noise:.3g} rows (two standard deviations)"
        note = f"{site.domain}: every count carries noise, {error}"
        if begun.suppressed:
            fewest = site.view.min_rows + 2 * begun.noise
            note += f"; groups of fewer than about {fewest:.0f} rows are kept back"
        if asked & {"sum", "mean", "variance", "std"}:
            note += "; sums and means are of values without the outer 0.2 % at either end"
        spent = f"{begun.units} unit{'s' * (begun.units != 1)} of its ledger" if begun.units else "nothing"
        left = "" if begun.left is None else f", {begun.left} left"
        notes.append(f"{note}; this took {spent}{left}")
    return notes
