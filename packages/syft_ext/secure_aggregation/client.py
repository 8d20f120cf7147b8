"""A participant's side of one round: it says each thing once, and the same again to whoever asks again.

What it has said is kept, durably, before it is given back: its root, before its keys are; the list of keys that it
answered, before shares; its masked words, before they leave; the survivors that it signed for; its answer.
Asked for anything that does not fit what it has kept, it refuses, says what that would have told, and says so
again after a restart.

A Domain learns one sum of a round from honest participants, or nothing: it never has a participant's shares of
both secrets of anybody, two masked vectors under one key, or signatures under two sets of survivors.
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import msgspec
import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, BadSignature, RoundRefused
from syft_ext.secure_aggregation.keys import (
    ROOT_SIZE,
    SumKeys,
    agree,
    commitment,
    derive,
    public_half,
    self_mask_key,
)
from syft_ext.secure_aggregation.masks import add_masks
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.seals import PairSeals
from syft_ext.secure_aggregation.shamir import share, write_share
from syft_ext.secure_aggregation.statements import (
    Advertisement,
    Member,
    OpenedShares,
    Roster,
    Round,
    Survivors,
    check_signed,
)
from syft_ext.secure_aggregation.vector import steps_of, to_words

__all__ = ["ClientRound", "Keeper", "Record", "Signer", "pair_mask_key"]


class Signer(Protocol):
    """Who a participant is: :class:`syft_ext.identity.Identity`."""

    verify_key: str

    def sign(self, data: bytes) -> bytes:
        """Its Ed25519 signature."""


class Record(msgspec.Struct):
    """What is kept of a round. ``root`` and ``answer`` are secrets until the round is over.

    Attributes:
        round: the digest of the round that this is of.
        roster: the digest of the list of keys that was answered with shares; empty before.
        sharers: with whom the masks of the vector are; empty before there is one.
        vector: the SHA-256 digest of the masked words.
        survivors: the digest of the survivors that were signed for.
        answer: what was opened for them.
    """

    round: bytes
    cycle: int
    attempt: str
    root: bytes
    roster: bytes = b""
    sharers: tuple[int, ...] = ()
    vector: bytes = b""
    survivors: bytes = b""
    answer: bytes = b""


class Keeper(Protocol):
    """Where a participant keeps what it has said."""

    def record(self) -> Record | None:
        """What was kept of this cycle of this training, whatever attempt it was of; None: nothing."""

    def note(self, record: Record) -> None:
        """Replace it, as far as this machine stays up: what is lost with a power cut is lost as a whole, root
        and all, so that nothing that was said hangs together with what will be."""

    def keep(self, record: Record) -> None:
        """Replace it, for good: on disk when it returns."""

    def keep_vector(self, content: memoryview) -> None:
        """Keep the masked words, as :meth:`note` does: the record says what they were, and no others are made."""

    def vector(self) -> bytes:
        """The masked words; empty where there are none."""


def pair_mask_key(secret: bytes, roster: bytes, first: int, second: int) -> bytes:
    """The key of the mask between two places: the lower one adds it, the higher one subtracts it.

    Args:
        secret: what their mask keys agree on (X25519).
        roster: the digest of the list of keys: with it of the round, its attempt and the model that it starts
            from.
    """
    low, high = sorted((first, second))
    return derive(secret, "pair mask", roster, bytes([low]), bytes([high]))


@dataclass
class ClientRound:
    """One participant in one round.

    Args:
        certificate: by which an authority says who signs; empty where the rules name none.
        who_is: the subject behind an advertisement's signing key: by its certificate, or the key itself where
            the Domain says who takes part. Raises :class:`~syft_ext.errors.GridError` for somebody it does not
            accept.

    Every method raises :class:`RoundRefused` for what the Domain must not have; nothing is said then.
    """

    round: Round
    rules: SumRules
    signer: Signer
    keeper: Keeper
    who_is: Callable[[Advertisement], str]
    certificate: bytes = b""
    fresh: Callable[[int], bytes] = secrets.token_bytes
    _record: Record | None = None
    _roster: Roster | None = None
    _seals: dict[int, PairSeals] = field(default_factory=dict)
    _shares: dict[int, tuple[int, int]] = field(default_factory=dict)
    _signed: Survivors | None = None

    # -- ADVERTISE

    def advertise(self) -> tuple[bytes, bytes]:
        """This participant's keys, as a statement, and its signature under it."""
        record = self._kept()
        keys = SumKeys(record.root)
        said = Advertisement(
            round=self.round.digest(),
            base=self.round.base,
            signer=bytes.fromhex(self.signer.verify_key),
            seal_key=public_half(keys.seal_key),
            mask_key=public_half(keys.mask_key),
            commitment=commitment(keys.self_seed),
            certificate=self.certificate,
        )
        return said.encode(), self.signer.sign(said.digest())

    def _kept(self) -> Record:
        """The record of this round; made where there is none of its cycle."""
        if self._record is None:
            found = self.keeper.record()
            if found is None or (found.round != self.round.digest() and not found.roster):
                # Keys that nobody was given shares under can be forgotten: nothing hangs on them.
                found = Record(
                    self.round.digest(), self.round.cycle, self.round.attempt, self.fresh(ROOT_SIZE)
                )
                self.keeper.note(found)
            self._record = found
        if self._record.round != self.round.digest():
            raise RoundRefused(
                f"the Domain begins cycle {self.round.cycle} again, as attempt {self.round.attempt}, after this "
                "participant "
                f"took part in attempt {self._record.attempt}: two sums of one cycle would tell of single "
                "participants",
                reason="round-reused",
            )
        if not self._record.root:
            raise RoundRefused(
                f"this participant's part in cycle {self.round.cycle} is over", reason="round-reused"
            )
        return self._record

    # -- SHARES

    def share(self, roster: bytes) -> list[bytes]:
        """Shares of this participant's secrets, sealed for each other member of the list of keys, by place."""
        record = self._kept()
        found = self._checked(roster)
        if record.roster and record.roster != found.digest:
            raise RoundRefused(
                "the Domain shows a second list of keys for the same round: shares for both could be put together",
                reason="roster-changed",
            )
        if not record.roster:
            record.roster = found.digest
            self.keeper.note(record)
        self._roster = found
        keys, here, count = SumKeys(record.root), self._here, len(found)
        degree = self.rules.threshold - 1
        mask_shares, self_shares = (
            share(int.from_bytes(secret, "big"), keys.coefficients(which, found.digest, degree), count)
            for secret, which in ((keys.mask_seed, "mask"), (keys.self_seed, "self"))
        )
        self._shares[here] = mask_shares[here - 1], self_shares[here - 1]
        seal_key = keys.seal_key
        for member in found.members:
            if member.place != here:
                self._seals[member.place] = PairSeals(
                    seal_key, member.advertisement.seal_key, found.digest, here, member.place
                )
        return [
            seals.seal(mask_shares[place - 1], self_shares[place - 1]) for place, seals in self._seals.items()
        ]

    @property
    def _here(self) -> int:
        assert self._roster is not None
        return self._roster.place_of(bytes.fromhex(self.signer.verify_key))

    def _checked(self, data: bytes) -> Roster:
        """The list of keys, if this participant can answer it."""
        try:
            found = Roster.decode(data)
        except BadRequest as error:
            raise RoundRefused(
                f"the Domain shows no list of keys: {error.detail}", reason="roster"
            ) from error
        if found.round != self.round.digest():
            raise RoundRefused("the Domain shows the list of keys of another round", reason="round-reused")
        if not self.rules.needed <= len(found) <= self.rules.participants:
            raise RoundRefused(
                f"the list of keys has {len(found)} members, and the rules ask for {self.rules.needed} to "
                f"{self.rules.participants}",
                reason="too-few",
            )
        mine = self.advertise()[0]
        place = found.place_of(bytes.fromhex(self.signer.verify_key))
        if not place or found.at(place).advertisement.encode() != mine:
            raise RoundRefused(
                "the list of keys has others in this participant's place than it gave", reason="forged-keys"
            )
        subjects: dict[str, Member] = {}
        seen: set[bytes] = set()
        for member in found.members:
            self._check_member(member, seen, subjects)
        return found

    def _check_member(self, member: Member, seen: set[bytes], subjects: dict[str, Member]) -> None:
        said = member.advertisement
        try:
            check_signed(said, said.signer, member.signature)
        except BadSignature as error:
            raise RoundRefused(
                f"the keys of {member.name} are not signed by them: the Domain could have made them",
                reason="forged-keys",
            ) from error
        if said.base != self.round.base:
            raise RoundRefused(
                f"{member.name} was given another model to start from: what this participant learned could be "
                "told from "
                "the sum",
                reason="base-model",
            )
        if said.round != self.round.digest():
            raise RoundRefused(f"{member.name} takes part in another round", reason="round-reused")
        for key in (said.signer, said.seal_key, said.mask_key):
            if key in seen:
                raise RoundRefused(
                    f"{member.name} is in the list of keys twice, or has keys of another", reason="roster"
                )
            seen.add(key)
        subject = self.who_is(said)
        if subject in subjects:
            raise RoundRefused(
                f"{member.name} and {subjects[subject].name} are one and the same, counted twice",
                reason="roster",
            )
        subjects[subject] = member

    # -- MASKED

    def mask(
        self,
        sealed: Mapping[int, bytes],
        parts: Callable[[], Sequence[NDArray[np.floating]]],
        weight: int = 1,
    ) -> bytes | memoryview:
        """This participant's masked words; the first ones, whatever is asked for again.

        Args:
            sealed: by place, what the others that shared have for this one.
            parts: the difference, as flat arrays of floats; called as often as they have to be gone through.
        """
        record, roster = self._kept(), self._answered()
        here = self._here
        sharers = _places([here, *sealed], len(roster))
        if len(sharers) < self.rules.needed:
            raise RoundRefused(
                f"{len(sharers)} participants are left, {self.rules.needed} are needed", reason="too-few"
            )
        self._open(sealed)
        if record.vector:
            return self._again(record, sharers)
        steps = steps_of(parts, self.rules, SumKeys(record.root).noise_key)
        words = to_words(steps, weight, self.rules)
        del steps
        self._add_masks(words, record.root, roster, sharers)
        content = words.view(np.uint8).data
        self.keeper.keep_vector(content)
        record.sharers, record.vector = sharers, hashlib.sha256(content).digest()
        self.keeper.keep(record)
        return content

    def _answered(self) -> Roster:
        if self._roster is None:
            raise RoundRefused("nothing is masked before the list of keys was answered", reason="order")
        return self._roster

    def _open(self, sealed: Mapping[int, bytes]) -> None:
        """Take the others' shares in. One that cannot be opened is its sender's fault, who may be anybody's:
        then this participant has none of theirs, and others have."""
        for place, data in sealed.items():
            try:
                self._shares[place] = self._seals[place].open(data)
            except BadRequest:
                self._shares.pop(place, None)

    def _again(self, record: Record, sharers: tuple[int, ...]) -> bytes:
        """The masked words that were made before: no others are, under the same keys."""
        if record.sharers != sharers:
            raise RoundRefused(
                "the Domain asks for other masks under the same keys: their difference would tell this "
                "participant's numbers",
                reason="round-reused",
            )
        content = self.keeper.vector()
        if hashlib.sha256(content).digest() != record.vector:
            raise RoundRefused(
                "the masked numbers that this participant kept are gone: it makes no others", reason="lost"
            )
        return content

    def _add_masks(
        self, words: NDArray[np.unsignedinteger], root: bytes, roster: Roster, sharers: tuple[int, ...]
    ) -> None:
        keys, here = SumKeys(root), self._here
        mask_key = keys.mask_key
        plus = [self_mask_key(keys.self_seed, roster.digest, here)]
        minus: list[bytes] = []
        for place in sharers:
            if place != here:
                secret = agree(mask_key, roster.at(place).advertisement.mask_key)
                (plus if here < place else minus).append(pair_mask_key(secret, roster.digest, here, place))
        add_masks(words, plus, minus)

    # -- CONSISTENCY

    def confirm(self, survivors: Sequence[int]) -> bytes:
        """This participant's signature: those are all whose numbers are in the sum."""
        record, roster = self._kept(), self._answered()
        if not record.vector:
            raise RoundRefused("nobody survives a phase before it was over", reason="order")
        found = Survivors(roster.digest, record.sharers, _places(survivors, len(roster)))
        if not set(found.survivors) <= set(record.sharers):
            raise RoundRefused(
                "survivors are said to be who never shared their secrets", reason="split-survivors"
            )
        if self._here not in found.survivors:
            raise RoundRefused(
                "the Domain says that this participant dropped out, who did not: its numbers would be opened "
                "alone",
                reason="split-survivors",
            )
        if len(found.survivors) < self.rules.needed:
            raise RoundRefused(
                f"a sum of {len(found.survivors)} participants is asked for, {self.rules.needed} are needed",
                reason="too-few",
            )
        if record.survivors and record.survivors != found.digest():
            raise RoundRefused(
                "the Domain asks for a signature under other survivors: with both, shares of both secrets of "
                "somebody could "
                "be had",
                reason="split-survivors",
            )
        if not record.survivors:
            record.survivors = found.digest()
            self.keeper.keep(record)
        self._signed = found
        return self.signer.sign(found.digest())

    # -- UNMASK

    def unmask(self, signatures: Mapping[int, bytes]) -> bytes:
        """This participant's answer: one share of everybody who shared.

        Args:
            signatures: by place, of survivors under the set that this participant signed; those of the
                threshold's number must be there and good.
        """
        record, roster, signed = self._kept(), self._answered(), self._signed
        if signed is None:
            raise RoundRefused("nothing is opened before the survivors were agreed on", reason="order")
        if record.answer:
            return record.answer
        for place, signature in signatures.items():
            if place not in signed.survivors:
                raise RoundRefused("somebody who did not survive has signed", reason="split-survivors")
            try:
                check_signed(signed, roster.at(place).advertisement.signer, signature)
            except BadSignature as error:
                raise RoundRefused(
                    f"{roster.at(place).name} has not signed for the survivors that this participant was shown: "
                    "the Domain "
                    "shows them others, or forged it",
                    reason="split-survivors",
                ) from error
        if len(signatures) < self.rules.threshold:
            raise RoundRefused(
                f"{len(signatures)} survivors have signed, {self.rules.threshold} are needed",
                reason="too-few",
            )
        alive = set(signed.survivors)
        opened = tuple(
            b""
            if (shares := self._shares.get(place)) is None
            else write_share(shares[1 if place in alive else 0])
            for place in signed.sharers
        )
        record.answer = OpenedShares(signed.digest(), opened).encode()
        self.keeper.note(record)  # it follows from the survivors that were signed for
        return record.answer

    def close(self) -> None:
        """The round is over for this participant: its secrets are forgotten, that it took part is not."""
        record = self._record
        if record is not None and record.roster:
            record.root, record.answer = b"", b""
            self.keeper.note(record)


def _places(found: Sequence[int], count: int) -> tuple[int, ...]:
    """Places as a Domain says them, in order: different ones, of a list of keys of this length."""
    ordered = tuple(sorted(found))
    if len(set(ordered)) != len(ordered) or not all(1 <= each <= count for each in ordered):
        raise RoundRefused("the Domain speaks of places that are not in the list of keys", reason="roster")
    return ordered
