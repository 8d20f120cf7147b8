"""One of the two members: masks its own ids, masks the other's once more, and compares what is masked twice.

    own    P  points a·H(x), in random order, filled up to the announced number         → other
    other  R  the same, times b: sorted where only their number is asked for,
              in the order in which they came where rows are kept                         → own

Where an id is in both tables, a·b·H(x) stands on both sides. Sorted by these bytes, both sides have the common
ids in one order, which nobody chose. The number is opened by halves: each member hides it with a random word of
the other's, so that what one Domain hands out says nothing alone.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from blake3 import blake3

from syft_ext.errors import Conflict, ProtocolAborted, TooFewInCommon, TooLarge
from syft_ext.intersection.group import POINT, fresh_scalar, hashed, multiplied
from syft_ext.messages.intersection_terms import IntersectionTerms
from syft_ext.mpc.seals import Frame, Seals, public_half

__all__ = ["HALF", "IntersectionMember"]

CHUNK = 4096
"""Points that are worked on in one turn: about a second."""
WORD = 8
_MASK = (1 << (8 * WORD)) - 1
HALF = 2 * WORD + 32
"""Bytes of a half of what is opened: a word, the number hidden by the other's, a digest of the common points."""
_POINTS, _REPLIES = b"P", b"R"


class IntersectionMember:
    """``index``: its place; ``ids``: its different ids as bytes, each once.

    ``matched``: once it has finished, and where rows are kept, the places among ``ids`` of the common ones, in the
    order that both sides have.
    """

    def __init__(self, index: int, terms: IntersectionTerms, ids: Sequence[bytes]) -> None:
        terms.check()
        self.index, self.terms, self._ids = index, terms, list(ids)
        self._own, self._other = terms.sides[index], terms.sides[1 - index]
        if len(set(self._ids)) != len(self._ids):
            raise Conflict("an id stands here twice")
        if len(self._ids) > self._own.most:
            raise TooLarge("the table has more ids than the terms announce", limit=self._own.most)
        self._secret = os.urandom(32)
        self.public_key = public_half(self._secret)
        self._seals: Seals | None = None
        self._scalar = fresh_scalar()
        self._order = _shuffled(self._own.most)
        self._sent = 0
        self._came: set[bytes] = set()
        self._doubled: list[bytes] = []
        self._replies: list[bytes] | None = None
        self._word, self._others_word = os.urandom(WORD), b""
        self._answered = self.finished = self.failed = False
        self.matched: list[int] = []

    def begin(self, keys: Sequence[bytes], transcript: bytes) -> None:
        """``keys``: of both members, in order; ``transcript``: 32 bytes, the same at both and at nobody else."""
        if self._seals is not None:
            raise ProtocolAborted("this member has begun already")
        if len(keys) != 2 or keys[self.index] != self.public_key:
            raise ProtocolAborted("another key stands for this member")
        everybody = [*keys, bytes.fromhex(self.terms.reader)]
        self._seals = Seals(self.index, self._secret, everybody, transcript)
        said = f"{self.terms.kind} {self.terms.normalisation} {self.terms.unit}".encode()
        self._context = blake3(transcript + said, derive_key_context="grid 2026-12 ids of a session").digest()

    def advance(self, frames: Sequence[Frame]) -> list[Frame]:
        """Take frames, go on for one turn, and return what is to be carried.

        Raises :class:`ProtocolAborted` or :class:`TooFewInCommon`: it is over then, and nothing is told.
        """
        if self._seals is None or self.failed:
            raise ProtocolAborted("this member has not begun, or has given up")
        if self.finished:
            raise Conflict("this member has finished")
        try:
            for frame in frames:
                if frame.sender != 1 - self.index:
                    raise ProtocolAborted("a frame is of somebody else")
                self._take(self._seals.open(frame))
            return self._go_on(self._seals)
        except BaseException:
            self.failed, self.matched = True, []
            raise

    def _take(self, data: bytes) -> None:
        tag, body = data[:1], data[1:]
        if tag == _POINTS:
            points = _points(body)
            if len(self._came) + len(points) > self._other.most:
                raise ProtocolAborted("more ids came than the terms announce")
            for point in points:
                if point in self._came:  # one id in two places would count twice
                    raise ProtocolAborted("a point came twice")
                self._came.add(point)
                self._doubled.append(multiplied(self._scalar, point))
        elif tag == _REPLIES and self._replies is None and len(body) == WORD + POINT * self._own.most:
            self._others_word, self._replies = body[:WORD], _points(body[WORD:])
            if len(set(self._replies)) != len(self._replies):
                raise ProtocolAborted("a reply came twice")
        else:
            raise ProtocolAborted("a message is not what the protocol has here")

    def _go_on(self, seals: Seals) -> list[Frame]:
        sent: list[Frame] = []
        if self._sent < self._own.most:
            places = self._order[self._sent : self._sent + CHUNK]
            self._sent += len(places)
            points = [multiplied(self._scalar, self._point(place)) for place in places]
            sent.append(seals.seal(1 - self.index, _POINTS + b"".join(points)))
        elif not self._answered and len(self._doubled) == self._other.most:
            self._answered = True
            replies = self._doubled if self.terms.keeps_rows else sorted(self._doubled)
            sent.append(seals.seal(1 - self.index, _REPLIES + self._word + b"".join(replies)))
        if self._answered and self._replies is not None:
            sent.append(seals.seal(2, self._compared(self._replies)))
            self.finished = True
        return sent

    def _point(self, place: int) -> bytes:
        """Of an id; behind them, of random bytes: nobody has these as an id, which is never so long."""
        if place < len(self._ids):
            return hashed(self._context, b"\0" + self._ids[place])
        return hashed(self._context, b"\1" + os.urandom(32))

    def _compared(self, replies: Sequence[bytes]) -> bytes:
        common = sorted(set(self._doubled).intersection(replies))
        if len(common) < self.terms.minimum:
            raise TooFewInCommon("fewer ids are in both tables than the terms let be told")
        if self.terms.keeps_rows:
            place_of = dict(zip(replies, self._order, strict=True))
            self.matched = [place_of[point] for point in common]
            if max(self.matched) >= len(self._ids):
                raise ProtocolAborted("a made-up id came back as one in common")
        hidden = (len(common) + int.from_bytes(self._others_word, "little")) & _MASK
        digest = blake3(b"".join(common), key=self._context).digest()
        return self._word + hidden.to_bytes(WORD, "little") + digest


def _points(data: bytes) -> list[bytes]:
    if len(data) % POINT or not data:
        raise ProtocolAborted("a message is cut short")
    return [data[start : start + POINT] for start in range(0, len(data), POINT)]


def _shuffled(many: int) -> list[int]:
    """The numbers below ``many`` in an order that only this member knows."""
    keys = os.urandom(16 * many)
    return sorted(range(many), key=lambda place: keys[16 * place : 16 * place + 16])
