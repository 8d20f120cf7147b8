"""Whoever a computation on shares is opened to: carries frames between members, and puts the results together."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence

import torch

from syft_ext.errors import ProtocolAborted
from syft_ext.messages.shared_terms import PROTOCOLS, SharedTerms
from syft_ext.mpc.fixed import decode
from syft_ext.mpc.ring import WORD
from syft_ext.mpc.seals import Frame, Seals, public_half

__all__ = ["SharedReader", "carry"]

Advance = Callable[[list[Frame]], tuple[list[Frame], bool]]
"""Frames for a member → the frames that it sends, and whether it has finished."""


class SharedReader:
    """Holds the key that outputs are sealed to, which is made for one session."""

    def __init__(self) -> None:
        self._secret = os.urandom(32)
        self.key = public_half(self._secret).hex()

    def results(
        self,
        frames: Sequence[Frame],
        keys: Sequence[bytes],
        transcript: bytes,
        shapes: Sequence[Sequence[int]],
        terms: SharedTerms,
    ) -> list[torch.Tensor]:
        """The opened outputs, in float64. Raises :class:`ProtocolAborted` unless every party sent its share, and
        all that hold one component the same."""
        seals = Seals(len(keys), self._secret, [*keys, bytes.fromhex(self.key)], transcript)
        parties = len(terms.parties)
        held = 1 if PROTOCOLS[terms.protocol].dealer else 2
        shares = {frame.sender: seals.open(frame) for frame in frames}
        if shares.keys() != set(range(parties)):
            raise ProtocolAborted("a party sent no share of the results")
        blanks = [torch.empty(tuple(shape), dtype=torch.int64) for shape in shapes]
        if {len(share) for share in shares.values()} != {WORD * held * sum(each.numel() for each in blanks)}:
            raise ProtocolAborted("a share of the results is not of their size")
        opened = []
        position = 0
        for blank in blanks:
            end = position + WORD * held * blank.numel()
            parts = {party: _words(share[position:end], held) for party, share in shares.items()}
            position = end
            for party, components in parts.items():
                if held == 2 and not torch.equal(components[1], parts[(party + 1) % parties][0]):
                    raise ProtocolAborted("two parties sent different shares of one result")
            raw = torch.stack([components[0] for components in parts.values()]).sum(0)
            opened.append(decode(raw.reshape(blank.shape), terms.precision))
        return opened


def _words(data: bytes, rows: int) -> torch.Tensor:
    flat = torch.frombuffer(bytearray(data), dtype=torch.int64) if data else torch.empty(0, dtype=torch.int64)
    return flat.reshape(rows, -1 if data else 0)


def carry(members: Sequence[Advance], dealer: int | None = None) -> list[Frame]:
    """Carry frames until all parties have finished; returns those for the reader, if members send any here.

    A ``dealer`` (its place, the last) gets a turn only when all parties wait: what it makes does not pile up.
    """
    parties = set(range(len(members))) - {dealer}
    inbox: dict[int, list[Frame]] = {place: [] for place in range(len(members))}
    for_reader: list[Frame] = []
    finished: set[int] = set()
    turns = list(range(len(members)))
    while not parties <= finished:
        for place in turns:
            frames, inbox[place] = inbox[place], []
            sent, done = members[place](frames)
            if done:
                finished.add(place)
            for frame in sent:
                if frame.sender != place:
                    raise ProtocolAborted("a member sends frames of another one")
                (for_reader if frame.receiver == len(members) else inbox[frame.receiver]).append(frame)
        turns = [place for place, frames in inbox.items() if frames]
        if not turns:
            turns = [] if dealer is None or dealer in finished else [dealer]
            if not turns and not parties <= finished:
                raise ProtocolAborted("all parties wait for one another")
    return for_reader
