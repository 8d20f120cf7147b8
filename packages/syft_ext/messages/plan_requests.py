"""Requests to run a plan on data that its author may not read: sent, reviewed, and run as approved."""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Description, Id, Note, Size, Tags
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.messages.plan_facts import PlanFacts, PlanOutput, TrialOfRows
from syft_ext.messages.requests import RequestView
from syft_ext.messages.shared_terms import SharedTerms
from syft_ext.messages.split_terms import SplitTerms

__all__ = [
    "CreatePlanRequest",
    "DownloadPlan",
    "PlanInfluence",
    "PlanReview",
    "PlanRun",
    "ReviewPlan",
    "RunPlanRequest",
    "TryPlan",
]

Given = Annotated[
    str, msgspec.Meta(pattern=r"^[A-Za-z_][A-Za-z0-9_.]{0,127}=[0-9a-f]{32}(:[^\x00]{0,255})?$(?!\n)")
]
"""``input=object_id``, or ``input=object_id:tensor`` for one of several tensors of the object."""


class PlanReview(Reply):
    """What a reviewer reads.

    Attributes:
        text: inputs with their roles, every operation in order, what leaves the plan.
        earlier: the request that ``diff`` compares with: the latest earlier one for the same data by the same
            user or of a plan of the same name; "" when there is none. Approved ones go first.
        diff: a unified diff of the two texts; empty when the plans are the same.
    """

    request_id: str
    facts: PlanFacts
    text: str
    earlier: str
    diff: str


class PlanInfluence(Reply):
    """What a plan's results answer to single mock rows: an aid, and no proof. ``trials``: one for each number of
    rows that the inputs have."""

    request_id: str
    plan_id: str
    trials: list[TrialOfRows]

    def __str__(self) -> str:
        return "\n".join(str(trial) for trial in self.trials) or "no input has rows"


class PlanRun(Reply):
    """A run's results: a tensor file follows, with the outputs by name, in the plan's order.

    Attributes:
        uses_left: how often it may still be run; None: as often as you like.
        object_id: the object that the results were kept as, "" if they were not.
    """

    request_id: str
    plan_id: str
    outputs: list[PlanOutput]
    uses_left: int | None
    object_id: str = ""


@operation(
    "requests.create_plan",
    rest="POST /requests/plans",
    reply=RequestView,
    permission=USER,
    uploads=True,
    status=201,
)
class CreatePlanRequest(Message):
    """Ask to run a plan on objects that you may find, or see in a dataset, and to have what it returns.

    The payload is the plan's bytes (``plan_size`` of them; 0: all), then a tensor file with values for inputs
    that no object is given to; what neither names takes the plan's default. The owner of each object's data,
    or reviewers, must approve.

    ``shared``: it is to be computed on shares, with other Domains, under these terms; ``inputs`` are then those
    that the terms take from this one. ``split``: it is one of the two plans of a split network, under these terms.
    """

    inputs: Annotated[list[Given], msgspec.Meta(min_length=1, max_length=4096)]
    plan_size: Size = 0
    reason: Note = ""
    shared: SharedTerms | None = None
    split: SplitTerms | None = None


@operation("requests.review", rest="GET /requests/{request_id}/review", reply=PlanReview, permission=USER)
class ReviewPlan(Message):
    """The text, inputs, cost and difference of a plan that is asked to run; to its author and reviewers."""

    request_id: Id


@operation("requests.try", rest="GET /requests/{request_id}/influence", reply=PlanInfluence, permission=USER)
class TryPlan(Message):
    """Run a plan that is asked for on mock rows, change single ones, and see what its results answer; for those
    who decide on it, since the mocks are made from the owners' schema."""

    request_id: Id


@operation(
    "requests.plan",
    rest="GET /requests/{request_id}/plan",
    reply=PlanReview,
    permission=USER,
    downloads=True,
)
class DownloadPlan(Message):
    """The plan's bytes, with its review: to its author, and to reviewers who want to try it on a mock."""

    request_id: Id


@operation(
    "requests.run",
    rest="POST /requests/{request_id}/runs",
    reply=PlanRun,
    permission=USER,
    downloads=True,
)
class RunPlanRequest(Message):
    """Run an approved plan of yours, on exactly the contents that were approved, and download what it returns.

    A run takes one use when it begins, also when it then fails. Contents that changed since the request was
    made are refused (Conflict): ask again. What was revoked, or expired, while it ran is not handed out.

    ``keep``: also make the results an object, under the sources of the inputs: it is readable for whoever may
    read all of them.
    """

    request_id: Id
    keep: bool = False
    description: Description = ""
    tags: Tags = []
