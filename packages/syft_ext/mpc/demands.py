"""What a program asks of the dealer, in its order: the shapes of random numbers that belong together.

A program's demands follow from its text and from shapes, never from values, so parties and dealer list them
alike and need not talk about them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import torch

from syft_ext.errors import ProtocolAborted
from syft_ext.mpc.ring import WORD, Kernel, WordStream, apply

__all__ = [
    "Bits",
    "Conjunctions",
    "Correlations",
    "Dealer",
    "Demand",
    "DemandList",
    "Product",
    "Supply",
    "Truncation",
]

_LOW = (1 << 63) - 1
Shape: TypeAlias = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Product:
    """A Beaver triple: a, b and their product (Beaver 1991)."""

    kernel: Kernel
    left: Shape
    right: Shape


@dataclass(frozen=True, slots=True)
class Conjunctions:
    """Words a, b₁ … bₙ and a ∧ b₁ … a ∧ bₙ, shared by XOR."""

    count: int
    shape: Shape


@dataclass(frozen=True, slots=True)
class Truncation:
    """A uniform word r, its top bit, and its other bits shifted to the right (Escudero et al. 2020, section 5)."""

    shape: Shape
    bits: int


@dataclass(frozen=True, slots=True)
class Bits:
    """Random bits, shared by XOR and by addition."""

    shape: Shape


Demand: TypeAlias = Product | Conjunctions | Truncation | Bits


class Correlations(Protocol):
    """Where a party takes its part of what the dealer made."""

    def take(self, demand: Demand) -> list[torch.Tensor]:
        """This party's part, as int64."""


def _seeded(demand: Demand, stream: WordStream, *, whole: bool) -> list[torch.Tensor]:
    """What follows from a party's stream. ``whole``: also what only the first party draws."""
    match demand:
        case Product(kernel, left, right):
            drawn = [stream.words(left), stream.words(right)]
            derived = [_result(kernel, left, right)]
        case Conjunctions(count, shape):
            drawn, derived = [stream.words(shape) for _ in range(count + 1)], [shape] * count
        case Truncation(shape, _):
            drawn, derived = [stream.words(shape)], [shape, shape]
        case Bits(shape):
            drawn, derived = [stream.bits(shape)], [shape]
    return drawn + ([stream.words(each) for each in derived] if whole else [])


def _result(kernel: Kernel, left: Shape, right: Shape) -> Shape:
    blank = apply(kernel, torch.empty(left, device="meta"), torch.empty(right, device="meta"))
    return tuple(blank.shape)


def derived_shapes(demand: Demand) -> list[Shape]:
    """What the dealer has to send to the second party, as words."""
    match demand:
        case Product(kernel, left, right):
            return [_result(kernel, left, right)]
        case Conjunctions(count, shape):
            return [shape] * count
        case Truncation(shape, _):
            return [shape, shape]
        case Bits(shape):
            return [shape]


class Dealer:
    """Makes correlations. Both parties get a key of 16 bytes; the second one gets corrections besides.

    It sees no share of any value, and nothing of what parties say to each other.
    """

    def __init__(self, keys: tuple[bytes, bytes]) -> None:
        self._streams = WordStream(keys[0]), WordStream(keys[1])

    def corrections(self, demands: Iterable[Demand]) -> Iterator[torch.Tensor]:
        """What the second party lacks, in order: words of the derived numbers less the first party's."""
        for demand in demands:
            first = _seeded(demand, self._streams[0], whole=True)
            second = _seeded(demand, self._streams[1], whole=False)
            yield from _CORRECTIONS[type(demand)](demand, first, second)


def _product(demand: Product, first: list[torch.Tensor], second: list[torch.Tensor]) -> list[torch.Tensor]:
    a, b = first[0] + second[0], first[1] + second[1]
    return [apply(demand.kernel, a, b) - first[2]]


def _conjunctions(
    demand: Conjunctions, first: list[torch.Tensor], second: list[torch.Tensor]
) -> list[torch.Tensor]:
    a = first[0] ^ second[0]
    return [(a & (first[1 + i] ^ second[1 + i])) ^ first[1 + demand.count + i] for i in range(demand.count)]


def _truncation(
    demand: Truncation, first: list[torch.Tensor], second: list[torch.Tensor]
) -> list[torch.Tensor]:
    r = first[0] + second[0]
    return [((r >> 63) & 1) - first[1], ((r & _LOW) >> demand.bits) - first[2]]


def _bits(demand: Bits, first: list[torch.Tensor], second: list[torch.Tensor]) -> list[torch.Tensor]:
    return [(first[0] ^ second[0]) - first[1]]


_CORRECTIONS: dict[type, Callable[..., list[torch.Tensor]]] = {
    Product: _product,
    Conjunctions: _conjunctions,
    Truncation: _truncation,
    Bits: _bits,
}


class Supply:
    """One party's part, from its key and, for the second party, the dealer's corrections."""

    def __init__(self, index: int, key: bytes) -> None:
        self._index, self._stream = index, WordStream(key)
        self._given = memoryview(b"")

    def fill(self, corrections: bytes | bytearray | memoryview) -> None:
        """What the dealer sent for what runs next."""
        if self._given:
            raise ProtocolAborted("the dealer sent more than the program takes")
        self._given = memoryview(corrections)

    def take(self, demand: Demand) -> list[torch.Tensor]:
        """As :class:`Correlations`; raises :class:`ProtocolAborted` where the dealer sent too little."""
        found = _seeded(demand, self._stream, whole=self._index == 0)
        if self._index == 1:
            found += [self._correction(shape) for shape in derived_shapes(demand)]
        return found

    def _correction(self, shape: Shape) -> torch.Tensor:
        size = WORD * math.prod(shape)
        if size > len(self._given):
            raise ProtocolAborted("the dealer sent less than the program takes")
        piece, self._given = self._given[:size], self._given[size:]
        if not size:
            return torch.empty(shape, dtype=torch.int64)
        return torch.frombuffer(bytearray(piece), dtype=torch.int64).reshape(shape)


class DemandList:
    """Lists the demands of a program that is run without values ."""

    def __init__(self) -> None:
        self.demands: list[Demand] = []

    def take(self, demand: Demand) -> list[torch.Tensor]:
        """Zeros of the right shapes."""
        self.demands.append(demand)
        match demand:
            case Product(kernel, left, right):
                shapes = [left, right, _result(kernel, left, right)]
            case Conjunctions(count, shape):
                shapes = [shape] * (2 * count + 1)
            case Truncation(shape, _):
                shapes = [shape] * 3
            case Bits(shape):
                shapes = [shape] * 2
        return [torch.zeros(each, dtype=torch.int64) for each in shapes]
