"""A private query as it is charged: what it reads, which bounds hold, what the noise is for.

Bounds are the owner's; a caller may narrow them, and never widen them: a bound that a caller chose by what they
know of the rows would be no bound of what a row can do. Nothing here depends on a row.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from grid.statistics.columns import Table
from grid.statistics.guarded.schema import Person, PublicColumn, Said
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.private_queries import AskQuery

__all__ = ["KINDS", "PrivateQuestion", "bounds_within", "check_floor", "question_of"]

KINDS = {
    "count": "count",
    "bounded_sum": "sum",
    "bounded_mean": "mean",
    "bounded_variance": "variance",
    "bounded_standard_deviation": "variance",
    "min": "quantile",
    "max": "quantile",
    "median": "quantile",
    "percentile": "quantile",
}
"""What is measured for a query: a variance is a deviation's square, and a median a percentile."""
_PLACES = {"min": 0.0, "max": 1.0, "median": 0.5}
_PRECISION = 100
"""A guarded statistic can be paid for as often (``precision``), and no oftener."""


@dataclass(frozen=True, slots=True)
class PrivateQuestion:
    """Attributes:
    query: as it was asked. kind: what is measured for it, see :data:`KINDS`.
    bounds: that values are cut off at; None of counts.
    place: of a quantile, from 0 to 1; else 0.
    """

    query: str
    kind: str
    column: PublicColumn
    bounds: tuple[float, float] | None
    place: float
    epsilon: Fraction
    person: Person | None

    @property
    def most(self) -> int:
        """How many rows of a person count."""
        return 1 if self.person is None else self.person.most

    def line(self, engine: str) -> str:
        """As one line, equal for what has the same answer."""
        return json.dumps(
            {
                "kind": f"private {self.kind}",
                "column": self.column.column.key,
                "bounds": self.bounds,
                "place": self.place,
                "epsilon": str(self.epsilon),
                "engine": engine,
                "person": None if self.person is None else self.person.column.name,
                "most": self.most,
            },
            sort_keys=True,
            separators=(",", ":"),
        )


def question_of(message: AskQuery, table: Table, said: Said) -> PrivateQuestion:
    """Raises :class:`BadRequest` for a column that is not there, or has no bounds or others than asked for."""
    (column,) = table.take([message.column])
    public, kind = said.column(column), KINDS[message.query]
    described = said.described.get(column.name)
    if kind != "count" and described is not None and described.categories:
        raise BadRequest(f"{column.name!r} holds words: of these there is a count", column=column.name)
    if kind == "count":
        if (message.lower, message.upper) != (None, None):
            raise BadRequest("a count has no bounds", column=column.name)
        bounds = None
    else:
        bounds = bounds_within(public, message.lower, message.upper)
    place = _PLACES.get(message.query, message.percentile) if kind == "quantile" else 0.0
    return PrivateQuestion(
        message.query, kind, public, bounds, place + 0.0, Fraction(message.epsilon), said.person
    )


def bounds_within(public: PublicColumn, lower: float | None, upper: float | None) -> tuple[float, float]:
    """The owner's bounds, or narrower ones. Raises :class:`BadRequest` for others, and where there are none."""
    said = public.said
    if said is None:
        raise BadRequest(
            f"the owner gives no bounds of {public.name!r} (schema: low and high), and others would tell of its "
            "rows",
            column=public.name,
        )
    low = said[0] if lower is None else lower
    high = said[1] if upper is None else upper
    if not (math.isfinite(low) and math.isfinite(high) and said[0] <= low < high <= said[1]):
        raise BadRequest(
            f"bounds of {public.name!r} lie within its owner's, {said[0]:g} to {said[1]:g}, the lower one first",
            column=public.name,
            lower=said[0],
            upper=said[1],
        )
    return low + 0.0, high + 0.0  # −0 is 0: one question


def check_floor(question: PrivateQuestion, base: int, parts: Sequence[Fraction]) -> None:
    """Raise :class:`Forbidden` for less noise than a guarded table's statistics can be had with.

    Args:
        base: the guard's least σ, in rows. parts: the ε of each noisy number.
    """
    most = math.sqrt(_PRECISION) / base
    if any(part > most for part in parts):
        raise Forbidden(
            f"this table is guarded: one noisy number may tell an epsilon of {most:.6g} at most, and "
            f"this asks for {float(max(parts)):.6g} in each of {len(parts)}",
            most=most * len(parts),
        )
