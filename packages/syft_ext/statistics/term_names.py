"""The columns of a regression as its sites answer for them: words become columns of 0 and 1, called ``sex=m``."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import CoMoments, Levels, Logistic, LogisticPartial
from syft_ext.statistics.agreement import Agreement
from syft_ext.statistics.combine import CoTotals
from syft_ext.statistics.sites import Site

__all__ = ["TermNames"]


@dataclass(frozen=True, slots=True)
class TermNames:
    """Attributes:
    columns: explaining columns, the target last (if there is one).
    reference: whether sites leave each column's first word out. Where all are exact, they do not: which
        words there are rows of is known by their answers only.
    """

    agreement: Agreement
    columns: list[str]
    target: str
    reference: bool

    @classmethod
    def of(cls, agreement: Agreement, target: str, sites: Sequence[Site]) -> TermNames:
        """Of what was agreed on. A guarded site could not answer for all words of a column: they follow from one
        another, and it would take that for noise."""
        columns = [*agreement.columns, *([target] if target else [])]
        return cls(agreement, columns, target, any(site.view.guarded for site in sites))

    def levels(self, site: Site) -> dict[str, Levels]:
        """For one site's question."""
        return {
            name: words.levels(site, reference=self.reference or name == self.target)
            for name in (self.columns if self.target else ())
            if (words := self.agreement.words.get(name)) is not None
        }

    def _of(self, column: str) -> list[tuple[str, str]]:
        """Column and word of each term."""
        words = self.agreement.words.get(column)
        if words is None:
            return [(column, "")]
        first = 1 if self.reference or column == self.target else 0
        return [(column, word) for word in words.named[first:]]

    def _terms(self) -> list[tuple[str, str]]:
        return [term for column in self.columns for term in self._of(column)]

    @property
    def owners(self) -> list[str]:
        """The column that each term is of."""
        return [column for column, _ in self._terms()]

    def renamed(self, site: Site, answer: CoMoments) -> CoMoments:
        """What a site answered, under the names that all sites share."""
        names = [_name(*term) for term in self._terms()]
        asked = [column for column, _ in self._terms()]
        if answer.columns != asked:
            raise BadRequest(f"{site.domain} answered for other columns than it was asked for")
        return CoMoments(
            columns=names,
            rows=answer.rows,
            mean=answer.mean,
            products=answer.products,
            mean_rest=answer.mean_rest,
            noise=answer.noise,
        )

    def chosen(self, totals: CoTotals) -> tuple[CoTotals, list[int], list[str]]:
        """Without words that no row has, and without those that others are compared with; places of the rest."""
        kept, notes = [], []
        terms = self._terms()
        for column in dict.fromkeys(column for column, _ in terms):
            mine = [place for place, term in enumerate(terms) if term[0] == column]
            words = self.agreement.words.get(column)
            if words is None or column == self.target:
                kept += mine
                if words is not None:
                    notes.append(
                        f"{_name(*terms[mine[0]])}: {words.named[1]!r} counts as 1, {words.named[0]!r} as 0"
                    )
                continue
            there = [place for place in mine if self.reference or totals.mean[place] * totals.rows > 0.5]
            first = words.named[0] if self.reference else (terms[there[0]][1] if there else "")
            kept += there if self.reference else there[1:]
            notes.append(f"{column}: its words are compared with {first!r}")
            if gone := [terms[place][1] for place in mine if place not in there]:
                notes.append(f"{column}: no complete row has {', '.join(map(repr, gone))}")
        return totals.of(kept), kept, notes

    @staticmethod
    def asking(
        kept: Sequence[int], many: int, ask: Callable[[Logistic], Sequence[LogisticPartial]]
    ) -> Callable[[Logistic], Sequence[LogisticPartial]]:
        """Asks for the kept columns of ``many`` (the target not counted): the others have the coefficient 0."""
        places = np.array([0, *(1 + place for place in kept if place < many)])

        def asked(point: Logistic) -> list[LogisticPartial]:
            def spread(numbers: Sequence[float], other: float, first: int) -> list[float]:
                whole = np.full(many + first, other)
                whole[places if first else places[1:] - 1] = numbers
                return [float(number) for number in whole]

            whole = Logistic(
                coefficients=spread(point.coefficients, 0.0, 1),
                center=spread(point.center, 0.0, 0),
                scale=spread(point.scale, 1.0, 0),
            )
            return [_restricted(answer, places, many + 1) for answer in ask(whole)]

        return asked


def _restricted(
    answer: LogisticPartial, places: np.ndarray[tuple[int], np.dtype[np.intp]], many: int
) -> LogisticPartial:
    square = np.ix_(places, places)

    def inner(matrix: Sequence[float]) -> list[float]:
        return [float(number) for number in np.array(matrix).reshape(many, many)[square].ravel()]

    try:
        if len(answer.gradient) != many:
            raise ValueError("so many numbers were not asked for")
        return LogisticPartial(
            rows=answer.rows,
            likelihood=answer.likelihood,
            gradient=np.array(answer.gradient)[places].tolist(),
            hessian=inner(answer.hessian),
            noise=inner(answer.noise) if answer.noise else [],
        )
    except (IndexError, ValueError) as error:
        raise BadRequest("a site answered for other columns than it was asked for") from error


def _name(column: str, word: str) -> str:
    return f"{column}={word}" if word else column
