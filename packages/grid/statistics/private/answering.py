"""From noisy numbers to an answer with its interval. Everything here is a function of noisy and public numbers."""

from __future__ import annotations

from collections.abc import Sequence

from grid.statistics.private.questions import PrivateQuestion
from syft_ext.messages.private_queries import QueryAnswer, QueryPart
from syft_ext.privacy.intervals import Interval, SitePart, combine

__all__ = ["answer_of"]


def answer_of(question: PrivateQuestion, engine: str, parts: Sequence[QueryPart]) -> QueryAnswer:
    """The answer of this Domain alone; what it cost is for the desk to say."""
    low, high = question.bounds or (0.0, 0.0)
    site = SitePart(low, high, {part.name: (part.value, part.scale, part.step) for part in parts})
    if question.kind == "quantile":
        (part,) = parts
        found = Interval(part.value, part.low, part.high)
    else:
        found = combine(question.query, [site])
    return QueryAnswer(
        query=question.query,
        column=question.column.column.label,
        value=found.value,
        low=found.low,
        high=found.high,
        lower=None if question.bounds is None else question.bounds[0],
        upper=None if question.bounds is None else question.bounds[1],
        rows_per_person=question.most,
        engine=engine,
        parts=list(parts),
        epsilon=float(question.epsilon),
    )
