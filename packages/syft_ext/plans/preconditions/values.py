"""Rules on elements, looked at before each call of a kernel that trusts them.

They raise :class:`ValueError`: what they say depends on data, so it is as confidential as the operand.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch

__all__ = ["InRange", "NoOverflow", "Quotient", "Targets", "ValueRule"]


class ValueRule(Protocol):
    """A rule on the elements of some operands; equal rules say the same."""

    def __call__(self, *operands: torch.Tensor) -> None: ...


@dataclass(frozen=True, slots=True)
class InRange:
    """Every element is an index in [``low``, ``high``)."""

    low: int
    high: int

    def __call__(self, *operands: torch.Tensor) -> None:
        """Args: operands: one tensor of integers, not empty."""
        smallest, largest = operands[0].aminmax()
        if smallest.item() < self.low or largest.item() >= self.high:
            raise ValueError(f"an index is not in [{self.low}, {self.high})")


@dataclass(frozen=True, slots=True)
class Targets:
    """Every element is the number of a class, or ``ignored``."""

    classes: int
    ignored: int

    def __call__(self, *operands: torch.Tensor) -> None:
        """Args: operands: one tensor of integers, not empty."""
        target = operands[0]
        smallest, largest = target.aminmax()
        if smallest.item() >= 0 and largest.item() < self.classes:
            return
        outside = (target < 0) | (target >= self.classes)
        if (outside & (target != self.ignored)).any().item():
            raise ValueError(f"a target is not in [0, {self.classes}), and not {self.ignored}")


@dataclass(frozen=True, slots=True)
class Quotient:
    """A division of integers that has a result: no divisor is 0, and nowhere is ``smallest``, the smallest
    value of the type, divided by -1. The processor stops the process for either."""

    smallest: int

    def __call__(self, *operands: torch.Tensor) -> None:
        """Args: operands: dividend and divisor, tensors of integers, none empty."""
        dividend, divisor = operands
        low, high = divisor.aminmax()
        least, most = low.item(), high.item()
        if least > 0 or most < -1:
            return
        if least == 0 or most == 0 or (divisor == 0).any().item():
            raise ValueError("a division by zero")
        if ((divisor == -1) & (dividend == self.smallest)).any().item():
            raise ValueError("the smallest integer divided by -1 has no result")


@dataclass(frozen=True, slots=True)
class NoOverflow:
    """No element is ``smallest``, the smallest value of the type: it is divided by -1."""

    smallest: int

    def __call__(self, *operands: torch.Tensor) -> None:
        """Args: operands: one tensor of integers, not empty."""
        if (operands[0] == self.smallest).any().item():
            raise ValueError("the smallest integer divided by -1 has no result")
