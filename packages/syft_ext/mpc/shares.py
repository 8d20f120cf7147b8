"""What one party holds of a shared tensor."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Self

import torch

__all__ = ["ReplicatedSharedTensor", "ShareTensor"]


@dataclass(frozen=True, slots=True)
class ShareTensor:
    """One party's share: the parties' shares add up to the value modulo 2⁶⁴.

    Attributes:
        parts: int64 tensors of one shape; one for additive sharing.
        fraction: bits behind the point of the value; 0 for whole numbers and bits.
        bound: the value's largest size as a whole number, as far as everybody knows it.
    """

    parts: tuple[torch.Tensor, ...]
    fraction: int
    bound: int

    @property
    def shape(self) -> tuple[int, ...]:
        """As of the value."""
        return tuple(self.parts[0].shape)

    @property
    def numel(self) -> int:
        """How many numbers it has."""
        return self.parts[0].numel()

    def each(self, change: Callable[[torch.Tensor], torch.Tensor], bound: int | None = None) -> Self:
        """``change``, which must be linear, on every part; ``bound``: what the result's is, if another."""
        return replace(
            self, parts=tuple(map(change, self.parts)), bound=self.bound if bound is None else bound
        )


@dataclass(frozen=True, slots=True)
class ReplicatedSharedTensor(ShareTensor):
    """One of three parties' share, replicated: party i holds the components i and i+1 (modulo 3)."""
