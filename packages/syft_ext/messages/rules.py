"""Standing rules: a reviewer's or owner's word on requests that are yet to come (PyGrid: request handlers)."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import Id, Limit, Note, Offset, Size, Tags
from syft_ext.messages.operation import Empty, Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.messages.requests import Epsilon
from syft_ext.messages.vocabulary import Scope

__all__ = ["ClearRules", "CreateRule", "DeleteRule", "ListRules", "RuleList", "RuleView"]

_MaybeId = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{32})?$(?!\n)")]
_PlanId = Annotated[str, msgspec.Meta(pattern=r"^([0-9a-f]{64})?$(?!\n)")]
_Seconds = Annotated[float, msgspec.Meta(gt=0, le=10 * 366 * 86_400)]
_Times = Annotated[int, msgspec.Meta(ge=1, le=1_000_000_000)]
_Elements = Annotated[int, msgspec.Meta(ge=1, le=1 << 60)]


class RuleView(Reply):
    """A rule; its fields are those of :class:`CreateRule`.

    Attributes:
        state: live, expired, used up, or idle: its author could not decide on such a request now
            (they were disabled, or lost what let them).
        times_left, elements_left: what its quota still holds.
    """

    id: str
    author_id: str
    author: str
    action: str
    state: str
    created_at: float
    expires_at: float | None
    kind: str
    scope: str
    object_id: str
    dataset_id: str
    tags: list[str]
    user_id: str
    group_id: str
    plan_id: str
    reason: str
    times_left: int | None
    elements_left: int | None
    expires_in: float | None
    uses: int | None
    max_output_bytes: int | None
    epsilon: float | None


class RuleList(Reply):
    """Oldest first."""

    rules: list[RuleView]


@operation("rules.create", rest="POST /rules", reply=RuleView, permission=USER, status=201)
class CreateRule(Message):
    """Answer requests of this sort at once, as if you did: for what you own, or may triage.

    A rule is its author's word, and counts as long as they could say it themselves. When the policy asks for
    several reviewers it is one of them; nobody's rule decides on their own request for what another owns.
    What one rule denies is denied.

    Attributes:
        kind, scope: permission, plan, budget or training; read, compute or statistics. "" is any; but only a rule
            of kind training accepts trainings.
        object_id, dataset_id, tags: of what is asked for: this object, an asset of this dataset, an object or
            dataset with all of these tags. A rule that accepts speaks of a request only when all its objects are
            meant, one that denies when any is. What was computed is meant by what it was computed from, whatever
            tags it was given; a rule on statistics alone accepts none of it.
        user_id, group_id: who asks. plan_id: the digest of the plan; of a training: of its definition, or of its
            content (``TrainingFacts.content``: all of it but name and version). A rule that denies may name one of
            its plans; for one that accepts a plan is not enough: configurations and model decide what it does.
        lifetime: seconds after which the rule is over.
        times: how many requests it answers. elements: how many elements it may give away in all (of the object
            asked for, bytes where it has no shape; of a plan's results).
        expires_in, uses, max_output_bytes, epsilon: the conditions of the approvals.
    """

    action: Literal["accept", "deny"]
    kind: Literal["", "permission", "plan", "budget", "training"] = ""
    scope: Literal["", Scope] = ""
    object_id: _MaybeId = ""
    dataset_id: _MaybeId = ""
    tags: Tags = []
    user_id: _MaybeId = ""
    group_id: _MaybeId = ""
    plan_id: _PlanId = ""
    reason: Note = ""
    lifetime: _Seconds | None = None
    times: _Times | None = None
    elements: _Elements | None = None
    expires_in: _Seconds | None = None
    uses: _Times | None = None
    max_output_bytes: Size | None = None
    epsilon: Epsilon | None = None


@operation("rules.list", rest="GET /rules", reply=RuleList, permission=USER)
class ListRules(Message):
    """Your rules; those of everybody, if you may triage requests."""

    limit: Limit = 100
    offset: Offset = 0


@operation("rules.delete", rest="DELETE /rules/{rule_id}", permission=USER, reply=Empty)
class DeleteRule(Message):
    """End a rule of yours; the Owner may end anybody's. What it approved stays."""

    rule_id: Id


@operation("rules.clear", rest="DELETE /rules", permission=USER, reply=Empty)
class ClearRules(Message):
    """End all of your rules."""
