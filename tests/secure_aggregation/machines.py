"""A round in memory: participants that may fall silent in any phase, and what their Domain stores."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from syft_ext.identity import Identity
from syft_ext.secure_aggregation.client import ClientRound, Record
from syft_ext.secure_aggregation.keys import SumKeys
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.server import MaskedSum, Phase, ServerRound
from syft_ext.secure_aggregation.statements import Advertisement, Round
from syft_ext.secure_aggregation.vector import Sum, steps_of

__all__ = ["Play", "Shelf", "a_round", "rules"]

STEPS = (Phase.SHARES, Phase.MASKED, Phase.CONSISTENCY, Phase.UNMASK)
_SIGNERS = [Identity.generate() for _ in range(64)]


def rules(participants: int = 5, **values: Any) -> SumRules:
    """SumRules with the least threshold, unless they say another one."""
    threshold = values.pop("threshold", -(-2 * participants // 3))
    defaults = {"threshold": threshold, "minimum": threshold, "corrupt": 0, "clip": 1.0, "bits": 64}
    found = SumRules(participants=participants, **{**defaults, **values})
    found.check()
    return found


def a_round(**values: Any) -> Round:
    known = {"domain": b"d" * 32, "training": b"t" * 32, "cycle": 1, "attempt": "a", "base": b"b" * 32}
    return Round(**{**known, **values})


class Shelf:
    """A keeper that keeps bytes, as a disk does: nobody changes what was kept by changing a record."""

    def __init__(self) -> None:
        self.kept: list[bytes] = []
        self.content = b""

    def record(self) -> Record | None:
        return msgspec.msgpack.decode(self.kept[-1], type=Record) if self.kept else None

    def note(self, record: Record) -> None:
        self.kept.append(msgspec.msgpack.encode(record))

    def keep(self, record: Record) -> None:
        self.note(record)

    def keep_vector(self, content: memoryview) -> None:
        self.content = bytes(content)

    def vector(self) -> bytes:
        return self.content


def subject(said: Advertisement) -> str:
    return said.signer.hex()


@dataclass
class Play:
    """A round of these participants.

    Attributes:
        differences: one for each participant.
        silent: number of a participant → the phase from which on it says nothing.
    """

    rules: SumRules
    differences: Sequence[NDArray[Any]]
    weights: Sequence[int] = ()
    silent: dict[int, Phase] = field(default_factory=dict)
    round: Round = field(default_factory=a_round)

    def __post_init__(self) -> None:
        count = len(self.differences)
        self.weights = self.weights or [1] * count
        self.shelves = [Shelf() for _ in range(count)]
        self.clients = [self.client(number) for number in range(count)]
        self.server = ServerRound(self.rules, self.round.digest(), {})
        self.vectors: dict[int, bytes] = {}

    def client(self, number: int) -> ClientRound:
        """A participant: a new process of it, each time."""
        return ClientRound(self.round, self.rules, _SIGNERS[number], self.shelves[number], subject)

    def speaks(self, number: int, phase: Phase) -> bool:
        silent = self.silent.get(number)
        return silent is None or STEPS.index(silent) > STEPS.index(phase)

    def run(self) -> Sum | None:
        """The opened sum; None where too few were left."""
        for step in (self.advertise, self.share, self.mask, self.confirm, self.unmask):
            step()
            if self.server.phase is Phase.BELOW:
                return None
        return self.sum()

    def advance(self) -> None:
        if not self.server.advance():
            self.server.advance(overdue=True)

    def advertise(self) -> None:
        for number, client in enumerate(self.clients):
            self.server.advertise(str(number), *client.advertise())
        self.advance()

    def _each(self, phase: Phase, action: Callable[[int, ClientRound], Any], among: Sequence[str]) -> None:
        for number, client in enumerate(self.clients):
            if self.speaks(number, phase) and str(number) in among:
                action(number, client)
        self.advance()

    def share(self) -> None:
        assert self.server.roster is not None
        roster = self.server.roster.encode()
        self._each(
            Phase.SHARES,
            lambda number, client: self.server.share(str(number), client.share(roster)),
            list(self.server.parts),
        )

    def mask_of(self, number: int, client: ClientRound) -> bytes:
        return bytes(
            client.mask(
                self.server.shares_for(str(number)), partial(self._parts, number), self.weights[number]
            )
        )

    def mask(self) -> None:
        def one(number: int, client: ClientRound) -> None:
            self.vectors[number] = self.mask_of(number, client)
            assert self.server.takes_masked(str(number))
            self.server.parts[str(number)].masked = True

        self._each(Phase.MASKED, one, self.server.sharers)

    def confirm(self) -> None:
        self._each(
            Phase.CONSISTENCY,
            lambda number, client: self.server.confirm(
                str(number), client.confirm(self.server.agreed.survivors)
            ),
            self.server.survivors,
        )

    def unmask(self) -> None:
        signatures = self.server.confirmations
        self._each(
            Phase.UNMASK,
            lambda number, client: self.server.answer(str(number), client.unmask(signatures)),
            self.server.survivors,
        )

    def sum(self) -> Sum:
        total = MaskedSum(len(self.differences[0]), self.rules)
        for name in self.server.survivors:
            total.add(self.vectors[int(name)])
        return total.open(self.server.open())

    def _parts(self, number: int) -> list[NDArray[Any]]:
        return [self.differences[number]]

    def plain(self) -> tuple[NDArray[np.int64], int]:
        """What the sum of the survivors is, without any mask."""
        steps, weight = np.zeros(len(self.differences[0]), np.int64), 0
        for name in self.server.survivors:
            number = int(name)
            first = msgspec.msgpack.decode(self.shelves[number].kept[0], type=Record)
            key = SumKeys(first.root).noise_key
            parts = partial(self._parts, number)
            steps += self.weights[number] * steps_of(parts, self.rules, key)
            weight += self.weights[number]
        return steps, weight
