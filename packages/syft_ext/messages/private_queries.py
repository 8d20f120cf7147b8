"""Private queries: one number of a column, under noise that the caller chooses and the table's ledger pays for.

The names are those of PyDP. A query is ε-differentially private for each person of the table (or each row, where
the table names no persons): bounds are the owner's, a caller may only narrow them, and of each person only so many
rows count as the owner said. What it costs of ρ is charged before anything is read; the same question has the same
answer for everybody, and is charged once.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Name
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER

__all__ = ["AskQuery", "Engine", "Query", "QueryAnswer", "QueryPart"]

Query = Literal[
    "count",
    "bounded_sum",
    "bounded_mean",
    "bounded_variance",
    "bounded_standard_deviation",
    "min",
    "max",
    "median",
    "percentile",
]
Engine = Literal["", "grid", "python-dp", "opendp"]


class QueryPart(Reply):
    """One noisy number that the answer is computed from, so that those of several Domains can be combined.

    Attributes:
        name: "count"; "sum" (in the column's unit); "centred" (Σ u) or "spread" (Σ (u² − ½)), where u is the value
            as a share of the bounds, from −1 to 1; "quantile".
        value: with its noise. scale: of its Laplace noise, in the same unit (discrete noise in steps of ``step``).
        low, high: the interval of a "quantile" at the confidence of the answer.
    """

    name: str
    value: float
    scale: float = 0.0
    step: float = 1.0
    low: float = 0.0
    high: float = 0.0


class QueryAnswer(Reply):
    """What one Domain answers.

    Attributes:
        value: the answer. low, high: with a probability of at least ``confidence`` over the noise, the number of
            the bounded rows lies between them (of order statistics: as their library states it).
        kept_back: the table is guarded, and too few rows have a value; then there is no number.
        lower, upper: the bounds that values were cut off at. rows_per_person: how many rows of a person count.
        engine: what made the noise. parts: the noisy numbers behind the answer.
        epsilon: of the question. share: what it took of the table's ledger now; 0 where it was asked before.
        left: the share of the ledger that is left, for everybody.
    """

    query: str
    column: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    confidence: float = 0.95
    kept_back: bool = False
    lower: float | None = None
    upper: float | None = None
    rows_per_person: int = 1
    engine: str = ""
    parts: list[QueryPart] = []
    epsilon: float = 0.0
    share: float = 0.0
    left: float = 0.0


@operation("queries.ask", rest="POST /queries", reply=QueryAnswer, permission=USER)
class AskQuery(Message):
    """Ask a private query of a column. Spends one use of the grants that it rests on, unless you asked the same
    before.

    Attributes:
        epsilon: how much the answer may tell of a person.
        lower, upper: narrower bounds than the owner's; None: theirs.
        percentile: of a "percentile", from 0 to 1.
        engine: "grid" (exact noise that can be made again; count, sum, mean, variance and standard deviation),
            "python-dp" (order statistics) or "opendp"; "": the first that can.
        dry: only say what it would cost. Spends nothing.
    """

    object_id: Id
    query: Query
    column: Name
    epsilon: Annotated[float, msgspec.Meta(ge=1e-6, le=100.0)]
    lower: float | None = None
    upper: float | None = None
    percentile: Annotated[float, msgspec.Meta(ge=0.0, le=1.0)] = 0.5
    engine: Engine = ""
    dry: bool = False
