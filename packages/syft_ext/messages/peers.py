"""Bringing two together that nothing connects yet: session descriptions of WebRTC, and the servers that help.

An offer is an operation of the node that is to be reached, asked over whichever way leads there already; mostly
that is a pipe which a Network carries, sealed to the node's key. So the description of the caller, with the
fingerprint of its DTLS key, stands in an envelope that the caller signed, and the answer in a reply that the node
signed: whoever carries them can read neither, and swap nothing in them (RFC 8827, section 5.6.2, with the
envelope's keys in the place of the identity provider).
"""

from __future__ import annotations

from typing import Annotated

import msgspec

from syft_ext.messages.operation import Message, Reply, operation
from syft_ext.messages.permissions import SIGNED

__all__ = [
    "MAX_DESCRIPTION",
    "MAX_WAIT",
    "GetIceServers",
    "IceCandidates",
    "IceServer",
    "IceServers",
    "OfferPeer",
    "PeerAnswer",
    "SendCandidates",
]

#: Bytes of an offer with everything around it.
MAX_DESCRIPTION = 64 << 10
#: Seconds that an offer waits for its answer at most.
MAX_WAIT = 30.0

PeerSession = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{32}$(?!\n)")]
_Description = Annotated[str, msgspec.Meta(min_length=1, max_length=MAX_DESCRIPTION)]
_Candidate = Annotated[str, msgspec.Meta(min_length=1, max_length=512)]


class PeerAnswer(Reply):
    """The node's description for this session (RFC 8866), candidates included that it has gathered by now."""

    session: str
    sdp: str


class IceCandidates(Reply):
    """Candidates of the node that were not told yet; ``done``: there will be no more."""

    candidates: list[str]
    done: bool


class IceServer(msgspec.Struct, kw_only=True):
    """One entry of ``RTCConfiguration.iceServers`` (W3C WebRTC, section 4.2.4)."""

    urls: list[str]
    username: str = ""
    credential: str = ""


class IceServers(Reply):
    """STUN and TURN servers; ``expires_at``: when the credentials end, seconds since the epoch (0: none do)."""

    servers: list[IceServer]
    expires_at: float = 0.0


@operation(
    "peers.offer",
    rest="POST /peers/offers",
    reply=PeerAnswer,
    permission=SIGNED,
    audited=False,
    max_fields=MAX_DESCRIPTION,
)
class OfferPeer(Message):
    """Open a WebRTC session with this node.

    The same offer, sent again while its session is open, gets the same answer. Another one for that session is
    refused, and so is one for a session that is over.

    Attributes:
        session: 16 random bytes of the caller in hex; one session has one offer.
        sdp: the caller's description (RFC 8866), with its DTLS fingerprint.
        wait: seconds until an answer is of no use any more.
    """

    session: PeerSession
    sdp: _Description
    wait: Annotated[float, msgspec.Meta(gt=0, le=MAX_WAIT)] = MAX_WAIT


@operation(
    "peers.candidate",
    rest="POST /peers/offers/{session}/candidates",
    reply=IceCandidates,
    permission=SIGNED,
    audited=False,
)
class SendCandidates(Message):
    """Candidates (RFC 8839, section 5.1: ``candidate:…``) that the caller found after its offer; none asks only.

    Only the key that offered the session may send them, while it is open.
    """

    session: PeerSession
    candidates: Annotated[list[_Candidate], msgspec.Meta(max_length=24)] = []
    done: bool = False


@operation(
    "peers.turn",
    rest="POST /peers/turn",
    reply=IceServers,
    permission=SIGNED,
    audited=False,
)
class GetIceServers(Message):
    """The servers that this node's peers find each other by, with credentials for TURN that end soon.

    The list is empty where the node's owner set none: then only peers find each other between whom nothing
    translates addresses.
    """
