"""Three parties, replicated shares, no dealer: what any one of them sees says nothing (honest majority).

Araki et al. 2016 (a product is one round, and one number from each party); Wagh et al. 2021, "Falcon", whose
name SyMPC took. Component i of a value is held by the parties i and i-1 (modulo 3), who also share a key i:
numbers that follow from it are known to these two and need no message.

:class:`Falcon` is against parties that follow the protocol, :mod:`~syft_ext.mpc.falcon_abort` against one that
does not.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar

import torch

from syft_ext.mpc.engine import Given, Job, ShareRound, Steps
from syft_ext.mpc.ring import WordStream, add_product, apply, truncated
from syft_ext.mpc.shares import ReplicatedSharedTensor, ShareTensor
from syft_ext.mpc.words import WordEngine, Words, bit_like

__all__ = ["Falcon"]

_LOW = (1 << 63) - 1
_SHIFT = 1 << 62


class Falcon(WordEngine):
    """One of three parties; ``keys``: those of the components that it holds, its own and the next one's."""

    parties: ClassVar[int] = 3

    def __init__(
        self, index: int, precision: int, keys: tuple[bytes, bytes], coins: bytes, *, dry: bool = False
    ) -> None:
        super().__init__(index, precision, coins, dry=dry)
        self._own, self._next = map(WordStream, keys)
        self.before, self.after = (index - 1) % 3, (index + 1) % 3

    def _handed_down(self, tensors: list[torch.Tensor]) -> Steps[list[torch.Tensor]]:
        """Own components to the party before, who holds them too; the next ones from the party after."""
        mail = yield ShareRound({self.before: tensors}, {self.after: tensors})
        return mail[self.after]

    def _at(self, place: int, held: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        """``held``, which stands for the two components that this party holds, at one place, 0 at the others."""
        return tuple(
            each if (self.index + offset) % 3 == place else torch.zeros_like(each)
            for offset, each in enumerate(held)
        )

    # -- shares ---------------------------------------------------------------------------------------

    def constant(self, raw: torch.Tensor, fraction: int, bound: int) -> ShareTensor:
        return ReplicatedSharedTensor(self._at(0, (raw, raw)), fraction, bound)

    def deal(self, inputs: Sequence[Given]) -> Steps[list[ShareTensor]]:
        """The owner's component follows from a key, the next is what is missing, the third 0. Each is known to the
        owner and one other: no two others can be dealt different ones."""
        masked: list[torch.Tensor] = []
        awaited: list[torch.Tensor] = []
        held: list[list[torch.Tensor | None]] = []
        for each in inputs:
            shape = tuple(each.raw.shape)
            if each.owner == self.index:
                mask = self._own.words(shape)
                masked.append(each.raw - mask)
                held.append([mask, masked[-1]])
            elif each.owner == self.after:
                held.append([torch.zeros_like(each.raw), self._next.words(shape)])
            else:
                awaited.append(each.raw)
                held.append([None, torch.zeros_like(each.raw)])
        mail = yield ShareRound({self.after: masked}, {self.before: awaited})
        came = iter(mail[self.before])
        return [
            ReplicatedSharedTensor(
                tuple(next(came) if part is None else part for part in parts), each.fraction, each.bound
            )
            for each, parts in zip(inputs, held, strict=True)
        ]

    def open(self, values: Sequence[ShareTensor]) -> Steps[list[torch.Tensor]]:
        mine = [value.parts[0] for value in values]
        mail = yield ShareRound({self.after: mine}, {self.before: mine})
        return [
            value.parts[0] + value.parts[1] + missing
            for value, missing in zip(values, mail[self.before], strict=True)
        ]

    # -- products -------------------------------------------------------------------------------------

    def products(self, jobs: Sequence[Job]) -> Steps[list[ShareTensor]]:
        mine = []
        for kernel, x, y in jobs:
            part = apply(kernel, x.parts[0], y.parts[0] + y.parts[1])
            add_product(kernel, part, x.parts[1], y.parts[0])
            shape = tuple(part.shape)
            part += self._own.words(shape)  # these three differences add up to 0: a share of nothing
            part -= self._next.words(shape)
            mine.append(part)
        theirs = yield from self._handed_down(mine)
        return [
            replace(x, parts=(own, other)) for (_, x, _), own, other in zip(jobs, mine, theirs, strict=True)
        ]

    def truncate(self, value: ShareTensor, bits: int) -> Steps[ShareTensor]:
        """As :meth:`Beaver.truncate` between the parties 0 and 1; the party 2 makes the random word, of which each
        of them knows a half, and sees nothing of what they open. Two rounds."""
        shape = value.shape
        if self.index == 2:
            return (yield from self._words_for_truncation(value, bits))
        if self.index == 0:
            word, top, high, mask = (self._own.words(shape) for _ in range(4))
            word += value.parts[0]
            word += value.parts[1]
            word += _SHIFT
            mail = yield ShareRound({1: [word]}, {1: [word]})
            theirs = mail[1][0]
        else:
            word, mask = (self._next.words(shape) for _ in range(2))
            word += value.parts[1]
            mail = yield ShareRound({0: [word]}, {0: [word], 2: [word, word]})
            (theirs,), (top, high) = mail[0], mail[2]
        part, public = truncated(word + theirs, top, bits)
        part -= high
        part -= mask
        if self.index == 0:
            part += public
        other = 1 - self.index
        mail = yield ShareRound({other: [part]}, {other: [part]})
        middle = part + mail[other][0]
        return replace(value, parts=(mask, middle) if self.index == 0 else (middle, mask))

    def _words_for_truncation(self, value: ShareTensor, bits: int) -> Steps[ShareTensor]:
        shape = value.shape
        word, last = (self._own.words(shape) for _ in range(2))
        other, top, high, first = (self._next.words(shape) for _ in range(4))
        word += other
        yield ShareRound({1: [((word >> 63) & 1) - top, ((word & _LOW) >> bits) - high]}, {})
        yield ShareRound({}, {})  # the two others put together what this party does not hold
        return replace(value, parts=(last, first))

    # -- words ----------------------------------------------------------------------------------------

    def summands(self, value: ShareTensor) -> list[Words]:
        return [self._at(place, value.parts) for place in range(3)]

    def conjunctions(self, left: Words, rights: Sequence[Words]) -> Steps[list[Words]]:
        mine = []
        for right in rights:
            part = left[0] & (right[0] ^ right[1])
            part ^= left[1] & right[0]
            shape = tuple(part.shape)
            part ^= self._own.words(shape)
            part ^= self._next.words(shape)
            mine.append(part)
        theirs = yield from self._handed_down(mine)
        return list(zip(mine, theirs, strict=True))

    def arithmetic(self, bits: Words, like: ShareTensor) -> Steps[ShareTensor]:
        """x ⊕ y = x + y - 2xy, twice."""
        found, *more = [bit_like(like, self._at(place, bits)) for place in range(3)]
        for each in more:
            (both,) = yield from self.products([("mul", found, each)])
            parts = zip(found.parts, each.parts, both.parts, strict=True)
            found = replace(found, parts=tuple(a + b - 2 * c for a, b, c in parts))
        return found
