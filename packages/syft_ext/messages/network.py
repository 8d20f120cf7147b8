"""How nodes come together: associations, heartbeats, and what a Network does for its users.

An association joins a *requester* (a Domain, a Worker) to a *hub* (a Network, a Domain). The handshake has
two signed steps over fresh nonces, and the hub calls the claimed address back, so that nobody registers
somebody else's address:

    requester                                   hub
      receive(name, address, challenge a)  ──▶
      ◀── challenge b, proof(b's key over a, b)
      confirm(proof(a's key over a, b))    ──▶
                                           ◀──  prove(challenge c)      at the claimed address
      proof(a's key over c)                ──▶
      ◀── pending | accepted
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import ANYONE, NODE, SIGNED, USER, flag
from syft_ext.messages.vocabulary import SearchOptions
from syft_ext.messages.wire_order import wire_order

LINE = "line:"
"""Stands for the address of a node that nobody can connect to: it keeps a line open to the one that it asked."""

AssociationStatus = Literal["pending", "accepted", "denied", "revoked"]
NodeStatus = Literal["online", "busy", "offline"]
Challenge = Annotated[bytes, msgspec.Meta(min_length=32, max_length=32)]
Address = Annotated[str, msgspec.Meta(max_length=512)]
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
Kind = Annotated[str, msgspec.Meta(pattern=r"^[a-z][a-z_]{0,15}$(?!\n)")]
Note = Annotated[str, msgspec.Meta(max_length=1000)]
Count = Annotated[int, msgspec.Meta(ge=0, le=1 << 62)]
_Deadline = Annotated[float, msgspec.Meta(gt=0, le=60)]

_INFRASTRUCTURE = flag("can_manage_infrastructure")


class AssociationView(Reply):
    """An association as an admin of either side sees it. Times are seconds since the epoch.

    Attributes:
        direction: "outgoing" when this node asked, "incoming" when it was asked.
        kind: what the peer is: network, domain or worker.
        online: the peer's status by its heartbeats (incoming) or by ours (outgoing).
        note: what the requester wrote; ``reason`` is why it was denied or ended.
    """

    association_id: str
    direction: Literal["incoming", "outgoing"]
    status: AssociationStatus
    node_id: str
    verify_key: str
    kind: str
    name: str
    address: str
    created_at: float
    decided_at: float | None
    decided_by: str
    last_seen: float | None
    online: NodeStatus
    note: str = ""
    reason: str = ""


class AssociationList(Reply):
    """Associations in both directions, newest first."""

    associations: list[AssociationView]


class ChallengeReply(Reply):
    """The hub's half of the handshake: its own challenge, and its signature over both."""

    handshake_id: str
    challenge: bytes
    proof: bytes


class ProofReply(Reply):
    """A signature over a challenge; what exactly is signed: ``grid.network.handshake``."""

    proof: bytes


class StandingReply(Reply):
    """What the asking key is to this node; ``status`` "none" when it is unknown here."""

    status: Literal["none", "pending", "accepted", "denied", "revoked"]
    reason: str = ""


class HeartbeatReply(Reply):
    """``interval``: seconds until the hub wants to hear again."""

    interval: float


class DomainView(Reply):
    """A Domain as the Network's users see it.

    Attributes:
        status: by its heartbeats; ``busy`` is what the Domain says of itself.
        counts: how many of what it has (datasets, models, trainings …).
        last_seen: seconds since the epoch.
    """

    domain_id: str
    name: str
    address: str
    verify_key: str
    status: NodeStatus
    version: str
    counts: dict[str, int]
    last_seen: float | None


class DomainList(Reply):
    """The Domains that the Network accepted, online or not."""

    domains: list[DomainView]


class NetworkHit(Reply):
    """One dataset or model that a Domain publishes, and where it is. ``item`` is the Domain's description."""

    domain_id: str
    domain_name: str
    domain_address: str
    kind: str
    name: str
    item: dict[str, Any]


class SearchNote(Reply):
    """Why a Domain's results are missing."""

    domain_id: str
    domain: str
    error: str


class SearchReply(Reply):
    """Results by Domain name; ``asked`` Domains answered in time except for those in ``notes``."""

    results: list[NetworkHit]
    notes: list[SearchNote]
    asked: int
    seconds: float


def shown_address(address: str) -> str:
    """The address of a node as users are told it: "" where nobody can connect to it."""
    return "" if address == LINE else address


# -- the requester's admin -----------------------------------------------------------------------------


@operation(
    "associations.request",
    rest="POST /associations/request",
    reply=AssociationView,
    permission=_INFRASTRUCTURE,
    status=201,
)
class RequestAssociation(Message):
    """Ask the hub at ``address`` to associate with this node.

    ``verify_key`` pins the hub's key; when empty, the key that the address shows is taken.
    """

    address: Address
    verify_key: str = ""
    note: Note = ""


# -- both sides' admins --------------------------------------------------------------------------------


@operation("associations.list", rest="GET /associations", reply=AssociationList, permission=_INFRASTRUCTURE)
class ListAssociations(Message):
    """All associations of this node, newest first; ``status`` narrows them down."""

    status: AssociationStatus | None = None


