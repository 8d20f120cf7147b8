"""Products that are proved right before anything is opened, against one party of three that does as it likes.

Furukawa et al. 2017 and Araki et al. 2017 (cut and choose): products of random numbers are made as all others are,
and mixed by coins that are thrown afterwards. Those left over are opened; a set of three is sacrificed for each
product of the program: with z = xy + e and c = ab + e', what is opened of x-a and y-b says whether e = e', and
nothing of x or y. All of a set are held against its first, and that against the program's. Whoever cheats would
have to hit exactly those three: with at least 3·2¹⁴ of them, once in 2⁴⁴. That needs no random factor, so that
zero divisors of the ring do not matter, and words are proved alike. Of an inner product only the sum is known, and
an error may hide in the set of any of its n terms: n times as often. Sets are of four there: once in M⁴/24n for M
random products, which are 4n at least.

A matrix product stands for 96 inner products of random sums of rows and of columns (Freivalds 1977; an error stays
in one of them with a probability of ¼ at least).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch

from syft_ext.mpc.ring import Kernel, WordStream

__all__ = ["Gates", "Pair", "RingGate", "WordGate", "failing", "ring_gates", "word_gates"]

_COPIES = 3
_SUMS = 96
Pair: TypeAlias = tuple[torch.Tensor, ...]
"""A party's two components."""


@dataclass(frozen=True, slots=True)
class RingGate:
    """left · right = result, modulo 2⁶⁴."""

    kernel: Kernel
    left: Pair
    right: Pair
    result: Pair

    @property
    def products(self) -> int:
        """How many numbers are multiplied in its check."""
        if self.kernel == "mul":
            return self.result[0].numel()
        rows, inner = self.left[0].shape[-2:]
        columns, shape = self.right[0].shape[-1], self.result[0].shape
        return math.prod(shape[:-2]) * min(rows * columns, _SUMS) * max(inner, 1)


@dataclass(frozen=True, slots=True)
class WordGate:
    """left ∧ right = result."""

    left: Pair
    right: Pair
    result: Pair


@dataclass(frozen=True, slots=True)
class Gates:
    """Flat: sums of left · right over their places are the results. ``places``: of each product, its result's, in
    order."""

    left: Pair
    right: Pair
    result: Pair
    places: torch.Tensor

    @property
    def copies(self) -> int:
        """Random products that are sacrificed for each."""
        return _COPIES + (self.places.numel() > self.result[0].numel())

    def pieces(self, most: int) -> Iterator[Gates]:
        """With about so many products each, none with a part of a result."""
        begin, total = 0, self.places.numel()
        while begin < total:
            last = int(self.places[min(begin + most, total) - 1])
            first = int(self.places[begin])
            end = int(torch.searchsorted(self.places, last, right=True))
            yield Gates(
                tuple(part[begin:end] for part in self.left),
                tuple(part[begin:end] for part in self.right),
                tuple(part[first : last + 1] for part in self.result),
                self.places[begin:end] - first,
            )
            begin = end


def word_gates(gates: Sequence[WordGate]) -> Gates:
    """All as one."""
    flat = [_joined(*([part.reshape(-1) for part in each.left] for each in gates))]
    flat += [_joined(*([part.reshape(-1) for part in each.right] for each in gates))]
    flat += [_joined(*([part.reshape(-1) for part in each.result] for each in gates))]
    return Gates(flat[0], flat[1], flat[2], torch.arange(flat[2][0].numel()))


def ring_gates(gates: Sequence[RingGate], coins: WordStream) -> Gates:
    """All as one; ``coins`` are thrown after the gates were made."""
    lefts, rights, results, places, known = [], [], [], [], 0
    for gate in gates:
        if gate.kernel == "mul":
            shape = gate.result[0].shape
            left, right, result = (
                [part.expand(shape).reshape(-1, 1) for part in side]
                for side in (gate.left, gate.right, gate.result)
            )
        else:
            left, right, result = _inner_products(gate, coins)
        count, inner = left[0].shape
        lefts.append([part.reshape(-1) for part in left])
        rights.append([part.reshape(-1) for part in right])
        results.append([part.reshape(-1) for part in result])
        places.append(torch.arange(known, known + count).repeat_interleave(inner))
        known += count
    return Gates(_joined(*lefts), _joined(*rights), _joined(*results), torch.cat(places))


def _joined(*pairs: Sequence[torch.Tensor]) -> Pair:
    return tuple(torch.cat(parts) for parts in zip(*pairs, strict=True))


def _inner_products(
    gate: RingGate, coins: WordStream
) -> tuple[list[torch.Tensor], list[torch.Tensor], list[torch.Tensor]]:
    """Lefts and rights (count, inner), results (count): each element, or random sums if those are fewer."""
    shape = gate.result[0].shape
    batch, rows, columns = shape[:-2], shape[-2], shape[-1]
    inner = gate.left[0].shape[-1]
    if not inner:  # nothing is added up: the result is 0
        left = [torch.zeros((*batch, rows, 1), dtype=torch.int64) for _ in gate.left]
        right = [torch.zeros((*batch, 1, columns), dtype=torch.int64) for _ in gate.right]
    else:
        left = [part.expand(*batch, rows, inner) for part in gate.left]
        right = [part.expand(*batch, inner, columns) for part in gate.right]
    turned = [part.transpose(-1, -2) for part in right]
    width = max(inner, 1)
    if rows * columns <= _SUMS:
        grid = (*batch, rows, columns, width)
        return (
            [part.unsqueeze(-2).expand(grid).reshape(-1, width) for part in left],
            [part.unsqueeze(-3).expand(grid).reshape(-1, width) for part in turned],
            [part.reshape(-1) for part in gate.result],
        )
    of_rows, of_columns = coins.bits((_SUMS, rows)), coins.bits((_SUMS, columns))
    return (
        [(of_rows @ part).reshape(-1, width) for part in left],
        [(of_columns @ part).reshape(-1, width) for part in turned],
        [((of_rows @ part) * of_columns).sum(-1).reshape(-1) for part in gate.result],
    )


def failing(words: bool, left: torch.Tensor, right: torch.Tensor, result: torch.Tensor) -> bool:
    """Whether opened products are wrong."""
    return not torch.equal(left & right if words else left * right, result)
