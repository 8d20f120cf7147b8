"""Whoever asked: carries frames between the two members, and puts the two halves of the number together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from syft_ext.errors import ProtocolAborted
from syft_ext.intersection.member import HALF, WORD
from syft_ext.mpc.seals import Frame, Seals, public_half

__all__ = ["IntersectionReader", "carry_between"]

Advance = Callable[[list[Frame]], tuple[list[Frame], bool]]
"""Frames for a member → the frames that it sends, and whether it has finished."""


class IntersectionReader:
    """Holds the key that the halves are sealed to, which is made for one request."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self.key = public_half(self._secret).hex()

    def size(self, frames: Sequence[Frame], keys: Sequence[bytes], transcript: bytes) -> int:
        """How many ids are in common. Raises :class:`ProtocolAborted` unless both halves are there and agree."""
        seals = Seals(2, self._secret, [*keys, bytes.fromhex(self.key)], transcript)
        halves = {frame.sender: seals.open(frame) for frame in frames}
        if halves.keys() != {0, 1} or {len(each) for each in halves.values()} != {HALF}:
            raise ProtocolAborted("a party sent no half of the number")
        words = [int.from_bytes(halves[place][:WORD], "little") for place in (0, 1)]
        hidden = [int.from_bytes(halves[place][WORD : 2 * WORD], "little") for place in (0, 1)]
        sizes = {(hidden[place] - words[1 - place]) % (1 << (8 * WORD)) for place in (0, 1)}
        if len(sizes) != 1 or halves[0][2 * WORD :] != halves[1][2 * WORD :]:
            raise ProtocolAborted("the parties do not agree on what is in common")
        return sizes.pop()


def carry_between(members: Sequence[Advance]) -> None:
    """Carry frames between two members until both have finished; they work at the same time."""
    inbox: list[list[Frame]] = [[], []]
    finished = [False, False]
    with ThreadPoolExecutor(2) as pool:
        while not all(finished):
            turns = [place for place in (0, 1) if not finished[place]]
            calls = {place: pool.submit(members[place], inbox[place]) for place in turns}
            inbox = [[], []]
            moved = False
            for place, call in calls.items():
                sent, finished[place] = call.result()
                if any((frame.sender, frame.receiver) != (place, 1 - place) for frame in sent):
                    raise ProtocolAborted("a member sends frames of another one")
                inbox[1 - place] += sent
                moved = moved or bool(sent) or finished[place]
            if not moved:
                raise ProtocolAborted("both parties wait for one another")
