"""Exact noise on whole numbers: the discrete Gaussian and the discrete Laplace distribution.

P(y) ∝ exp(−y²/2σ²) and P(y) ∝ exp(−|y|/s), for whole y (C. Canonne, G. Kamath, T. Steinke, "The discrete Gaussian
for differential privacy", 2020). Noise made of floating-point numbers gives away in its last bits what it was to
hide (I. Mironov, "On significance of the least significant bits for differential privacy", 2012); here it is
whole, and so must be what it is added to (:mod:`syft_ext.privacy.grid`).

**How it is drawn.** Rejection from strips: the numbers from 0 on are cut into strips of one width, a power of two.
Each has a whole weight of at least its first, likeliest number's probability (scaled), and all weights with that
of refusal add up to 2^63: one word chooses strip and sign exactly (A. Walker's alias method), one the place in
the strip, one is compared with the probability to be kept. This comparison is made in floating point where the
two are 2^−40 or more apart, a thousand times more than any rounding there; nearer ones are decided by integer
arithmetic with as many more bits as it takes. So no decision ever depends on a rounding, a library or a machine,
and the same key gives the same noise everywhere. Only the far end is cut off: less than 2^−180 of the mass (beyond
15.9 σ, or 127 s). That is the statistical distance of one draw; 2^50 draws together are within 2^−130.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from fractions import Fraction
from functools import lru_cache
from math import isqrt
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.privacy.exponential import exp_bounds
from syft_ext.privacy.keys import KEY_SIZE, KeyStream, derive_key, fresh_key

__all__ = ["DiscreteGaussian", "DiscreteLaplace", "Distribution", "Draws"]

_TOTAL_BITS = 63
_PRECISION = 192  # of the weights and of what follows from them, in bits
_MARGIN = 2.0**-40
_BATCH = 1 << 14  # candidates at a time: their arrays fit the cache
_LARGEST = (1 << 63) - 1
_WIDEST = 1 << 51  # of a strip: below, its places are exact in a double


class Distribution(ABC):
    """A symmetric distribution on the whole numbers that falls from 0 on: P(y) ∝ exp(−energy(|y|)).

    Attributes:
        name: what its sequences follow from, beside a key and the parameter.
        largest: no draw is further from 0.
    """

    name: ClassVar[str]
    #: log2 of how many strips there are, with the one that refuses.
    slot_bits: ClassVar[int]

    def __init__(self, spread: Fraction, strips_per_spread: int) -> None:
        if not spread > 0:
            raise ValueError("noise has a positive spread")
        # The widest power of two of which at least so many make up the spread; single numbers, if none does.
        whole = int(spread / strips_per_spread)
        self._width = 1 << max(0, whole.bit_length() - 1)
        if self._width > _WIDEST:
            raise ValueError("so much noise does not fit into 64 bits")
        self.largest = ((1 << self.slot_bits) - 1) * self._width - 1

    @property
    @abstractmethod
    def parameter(self) -> Fraction:
        """What it is made from."""

    @abstractmethod
    def energy(self, y: int) -> Fraction:
        """What P(y) is the exponential of, negative, for y ≥ 0."""

    @abstractmethod
    def excess(self, first: NDArray[Any], place: NDArray[Any]) -> NDArray[Any]:
        """energy(first + place) − energy(first) in floating point, for whole numbers in float64."""

    def draws(self, key: bytes | None = None) -> Draws:
        """Noise that follows from this key (32 bytes), None: from one that nobody can make again."""
        return Draws(self, fresh_key() if key is None else key)

    # -- what draws need

    def candidates(self, words: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
        """From rows of three words: numbers, whether each is kept, and which of them are not decided yet."""
        table = _strips_of(type(self), self.parameter)
        choice, places, uniforms = words[:, 0], words[:, 1], words[:, 2]
        slots = (choice >> np.uint64(64 - self.slot_bits)).astype(np.intp)
        fractions = choice & np.uint64(table.capacity - 1)
        strips = np.where(fractions < table.thresholds[slots], slots, table.aliases[slots])
        first = strips * self._width
        place = (places & np.uint64(self._width - 1)).astype(np.int64)
        chance = table.ratios[strips] * np.exp(
            -self.excess(first.astype(np.float64), place.astype(np.float64))
        )
        distance = (uniforms >> np.uint64(11)).astype(np.float64) * 2.0**-53 - chance
        values = first + place
        negative = (choice >> np.uint64(table.sign_bit) & np.uint64(1)).astype(np.bool_)
        refused = (strips == table.refusal) | (negative & (values == 0))
        near = np.abs(distance) < _MARGIN
        kept = (distance < 0) & ~refused & ~near
        np.negative(values, out=values, where=negative)
        return values, kept, np.flatnonzero(near & ~refused)

    def decide(self, value: int, uniform: int, more: KeyStream) -> bool:
        """Whether a candidate is kept, decided exactly.

        Args:
            uniform: the first 53 bits of a uniform number in [0, 1).
            more: its further ones.
        """
        table = _strips_of(type(self), self.parameter)
        size, bits = abs(value), 53
        energy, weight = self.energy(size), table.weights[size // self._width]
        while True:
            low, high = exp_bounds(energy, bits + 64 + table.scale.bit_length())
            # uniform · 2^−bits  <  scale · e^−energy / weight, with scale in units of 2^−_PRECISION
            shift = 64 + table.scale.bit_length() + _PRECISION
            if (uniform + 1) * weight << shift <= table.scale * low:
                return True
            if uniform * weight << shift >= table.scale * high:
                return False
            uniform, bits = uniform << 64 | more.bits(64), bits + 64

    @property
    def width(self) -> int:
        """How many numbers a strip has: a power of two."""
        return self._width


class _Strips:
    """Strips with their weights, ready to be chosen from."""

    def __init__(self, distribution: Distribution) -> None:
        slots = 1 << distribution.slot_bits
        self.refusal = slots - 1
        self.capacity = 1 << (_TOTAL_BITS - distribution.slot_bits)
        self.sign_bit = _TOTAL_BITS - distribution.slot_bits
        energies = [distribution.energy(strip * distribution.width) for strip in range(slots - 1)]
        bounds = [exp_bounds(energy, _PRECISION) for energy in energies]
        room, whole = (1 << _TOTAL_BITS) - slots, sum(high for _, high in bounds)
        #: What a probability is multiplied by to become a weight: ``scale / 2^_PRECISION``.
        self.scale = (room << 2 * _PRECISION) // whole
        self.weights = [-(-self.scale * high >> 2 * _PRECISION) for _, high in bounds]
        refusal = (1 << _TOTAL_BITS) - sum(self.weights)
        assert refusal > 0
        self.ratios = np.array(
            [
                float(Fraction(self.scale * low, weight << 2 * _PRECISION))
                for (low, _), weight in zip(bounds, self.weights, strict=True)
            ]
            + [0.0]
        )
        self.thresholds, self.aliases = _aliases([*self.weights, refusal], self.capacity)


@lru_cache(maxsize=128)
def _strips_of(kind: Callable[[Fraction], Distribution], parameter: Fraction) -> _Strips:
    """Making the tables takes milliseconds, and the same noise is asked for again."""
    return _Strips(kind(parameter))


def _aliases(weights: list[int], capacity: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Walker's tables: slot i stands for itself below its threshold, for its alias from there on.

    Weights add up to ``capacity`` for each slot: whole numbers, so that every slot comes as often as it should.
    """
    left = list(weights)
    thresholds, aliases = np.full(len(left), capacity, np.uint64), np.arange(len(left))
    small = [i for i, weight in enumerate(left) if weight < capacity]
    large = [i for i, weight in enumerate(left) if weight >= capacity]
    while small:
        poor, rich = small.pop(), large[-1]
        thresholds[poor], aliases[poor] = left[poor], rich
        left[rich] -= capacity - left[poor]
        if left[rich] < capacity:
            small.append(large.pop())
    return thresholds, aliases


