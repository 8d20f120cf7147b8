"""``as_strided`` where it only renames what is there: the whole of a dense tensor, dimensions in another order.

Autograd and pooling use it to keep a memory format (channels last). What reads beside the tensor, or some elements
twice, stays, and is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

__all__ = ["STRIDES"]

aten = torch.ops.aten
_Order = list[int]


def _dense_order(size: Sequence[int], stride: Sequence[int]) -> _Order | None:
    """The dimensions from the outermost to the innermost, where they lie one inside the other without a gap."""
    order = sorted(range(len(size)), key=lambda d: (-int(stride[d]) if size[d] != 1 else 0, d))
    order = [d for d in order if size[d] == 1] + [d for d in order if size[d] != 1]
    expected = 1
    for dim in reversed(order):
        if size[dim] != 1 and stride[dim] != expected:
            return None
        expected = expected * size[dim]
    return order


def _in_order(x: torch.Tensor) -> torch.Tensor | None:
    """The elements of a dense tensor one after the other, as they lie in memory."""
    order = _dense_order(x.shape, x.stride())
    return None if order is None else x.permute(order).reshape(-1)


def _placed(flat: torch.Tensor, size: Sequence[int], stride: Sequence[int]) -> torch.Tensor | None:
    order = _dense_order(size, stride)
    if order is None:
        return None
    back = sorted(range(len(order)), key=order.__getitem__)
    return flat.reshape([size[d] for d in order]).permute(back)


def _as_strided(
    x: torch.Tensor, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Any:
    if storage_offset not in (None, x.storage_offset()) or math.prod(size) != x.numel():
        return NotImplemented
    flat = _in_order(x)
    placed = None if flat is None else _placed(flat, size, stride)
    return NotImplemented if placed is None else placed


def _as_strided_scatter(
    x: torch.Tensor,
    source: torch.Tensor,
    size: Sequence[int],
    stride: Sequence[int],
    storage_offset: int | None = None,
) -> Any:
    """All of ``x`` is written: what was in it does not matter."""
    if storage_offset not in (None, x.storage_offset()) or math.prod(size) != x.numel():
        return NotImplemented
    order = _dense_order(size, stride)
    if order is None:
        return NotImplemented
    placed = _placed(source.permute(order).reshape(-1), x.shape, x.stride())
    return NotImplemented if placed is None else placed


STRIDES: dict[Any, Callable[..., Any]] = {
    aten.as_strided.default: _as_strided,
    aten.as_strided_scatter.default: _as_strided_scatter,
}
