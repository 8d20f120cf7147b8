"""What a reviewer is told of a plan that somebody wants to run on data."""

from __future__ import annotations

from typing import Literal

import msgspec

from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.units import scaled

__all__ = ["PlanCost", "PlanFacts", "PlanInput", "PlanOutput", "RowInfluence", "TrialOfRows", "Verdict"]

Verdict = Literal["copies", "determines", "mixes", "nothing"]
_MADE = {
    "schema": "mock rows of the schema",
    "data": "made-up rows of the form of the data",
    "self-test": "rows as the plan's own self-test makes them",
}
_SAYS = {
    "copies": "carries single rows back",
    "determines": "who knows the other rows can compute one back, as from gradients (clipping and noise help)",
    "mixes": "mixes rows",
    "nothing": "does not depend on the rows that were tried",
}


class PlanCost(msgspec.Struct, kw_only=True):
    """What one run costs, by propagating shapes: operations, floating-point operations, bytes of the tensors
    alive at the peak, bytes that leave."""

    operations: int
    flops: int
    peak_bytes: int
    output_bytes: int

    def __str__(self) -> str:
        return (
            f"{self.operations} operations, {scaled(self.flops, 'FLOP')}, "
            f"peak {scaled(self.peak_bytes, 'B')}, results {self.output_bytes:,} bytes"
        )


class PlanInput(msgspec.Struct, kw_only=True):
    """One input of the plan, and what it is given.

    Attributes:
        source: "object", "value" (sent with the request), "default" (of the plan) or "party" (another one's).
        object, tensor: what its author was shown of the object, and the tensor in it ("": the only one).
        dtype, shape: as plans write them; ``shape`` is None where it is not yours to know.
    """

    name: str
    role: str
    source: str
    dtype: str
    shape: list[int] | None
    object_id: str = ""
    object: str = ""
    tensor: str = ""


class PlanOutput(msgspec.Struct, kw_only=True):
    """One result; ``shape`` is None where the plan does not fit the data, or it is not yours to know."""

    name: str
    role: str
    dtype: str
    shape: list[int] | None


class RowInfluence(msgspec.Struct, kw_only=True):
    """What one result answers when single mock rows change: an aid for reviewers, and no proof.

    Attributes:
        output: the result's name; "" for all results together.
        verdict: "copies" single rows, "determines" them (together they can be computed back), "mixes" them, or
            answers with "nothing".
        rows: how many rows were changed.
        alone: how many of them have numbers of the result to themselves.
        changes, rank: how many changes were made, and how many of them can be told apart by the result.
        resolution: how far the changes of the row that follows best do, from 0 to 1; in a mean of n rows: 1/n.
        told_apart: how far the change that follows best does, where the rows that were changed were equal.
        magnitude: the largest answer to a change of one row, as a part of the result's size (Euclidean norms).
    """

    output: str
    role: str
    verdict: Verdict
    rows: int
    alone: int
    changes: int
    rank: int
    resolution: float
    told_apart: float
    magnitude: float

    def __str__(self) -> str:
        figures = (
            f"alone {self.alone} of {self.rows} rows, rank {self.rank} of {self.changes}",
            f"resolution {self.resolution:.2f}, told apart {self.told_apart:.2f}",
            f"magnitude {self.magnitude:.2g}",
        )
        return f"{self.output or 'all results together'}: {_SAYS[self.verdict]} ({', '.join(figures)})"


class TrialOfRows(msgspec.Struct, kw_only=True):
    """Mock rows for ``inputs``, ``rows`` of them, and what the results answered when single ones were changed.

    Attributes:
        made: how the rows were made: "schema" of the data asked for, "data" (from means and deviations of the
            owner's), or "self-test" (as the plan's author says that its inputs look).
        problem: why it could not be tried; ``results`` is empty then.
    """

    inputs: list[str]
    rows: int
    results: list[RowInfluence] = []
    made: Literal["schema", "data", "self-test"] = "schema"
    problem: str = ""

    def __str__(self) -> str:
        head = f"tried on {self.rows} {_MADE[self.made]} for {', '.join(self.inputs)} (an aid, and no proof):"
        if self.problem:
            return f"{head} not possible: {self.problem}"
        return "\n".join([head, *(f"  {each}" for each in self.results)])


class PlanFacts(msgspec.Struct, kw_only=True):
    """A plan with its inputs.

    Attributes:
        plan_id: the digest of its bytes: what is approved is what runs.
        values: the digest of the values that were sent with it, "" without any.
        problem: why it does not fit the data; such a request cannot be approved.
        shared: the terms under which it is computed on shares, with other Domains; None: it runs here.
        split: the terms under which it is a plan of a split network; None: it is none.
        agreement: digest of terms, plan and values, "" without terms: every party has to approve the same.
    """

    plan_id: str
    name: str
    kind: str
    inputs: list[PlanInput]
    outputs: list[PlanOutput]
    cost: PlanCost | None = None
    values: str = ""
    problem: str = ""
    shared: SharedTerms | None = None
    split: SplitTerms | None = None
    agreement: str = ""

    def hidden(self) -> PlanFacts:
        """Without what the data's sizes and names would follow from."""
        inputs = [
            msgspec.structs.replace(each, shape=None) if each.source == "object" else each
            for each in self.inputs
        ]
        outputs = [msgspec.structs.replace(each, shape=None) for each in self.outputs]
        return msgspec.structs.replace(self, inputs=inputs, outputs=outputs, cost=None, problem="")
