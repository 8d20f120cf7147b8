"""Who subtracts: learns joint counts from all answers of an analysis, without any knowledge of how they are made.

The attacker knows the columns, their ranges, and the messages. What an answer is made of they learn by asking a
site of their own, with the same software and exact answers, about tables of one kind of row each: any number
that adds up over rows becomes an equation in the unknown counts of kinds of rows, whatever the question was.
Then: elimination in rational numbers, least squares, linear programs. Where the same attacker gets exact
answers, they find every count; so the attack can succeed, and the tests that hold it off can fail.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import syft_ext as sy
from syft_ext.errors import GridError
from syft_ext.messages.policy import SitePolicy
from tests.statistics.local_domain import LocalDomain, local_domains

Doubles = NDArray[np.float64]


@dataclass
class World:
    """Tables whose rows are of few kinds: every combination of the values of some columns."""

    columns: Mapping[str, int]
    kinds: list[tuple[int, ...]] = field(init=False)

    def __post_init__(self) -> None:
        self.kinds = list(itertools.product(*(range(size) for size in self.columns.values())))

    @property
    def bounds(self) -> dict[str, tuple[float, float]]:
        return {name: (0.0, float(size - 1)) for name, size in self.columns.items()}

    def rows(self, counts: Sequence[int]) -> dict[str, Any]:
        """A table with so many rows of each kind."""
        many = np.repeat(np.arange(len(self.kinds)), counts)
        values = np.array(self.kinds)[many]
        return {name: values[:, place].astype(np.int64) for place, name in enumerate(self.columns)}

    def site(self, folder: Path, counts: Sequence[int], policy: SitePolicy, **options: Any) -> LocalDomain:
        (domain,) = local_domains(folder, [self.rows(counts)], policy=policy, bounds=self.bounds, **options)
        return domain


@dataclass(frozen=True)
class Asked:
    """One analysis, as a user writes it."""

    statistics: tuple[str, ...]
    columns: tuple[str, ...]
    by: tuple[str, ...] = ()
    edges: tuple[float, ...] = ()
    target: str = ""

    def ask(self, domain: LocalDomain) -> Any:
        options: dict[str, Any] = {"bins": list(self.edges)} if self.edges else {}
        return sy.analyze(
            domain,
            list(self.statistics),
            columns=list(self.columns),
            by=list(self.by) or None,
            target=self.target,
            ddof=0,
            **options,
        )


def numbers(analysis: Any, asked: Asked, groups: Sequence[tuple[int, ...]]) -> Doubles:
    """All numbers of an answer that add up over rows, in one order for all tables; NaN where it has none."""
    found: list[float] = []
    place = {tuple(key): index for index, key in enumerate(analysis.groups)}
    for group in groups if asked.by else [()]:
        at = place.get(group)
        for column in asked.columns:
            found += _of_group(analysis, asked, column, at)
    return np.array(found)


def _of_group(analysis: Any, asked: Asked, column: str, at: int | None) -> list[float]:
    def get(statistic: str) -> float:
        if at is None:
            return np.nan
        value = analysis.values[statistic, column][at]
        return np.nan if value is None else float(value)

    found = []
    if "count" in asked.statistics:
        found.append(get("count"))
    if {"count", "mean"} <= set(asked.statistics):
        found.append(get("count") * get("mean"))  # of a column of 0 and 1, the number of ones
    if "sum" in asked.statistics:
        found.append(get("sum"))
    if {"count", "mean", "variance"} <= set(asked.statistics):
        count, mean = get("count"), get("mean")
        found.append(get("variance") * count + count * mean * mean)  # the sum of squares
    if "histogram" in asked.statistics:
        cells = [None] * (len(asked.edges) + 1)
        if at is not None:
            histogram = analysis.values["histogram", column][at]
            cells = [histogram.below, *histogram.counts, histogram.above]
        found += [np.nan if cell is None else float(cell) for cell in cells]
    return found


class Attacker:
    """Collects equations over the counts of kinds of rows: ``matrix @ counts = answers``, as far as answers go."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        exact = SitePolicy()
        # A site of the attacker's own: one row of each kind, asked about exactly.
        self._own = [
            world.site(folder, [int(index == kind) for index in range(len(world.kinds))], exact)
            for kind in range(len(world.kinds))
        ]
        self._rows: list[Doubles] = []
        self._answers: list[float] = []
        self._known: dict[Asked, Doubles] = {}

    def groups(self, asked: Asked) -> list[tuple[int, ...]]:
        return list(itertools.product(*(range(self.world.columns[name]) for name in asked.by)))

    def equations(self, asked: Asked) -> Doubles:
        """What each number of an answer is made of: numbers × kinds."""
        if asked not in self._known:
            groups = self.groups(asked)
            columns = [np.nan_to_num(numbers(asked.ask(own), asked, groups)) for own in self._own]
            self._known[asked] = np.array(columns).T
        return self._known[asked]

    def learn(self, asked: Asked, analysis: Any) -> None:
        """Take in what a site answered."""
        answers = numbers(analysis, asked, self.groups(asked))
        for row, answer in zip(self.equations(asked), answers, strict=True):
            if not np.isnan(answer):
                self._rows.append(row)
                self._answers.append(float(answer))

    @property
    def system(self) -> tuple[Doubles, Doubles]:
        return np.array(self._rows).reshape(len(self._rows), len(self.world.kinds)), np.array(self._answers)

    # -- three ways to solve it

    def eliminated(self) -> dict[int, Fraction]:
        """Counts that follow from the equations taken as exact, in rational numbers: by kind."""
        matrix, answers = self.system
        table = [
            [*(Fraction(float(each)).limit_denominator(1000) for each in row), Fraction(round(answer))]
            for row, answer in zip(matrix.tolist(), answers.tolist(), strict=True)
        ]
        return _solved(table, len(self.world.kinds))

    def least_squares(self) -> tuple[Doubles, NDArray[np.bool_]]:
        """The best estimate of each count, and which counts the equations determine at all."""
        matrix, answers = self.system
        inverse = np.linalg.pinv(matrix.T @ matrix, rcond=1e-10, hermitian=True)
        seen = np.abs(inverse @ (matrix.T @ matrix) - np.eye(matrix.shape[1])).max(axis=1) < 1e-6
        return inverse @ (matrix.T @ answers), seen

    def interval(self, kind: int, slack: float) -> tuple[float, float] | None:
        """The least and the largest count that fits all answers within ``slack``; None if nothing fits."""
        from scipy.optimize import linprog

        matrix, answers = self.system
        goal = np.zeros(matrix.shape[1])
        goal[kind] = 1.0
        inside = np.r_[matrix, -matrix]
        limits = np.r_[answers + slack, -(answers - slack)]
        ends = [linprog(sign * goal, A_ub=inside, b_ub=limits, method="highs") for sign in (1, -1)]
        if not all(end.success for end in ends):
            return None
        return float(ends[0].fun), float(-ends[1].fun)


