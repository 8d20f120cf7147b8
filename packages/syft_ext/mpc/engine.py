"""One party's side of a computation on shares, whatever the protocol: linear operations, products, range checks.

Sans-IO: what needs the others is a generator that yields rounds (what to send to whom, and what is to come from
whom) and is sent what came.

**Ranges.** Every shared tensor carries a bound that follows from public knowledge. Where the bounds of a product's
operands do not prove that it cannot wrap around, a *check* is noted: that an operand lies where it must. What
checks find stays shared until all are settled together, at the end, before anything is opened: if one failed, so
does the run (:class:`OutOfRange`), and nobody learns more than that one bit. When a run ends says nothing of a
value: a plan of a thousand steps could tell a number by the step at which it leaves its range.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias, TypeVar

import torch

from syft_ext.errors import Unsupported
from syft_ext.mpc.fixed import encode, public_scale
from syft_ext.mpc.ring import LIMIT, Kernel, WordStream, apply
from syft_ext.mpc.shares import ShareTensor

__all__ = ["Given", "Job", "Mail", "ShareEngine", "ShareRound", "Steps"]

T = TypeVar("T")
Mail: TypeAlias = dict[int, list[torch.Tensor]]
"""Party → tensors: int64 words, or uint8 where bits are packed."""
Job: TypeAlias = tuple[Kernel, ShareTensor, ShareTensor]


@dataclass(frozen=True, slots=True)
class ShareRound:
    """What a party sends, and what it waits for: tensors like those that are to come, in shape and dtype."""

    sent: Mail
    awaited: Mail


Steps: TypeAlias = Generator[ShareRound, Mail, T]


@dataclass(frozen=True, slots=True)
class Given:
    """An input: the ``owner`` knows ``raw``; to the others it says no more than a shape."""

    owner: int
    raw: torch.Tensor
    fraction: int
    bound: int


class ShareEngine(ABC):
    """Attributes:
    index: which of the parties this is. precision: bits behind the point.

    dry: it runs without values, to find what it sends and asks for: whatever its checks find is meaningless.

    ``coins`` is a key of random numbers that all parties know, and nobody knew before the session began.
    """

    parties: ClassVar[int]

    def __init__(self, index: int, precision: int, coins: bytes, *, dry: bool = False) -> None:
        self.index, self.precision, self.dry, self.device = index, precision, dry, "cpu"
        self._coins = WordStream(coins)
        self._checks: list[tuple[ShareTensor, int]] = []
        self._waiting = 0

    # -- what a protocol is ---------------------------------------------------------------------------

    @abstractmethod
    def constant(self, raw: torch.Tensor, fraction: int, bound: int) -> ShareTensor:
        """A public tensor as a share of it."""

    @abstractmethod
    def deal(self, inputs: Sequence[Given]) -> Steps[list[ShareTensor]]:
        """Shares of the parties' inputs, which all parties name in one order; in one round."""

    @abstractmethod
    def products(self, jobs: Sequence[Job]) -> Steps[list[ShareTensor]]:
        """Products without truncation, in one round. Bounds are the caller's to keep."""

    @abstractmethod
    def truncate(self, value: ShareTensor, bits: int) -> Steps[ShareTensor]:
        """Divide by 2^``bits``: off by less than one step to either side, unbiased; the size must be at most
        :data:`LIMIT`."""

    @abstractmethod
    def open(self, values: Sequence[ShareTensor]) -> Steps[list[torch.Tensor]]:
        """The values, as whole numbers, to all parties."""

    @abstractmethod
    def signs(self, value: ShareTensor) -> Steps[ShareTensor]:
        """1 where the value is negative, else 0."""

    @abstractmethod
    def digits(self, value: ShareTensor, low: int, count: int) -> Steps[ShareTensor]:
        """Binary digits low … low+count-1 along a new last dimension, and behind them the sign."""

    @abstractmethod
    def leading(self, value: ShareTensor, count: int) -> Steps[ShareTensor]:
        """For a value in [1, 2^count): 1 at the place of its highest digit, 0 elsewhere, along a new last
        dimension."""

    # -- linear ---------------------------------------------------------------------------------------

    def public(self, values: torch.Tensor | float, fraction: int) -> ShareTensor:
        """A public tensor or number with that many bits behind the point."""
        tensor = torch.as_tensor(values, dtype=torch.float64)
        largest = max(float(tensor.abs().max()) if tensor.numel() else 0.0, 2.0**-fraction)
        raw = encode(tensor, fraction, largest)
        return self.constant(raw.to(self.device), fraction, math.ceil(largest * (1 << fraction)))

    def aligned(self, value: ShareTensor, fraction: int) -> ShareTensor:
        """With more bits behind the point."""
        up = fraction - value.fraction
        if not up:
            return value
        value = self.within(value, LIMIT >> up)
        return replace(value.each(lambda part: part << up, value.bound << up), fraction=fraction)

    def add(self, left: ShareTensor, right: ShareTensor) -> ShareTensor:
        """The sum, broadcast."""
        fraction = max(left.fraction, right.fraction)
        left, right = self.aligned(left, fraction), self.aligned(right, fraction)
        bound = left.bound + right.bound
        if bound > LIMIT:
            left, right = self.within(left, LIMIT // 2), self.within(right, LIMIT // 2)
            bound = left.bound + right.bound
        parts = tuple(a + b for a, b in zip(left.parts, right.parts, strict=True))
        return replace(left, parts=parts, bound=bound)

    def neg(self, value: ShareTensor) -> ShareTensor:
        """Minus the value."""
        return value.each(torch.neg)

    def sub(self, left: ShareTensor, right: ShareTensor) -> ShareTensor:
        """The difference, broadcast."""
        return self.add(left, self.neg(right))

    def total(self, value: ShareTensor, dims: Sequence[int], *, keep: bool = False) -> ShareTensor:
        """The sum along dimensions; without any: of all."""
        dims = list(dims) or list(range(len(value.shape)))
        count = math.prod(value.shape[dim] for dim in dims)
        value = self.within(value, LIMIT // max(count, 1))
        if not dims:
            return value
        return value.each(lambda part: part.sum(dims, keepdim=keep), value.bound * max(count, 1))

    def times(self, value: ShareTensor, raw: torch.Tensor, fraction: int, largest: int) -> ShareTensor:
        """Times public whole numbers with ``fraction`` bits behind the point, no larger than ``largest``."""
        value = self.within(value, LIMIT // largest)
        raw = raw.to(self.device)
        return replace(
            value.each(lambda part: part * raw, value.bound * largest), fraction=value.fraction + fraction
        )

    # -- ranges ---------------------------------------------------------------------------------------

    def within(self, value: ShareTensor, limit: int) -> ShareTensor:
        """The value, which is to be checked if its bound does not say that it is no larger than ``limit``."""
        if value.bound <= limit:
            return value
        if limit < 1:
            raise Unsupported("so many numbers of this size cannot be added without wrapping around")
        bits = limit.bit_length() - 1
        self.require(self.shifted(value, 1 << bits), bits + 1)
        return replace(value, bound=1 << bits)

    def shifted(self, value: ShareTensor, by: int) -> ShareTensor:
        """Plus a whole number, modulo 2⁶⁴; the bound is the caller's to keep."""
        number = self.constant(torch.tensor(by, device=self.device), 0, 1)
        parts = tuple(a + b for a, b in zip(value.parts, number.parts, strict=True))
        return replace(value, parts=parts)

    def toss(self) -> Steps[None]:
        """Throw new common coins, where parties could make use of knowing them before."""
        return
        yield

    def confirm(self) -> Steps[None]:
        """Before anything is opened: that all parties did what the protocol says, where that is not taken for
        granted. Raises :class:`ProtocolAborted`."""
        return
        yield

    def require(self, value: ShareTensor, bits: int) -> None:
        """Note that each number, taken as a word, must be below 2^``bits``."""
        if value.numel:
            self._checks.append((value, bits))
            self._waiting += value.numel

    @abstractmethod
    def probe(self, *, now: bool = True) -> Steps[None]:
        """Check what was noted, and keep what that found, shared, for :meth:`settle`. Not ``now``: only if much
        waits."""

    @abstractmethod
    def settle(self) -> Steps[None]:
        """Open whether any check so far failed. Raises :class:`OutOfRange`, at all parties alike."""

    # -- products -------------------------------------------------------------------------------------

    def fitting(self, kernel: Kernel, left: ShareTensor, right: ShareTensor) -> tuple[Job, int]:
        """The product as a job, its operands small enough; and its bound."""
        terms = left.shape[-1] if kernel == "matmul" else 1
        terms = max(terms, 1)
        if terms * left.bound * right.bound > LIMIT:
            root = math.isqrt(LIMIT // terms)
            if left.bound <= root:
                right = self.within(right, LIMIT // (terms * left.bound))
            elif right.bound <= root:
                left = self.within(left, LIMIT // (terms * right.bound))
            else:
                left, right = self.within(left, root), self.within(right, root)
        return (kernel, left, right), terms * left.bound * right.bound

    def multiply_all(self, jobs: Sequence[Job]) -> Steps[list[ShareTensor]]:
        """Products with their full number of bits behind the point, in one round."""
        fitted = [self.fitting(*job) for job in jobs]
        found = yield from self.products([job for job, _ in fitted])
        yield from self.probe(now=False)
        return [
            replace(each, fraction=left.fraction + right.fraction, bound=max(bound, 1))
            for each, ((_, left, right), bound) in zip(found, fitted, strict=True)
        ]

    def rounded(self, value: ShareTensor, fraction: int | None = None) -> Steps[ShareTensor]:
        """With at most so many bits behind the point as the session has."""
        bits = value.fraction - (self.precision if fraction is None else fraction)
        if bits <= 0:
            return value
        value = self.within(value, LIMIT)
        found = yield from self.truncate(value, bits)
        return replace(found, fraction=value.fraction - bits, bound=(value.bound >> bits) + 1)

    def multiply(self, left: ShareTensor, right: ShareTensor, kernel: Kernel = "mul") -> Steps[ShareTensor]:
        """The elementwise (broadcast) or the matrix product, rounded."""
        (found,) = yield from self.multiply_all([(kernel, left, right)])
        return (yield from self.rounded(found))

    def multiply_public(
        self, value: ShareTensor, factor: torch.Tensor | float, kernel: Kernel = "mul", *, first: bool = False
    ) -> Steps[ShareTensor]:
        """With a public tensor; ``first``: that is the left one."""
        raw, fraction, largest = public_scale(torch.as_tensor(factor, dtype=torch.float64))
        if kernel == "mul":
            return (yield from self.rounded(self.times(value, raw, fraction, largest)))
        terms = max(value.shape[-2 if first else -1], 1)
        value = self.within(value, LIMIT // (largest * terms))
        raw = raw.to(self.device)
        linear: Callable[[torch.Tensor], torch.Tensor] = (
            (lambda part: apply(kernel, raw, part)) if first else (lambda part: apply(kernel, part, raw))
        )
        found = replace(value.each(linear, value.bound * largest * terms), fraction=value.fraction + fraction)
        return (yield from self.rounded(found))
