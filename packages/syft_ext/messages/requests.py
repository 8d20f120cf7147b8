"""Requests: scientists ask for what they may not do, an owner or reviewer decides (PyGrid 0.5: data requests)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Limit, Note, Offset, Size
from syft_ext.messages.intersection_terms import IntersectionFacts
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.messages.plan_facts import PlanFacts
from syft_ext.messages.training_reviews import TrainingFacts
from syft_ext.messages.vocabulary import RequestOptions
from syft_ext.messages.wire_order import wire_order

__all__ = [
    "ApproveRequest",
    "CreateBudgetRequest",
    "CreateRequest",
    "DecisionView",
    "DenyRequest",
    "GetRequest",
    "ListRequests",
    "RequestList",
    "RequestView",
    "RevokeRequest",
    "WithdrawRequest",
]

Epsilon = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
State = Literal["", "pending", "approved", "denied", "withdrawn", "revoked"]


class DecisionView(msgspec.Struct, kw_only=True):
    """What one reviewer said: their id, and their e-mail address while they are here. ``rule``: a standing
    rule of theirs said it."""

    reviewer: str
    name: str
    approved: bool
    reason: str
    at: float
    rule: str = ""


class RequestView(Reply):
    """A request.

    Attributes:
        kind: permission, plan, budget, training or intersection.
        state: pending, approved, denied, withdrawn, or revoked (after it was approved).
        object: what its author was shown of it: dataset and asset, or the object's description.
        objects: all whose owners have to agree (several only where a plan has several inputs).
        needed: how many different reviewers must approve it, for each of the objects.
        grant_id: what came of it, when it was approved: the (first) grant.
        computed: how the object was computed here, step by step from what it was loaded from, for those who
            decide; "" where nobody computed it.
        plan, training, intersection: what is to run.
        epsilon: the budget asked for. given: what was added to it.
    """

    id: str
    user_id: str
    user: str
    object_id: str
    object: str
    scope: str
    reason: str
    state: str
    created_at: float
    needed: int
    decisions: list[DecisionView]
    grant_id: str | None
    kind: str = "permission"
    objects: list[str] = []
    plan: PlanFacts | None = None
    training: TrainingFacts | None = None
    epsilon: float | None = None
    given: float | None = None
    computed: str = ""
    intersection: IntersectionFacts | None = None


class RequestList(Reply):
    """Newest first."""

    requests: list[RequestView]


@operation("requests.create", rest="POST /requests", reply=RequestView, permission=USER, status=201)
@wire_order("object_id", "scope", "reason")
class CreateRequest(RequestOptions, Message, kw_only=True):
    """Ask to read an object, to compute on it or to have statistics of it: one that you may find, or see in
    a dataset.

    While a request of yours for the same is pending, another one is a conflict.
    """

    object_id: Id


@operation(
    "requests.create_budget", rest="POST /requests/budget", reply=RequestView, permission=USER, status=201
)
class CreateBudgetRequest(Message):
    """Ask for more privacy budget: what noisy statistics cost. Whoever may triage requests decides."""

    epsilon: Epsilon
    reason: Note = ""


@operation("requests.list", rest="GET /requests", reply=RequestList, permission=USER)
class ListRequests(Message):
    """Your requests, and those that you may decide on."""

    state: State = ""
    limit: Limit = 100
    offset: Offset = 0


@operation("requests.get", rest="GET /requests/{request_id}", reply=RequestView, permission=USER)
class GetRequest(Message):
    """One request. ``wait``: seconds that the answer may take while it is pending."""

    request_id: Id
    wait: Annotated[float, msgspec.Meta(ge=0, le=60)] = 0.0


@operation(
    "requests.approve", rest="POST /requests/{request_id}/approval", reply=RequestView, permission=USER
)
class ApproveRequest(Message):
    """Approve a request for an object of yours, or, if you may triage requests, anybody else's.

    When the site's policy asks for several reviewers, the strictest of their conditions hold. A plan needs
    the word of the owner of each object's data, or of reviewers.

    Attributes:
        expires_in: seconds. uses: downloads, analyses or runs. max_output_bytes: of one download or run.
        epsilon: of a request for budget: add this much, if it is less than was asked for.
    """

    request_id: Id
    reason: Note = ""
    expires_in: Annotated[float, msgspec.Meta(gt=0, le=10 * 366 * 86_400)] | None = None
    uses: Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)] | None = None
    max_output_bytes: Size | None = None
    epsilon: Epsilon | None = None


@operation("requests.deny", rest="POST /requests/{request_id}/denial", reply=RequestView, permission=USER)
class DenyRequest(Message):
    """Deny a request: one reviewer is enough."""

    request_id: Id
    reason: Note = ""


@operation(
    "requests.revoke", rest="POST /requests/{request_id}/revocation", reply=RequestView, permission=USER
)
class RevokeRequest(Message):
    """Take an approval back: the very next operation that rests on it is refused."""

    request_id: Id


@operation(
    "requests.withdraw", rest="DELETE /requests/{request_id}", reply=RequestView, permission=USER, status=200
)
class WithdrawRequest(Message):
    """Withdraw a pending request of yours."""

    request_id: Id