class DiscreteGaussian(Distribution):
    """P(y) ∝ exp(−y²/2σ²). Added to a sum of whole vectors that differ by an L2 norm of at most Δ, a release is
    (Δ²/2σ²)-zCDP, as with the continuous one (Canonne, Kamath, Steinke 2020, theorem 14).

    Args:
        variance: σ², exactly. The variance of what is drawn is at most that (corollary 9), and less where σ < 1.

    Raises ``ValueError`` for what is not positive, or so large that draws do not fit (σ ≥ 2^55).
    """

    name = "discrete Gaussian"
    slot_bits = 8

    def __init__(self, variance: Fraction | int) -> None:
        variance = Fraction(variance)
        if not variance > 0:
            raise ValueError("noise has a positive spread")
        self.variance = variance
        super().__init__(_root(variance), 8)
        self._half = float(1 / (2 * variance)) if self.width > 1 else 0.0

    @property
    def parameter(self) -> Fraction:
        return self.variance

    def energy(self, y: int) -> Fraction:
        return y * y / (2 * self.variance)

    def excess(self, first: NDArray[Any], place: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = place * (2 * first + place) * self._half
        return found


class DiscreteLaplace(Distribution):
    """P(y) ∝ exp(−|y|/s). Added to a whole number that one contribution changes by Δ at most, a release is
    (Δ/s)-differentially private.

    Args:
        scale: s, exactly.

    Raises ``ValueError`` for what is not positive, or so large that draws do not fit (s ≥ 2^54).
    """

    name = "discrete Laplace"
    slot_bits = 10

    def __init__(self, scale: Fraction | int) -> None:
        self.scale = Fraction(scale)
        super().__init__(self.scale, 4)
        self._rate = float(1 / self.scale) if self.width > 1 else 0.0

    @property
    def parameter(self) -> Fraction:
        return self.scale

    def energy(self, y: int) -> Fraction:
        return y / self.scale

    def excess(self, first: NDArray[Any], place: NDArray[Any]) -> NDArray[Any]:
        found: NDArray[Any] = place * self._rate
        return found


def _root(square: Fraction) -> Fraction:
    """A rational number close above the root: strips are as wide for σ as for a little more."""
    shift = max(0, 64 - square.numerator.bit_length() + square.denominator.bit_length())
    shift += shift % 2
    return Fraction(isqrt((square.numerator << shift) // square.denominator) + 1, 1 << shift // 2)


class Draws:
    """One sequence of independent noise: how many are taken at a time makes no difference to what they are."""

    def __init__(self, distribution: Distribution, key: bytes) -> None:
        if len(key) != KEY_SIZE:
            raise ValueError(f"a key has {KEY_SIZE} bytes")
        # Two distributions with one key share no word: the difference of what they are added to stays hidden.
        parameter = distribution.parameter
        said = f"{parameter.numerator:x}/{parameter.denominator:x}"
        self._key = derive_key(key, distribution.name, said.encode())
        self._distribution, self._stream = distribution, KeyStream(self._key)
        self._seen = 0
        self._left: NDArray[Any] = np.empty(0, np.int64)

    def take(self, count: int) -> NDArray[Any]:
        """The next ``count`` numbers, as int64."""
        out = np.empty(count, np.int64)
        filled = 0
        while True:
            part = self._left[: count - filled]
            out[filled : filled + len(part)] = part
            self._left, filled = self._left[len(part) :], filled + len(part)
            if filled == count:
                return out
            missing = count - filled
            self._left = self._more(min(missing + missing // 8 + 16, _BATCH))

    def add(self, values: NDArray[Any]) -> None:
        """Add the next numbers to a flat int64 array, in place.

        Raises :class:`BadRequest`, and leaves it as it was, if a sum might not fit into 64 bits.
        """
        if values.dtype != np.int64:
            raise TypeError("noise of whole numbers is added to int64")
        room = _LARGEST - self._distribution.largest
        if len(values) and (int(values.max()) > room or int(values.min()) < -room):
            raise BadRequest("these numbers and their noise do not fit into 64 bits")
        for start in range(0, len(values), _BATCH):
            part = values[start : start + _BATCH]
            part += self.take(len(part))

    def _more(self, candidates: int) -> NDArray[Any]:
        words = self._stream.words(3 * candidates).reshape(candidates, 3)
        values, kept, open_ones = self._distribution.candidates(words)
        for index in open_ones.tolist():
            more = KeyStream(derive_key(self._key, "more bits", (self._seen + index).to_bytes(8, "big")))
            kept[index] = self._distribution.decide(int(values[index]), int(words[index, 2]) >> 11, more)
        self._seen += candidates
        accepted: NDArray[Any] = values[kept]
        return accepted
