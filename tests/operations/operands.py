"""Operands of a fuzzer's case: described by numbers, and built in memory of exactly their size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.preconditions.results import TensorType

EXTREMES = [2**31 - 1, 2**31, -(2**31), 2**32, 2**40, 2**53, 2**62, 2**63 - 1, -(2**63), -(2**63) + 1]
FLOATS = ("f32", "f64", "f16", "bf16")
FLOAT_FILLS = ("normal", "normal", "normal", "zero", "one", "large", "some nan", "all nan", "sorted")
INTEGER_FILLS = (
    *("within", "within", "within", "around", "negative", "just past", "far past", "far before"),
    *("extremes", "one extreme", "smallest and -1", "zero", "sorted"),
)


@dataclass
class Operand:
    """``bound``: elements that index something stay below it, unless ``fill`` says otherwise."""

    shape: list[int]
    dtype: str = "f32"
    fill: str = "normal"
    strides: list[int] | None = None
    offset: int = 0
    bound: int = 4
    seed: int = 0
    _source: torch.Tensor | None = field(default=None, repr=False, compare=False)

    @property
    def layout(self) -> TensorType:
        return TensorType(DTYPES[self.dtype], tuple(self.shape), tuple(self.strides or dense(self.shape)))

    @property
    def room(self) -> int:
        """Elements of the storage."""
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.layout.strides, strict=True)
        return self.offset + 1 + sum((size - 1) * stride for size, stride in steps)

    @property
    def contiguous(self) -> bool:
        return self.offset == 0 and self.layout.contiguous

    def source(self) -> torch.Tensor:
        """The elements of the storage, in ordinary memory."""
        if self._source is None:
            values = _values(self)
            self._source = torch.from_numpy(np.ascontiguousarray(values)).to(DTYPES[self.dtype])
        return self._source

    def build(self) -> torch.Tensor:
        """A tensor whose storage ends where its last element does."""
        memory = torch.empty(self.room, dtype=DTYPES[self.dtype])
        if self.room:
            memory.copy_(self.source())
        _, shape, strides = self.layout
        return memory.as_strided(shape, strides, self.offset if self.room else 0)


def dense(shape: Sequence[int]) -> list[int]:
    return [math.prod(max(size, 1) for size in shape[place + 1 :]) for place in range(len(shape))]


def _values(operand: Operand) -> Any:
    room, dtype, fill, bound = operand.room, DTYPES[operand.dtype], operand.fill, max(operand.bound, 1)
    chance = np.random.default_rng(operand.seed)
    if operand.dtype == "b":
        return chance.random(room) < {"one": 1.0, "zero": 0.0}.get(fill, 0.5)
    if dtype.is_floating_point:
        values = chance.standard_normal(room)
        if fill == "some nan" and room:
            values[chance.integers(0, room)], values[chance.integers(0, room)] = np.nan, np.inf
        constant = {"zero": 0.0, "one": 1.0, "all nan": np.nan}.get(fill)
        if constant is not None:
            values[:] = constant
        return np.sort(values) if fill == "sorted" else values * (1e30 if fill == "large" else 1)
    smallest = 0 if operand.dtype == "u8" else torch.iinfo(dtype).min
    made = {
        "around": lambda: chance.integers(-bound - 2, bound + 3, room),
        "negative": lambda: -chance.integers(1, bound + 2, room),
        "just past": lambda: chance.integers(bound, bound + 3, room),
        "far past": lambda: chance.integers(bound, bound + 100_000, room),
        "far before": lambda: -chance.integers(bound, bound + 100_000, room),
        "smallest and -1": lambda: np.where(chance.random(room) < 0.5, smallest, -1),
        "extremes": lambda: np.array(EXTREMES, dtype="i8")[chance.integers(0, len(EXTREMES), room)],
        "zero": lambda: np.zeros(room, dtype="i8"),
        "sorted": lambda: np.sort(chance.integers(0, 10, room)),
    }
    values = made.get(fill, lambda: chance.integers(0, bound, room))()
    if fill == "one extreme" and room:
        values[chance.integers(0, room)] = EXTREMES[int(chance.integers(0, len(EXTREMES)))]
    return values
