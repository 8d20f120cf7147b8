"""Plans computed by several Domains together, on shares or as a split network: joined under an approved request,
begun, carried on, ended.

Whoever asked for the run carries frames between the Domains' hosts, sealed to keys that only the hosts have. A
Domain signs which key its host made, for which run of which agreement; nobody puts themselves in between.
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.fields import Id, Size
from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import USER
from syft_ext.messages.shared_terms import SharedTerms

__all__ = [
    "AdvanceSharedRun",
    "BeginSharedRun",
    "CarriedFrames",
    "DealSharedRun",
    "EndSharedRun",
    "FinishSharedRun",
    "FinishedMember",
    "JoinSharedRun",
    "MemberStatement",
    "MemberView",
]

MAX_STATEMENTS = 16


class MemberStatement(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """That a node's host made ``key`` for one run: signed by the node.

    Attributes:
        run: chosen by who asked. agreement: digest of terms, plan and public values.
        index: its place among parties, the dealer behind them.
        key: X25519, public, 64 hex digits. signature: of the node's key over all of these.
    """

    run: Id
    agreement: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    index: Annotated[int, msgspec.Meta(ge=0, le=MAX_STATEMENTS)]
    key: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    signature: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{128}$(?!\n)")]


class MemberView(Reply):
    """A host that takes part, and what its node says of it."""

    session_id: str
    statement: MemberStatement


class CarriedFrames(Reply):
    """Frames for other members (msgpack of a list of [sender, receiver, number, sealed bytes]); ``finished``: this
    member has nothing more to say."""

    frames: bytes
    finished: bool


class FinishedMember(CarriedFrames):
    """A member's part of what is opened, sealed to the reader. ``object_id``: what of a split network is kept at
    this Domain (parameters, or predictions); "" where nothing is."""

    object_id: str = ""


@operation(
    "shares.join", rest="POST /requests/{request_id}/shares", reply=MemberView, permission=USER, status=201
)
class JoinSharedRun(Message):
    """Begin to take part in a run on shares, or of a split network, that you asked for and that was approved, on
    exactly the contents that were approved. Takes one use, also where the run then fails; of a split network also
    what the noise of what crosses costs the ledgers of this node's data.

    Raises Forbidden without a live approval, Conflict where the data changed, Unsupported where the site's policy
    demands that what leaves it is clipped or gets noise: no party sees a result that it could do that to.
    """

    request_id: Id
    run: Id


@operation("shares.deal", rest="POST /shares", reply=MemberView, permission=USER, uploads=True, status=201)
class DealSharedRun(Message):
    """Have this node deal for a run on shares: it makes random numbers, and sees no share of anything.

    The payload is the plan's bytes (``plan_size`` of them), then a tensor file with the public values.
    """

    terms: SharedTerms
    run: Id
    plan_size: Size


@operation("shares.begin", rest="POST /shares/{session_id}/members", permission=USER)
class BeginSharedRun(Message):
    """Hand a member what all nodes of the run say of their hosts, the parties in order and the dealer last.

    Raises BadSignature, or ProtocolAborted for statements about another run or agreement.
    """

    session_id: Id
    statements: Annotated[list[MemberStatement], msgspec.Meta(max_length=MAX_STATEMENTS)]


@operation(
    "shares.advance",
    rest="POST /shares/{session_id}/frames",
    reply=CarriedFrames,
    permission=USER,
    uploads=True,
    audited=False,
)
class AdvanceSharedRun(Message):
    """Bring a member the frames that others sent it (the payload), and take those that it sends to them.

    After any error the run is over. What is for the reader is kept back: :class:`FinishSharedRun` hands it out.
    Raises Forbidden where the approval of a split network ended meanwhile: each turn of it tells something.
    """

    session_id: Id


@operation("shares.finish", rest="POST /shares/{session_id}/results", reply=FinishedMember, permission=USER)
class FinishSharedRun(Message):
    """Take a party's share of the results, sealed to the reader that the terms name; the member ends. Of a split
    network what stays here becomes an object, which nobody can read, analyse or compute on alone.

    Raises Forbidden where its approval, or your account, ended while it ran, Conflict where it has not finished.
    """

    session_id: Id


@operation("shares.end", rest="DELETE /shares/{session_id}", permission=USER)
class EndSharedRun(Message):
    """End a member: its shares are gone."""

    session_id: Id
