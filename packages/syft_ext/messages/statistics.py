"""Statistics on tables that stay where they are: a Domain answers with partial aggregates.

A scientist's SDK asks several Domains and combines what they answer (:mod:`syft_ext.statistics`). An analysis
is begun once, which is what a grant's use and the privacy budget are spent on; quantiles, automatic histograms
and logistic regressions then ask further rounds of it.

What a site answers for a statistic, so that it can be combined, is part of that statistic, and allowed with it
(``statistics.mean`` in the site's policy):

====================================  ========================================================================
count, missing, sum, min, max         themselves
mean                                  count, mean
variance, std                         count, mean, sum of squared deviations
quantile                              count, min, max; counts of values in narrowing ranges
histogram                             counts per bin, below and above; min and max where no range is given
group_by                              each of these per group, and the groups' keys
covariance, correlation,              number of complete rows; means and co-moments of all columns (for the
linear_regression                     regression that is X'X and X'y; words as columns of 0 and 1)
logistic_regression                   the same; per round the log-likelihood, its gradient and its Hessian
====================================  ========================================================================

Where the site's policy demands a number of rows or noise, its tables are *guarded*: every number follows
from noisy measurements, each of which is made once and charged to the table's ledger, in *units*. Asking
again gives the same numbers and costs nothing. Answers have the same form; their numbers come with the
standard deviation of their noise, there is no minimum and no maximum (those that come with a quantile are
the ends of a grid), and no log-likelihood.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Name
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER

__all__ = [
    "MAX_BINS",
    "Begin",
    "Bins",
    "CoMoments",
    "ColumnPartial",
    "Continue",
    "CountsInBins",
    "DescribeTable",
    "Levels",
    "Logistic",
    "LogisticPartial",
    "Partials",
    "RankCounts",
    "RankQuery",
    "Statistic",
    "TableColumn",
    "TableView",
]

Statistic = Literal[
    "count",
    "missing",
    "sum",
    "mean",
    "variance",
    "std",
    "min",
    "max",
    "quantile",
    "histogram",
    "covariance",
    "correlation",
    "linear_regression",
    "logistic_regression",
]

MAX_BINS = 10_000
Number = float | None
"""None: kept back by the site's policy. NaN: there is none (of no values)."""
Columns = Annotated[list[Name], msgspec.Meta(max_length=256)]


