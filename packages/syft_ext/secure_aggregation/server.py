"""The Domain's side of one round: it checks what comes, says what is next, and opens the sum of those who stayed.

Without input or output: a :class:`ServerRound` is made of what was stored of it, as often as something comes,
    and tells what
has changed. Nothing in it is secret but the answers, and those open the one sum.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, BadSignature, Conflict
from syft_ext.secure_aggregation.client import pair_mask_key
from syft_ext.secure_aggregation.keys import agree, commitment, key_of_seed, public_half, self_mask_key
from syft_ext.secure_aggregation.masks import WORDS, add_masks
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.seals import SEALED_SIZE
from syft_ext.secure_aggregation.shamir import PRIME, SEED_SIZE, Interpolation, read_share
from syft_ext.secure_aggregation.statements import (
    Advertisement,
    OpenedShares,
    Roster,
    Survivors,
    check_signed,
)
from syft_ext.secure_aggregation.vector import Sum, read_sum

__all__ = ["MaskedSum", "Phase", "RoundPart", "ServerRound", "Unmasking"]

_TRIES = 500
"""Sets of shares that are tried where some do not fit: with two liars among 64 there are fewer until one does."""


class Phase(StrEnum):
    """What a round waits for. ADVERTISE waits for participants, and has no end of its own; SUM and BELOW end
    it."""

    ADVERTISE = "advertise"
    SHARES = "shares"
    MASKED = "masked"
    CONSISTENCY = "consistency"
    UNMASK = "unmask"
    SUM = "sum"
    BELOW = "below"


@dataclass
class RoundPart:
    """What one participant has said so far, as it was taken. ``masked``: its words are stored."""

    advertisement: bytes
    signature: bytes
    shares: tuple[bytes, ...] = ()
    masked: bool = False
    confirmation: bytes = b""
    answer: bytes = b""


@dataclass
class ServerRound:
    """A round as it stands.

    Attributes:
        round: its digest, as participants compute it.
        parts: by the name that its Domain knows a participant by (an assignment).
        roster: the list of keys, from SHARES on.
        sharers, survivors: names of those who have shared (from MASKED on), and whose words came (from
            CONSISTENCY on).
    """

    rules: SumRules
    round: bytes
    parts: dict[str, RoundPart]
    phase: Phase = Phase.ADVERTISE
    roster: Roster | None = None
    sharers: tuple[str, ...] = ()
    survivors: tuple[str, ...] = ()
    _places: dict[str, int] = field(default_factory=dict)

    # -- what comes; each raises BadRequest for what is wrong with it, Conflict for what comes too late, or
    # twice and otherwise

    def advertise(self, name: str, data: bytes, signature: bytes, signer: str = "") -> None:
        """A participant's keys; ``signer``: the key (hex) that its Domain knows it by, "" where it does not."""
        said = Advertisement.decode(data)
        known = self.parts.get(name)
        if known is not None:
            if known.advertisement != data:
                raise Conflict("this participant has other keys in this round already", reason="duplicate")
            return
        if self.phase is not Phase.ADVERTISE:
            raise Conflict("the list of keys is closed", reason="late")
        if said.round != self.round:
            raise BadRequest("these keys are of another round, or of one that starts from another model")
        if signer and said.signer.hex() != signer:
            raise BadRequest("keys are signed by the key that their participant is known by")
        try:
            check_signed(said, said.signer, signature)
        except BadSignature as error:
            raise BadRequest("the keys are not signed by whom they say") from error
        for other in self.parts.values():
            if Advertisement.decode(other.advertisement).signer == said.signer:
                raise Conflict("whoever has this key takes part in this round already", reason="taking-part")
        if len(self.parts) >= self.rules.participants:
            raise Conflict("the round has all its participants", reason="late")
        self.parts[name] = RoundPart(data, signature)

    def share(self, name: str, sealed: Sequence[bytes]) -> None:
        """A participant's sealed shares, for all other places in order."""
        part = self._part(name)
        found = tuple(sealed)
        if part.shares:
            if part.shares != found:
                raise Conflict("this participant has sealed other shares already", reason="duplicate")
            return
        self._expect(Phase.SHARES)
        assert self.roster is not None
        if len(found) != len(self.roster) - 1 or any(len(each) != SEALED_SIZE for each in found):
            raise BadRequest(f"{len(self.roster) - 1} sealed shares of {SEALED_SIZE} bytes are expected")
        part.shares = found

    def takes_masked(self, name: str) -> bool:
        """Whether the masked words of this participant are waited for."""
        return self.phase is Phase.MASKED and name in self.sharers

    def confirm(self, name: str, signature: bytes) -> None:
        """A survivor's signature under the survivors."""
        part = self._survivor(name)
        if part.confirmation:
            if part.confirmation != signature:
                raise Conflict("this participant has signed already", reason="duplicate")
            return
        self._expect(Phase.CONSISTENCY)
        assert self.roster is not None
        try:
            check_signed(self.agreed, self.roster.at(self.place(name)).advertisement.signer, signature)
        except BadSignature as error:
            raise BadRequest("this is no signature under the survivors of this round") from error
        part.confirmation = signature

    def answer(self, name: str, data: bytes) -> None:
        """A survivor's answer."""
        part = self._survivor(name)
        if part.answer:
            if part.answer != data:
                raise Conflict("this participant has answered already", reason="duplicate")
            return
        self._expect(Phase.UNMASK)
        said = OpenedShares.decode(data)
        if said.survivors != self.agreed.digest() or len(said.shares) != len(self.sharers):
            raise BadRequest("this is no answer for the survivors of this round")
        for each in filter(None, said.shares):
            read_share(each)
        part.answer = data

    def _part(self, name: str) -> RoundPart:
        found = self.parts.get(name)
        if found is None or (self.roster is not None and not self.place(name)):
            raise Conflict("this participant is not in the list of keys", reason="late")
        return found

    def _survivor(self, name: str) -> RoundPart:
        if name not in self.survivors:
            raise Conflict("this participant's numbers are not in the sum", reason="late")
        return self.parts[name]

    def _expect(self, phase: Phase) -> None:
        if self.phase is not phase:
            raise Conflict(f"the round is at {self.phase}, not at {phase}", reason="late")

    # -- what is said

    def place(self, name: str) -> int:
        """The place of a participant in the list of keys; 0: it is not in it."""
        if self.roster is not None and not self._places:
            signers = {each.advertisement.encode(): each.place for each in self.roster.members}
            self._places = {
                each: signers[part.advertisement]
                for each, part in self.parts.items()
                if part.advertisement in signers
            }
        return self._places.get(name, 0)

    def shares_for(self, name: str) -> dict[int, bytes]:
        """By place: what the others that have shared sealed for this participant."""
        mine = self.place(name)
        found = {}
        for each in self.sharers:
            place = self.place(each)
            if place != mine:
                found[place] = self.parts[each].shares[mine - 1 if mine < place else mine - 2]
        return found

    @property
    def agreed(self) -> Survivors:
        """What survivors sign."""
        assert self.roster is not None
        sharers, survivors = (
            tuple(sorted(map(self.place, names))) for names in (self.sharers, self.survivors)
        )
        return Survivors(self.roster.digest, sharers, survivors)

    @property
    def confirmations(self) -> dict[int, bytes]:
        """By place: the signatures that have come."""
        return {self.place(name): part.confirmation for name, part in self.parts.items() if part.confirmation}

    # -- what is next

    def advance(self, *, overdue: bool = False) -> Phase | None:
        """Go to the next phase where this one has all it waits for, or, ``overdue``, enough of it. Returns the
        phase that it went to (BELOW: too few are left, and the round is over), or None.
        """
        if self.phase in (Phase.SUM, Phase.BELOW):
            return None
        everybody, said = self._waits_for()
        if len(said) < everybody and not overdue:
            return None
        if len(said) < self._enough:
            self.phase = Phase.BELOW
        elif self.phase is Phase.ADVERTISE:
            self.roster = Roster.of(
                self.round, [(each.advertisement, each.signature) for each in self.parts.values()]
            )
            self.phase = Phase.SHARES
        elif self.phase is Phase.SHARES:
            self.sharers, self.phase = tuple(said), Phase.MASKED
        elif self.phase is Phase.MASKED:
            self.survivors, self.phase = tuple(said), Phase.CONSISTENCY
        elif self.phase is Phase.CONSISTENCY:
            self.phase = Phase.UNMASK
        else:
            self.phase = Phase.SUM
        return self.phase

    @property
    def _enough(self) -> int:
        return self.rules.threshold if self.phase in (Phase.CONSISTENCY, Phase.UNMASK) else self.rules.needed

    def _waits_for(self) -> tuple[int, list[str]]:
        """How many are to say something in this phase, and who of them has."""
        if self.phase is Phase.ADVERTISE:
            return self.rules.participants, list(self.parts)
        if self.phase is Phase.SHARES:
            members = [name for name in self.parts if self.place(name)]
            return len(members), [name for name in members if self.parts[name].shares]
        if self.phase is Phase.MASKED:
            return len(self.sharers), [name for name in self.sharers if self.parts[name].masked]
        signed = [name for name in self.survivors if self.parts[name].confirmation]
        if self.phase is Phase.CONSISTENCY:
            return len(self.survivors), signed
        # Whoever has signed nothing has gone, most likely; an answer of theirs is taken, and not waited for.
        return len(signed), [name for name in self.survivors if self.parts[name].answer]

    # -- the sum

    def open(self) -> Unmasking:
        """The masks that are left in the sum of the survivors' words. Raises :class:`BadRequest` where the
        answers do not fit together."""
        assert self.roster is not None
        agreed = self.agreed
        answers = {
            self.place(name): OpenedShares.decode(part.answer).shares
            for name, part in self.parts.items()
            if part.answer
        }
        seeds = _Seeds(self.rules.threshold)
        alive = set(agreed.survivors)
        plus: list[bytes] = []  # masks that are in the sum with this sign
        minus: list[bytes] = []
        for index, place in enumerate(agreed.sharers):
            said = self.roster.at(place).advertisement
            shares = {by: read_share(opened[index]) for by, opened in answers.items() if opened[index]}
            if place in alive:
                seed = seeds.put_together(
                    shares, lambda found, said=said: commitment(found) == said.commitment
                )
                plus.append(self_mask_key(seed, self.roster.digest, place))
                continue
            seed = seeds.put_together(
                shares, lambda found, said=said: public_half(key_of_seed(found)) == said.mask_key
            )
            key = key_of_seed(seed)
            for other in agreed.survivors:
                mask = pair_mask_key(
                    agree(key, self.roster.at(other).advertisement.mask_key), self.roster.digest, place, other
                )
                (plus if other < place else minus).append(mask)
        return Unmasking(self.rules, len(alive), plus, minus, frozenset(seeds.liars))


