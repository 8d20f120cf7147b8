"""What participants sign, and what the lists that all must agree on are: statements, written in one way only
(:mod:`syft_ext.confidential.canonical`), of which the digest is signed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Annotated, ClassVar

import msgspec

from syft_ext.confidential.canonical import Digest, Key, Statement
from syft_ext.errors import BadRequest
from syft_ext.identity import verify
from syft_ext.secure_aggregation.rules import MOST

__all__ = ["Advertisement", "Member", "OpenedShares", "Roster", "Round", "Survivors", "check_signed"]

Place = Annotated[int, msgspec.Meta(ge=1, le=MOST)]
Places = Annotated[tuple[Place, ...], msgspec.Meta(max_length=MOST)]


def check_signed(statement: Statement, verify_key: bytes, signature: bytes) -> None:
    """Raise :class:`~syft_ext.errors.BadSignature` unless the owner of the key signed the statement's digest."""
    verify(verify_key.hex(), statement.digest(), signature)


class Round(Statement, frozen=True):
    """Which round it is, as a participant knows by itself.

    Attributes:
        domain: the verify key of the Domain.
        training: the digest of the definition that it agreed to, with the rules.
        cycle: its number in the training.
        attempt: what the Domain calls this round; another one for the same cycle is another attempt.
        base: the digest of the model that it started from, as it has it.
    """

    statement: ClassVar[str] = "secagg round"

    domain: Key
    training: Digest
    cycle: Annotated[int, msgspec.Meta(ge=1, lt=1 << 31)]
    attempt: Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
    base: Digest


class Advertisement(Statement, frozen=True):
    """A participant's keys of a round, which it signs.

    Attributes:
        round, base: the digest of the :class:`Round`, and again that of the model in it, so that whoever has
            another one can be named.
        signer: its Ed25519 key.
        seal_key, mask_key: its X25519 keys.
        commitment: to the seed of its own mask.
        certificate: by which an authority says who it is; empty without one.
    """

    statement: ClassVar[str] = "secagg keys"

    round: Digest
    base: Digest
    signer: Key
    seal_key: Key
    mask_key: Key
    commitment: Digest
    certificate: Annotated[bytes, msgspec.Meta(max_length=2048)] = b""


class Survivors(Statement, frozen=True):
    """Whose masked numbers are in a sum: what each of them signs before anything is opened.

    Attributes:
        roster: the digest of the list of keys.
        sharers: places of those who shared their secrets out: masks are between these.
        survivors: places of those of them whose masked numbers came.
    """

    statement: ClassVar[str] = "secagg survivors"

    roster: Digest
    sharers: Places
    survivors: Places


class OpenedShares(Statement, frozen=True):
    """What a survivor opens: for each sharer one share, of the seed of its own mask if it survived, else of the
    seed of its mask key; empty where it has none. Never both: a second answer is refused by whoever gave the
    first."""

    statement: ClassVar[str] = "secagg answer"

    survivors: Digest
    shares: Annotated[
        tuple[Annotated[bytes, msgspec.Meta(max_length=32)], ...], msgspec.Meta(max_length=MOST)
    ]


class _Members(Statement, frozen=True):
    statement: ClassVar[str] = "secagg roster"

    round: Digest
    members: Annotated[tuple[tuple[bytes, bytes], ...], msgspec.Meta(max_length=MOST)]


@dataclass(frozen=True)
class Member:
    """One entry of a list of keys."""

    place: int
    advertisement: Advertisement
    signature: bytes

    @property
    def name(self) -> str:
        """How it is called where somebody is named: its place and the beginning of its signing key."""
        return f"participant {self.place} ({self.advertisement.signer.hex()[:8]})"


@dataclass(frozen=True)
class Roster:
    """The signed list of keys of a round: who may be in its sum. Everybody's place in it is their number from
    1."""

    round: bytes
    members: tuple[Member, ...]

    @classmethod
    def of(cls, round_: bytes, signed: Sequence[tuple[bytes, bytes]]) -> Roster:
        """The list of these advertisements with their signatures, ordered by signing key.

        Raises :class:`BadRequest` for what cannot be read. Signatures, and what they say, are for
        :meth:`check` of whoever relies on them.
        """
        if len(signed) > MOST:
            raise BadRequest(f"a list of keys has at most {MOST} members")
        read = [(Advertisement.decode(data), signature) for data, signature in signed]
        read.sort(key=lambda each: each[0].signer)
        return cls(
            round_, tuple(Member(place, said, signature) for place, (said, signature) in enumerate(read, 1))
        )

    def encode(self) -> bytes:
        """The bytes that it is sent in."""
        return self._members().encode()

    def _members(self) -> _Members:
        pairs = tuple((each.advertisement.encode(), each.signature) for each in self.members)
        return _Members(self.round, pairs)

    @classmethod
    def decode(cls, data: bytes) -> Roster:
        """Raises :class:`BadRequest` for what is not written as :meth:`encode` does."""
        found = _Members.decode(data)
        roster = cls.of(found.round, found.members)
        if roster.encode() != data:
            raise BadRequest("the list of keys is not in order")
        return roster

    @cached_property
    def digest(self) -> bytes:
        """32 bytes, of everything in it."""
        return self._members().digest()

    def __len__(self) -> int:
        return len(self.members)

    def at(self, place: int) -> Member:
        """The member at a place, from 1."""
        return self.members[place - 1]

    def place_of(self, signer: bytes) -> int:
        """The place of whoever has this signing key; 0: not in it."""
        return next((each.place for each in self.members if each.advertisement.signer == signer), 0)
