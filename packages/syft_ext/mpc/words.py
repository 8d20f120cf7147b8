"""Words of 64 bits shared by XOR: adders and prefixes, whatever the protocol's AND is.

Kogge and Stone 1973: the carries of all 64 places in six levels, a level being one round.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import TypeAlias

import numpy as np
import torch

from syft_ext.errors import OutOfRange
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.shares import ShareTensor

__all__ = ["WordEngine", "Words"]

Words: TypeAlias = tuple[torch.Tensor, ...]
"""One party's parts of words that are shared by XOR."""
_SPANS = (1, 2, 4, 8, 16, 32)
_PROBES = 40
_ALL = (1 << 64) - 1
_PENDING = 1 << 16
"""Numbers that wait for their check at most: they stay in memory until then."""


def _xor(left: Words, right: Words) -> Words:
    return tuple(a ^ b for a, b in zip(left, right, strict=True))


def _up(words: Words, places: int) -> Words:
    return tuple(word << places for word in words)


def _down(words: Words, places: int) -> Words:
    """Zeros come in from above."""
    keep = (1 << (64 - places)) - 1
    return tuple((word >> places) & keep for word in words)


class WordEngine(ShareEngine):
    """An engine that compares by adding words."""

    _found: Words | None = None
    _like: ShareTensor | None = None

    @abstractmethod
    def summands(self, value: ShareTensor) -> list[Words]:
        """Words, shared by XOR, whose sum is the value."""

    @abstractmethod
    def conjunctions(self, left: Words, rights: Sequence[Words]) -> Steps[list[Words]]:
        """One word with each of several, in one round."""

    @abstractmethod
    def arithmetic(self, bits: Words, like: ShareTensor) -> Steps[ShareTensor]:
        """Bits (words 0 or 1) that are shared by XOR, shared by addition."""

    def _carries(self, value: ShareTensor) -> Steps[tuple[Words, Words]]:
        """The two last summands' XOR, and what is carried out of each place."""
        return (yield from self.added(*(yield from self.two_words(self.summands(value)))))

    def two_words(self, summands: Sequence[Words]) -> Steps[tuple[Words, Words]]:
        """Two words with the same sum, of two or three."""
        one, *more = summands
        while len(more) > 1:  # three words become two: sum and majority
            two, three = more.pop(0), more.pop(0)
            (both,) = yield from self.conjunctions(_xor(one, three), [_xor(two, three)])
            more.insert(0, _up(_xor(both, three), 1))
            one = _xor(_xor(one, two), three)
        (two,) = more
        return one, two

    def added(self, one: Words, two: Words) -> Steps[tuple[Words, Words]]:
        """The XOR of two words, and what their sum carries out of each place."""
        half = spread = _xor(one, two)
        (carry,) = yield from self.conjunctions(one, [two])
        for span in _SPANS:
            last = span == _SPANS[-1]
            rights = [_up(carry, span)] if last else [_up(carry, span), _up(spread, span)]
            found = yield from self.conjunctions(spread, rights)
            carry = _xor(carry, found[0])
            spread = found[-1]
        return half, carry

    def probe(self, *, now: bool = True) -> Steps[None]:
        """As :meth:`ShareEngine.probe`: the digits that must be 0, added up by random subsets (off by 2^-40).
        Parities of several such checks are added up alike: it is one random subset of all their digits."""
        if not self._checks or (not now and self._waiting < _PENDING):
            return
        checks, self._checks, self._waiting = self._checks, [], 0
        yield from self.toss()
        joined = replace(
            checks[0][0],
            parts=tuple(
                torch.cat([part.reshape(-1) for part in parts])
                for parts in zip(*(value.parts for value, _ in checks), strict=True)
            ),
        )
        half, carry = yield from self._carries(joined)
        words = _xor(half, _up(carry, 1))
        sizes = [value.numel for value, _ in checks]
        places = [bits for _, bits in checks]
        upper = []
        for word in words:
            pieces = zip(torch.split(word, sizes), places, strict=True)
            upper.append(torch.cat([_down((piece,), bits)[0] for piece, bits in pieces]))
        found = self._probes(upper)
        self._found = found if self._found is None else _xor(self._found, found)
        self._like = checks[0][0].each(lambda part: part.reshape(-1)[:1].clone())

    def settle(self) -> Steps[None]:
        yield from self.probe()
        if self._found is None or self._like is None:
            yield from self.confirm()
            return
        found, self._found = self._found, None
        for span in reversed(_SPANS):
            lower = _down(found, span)
            (both,) = yield from self.conjunctions(found, [lower])
            found = _xor(_xor(found, lower), both)
        bit = yield from self.arithmetic(tuple(word & 1 for word in found), self._like)
        yield from self.confirm()
        (outside,) = yield from self.open([bit])
        if not self.dry and int(outside) != 0:
            raise OutOfRange("a value left the range in which this session computes; nothing was opened")

    def _probes(self, words: Sequence[torch.Tensor]) -> Words:
        """One word, shared by XOR: bit i is the parity of the digits in random subset number i."""
        found = [0] * len(words)
        for number in range(_PROBES):
            subset = self._coins.words(tuple(words[0].shape)).numpy()
            for place, word in enumerate(words):
                total = int(np.bitwise_xor.reduce(word.numpy() & subset))
                found[place] |= ((total & _ALL).bit_count() & 1) << number
        return tuple(torch.tensor([each]) for each in found)

    def signs(self, value: ShareTensor) -> Steps[ShareTensor]:
        half, carry = yield from self._carries(value)
        top = tuple(word & 1 for word in _down(_xor(half, _up(carry, 1)), 63))
        return (yield from self.arithmetic(top, value))

    def digits(self, value: ShareTensor, low: int, count: int) -> Steps[ShareTensor]:
        half, carry = yield from self._carries(value)
        words = _xor(half, _up(carry, 1))
        return (yield from self.arithmetic(self._spread(words, [*range(low, low + count), 63]), value))

    def leading(self, value: ShareTensor, count: int) -> Steps[ShareTensor]:
        half, carry = yield from self._carries(value)
        filled = tuple(word & ((1 << count) - 1) for word in _xor(half, _up(carry, 1)))
        span = 1
        while span < count:  # a ∨ b = a ⊕ b ⊕ (a ∧ b)
            lower = _down(filled, span)
            (both,) = yield from self.conjunctions(filled, [lower])
            filled = _xor(_xor(filled, lower), both)
            span *= 2
        highest = _xor(filled, _down(filled, 1))
        return (yield from self.arithmetic(self._spread(highest, range(count)), value))

    def _spread(self, words: Words, places: Sequence[int]) -> Words:
        shifts = torch.tensor(list(places), device=self.device)
        return tuple((word.unsqueeze(-1) >> shifts) & 1 for word in words)


def bit_like(like: ShareTensor, parts: Words) -> ShareTensor:
    """A share of bits of the same kind."""
    return replace(like, parts=parts, fraction=0, bound=1)