class _Seeds:
    """Puts seeds together, and finds out whose shares do not fit."""

    def __init__(self, threshold: int) -> None:
        self._threshold, self._known = threshold, dict[tuple[int, ...], Interpolation]()
        self.liars: set[int] = set()

    def put_together(self, shares: Mapping[int, int], fits: Any) -> bytes:
        """The seed of which these are shares, by place; ``fits`` says whether it is the one that was promised."""
        honest = [place for place in sorted(shares) if place not in self.liars]
        for chosen in itertools.islice(itertools.combinations(honest, self._threshold), _TRIES):
            value = self._at(chosen, 0)(shares)
            if value >> 8 * SEED_SIZE == 0 and fits(seed := value.to_bytes(SEED_SIZE, "big")):
                rest = [place for place in honest if place not in chosen]
                self.liars.update(p for p in rest if self._at(chosen, p)(shares) != shares[p] % PRIME)
                return seed
        raise BadRequest(
            "the answers do not fit together: what they open is none of the secrets that were promised"
        )

    def _at(self, places: tuple[int, ...], at: int) -> Interpolation:
        if at:
            return Interpolation(places, at)
        if places not in self._known:
            self._known[places] = Interpolation(places)
        return self._known[places]


@dataclass(frozen=True)
class Unmasking:
    """What takes the masks off a sum. ``liars``: places whose shares did not fit the others'."""

    rules: SumRules
    survivors: int
    plus: Sequence[bytes]
    minus: Sequence[bytes]
    liars: frozenset[int]


