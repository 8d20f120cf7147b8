"""Private set intersection of two Domains: asked for, joined under an approval, begun, carried on, ended.

As with plans on shares (:mod:`syft_ext.messages.shared_runs`) whoever asked carries frames between two hosts,
sealed to keys that only the hosts have.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id, Note
from syft_ext.messages.intersection_terms import IntersectionTerms
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.messages.requests import RequestView
from syft_ext.messages.shared_runs import CarriedFrames, MemberStatement, MemberView

__all__ = [
    "AdvanceIntersection",
    "BeginIntersection",
    "CreateIntersectionRequest",
    "EndIntersection",
    "FinishIntersection",
    "FinishedIntersection",
    "GetIntersectionBudget",
    "IntersectionBudgetView",
    "JoinIntersection",
    "TestedIds",
]


class FinishedIntersection(Reply):
    """A party's half of what is told: sealed to the reader, and nothing without the other party's half.

    ``object_id``: the rows of common ids that this Domain keeps; "" where the terms keep none.
    """

    frames: bytes
    object_id: str = ""


class TestedIds(msgspec.Struct, kw_only=True):
    """How many ids were tested against a table by a user, or by another Domain: ``who`` is "user" with an id, or
    "node" with a verify key."""

    who: str
    spent: int


class IntersectionBudgetView(Reply):
    """``most``: what each of them may test in all, by the site's policy."""

    most: int
    tested: list[TestedIds] = []


@operation(
    "intersections.request",
    rest="POST /requests/intersections",
    reply=RequestView,
    permission=USER,
    status=201,
)
class CreateIntersectionRequest(Message):
    """Ask how many ids a table that you may find, or see in a dataset, has in common with one at another Domain.

    The owner of the table, or reviewers, must approve; the same terms are asked of the other Domain. Standing
    rules never approve.
    """

    object_id: Id
    terms: IntersectionTerms
    reason: Note = ""


@operation(
    "intersections.join",
    rest="POST /requests/{request_id}/intersections",
    reply=MemberView,
    permission=USER,
    status=201,
)
class JoinIntersection(Message):
    """Begin to take part in an intersection that you asked for and that was approved, on exactly the content that
    was approved. Takes a use, and the other side's ids from your budget and from that Domain's, also where the run
    then fails.

    Raises Forbidden without a live approval or where a budget has too little left, Conflict where the table
    changed.
    """

    request_id: Id
    run: Id


@operation("intersections.begin", rest="POST /intersections/{session_id}/members", permission=USER)
class BeginIntersection(Message):
    """Hand a member what both nodes say of their hosts, in the order of the terms.

    Raises BadSignature, or ProtocolAborted for statements about another run or agreement.
    """

    session_id: Id
    statements: Annotated[list[MemberStatement], msgspec.Meta(max_length=2)]


@operation(
    "intersections.advance",
    rest="POST /intersections/{session_id}/frames",
    reply=CarriedFrames,
    permission=USER,
    uploads=True,
    audited=False,
)
class AdvanceIntersection(Message):
    """Bring a member the frames that the other one sent it (the payload), and take those that it sends.

    After any error the run is over. Raises TooFewInCommon where fewer ids are in both tables than the terms say.
    """

    session_id: Id


@operation(
    "intersections.finish",
    rest="POST /intersections/{session_id}/results",
    reply=FinishedIntersection,
    permission=USER,
)
class FinishIntersection(Message):
    """Take a party's half of the number, sealed to the reader that the terms name; the member ends.

    Where the terms keep rows they become an object here, which nobody can read, analyse or compute on: approved
    plans on shares with the same other Domain take it, and nothing else.

    Raises Forbidden where its approval, or your account, ended while it ran, Conflict where it has not finished.
    """

    session_id: Id


@operation("intersections.end", rest="DELETE /intersections/{session_id}", permission=USER)
class EndIntersection(Message):
    """End a member: what it knew is gone."""

    session_id: Id


@operation(
    "intersections.budget",
    rest="GET /objects/{object_id}/intersections",
    reply=IntersectionBudgetView,
    permission=USER,
)
class GetIntersectionBudget(Message):
    """How many ids were tested against a table, and its versions: for its owner and for reviewers."""

    object_id: Id
