"""What a kernel gave, held against what was announced."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

__all__ = ["TensorType", "as_announced", "blank", "is_dense"]


class TensorType(NamedTuple):
    """dtype, shape and strides of a tensor: all that checks know of it."""

    dtype: torch.dtype
    shape: tuple[int, ...]
    strides: tuple[int, ...]

    @classmethod
    def of(cls, tensor: torch.Tensor) -> TensorType:
        """The type of ``tensor``."""
        return cls(tensor.dtype, tuple(tensor.shape), tensor.stride())

    @property
    def contiguous(self) -> bool:
        """Whether the elements lie one behind the other, the last dimension fastest."""
        return is_dense(self.shape, self.strides)


def is_dense(shape: tuple[int, ...], strides: tuple[int, ...]) -> bool:
    """Whether these strides are those of a contiguous tensor, as ``Tensor.is_contiguous`` has it."""
    if 0 in shape:
        return True
    expected = 1
    for size, stride in zip(reversed(shape), reversed(strides), strict=True):
        if size != 1 and stride != expected:
            return False
        expected *= size
    return True


def as_announced(given: Any, announced: TensorType) -> torch.Tensor:
    """``given`` with the layout that was announced: what comes after must not depend on which kernel ran.

    Raises :class:`RuntimeError` when its dtype or shape is another: everything that was checked after it was
    checked for the wrong tensor.
    """
    if (
        not isinstance(given, torch.Tensor)
        or given.dtype is not announced.dtype
        or tuple(given.shape) != announced.shape
    ):
        raise RuntimeError("an operation gave a result of another type or shape than announced")
    _, shape, strides = announced
    if given.stride() == strides:
        return given
    steps = zip(shape, given.stride(), strides, strict=True)
    if 0 in shape or all(size == 1 or mine == theirs for size, mine, theirs in steps):
        return given.as_strided(shape, strides, given.storage_offset())  # nothing lies elsewhere
    same: torch.Tensor = blank(announced).copy_(given)
    return same


def blank(announced: TensorType) -> torch.Tensor:
    """A tensor of this type, of NaN where there is one, else 0."""
    room = 1 + sum(
        (size - 1) * stride for size, stride in zip(announced.shape, announced.strides, strict=True)
    )
    fill = float("nan") if announced.dtype.is_floating_point else 0
    memory = torch.full((0 if 0 in announced.shape else room,), fill, dtype=announced.dtype)
    return memory.as_strided(announced.shape, announced.strides)
