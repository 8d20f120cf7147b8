"""The handshake of an association, without any socket: what is signed, and the memory of open handshakes.

Both sides sign the whole transcript — both keys, both fresh challenges, the claimed name and address — with a
role in front, so that a proof is worth nothing in another handshake, the other way round, or for another
address. Challenges are 256 random bits; nothing in them can be guessed.
"""

from __future__ import annotations

import secrets
import threading
from collections import Counter
from dataclasses import dataclass
from typing import Literal

import msgspec

from syft_ext.clock import Clock
from syft_ext.errors import Forbidden, NotFound, TooManyRequests
from syft_ext.identity import Identity, verify
from syft_ext.ids import new_id

__all__ = [
    "Handshake",
    "HandshakeBook",
    "Transcript",
    "address_proof",
    "check_address_proof",
    "new_challenge",
]

_CONTEXT = b"grid association v1\0"
LIFETIME = 60.0
CAPACITY = 256
#: The part of the book that one network may fill.
SHARE = 8


def new_challenge() -> bytes:
    """32 random bytes, for the other side to sign: what it signed before is of no use."""
    return secrets.token_bytes(32)


@dataclass(frozen=True, slots=True)
class Transcript:
    """What both sides sign. ``requester_key`` and ``hub_key`` are verify keys, hex."""

    requester_key: str
    hub_key: str
    kind: str
    name: str
    address: str
    requester_challenge: bytes
    hub_challenge: bytes

    def _bytes(self, role: Literal["requester", "hub"]) -> bytes:
        fields = [getattr(self, name) for name in self.__slots__]
        return _CONTEXT + msgspec.msgpack.encode([role, *fields])

    def prove(self, identity: Identity, role: Literal["requester", "hub"]) -> bytes:
        """The signature of one side over this transcript."""
        return identity.sign(self._bytes(role))

    def check(self, role: Literal["requester", "hub"], proof: bytes) -> None:
        """Raise :class:`BadSignature` unless ``proof`` is that side's signature over this transcript."""
        verify(self.requester_key if role == "requester" else self.hub_key, self._bytes(role), proof)


def _address_bytes(requester_key: str, hub_key: str, address: str, first: bytes, challenge: bytes) -> bytes:
    return _CONTEXT + msgspec.msgpack.encode(["address", requester_key, hub_key, address, first, challenge])


def address_proof(identity: Identity, transcript: Transcript, challenge: bytes) -> bytes:
    """The requester's answer to the call back at its address."""
    fields = (transcript.requester_key, transcript.hub_key, transcript.address)
    return identity.sign(_address_bytes(*fields, transcript.requester_challenge, challenge))


def check_address_proof(transcript: Transcript, challenge: bytes, proof: bytes) -> None:
    """Raise :class:`BadSignature` unless the requester itself answered at its address."""
    fields = (transcript.requester_key, transcript.hub_key, transcript.address)
    data = _address_bytes(*fields, transcript.requester_challenge, challenge)
    verify(transcript.requester_key, data, proof)


@dataclass(frozen=True, slots=True)
class Handshake:
    """One that has begun and is not finished.

    Attributes:
        note: what the requester's admin wrote.
        origin: the network that it came from; "" for one of our own.
    """

    id: str
    transcript: Transcript
    note: str
    expires_at: float
    origin: str = ""


class HandshakeBook:
    """Open handshakes, by id. They live a minute, in memory: after a restart the requester begins again.

    Keys cost nothing, so it is networks that are counted: one has a few handshakes at a time, and when the book is
    full, the oldest of whichever has most makes room for who comes.
    """

    def __init__(self, clock: Clock, *, lifetime: float = LIFETIME, capacity: int = CAPACITY) -> None:
        self._clock = clock
        self._lifetime = lifetime
        self._capacity, self._share = capacity, max(1, capacity // SHARE)
        self._open: dict[str, Handshake] = {}
        self._lock = threading.Lock()

    def begin(self, transcript: Transcript, note: str = "", *, origin: str = "") -> Handshake:
        """Remember a new handshake; one key has one at a time.

        Raises :class:`TooManyRequests` when ``origin`` (the network that asks) has as many as it may.
        """
        now = self._clock.now()
        with self._lock:
            self._open = {
                key: entry
                for key, entry in self._open.items()
                if entry.expires_at > now
                and (entry.transcript.requester_key, entry.transcript.hub_key)
                != (transcript.requester_key, transcript.hub_key)
            }
            by_origin = Counter(entry.origin for entry in self._open.values())
            if by_origin[origin] >= self._share:
                raise TooManyRequests(
                    "too many handshakes at once from this address; try again in a minute",
                    retry_after=round(self._lifetime),
                )
            if len(self._open) >= self._capacity:
                largest = max(by_origin, key=by_origin.__getitem__)
                oldest = next(key for key, entry in self._open.items() if entry.origin == largest)
                del self._open[oldest]
            handshake = Handshake(new_id(), transcript, note, now + self._lifetime, origin)
            self._open[handshake.id] = handshake
        return handshake

    def take(self, handshake_id: str, requester_key: str) -> Handshake:
        """Remove and return a handshake: whatever comes of it, it is used up.

        Raises :class:`NotFound` (unknown, expired, used) or :class:`Forbidden` (begun by another key).
        """
        with self._lock:
            handshake = self._open.get(handshake_id)
            if handshake is None or handshake.expires_at <= self._clock.now():
                raise NotFound("no such handshake is open; begin again")
            if handshake.transcript.requester_key != requester_key:
                raise Forbidden("this handshake was begun by another node")
            del self._open[handshake_id]
        return handshake

    def is_open(self, requester_key: str) -> bool:
        """Whether the holder of this key has begun a handshake."""
        now = self._clock.now()
        with self._lock:
            return any(
                each.transcript.requester_key == requester_key and each.expires_at > now
                for each in self._open.values()
            )

    def find(self, requester_challenge: bytes) -> Handshake:
        """The open handshake in which we sent this challenge. Raises :class:`NotFound`."""
        with self._lock:
            for handshake in self._open.values():
                sent = handshake.transcript.requester_challenge
                if secrets.compare_digest(sent, requester_challenge) and (
                    handshake.expires_at > self._clock.now()
                ):
                    return handshake
        raise NotFound("this node began no such handshake")

    def end(self, handshake: Handshake) -> None:
        """Forget a handshake, whatever came of it; one that is not open any more is passed over."""
        with self._lock:
            self._open.pop(handshake.id, None)
