"""Both members of an intersection in one process, and whoever carries their frames."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from syft_ext.intersection.member import IntersectionMember
from syft_ext.intersection.reader import IntersectionReader, carry_between
from syft_ext.messages.intersection_terms import IntersectionSide, IntersectionTerms
from syft_ext.mpc.seals import Frame

TRANSCRIPT = bytes(range(32))


@dataclass
class Pair:
    """``before``: sees, and may change, what is carried to a member."""

    own: Sequence[bytes]
    other: Sequence[bytes]
    minimum: int = 1
    most: int = 0
    keeps: bool = False
    before: Callable[[int, list[Frame]], list[Frame]] = lambda place, frames: frames
    told: list[Frame] = field(default_factory=list)
    seen: list[bytes] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reader = IntersectionReader()
        rows = {"x": ["age"]} if self.keeps else {}
        self.terms = IntersectionTerms(
            parties=["0" * 64, "1" * 64],
            sides=[
                IntersectionSide(column="id", most=self.most or max(1, len(ids)), rows=rows)
                for ids in (self.own, self.other)
            ],
            kind="text",
            minimum=self.minimum,
            reader=self.reader.key,
        )
        self.members = [
            IntersectionMember(place, self.terms, ids) for place, ids in enumerate((self.own, self.other))
        ]
        self.keys = [member.public_key for member in self.members]

    def run(self) -> int:
        for member in self.members:
            member.begin(self.keys, TRANSCRIPT)

        def advance(place: int) -> Any:
            def step(frames: list[Frame]) -> tuple[list[Frame], bool]:
                sent = self.members[place].advance(self.before(place, frames))
                self.told += [frame for frame in sent if frame.receiver == 2]
                self.seen += [frame.data for frame in sent]
                return [frame for frame in sent if frame.receiver != 2], self.members[place].finished

            return step

        carry_between([advance(0), advance(1)])
        return self.reader.size(self.told, self.keys, TRANSCRIPT)
