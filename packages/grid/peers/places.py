"""Who has the places at the gateways, and who gives theirs up for another where there is none left.

Whoever offers a session does so with a key of its own, so that a session says nothing about them: keys bound
nobody. What does is the network that somebody comes from, and who speaks on a session once it is open. One network
may have many places while nobody else wants them, and keeps no one out: a newcomer takes one of whoever has most.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Generic, TypeVar

from syft_ext.transport.webrtc.terms import OPENING, Channel

__all__ = ["SPEAKING", "Place", "Standing", "standing_of", "who_gives_way"]

G = TypeVar("G")

SPEAKING = 2 * OPENING
"""Seconds from its offer in which somebody who is known here calls over a session; else it may be the first that
ends."""


class Standing(IntEnum):
    """What is known of those who call over a session. A training may let in everybody: workers' keys are free."""

    STRANGER = 0
    WORKER = 1
    ACCOUNT = 2


def standing_of(caller: str) -> Standing:
    """Of a caller by their name: their kind, and their id behind a blank; "" is nobody who is known."""
    kind = caller.partition(" ")[0]
    return {"user": Standing.ACCOUNT, "node": Standing.ACCOUNT, "worker": Standing.WORKER}.get(
        kind, Standing.STRANGER
    )


@dataclass(slots=True, eq=False)
class Place(Generic[G]):
    """A session's.

    Attributes:
        network: where its caller is: as whoever carried the offer knows until it is open, then as ICE found out.
        caller: who called over it, the first that is known here; "" until then.
    """

    key: str
    session: str
    gateway: G
    network: str
    made_at: float
    sdp: str = ""
    caller: str = ""
    standing: Standing = Standing.STRANGER
    channels: set[Channel] = field(default_factory=set)


def who_gives_way(places: Iterable[Place[G]], network: str, now: float) -> Place[G] | None:
    """Which of ``places``, all that there are, ends for one more of ``network``; None: that one has to wait.

    First those on which nobody who is known has spoken in time; then, of networks that have at least two more than
    this one, the largest's: whoever is least known, and came last. Accounts and nodes keep theirs.
    """
    places = list(places)
    held = Counter(place.network for place in places)
    late = [
        place for place in places if place.standing == Standing.STRANGER and now - place.made_at > SPEAKING
    ]
    if late:
        return min(late, key=lambda place: (-held[place.network], place.made_at))
    larger = [
        place
        for place in places
        if place.standing < Standing.ACCOUNT and held[place.network] > held[network] + 1
    ]
    return min(larger, key=lambda place: (-held[place.network], place.standing, -place.made_at), default=None)