@operation(
    "associations.get",
    rest="GET /associations/{association_id}",
    reply=AssociationView,
    permission=_INFRASTRUCTURE,
)
class GetAssociation(Message):
    """One association."""

    association_id: str


@operation("associations.delete", rest="DELETE /associations/{association_id}", permission=_INFRASTRUCTURE)
class DeleteAssociation(Message):
    """End an association (or forget a request): the peer is no node of ours from now on."""

    association_id: str
    reason: Note = ""


# -- the hub's admin -----------------------------------------------------------------------------------


@operation(
    "associations.accept",
    rest="POST /associations/{association_id}/accept",
    reply=AssociationView,
    permission=_INFRASTRUCTURE,
)
class AcceptAssociation(Message):
    """Accept a node that asked; one that was denied can still be accepted."""

    association_id: str


@operation(
    "associations.deny",
    rest="POST /associations/{association_id}/deny",
    reply=AssociationView,
    permission=_INFRASTRUCTURE,
)
class DenyAssociation(Message):
    """Deny a node that asked. It stays denied until somebody accepts it or deletes the request."""

    association_id: str
    reason: Note = ""


# -- node to node --------------------------------------------------------------------------------------


@operation(
    "associations.receive",
    rest="POST /associations/receive",
    reply=ChallengeReply,
    permission=SIGNED,
)
class ReceiveAssociation(Message):
    """First step of the handshake: who I am, where I can be reached, my challenge. The address is "" when nobody
    can reach me, and :data:`LINE` when you can, over the line that I keep: it is there before the second step."""

    kind: Kind
    name: Name
    address: Address
    challenge: Challenge
    note: Note = ""


@operation(
    "associations.confirm",
    rest="POST /associations/confirm",
    reply=StandingReply,
    permission=SIGNED,
)
class ConfirmAssociation(Message):
    """Second step: my signature over both challenges. The hub calls my address back before it answers, or finds
    the line that I keep."""

    handshake_id: str
    proof: bytes


@operation(
    "associations.prove", rest="POST /associations/prove", reply=ProofReply, permission=SIGNED, audited=False
)
class ProveAddress(Message):
    """The call back: prove that this address is yours. Answered only during a handshake that we began.

    ``handshake_challenge`` is the challenge that this node sent; ``challenge`` is fresh.
    """

    handshake_challenge: Challenge
    challenge: Challenge


@operation("associations.notify", rest="POST /associations/notify", permission=SIGNED)
class NotifyAssociation(Message):
    """Tell the peer what became of the association; counts only from the key it is with."""

    status: Literal["accepted", "denied", "revoked"]
    reason: Note = ""


@operation("associations.standing", rest="GET /associations/standing", reply=StandingReply, permission=SIGNED)
class GetStanding(Message):
    """What am I (the key that signs) to you?"""


@operation(
    "associations.heartbeat",
    rest="POST /associations/heartbeat",
    reply=HeartbeatReply,
    permission=NODE,
    audited=False,
)
class Heartbeat(Message):
    """I am alive, and this is how I am.

    Attributes:
        load: figures by name, e.g. ``cpu`` (0 to 1 per core), ``memory`` (0 to 1).
        counts: how many of what the node has.
    """

    name: Name
    version: Annotated[str, msgspec.Meta(max_length=64)]
    status: Literal["online", "busy"] = "online"
    load: Annotated[dict[str, float], msgspec.Meta(max_length=32)] = {}
    counts: Annotated[dict[str, Count], msgspec.Meta(max_length=32)] = {}


@operation("associations.open_tunnel", rest="POST /associations/tunnels", permission=NODE, audited=False)
class OpenTunnel(Message):
    """A caller is there: connect to me at ``/tunnel/<name>``, for what it seals to you.

    Attributes:
        name: 64 hex digits, good for one connection.
        remote: the network that the caller comes from, as the hub says: a caller counts for that, and for the hub.
    """

    name: Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$(?!\n)")]
    remote: Annotated[str, msgspec.Meta(max_length=64)]


# -- the Network's users -------------------------------------------------------------------------------


@operation("network.domains", rest="GET /network/domains", reply=DomainList, permission=USER)
class ListDomains(Message):
    """The Domains of this Network and how they are."""


class DomainLocation(Reply):
    """Where a Domain is. ``address`` is "" for one that nobody can connect to but through this Network."""

    name: str
    verify_key: str
    address: str


@operation(
    "network.locate",
    rest="GET /network/locations/{domain}",
    reply=DomainLocation,
    permission=ANYONE,
    audited=False,
)
class LocateDomain(Message):
    """Where the Domain is that has this verify key, or this name. Whoever knows either may ask, as they may be
    carried there.

    Refused as ambiguous for a name that several have.
    """

    domain: Annotated[str, msgspec.Meta(min_length=1, max_length=128)]


@operation("network.search", rest="GET /network/search", reply=SearchReply, permission=USER)
@wire_order("text", "tags", "name", "columns", "kind")
class SearchNetwork(SearchOptions, Message, kw_only=True):
    """Search the datasets and models that all Domains publish; objects, if that kind is asked for."""

    deadline: Annotated[
        _Deadline | None,
        msgspec.Meta(description="Seconds to wait at most, within the Network's own limit."),
    ] = None
