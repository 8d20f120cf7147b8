"""Queries with PyDP's names, at one Domain or over several: ``sy.dp.BoundedMean(epsilon=0.5).quick_result(…)``.

What runs is at the Domains (:mod:`syft_ext.messages.private_queries`); here their noisy numbers are put together.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, ClassVar

from syft_ext.dp.columns import ColumnOf, columns_of
from syft_ext.errors import BadRequest, Forbidden, GridError
from syft_ext.messages.private_queries import AskQuery, Engine, Query, QueryAnswer
from syft_ext.privacy.intervals import Interval, SitePart, combine
from syft_ext.readable import readable

if TYPE_CHECKING:
    from syft_ext.client.caller import Caller

__all__ = [
    "QUERIES",
    "BoundedMean",
    "BoundedStandardDeviation",
    "BoundedSum",
    "BoundedVariance",
    "Count",
    "Max",
    "Median",
    "Min",
    "Percentile",
    "PrivateAnswer",
    "PrivateQuery",
]


QUERIES: dict[str, type[PrivateQuery]] = {}
"""All of them by name."""


class PrivateAnswer(float):
    """A number with noise; it counts as a float.

    Attributes:
        low, high: with a probability of at least ``confidence`` over the noise, what the bounded rows give lies
            between them.
        epsilon: of the question. answers: what each Domain said, by its name.
    """

    low: float
    high: float
    confidence: float
    epsilon: float
    answers: dict[str, QueryAnswer]

    @property
    def interval(self) -> tuple[float, float]:
        """``(low, high)``."""
        return self.low, self.high

    def __repr__(self) -> str:
        return readable(
            f"{float(self):.6g} ({self.low:.6g} to {self.high:.6g} with {self.confidence:.0%}, ε {self.epsilon:g})"
        )


class PrivateQuery:
    """One question with its ε.

    Args:
        epsilon: how much the answer may tell of a person, at each Domain.
        lower_bound, upper_bound: narrower bounds than the owner's; None: theirs.
        dtype: "float", or "int" for a rounded number.
        engine: "grid", "python-dp" or "opendp"; "": the first that can.
    """

    query: ClassVar[Query]

    def __init_subclass__(cls, query: Query | None = None) -> None:
        if query is not None:
            cls.query, QUERIES[cls.__name__] = query, cls

    def __init__(
        self,
        epsilon: float = 1.0,
        *,
        lower_bound: float | None = None,
        upper_bound: float | None = None,
        dtype: str = "float",
        engine: Engine = "",
        client: Caller | None = None,
    ) -> None:
        if dtype not in ("float", "int"):
            raise BadRequest(f'dtype is "float" or "int", not {dtype!r}')
        self.epsilon, self.dtype, self.engine = float(epsilon), dtype, engine
        self.lower_bound, self.upper_bound = lower_bound, upper_bound
        self._client = client

    def quick_result(self, data: Any, column: str = "", *, timeout: float = 60.0) -> PrivateAnswer:
        """Ask, and pay.

        Args:
            data: a pointer to a column, ``asset.column("age")``, an asset (with ``column``), or several of these,
                which may be at several Domains: then the answer is that of all rows together.
            timeout: seconds, of each Domain.

        Raises:
            Forbidden: you lack the permission, the site's policy does not let it, the ledger has too little left,
                or too few rows have a value.
            Unavailable: the Domain lacks what the engine needs; the message names the extra.
        """
        answers = self._answers(data, column, timeout, dry=False)
        for where, reply in answers.items():
            if reply.kept_back:
                raise Forbidden(f"{where}: too few rows have a value of {reply.column!r}; it is kept back")
        found, confidence = self._together(list(answers.values()))
        if self.dtype == "int":
            found = Interval(round(found.value), found.low, found.high)
        answer = PrivateAnswer(found.value)
        answer.low, answer.high, answer.confidence = found.low, found.high, confidence
        answer.epsilon, answer.answers = self.epsilon, answers
        return answer

    def price(self, data: Any, column: str = "", *, timeout: float = 60.0) -> dict[str, float]:
        """The share of each table's ledger that it would take now; nothing is asked or spent. (At a guarded
        table, the guard's own count of the column comes on top, once.)"""
        answers = self._answers(data, column, timeout, dry=True)
        return {where: reply.share for where, reply in answers.items()}

    def _columns(self, data: Any, column: str) -> list[ColumnOf]:
        columns = columns_of(data, column)
        if self._client is not None and any(each.domain_id != self._client.id for each in columns):
            raise BadRequest(f"this is not at {self._client.name}; over several Domains: sy.dp")
        return columns

    def _message(self, column: ColumnOf, dry: bool) -> AskQuery:
        return AskQuery(
            object_id=column.object_id,
            query=self.query,
            column=column.name,
            epsilon=self.epsilon,
            lower=self.lower_bound,
            upper=self.upper_bound,
            engine=self.engine,
            dry=dry,
        )

    def _answers(self, data: Any, column: str, timeout: float, *, dry: bool) -> dict[str, QueryAnswer]:
        """What each Domain says, by its name (and the table's, where it has several)."""
        columns = self._columns(data, column)
        self._check_together(columns)

        def ask(column: ColumnOf) -> QueryAnswer:
            try:
                reply: QueryAnswer = column.connect().call(self._message(column, dry), timeout=timeout)
            except GridError as error:
                if len(columns) == 1:
                    raise
                raise type(error)(f"{column.domain}: {error.detail}", **error.extra) from error
            return reply

        with ThreadPoolExecutor(min(len(columns), 32)) as pool:
            replies = [ask(columns[0])] if len(columns) == 1 else list(pool.map(ask, columns))
        return dict(zip(_labels(columns), replies, strict=True))

    def _check_together(self, columns: Sequence[ColumnOf]) -> None:
        return

    def _together(self, replies: Sequence[QueryAnswer]) -> tuple[Interval, float]:
        if len(replies) == 1:
            (reply,) = replies
            assert reply.value is not None and reply.low is not None and reply.high is not None
            return Interval(reply.value, reply.low, reply.high), reply.confidence
        sites = [
            SitePart(
                reply.lower or 0.0,
                reply.upper or 0.0,
                {part.name: (part.value, part.scale, part.step) for part in reply.parts},
            )
            for reply in replies
        ]
        return combine(self.query, sites), min(reply.confidence for reply in replies)


