"""What calls are made of: tensors of every type and shape, with what is special among their elements."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import Any

import torch

from syft_ext.plans.graph.dtypes import DTYPES

__all__ = ["WHOLE", "Call", "Draw", "name_of"]

Call = tuple[list[Any], dict[str, Any]]
"""Arguments by position and by name; types are written as ``("d", "f32")``."""

FLOATS = ("f32", "f64")
WHOLE = ("i64", "i32", "i16", "i8", "u8")
_NUMBERS = (0, 1, -1, 2, 3, 0.5, -0.5, -1.5, 7, 2.75, math.inf, math.nan)


class Draw:
    """What one call is made of. The same seed draws the same."""

    def __init__(self, seed: str) -> None:
        self.random = Random(seed)
        self.tame = False
        """Without infinities and what overflows: where a mean or a deviation of those comes out otherwise,
        nobody cares."""
        self.numbers = torch.Generator().manual_seed(self.random.randrange(1 << 30))

    def one(self, *of: Any) -> Any:
        return self.random.choice(of)

    def chance(self, p: float) -> bool:
        return self.random.random() < p

    def shape(self, rank: int | None = None, low: int = 0) -> list[int]:
        rank = self.one(0, 1, 1, 2, 2, 3, 4) if rank is None else rank
        return [
            max(low, self.one(0, 1, 2, 3, 3, 4, 5) if self.chance(0.15) else self.one(1, 2, 3, 4, 5))
            for _ in range(rank)
        ]

    def dtype(self, *of: str) -> str:
        found: str = self.one(*of) if of else self.one("f32", "f32", "f32", *FLOATS, *WHOLE, "b")
        return found

    def values(self, shape: Sequence[int], dtype: str) -> torch.Tensor:
        kind, t = self.random.random(), DTYPES[dtype]
        if dtype == "b":
            return torch.rand(list(shape), generator=self.numbers) < 0.5
        if dtype in WHOLE:
            info = torch.iinfo(t)
            low, high = (-3, 4) if kind < 0.7 else (info.min, info.max)
            made = torch.randint(max(low, info.min), high, list(shape), generator=self.numbers)
            return made.to(t)
        x = torch.randn(list(shape), generator=self.numbers, dtype=torch.float64)
        if kind < 0.2:
            x = x.round()  # equals
        elif kind < 0.35:
            x = x * (3 if self.tame else 30)
        elif kind < 0.4 and self.tame:
            x = torch.where(torch.rand(x.shape, generator=self.numbers) < 0.1, math.nan, x)
        elif kind < 0.5 and x.numel() and not self.tame:
            special = torch.tensor(
                [math.nan, math.inf, -math.inf, 0.0, -0.0, 1e30, -1e-30], dtype=torch.float64
            )
            at = torch.rand(x.shape, generator=self.numbers) < 0.3
            x = torch.where(at, special[torch.randint(0, 7, x.shape, generator=self.numbers)], x)
        return x.to(t)

    def tensor(self, shape: Sequence[int] | None = None, dtype: str | None = None) -> torch.Tensor:
        shape = self.shape() if shape is None else shape
        return self.values(shape, dtype or self.dtype())

    def floats(self, shape: Sequence[int] | None = None, low: int = 0) -> torch.Tensor:
        return self.tensor(
            self.shape(low=low) if shape is None else shape, self.dtype("f32", "f32", "f32", "f64")
        )

    def broadcast(self, shape: Sequence[int]) -> list[int]:
        if self.chance(0.5):
            return list(shape)
        made = [1 if self.chance(0.3) else size for size in shape]
        return made[self.random.randrange(len(made) + 1) :] if self.chance(0.3) else made

    def axis(self, x: torch.Tensor) -> int:
        return self.random.randrange(-max(x.dim(), 1), max(x.dim(), 1))

    def axes(self, x: torch.Tensor) -> list[int]:
        count = self.random.randrange(x.dim() + 1)
        chosen = self.random.sample(range(x.dim()), count)
        return [axis - x.dim() if self.chance(0.3) else axis for axis in chosen]

    def places(self, shape: Sequence[int], size: int, dtype: str = "i64") -> torch.Tensor:
        low, high = (-size, size) if self.chance(0.05) else (0, size)
        if self.chance(0.05):
            high += 2
        return torch.randint(low, max(high, low + 1), list(shape), generator=self.numbers).to(DTYPES[dtype])

    def number(self, *of: Any) -> Any:
        return self.one(*(of or _NUMBERS))


def name_of(x: torch.Tensor) -> str:
    return next(name for name, dtype in DTYPES.items() if dtype is x.dtype)