class MaskedSum:
    """The sum of masked words, made while they are read; memory of one vector.

    Args:
        count: numbers of a difference.
    """

    def __init__(self, count: int, rules: SumRules) -> None:
        self._words: NDArray[Any] = np.zeros(count + 1, WORDS[rules.bits])
        self.added = 0

    @property
    def nbytes(self) -> int:
        """Bytes of one participant's words."""
        return int(self._words.nbytes)

    def add(self, content: memoryview | bytes) -> None:
        """One more participant's words. Raises :class:`BadRequest` for another number of them."""
        if len(content) != self.nbytes:
            raise BadRequest(f"{len(content)} bytes of masked words, {self.nbytes} are expected")
        self._words += np.frombuffer(content, self._words.dtype)
        self.added += 1

    def open(self, masks: Unmasking) -> Sum:
        """The sum itself. Raises :class:`BadRequest` where other participants' words are in it than the masks
        are of."""
        if self.added != masks.survivors:
            raise BadRequest(
                f"{self.added} masked vectors were added, the masks are those of {masks.survivors}"
            )
        add_masks(self._words, masks.minus, masks.plus)
        return read_sum(self._words, masks.survivors, masks.rules)


def names_of(places: Iterable[int], roster: Roster) -> str:
    """How members at these places are called, where somebody is told of them."""
    return ", ".join(roster.at(place).name for place in sorted(places))
