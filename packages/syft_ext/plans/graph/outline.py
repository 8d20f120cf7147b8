"""What a plan's bytes would become, found out without making any of it: a plan is small, its tensors aside.

A list takes one byte, and 72 once it is decoded, and a decoder that is in C stops everything else meanwhile. So a
plan's tensors are cut out first: their bytes are stepped over, whatever is in them. What is left is bounded in
bytes, and in lists.
"""

from __future__ import annotations

from syft_ext.errors import InvalidPlan
from syft_ext.messages.amplification import lists_in

__all__ = ["MAX_CONSTS", "MAX_CONTAINERS", "MAX_STRUCTURE", "without_tensors"]

#: Bytes of a plan without those of its tensors: a hundred for each of the 20,000 operations that it may have.
MAX_STRUCTURE = 2 << 20
#: Lists and mappings in it.
MAX_CONTAINERS = 200_000
#: Tensors in it.
MAX_CONSTS = 20_000
#: Things that are stepped over one by one, in front of the tensors. (Each takes a third of a microsecond.)
_MAX_STEPS = 500_000
#: What follows a type byte: bytes of its value (> 0), or of its length (< 0), for all but the lists and mappings.
_SIZES = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0),
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xC4: -1,
    0xC5: -2,
    0xC6: -4,
    0xD9: -1,
    0xDA: -2,
    0xDB: -4,
}


def without_tensors(data: bytes | bytearray) -> bytes | bytearray:
    """The plan with empty tensors in the places of its own: at most :data:`MAX_STRUCTURE` bytes, and few lists.

    Raises :class:`InvalidPlan` when there is more, or what should be tensors is something else.
    """
    kept = data
    if len(data) > MAX_STRUCTURE:
        kept = _Walk(data).kept()
    if lists_in(kept) > MAX_CONTAINERS:
        # A small plan's tensors may hold many such bytes.
        kept = _Walk(kept).kept()
        if lists_in(kept) > MAX_CONTAINERS:
            raise InvalidPlan("there are too many lists in the plan", limit=MAX_CONTAINERS)
    return kept


class _Walk:
    """One pass over the msgpack of a plan, as far as its tensors go."""

    def __init__(self, data: bytes | bytearray) -> None:
        self._data, self._at, self._steps = data, 0, 0
        self._pieces: list[bytes | bytearray] = []
        self._from = 0  # what is before it stands in the pieces, or was cut out
        self._tensors = 0

    def kept(self) -> bytes:
        """All but the tensors' bytes."""
        try:
            self._document()
        except IndexError as error:
            raise InvalidPlan("the plan's bytes end early") from error
        if sum(map(len, self._pieces)) + len(self._data) - self._from > MAX_STRUCTURE:
            raise InvalidPlan("there is too much in the plan beside its tensors", limit=MAX_STRUCTURE)
        self._pieces.append(self._data[self._from :])
        return b"".join(self._pieces)

    def _document(self) -> None:
        for _ in range(self._length_of(0x80, 0xDE)):
            name = self._text()
            if name == b"inputs":
                for _ in range(self._length_of(0x90, 0xDC)):
                    self._input()
            elif name == b"consts":
                for _ in range(self._length_of(0x90, 0xDC)):
                    self._tensor()
                return  # what follows holds none
            else:
                self._skip()
        raise InvalidPlan("the plan has no list of its tensors")

    def _input(self) -> None:
        for _ in range(self._length_of(0x80, 0xDE)):
            if self._text() != b"default":
                self._skip()
            elif self._data[self._at] == 0xC0:
                self._at += 1
            else:
                self._tensor()

    def _tensor(self) -> None:
        self._tensors += 1
        if self._tensors > MAX_CONSTS:
            raise InvalidPlan(f"more than {MAX_CONSTS} tensors in a plan", limit=MAX_CONSTS)
        if self._length_of(0x90, 0xDC) != 3:
            raise InvalidPlan("a tensor in the plan is none")
        self._skip()
        self._skip()
        begins = self._at
        kind = self._data[begins]
        if kind not in (0xC4, 0xC5, 0xC6):
            raise InvalidPlan("a tensor in the plan has no bytes")
        self._step_over(kind)
        if self._at > len(self._data):
            raise IndexError
        self._pieces += [self._data[self._from : begins], b"\xc4\x00"]
        self._from = self._at

    def _text(self) -> bytes:
        begins = self._at + 1
        kind = self._data[self._at]
        if not 0xA0 <= kind <= 0xBF:
            raise InvalidPlan("a name in the plan is none")
        self._at = begins + (kind & 0x1F)
        return bytes(self._data[begins : self._at])

    def _length_of(self, small: int, large: int) -> int:
        """Items of the list (or entries of the mapping) that begins here; its type is one of these."""
        kind = self._data[self._at]
        if small <= kind <= small + 15:
            self._at += 1
            return kind & 0x0F
        if kind not in (large, large + 1):
            raise InvalidPlan("a list or mapping in the plan is none")
        size = 2 if kind == large else 4
        begins = self._at + 1
        self._at = begins + size
        return int.from_bytes(self._data[begins : self._at], "big")

    def _skip(self) -> None:
        """Step over one value, and all in it."""
        left = 1
        data = self._data
        while left:
            left -= 1
            self._steps += 1
            if self._steps > _MAX_STEPS:
                raise InvalidPlan("there is too much in front of the plan's tensors", limit=_MAX_STEPS)
            kind = data[self._at]
            if kind <= 0x7F or kind >= 0xE0:
                self._at += 1
            elif kind <= 0x8F:
                self._at += 1
                left += 2 * (kind & 0x0F)
            elif kind <= 0x9F:
                self._at += 1
                left += kind & 0x0F
            elif kind <= 0xBF:
                self._at += 1 + (kind & 0x1F)
            elif kind in (0xDC, 0xDD):
                left += self._length_of(0x90, 0xDC)
            elif kind in (0xDE, 0xDF):
                left += 2 * self._length_of(0x80, 0xDE)
            else:
                self._step_over(kind)

    def _step_over(self, kind: int) -> None:
        size = _SIZES.get(kind)
        if size is None:
            raise InvalidPlan("there is something in the plan that no plan has")
        self._at += 1
        if size >= 0:
            self._at += size
            return
        ends = self._at - size
        self._at = ends + int.from_bytes(self._data[self._at : ends], "big")