class Bins(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """Bins of one column, as ``numpy.histogram`` counts them: half-open, the last one closed.

    Either ``edges``, increasing, or ``count`` bins of equal width from ``low`` to ``high``.
    """

    column: Name
    low: float = 0.0
    high: float = 1.0
    count: Annotated[int, msgspec.Meta(ge=1, le=MAX_BINS)] = 10
    edges: Annotated[list[float], msgspec.Meta(min_length=2, max_length=MAX_BINS + 1)] | None = None


class Levels(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """The numbers that stand for words at this site, in the order that all sites are asked in.

    A regression takes such a column as one column of 0 and 1 for each word; rows that hold none of them are
    missing.

    Attributes:
        codes: None for a word that this site has no number for.
        reference: whether the first word is what others are compared with, and has no column of its own.
    """

    codes: Annotated[list[int | None], msgspec.Meta(min_length=2, max_length=256)]
    reference: bool = True

    def __post_init__(self) -> None:
        known = [code for code in self.codes if code is not None]
        if len(set(known)) != len(known):
            raise ValueError("a number stands for one word")
        if not all(-(1 << 63) <= code < 1 << 63 for code in known):
            raise ValueError("numbers of words are those of 64 bits")


class RankQuery(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """How many values of a group lie in each of ``bins`` ranges, of 2**``shift`` doubles each, from ``start``.

    Doubles are counted in their order (:mod:`syft_ext.statistics.order`); ``start`` is the first one's place,
    less 2**63. ``group`` is a position in ``Partials.groups``; 0 without groups.
    """

    column: Name
    start: Annotated[int, msgspec.Meta(ge=-(1 << 63), le=(1 << 63) - 1)]
    shift: Annotated[int, msgspec.Meta(ge=0, le=64)]
    bins: Annotated[int, msgspec.Meta(ge=1, le=4096)] = 4096
    group: Annotated[int, msgspec.Meta(ge=0, le=1 << 24)] = 0


class Logistic(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """A point at which a logistic regression's likelihood is wanted.

    Columns are taken as (x − ``center``) / ``scale``; ``coefficients`` are the intercept's and theirs.
    """

    coefficients: Annotated[list[float], msgspec.Meta(max_length=257)]
    center: Annotated[list[float], msgspec.Meta(max_length=256)]
    scale: Annotated[list[Annotated[float, msgspec.Meta(gt=0)]], msgspec.Meta(max_length=256)]


class TableColumn(Reply):
    """A column that statistics can be had of, and what its owner says of it.

    Attributes:
        low, high: bounds (of categories, those of their numbers).
        unit: as its owner wrote it; "" where they wrote none.
        categories: the words that the numbers 0, 1, … stand for.
    """

    name: str
    dtype: str
    low: float | None = None
    high: float | None = None
    unit: str = ""
    categories: list[str] = []


class TableView(Reply):
    """The columns of a table, and what the site's policy demands of statistics here.

    Attributes:
        epsilon: what each unit that is measured for the first time costs of your own budget; None: nothing.
        guarded: numbers carry noise. noise: standard deviation of a count's, in rows, as far as it is known yet.
        total, left: units that the table's ledger pays for in all, and that are left for everybody.
        person, rows_per_person: the column that says who a row is about, and how many rows of each person count.
    """

    columns: list[TableColumn]
    min_rows: int
    epsilon: float | None
    guarded: bool = False
    noise: float | None = None
    total: int | None = None
    left: int | None = None
    person: str = ""
    rows_per_person: int = 0


class ColumnPartial(Reply):
    """Partial aggregates of one column: lists over the groups, of one entry without groups; empty: not asked.

    Attributes:
        missing: how many values are NaN; all others are without them. Told with other statistics where the site's
            policy lets it be asked.
        m2: sums of squared deviations from ``mean``. mean_rest: what rounding to doubles left of ``mean``, so that
            means that are large beside deviations are combined without losing digits of these; empty: 0.
        noise: standard deviations of the noise in these numbers, by their name; "rank": of the number of values
            below a place. Empty where they are exact.
    """

    name: str
    count: list[int | None] = []
    missing: list[int | None] = []
    sum: list[Number] = []
    mean: list[Number] = []
    m2: list[Number] = []
    mean_rest: list[Number] = []
    min: list[Number] = []
    max: list[Number] = []
    noise: dict[str, list[Number]] = {}


class CountsInBins(Reply):
    """Per group: values below the first edge, in each bin, above the last edge. None: kept back.

    ``noise``: the largest standard deviation of the noise in a bin; 0 where counts are exact.
    """

    column: str
    edges: list[float]
    counts: list[list[int | None]]
    noise: float = 0.0


class CoMoments(Reply):
    """Of the rows without a missing value: how many, means, and sums of products of deviations (row by row).

    ``noise``: standard deviations of the noise in the products; empty where they are exact. ``mean_rest``: what
    rounding left of the means; empty: 0.
    """

    columns: list[str]
    rows: int
    mean: list[float]
    products: list[float]
    mean_rest: list[float] = []
    noise: list[float] = []


class RankCounts(Reply):
    """The answer to one :class:`RankQuery`: positions of the bins that are not empty, and their counts."""

    bins: list[int]
    counts: list[int]


class LogisticPartial(Reply):
    """Log-likelihood, gradient, and Hessian of the negative log-likelihood (row by row).

    Attributes:
        likelihood: None where the numbers carry noise: it is not told there.
        noise: covariance of the noise in the gradient (row by row); empty where it is exact.
    """

    rows: int
    likelihood: float | None
    gradient: list[float]
    hessian: list[float]
    noise: list[float] = []


class Partials(Reply):
    """What a site answers.

    Attributes:
        analysis_id: for further rounds.
        groups: keys of the groups that are answered for, in the order of ``by``; empty without ``by``.
        suppressed: something may be kept back because it stands for fewer rows than the site's policy demands.
        epsilon: what this cost (or, of a dry question, would cost) of the caller's own privacy budget.
        noise: standard deviation of the noise in a count, in rows; 0: all numbers are exact.
        units: what this cost (or would cost) of the table's ledger: what was measured for the first time.
        left: units that the ledger has left for everybody; None where it has none.
    """

    analysis_id: str = ""
    groups: list[list[int]] = []
    columns: list[ColumnPartial] = []
    histograms: list[CountsInBins] = []
    comoments: CoMoments | None = None
    ranks: list[RankCounts] = []
    logistic: LogisticPartial | None = None
    suppressed: bool = False
    epsilon: float = 0.0
    noise: float = 0.0
    units: int = 0
    left: int | None = None


@operation("statistics.describe", rest="GET /statistics/tables/{object_id}", reply=TableView, permission=USER)
class DescribeTable(Message):
    """Which columns of a table one may have statistics of, and by which rules. Spends nothing.

    The columns of a table are its one-dimensional tensors, by name; those of a matrix ``x`` are ``x[0]``,
    ``x[1]`` …, those of a tensor without a name ``0``, ``1`` …
    """

    object_id: Id


@operation("statistics.begin", rest="POST /statistics", reply=Partials, permission=USER)
class Begin(Message):
    """Have partial aggregates of columns of a table. Spends one use of the grants that it rests on.

    Attributes:
        columns: of numbers; for a regression the explaining columns.
        by: columns of integers or truth values, to group by.
        histograms: bins, where they are known already.
        target: for a regression, the column that is explained (for the logistic one: of 0 and 1).
        levels: of a regression, the columns of words, and by which numbers this site keeps them.
        precision: of a guarded table, how many times the units are paid, for noise of so much less variance.
        dry: only say what it would cost. Spends nothing.
    """

    object_id: Id
    statistics: Annotated[list[Statistic], msgspec.Meta(min_length=1, max_length=16)]
    columns: Annotated[Columns, msgspec.Meta(min_length=1)]
    by: Annotated[list[Name], msgspec.Meta(max_length=4)] = []
    histograms: Annotated[list[Bins], msgspec.Meta(max_length=256)] = []
    target: Annotated[str, msgspec.Meta(max_length=255)] = ""
    precision: Annotated[int, msgspec.Meta(ge=1, le=100)] = 1
    dry: bool = False
    levels: Annotated[dict[Name, Levels], msgspec.Meta(max_length=256)] = {}


@operation("statistics.continue", rest="POST /statistics/{analysis_id}", reply=Partials, permission=USER)
class Continue(Message):
    """Ask a further round of an analysis of yours. It ends minutes after it began, or after too many rounds.

    The permission is looked at again every time; a use of a grant is not spent again.
    """

    analysis_id: Id
    ranks: Annotated[list[RankQuery], msgspec.Meta(max_length=1024)] = []
    histograms: Annotated[list[Bins], msgspec.Meta(max_length=256)] = []
    logistic: Logistic | None = None