def _solved(table: list[list[Fraction]], unknowns: int) -> dict[int, Fraction]:
    """Gauss and Jordan; what contradicts itself (noise does) is left aside, as an attacker would."""
    rows: list[list[Fraction]] = []
    leads: list[int] = []
    for row in table:
        current = list(row)
        for kept, lead in zip(rows, leads, strict=True):
            if current[lead]:
                factor = current[lead]
                current = [a - factor * b for a, b in zip(current, kept, strict=True)]
        lead = next((place for place in range(unknowns) if current[place]), None)
        if lead is None:
            continue
        scale = current[lead]
        current = [each / scale for each in current]
        for index, kept in enumerate(rows):
            if kept[lead]:
                factor = kept[lead]
                rows[index] = [a - factor * b for a, b in zip(kept, current, strict=True)]
        rows.append(current)
        leads.append(lead)
    return {
        lead: row[-1]
        for row, lead in zip(rows, leads, strict=True)
        if not any(each for place, each in enumerate(row[:-1]) if place != lead)
    }


def until_refused(domain: LocalDomain, questions: Sequence[Asked], attacker: Attacker) -> int:
    """Ask all that the site answers; how many questions it answered."""
    answered = 0
    for asked in questions:
        try:
            analysis = asked.ask(domain)
        except GridError:
            continue
        attacker.learn(asked, analysis)
        answered += 1
    return answered
