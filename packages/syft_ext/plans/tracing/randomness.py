"""Randomness inside a plan: a counter-based hash of an explicit seed.

``uniform[i] = hash(seed, call site, i)`` in plain int64 operations (lowbias32), so that dropout draws the same
masks in torch, in ONNX Runtime and in a browser. It serves dropout, shuffling and initialisation; it is not
cryptographic: noise for differential privacy and masks of secure aggregation never come from a plan.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from syft_ext.plans.tracing.errors import TraceError, user_line

__all__ = ["Randomness"]

aten = torch.ops.aten
_MASK = 0xFFFFFFFF


def _shift(words: torch.Tensor, bits: int) -> torch.Tensor:
    shifted: torch.Tensor = aten.bitwise_right_shift.Tensor_Scalar(words, bits)
    return shifted


def _mix(words: torch.Tensor) -> torch.Tensor:
    """lowbias32 (Chris Wellons, hash-prospector) on 32-bit words held in int64."""
    words = words ^ _shift(words, 16)
    words = (words * 0x7FEB352D) & _MASK
    words = words ^ _shift(words, 15)
    words = (words * 0x846CA68B) & _MASK
    return words ^ _shift(words, 16)


class Randomness:
    """Replaces the random operations of a traced function; ``seed`` is the plan's 0-dim int64 input."""

    def __init__(self) -> None:
        self.seed: torch.Tensor | None = None
        self.site = 0

    def start(self, seed: torch.Tensor | None) -> None:
        """Begin a tracing pass."""
        self.seed, self.site = seed, 0

    def uniform(self, shape: Sequence[Any], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Values in [0, 1) with 24 random bits."""
        if self.seed is None:
            line = user_line()
            raise TraceError(
                f"{line} draws random numbers, and the plan has no seed",
                hint="add an argument named seed, e.g. `seed=Int(0)`, and pass a fresh number at every call",
                file=line.file,
                line=line.number,
            )
        self.site += 1
        count = 1
        for size in shape:
            count = count * size
        # SplitMix-style: one word per call site, then one word per element, keyed twice.
        key = _mix((self.seed * 0x9E3779B1 + self.site * 0x85EBCA77) & _MASK)
        words = _mix((aten.arange.start_step(0, count, 1, dtype=torch.int64) + key) & _MASK)
        words = _mix(words ^ key)
        return (_shift(words, 8).to(torch.float32) * (1.0 / (1 << 24))).view(shape).to(dtype)

    def normal(self, shape: Sequence[Any], dtype: torch.dtype = torch.float32) -> torch.Tensor:
        """Standard normal values (Box-Muller)."""
        first, second = 1.0 - self.uniform(shape), self.uniform(shape)
        return (torch.sqrt(-2.0 * torch.log(first)) * torch.cos(2 * math.pi * second)).to(dtype)

    def table(self) -> dict[Any, Callable[..., Any]]:
        """Decompositions of ATen's random operations."""

        def dtype_of(options: dict[str, Any], like: torch.Tensor | None = None) -> torch.dtype:
            return options.get("dtype") or (torch.get_default_dtype() if like is None else like.dtype)

        def bernoulli(x: torch.Tensor, p: Any = None, **_: Any) -> torch.Tensor:
            return (self.uniform(x.shape) < (x if p is None else p)).to(x.dtype)

        def bernoulli_(x: torch.Tensor, p: float = 0.5, **_: Any) -> torch.Tensor:
            return x.copy_(bernoulli(x, p))

        def normal_(x: torch.Tensor, mean: float = 0.0, std: float = 1.0, **_: Any) -> torch.Tensor:
            return x.copy_(self.normal(x.shape, x.dtype) * std + mean)

        def uniform_(x: torch.Tensor, low: float = 0.0, high: float = 1.0, **_: Any) -> torch.Tensor:
            return x.copy_(self.uniform(x.shape, x.dtype) * (high - low) + low)

        def randint(low: int, high: int, size: Sequence[Any], options: dict[str, Any]) -> torch.Tensor:
            values = torch.floor(self.uniform(size) * (high - low)) + low
            return values.to(options.get("dtype") or torch.int64)

        return {
            aten.bernoulli_.float: bernoulli_,
            aten.bernoulli.p: bernoulli,
            aten.bernoulli.default: bernoulli,
            aten.rand.default: lambda size, **k: self.uniform(size, dtype_of(k)),
            aten.rand_like.default: lambda x, **k: self.uniform(x.shape, dtype_of(k, x)),
            aten.randn.default: lambda size, **k: self.normal(size, dtype_of(k)),
            aten.randn_like.default: lambda x, **k: self.normal(x.shape, dtype_of(k, x)),
            aten.randint.default: lambda high, size, **k: randint(0, high, size, k),
            aten.randint.low: lambda low, high, size, **k: randint(low, high, size, k),
            # A permutation: the order that sorts fresh random numbers.
            aten.randperm.default: lambda n, **k: torch.argsort(self.uniform([n])),
            aten.normal_.default: normal_,
            aten.uniform_.default: uniform_,
        }