class Count(PrivateQuery, query="count"):
    """How many values there are; missing ones do not count."""


class BoundedSum(PrivateQuery, query="bounded_sum"):
    """The sum of values, cut off at the bounds."""


class BoundedMean(PrivateQuery, query="bounded_mean"):
    """The mean of values, cut off at the bounds: half of ε for their sum, half for their number."""


class BoundedVariance(PrivateQuery, query="bounded_variance"):
    """The variance (divided by the number of values) of values, cut off at the bounds."""


class BoundedStandardDeviation(PrivateQuery, query="bounded_standard_deviation"):
    """The root of the variance; who asked for that with the same ε has paid for this."""


class _OrderStatistic(PrivateQuery):
    """Of several Domains, there is no median that follows from theirs."""

    def _check_together(self, columns: Sequence[ColumnOf]) -> None:
        if len(columns) > 1:
            raise BadRequest(
                f"a {self.query} of several tables follows from no answers of each; "
                "of guarded tables ask sy.analyze(tables, 'quantile')"
            )


class _Extreme(PrivateQuery):
    """Of several Domains, the outermost of their answers."""

    def _together(self, replies: Sequence[QueryAnswer]) -> tuple[Interval, float]:
        choose = min if self.query == "min" else max
        ends = [(each.value, each.low, each.high) for each in replies]
        value, low, high = (choose(numbers) for numbers in zip(*ends, strict=True))
        confidence = 1 - sum(1 - reply.confidence for reply in replies)
        assert value is not None and low is not None and high is not None
        return Interval(value, low, high), max(0.0, confidence)


class Min(_Extreme, query="min"):
    """The least value, pulled inwards by noise: a single value cannot be told."""


class Max(_Extreme, query="max"):
    """The largest value, pulled inwards by noise: a single value cannot be told."""


class Median(_OrderStatistic, query="median"):
    """The value that half of the values are below."""


class Percentile(_OrderStatistic, query="percentile"):
    """The value that a share ``percentile`` (0 to 1) of the values is below."""

    def __init__(self, epsilon: float = 1.0, percentile: float = 0.5, **options: Any) -> None:
        super().__init__(epsilon, **options)
        self.percentile = percentile

    def _message(self, column: ColumnOf, dry: bool) -> AskQuery:
        message = super()._message(column, dry)
        message.percentile = self.percentile
        return message


def _labels(columns: Sequence[ColumnOf]) -> list[str]:
    """A name for each, no two of them the same, whatever Domains call themselves."""
    domains = [each.domain_id for each in columns]
    short = [
        each.domain if domains.count(each.domain_id) == 1 else f"{each.domain}/{each.object_id[:8]}"
        for each in columns
    ]
    if len(set(short)) == len(short):
        return short
    return [f"{each.domain}/{each.domain_id}/{each.object_id}" for each in columns]
