"""Preconditions that elements decide: what each operation demands of its operands' values at every call, and
what is known of the values that it gives.

Each function has the operation's arguments in the order of its schema, tensors as fakes. Empty operands
demand nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from syft_ext.plans.preconditions.declaration import Bounds, Demand
from syft_ext.plans.preconditions.values import InRange, NoOverflow, Quotient, Targets

__all__ = [
    "divisor",
    "embedding",
    "found_along",
    "found_among",
    "found_beside",
    "found_by_topk",
    "found_in_plane",
    "indices",
    "places_along",
    "targets",
    "targets_backward",
]

Tensor = torch.Tensor


def _size(x: Tensor, dim: int) -> int:
    return x.shape[dim] if x.dim() else 1


def places_along(x: Tensor, dim: int, index: Tensor, *_: Any) -> Iterator[Demand]:
    """gather, scatter, index_select, index_add."""
    if index.numel():
        yield InRange(0, _size(x, dim)), [index]


def embedding(weight: Tensor, index: Tensor, *_: Any) -> Iterator[Demand]:
    if index.numel():
        yield InRange(0, weight.shape[0]), [index]


def indices(x: Tensor, places: Sequence[Tensor | None], *_: Any) -> Iterator[Demand]:
    """index, index_put: negative ones count from the end."""
    for size, index in zip(x.shape, places, strict=False):
        if index is not None and index.numel():
            yield InRange(-size, size), [index]


def targets(x: Tensor, target: Tensor, weight: Any, reduction: int, ignored: int) -> Iterator[Demand]:
    if target.numel():
        yield Targets(x.shape[-1], ignored), [target]


def targets_backward(grad: Tensor, x: Tensor, target: Tensor, *rest: Any) -> Iterator[Demand]:
    yield from targets(x, target, *rest[:3])


def found_along(x: Tensor, dim: int | None = None, *_: Any) -> dict[int, Bounds]:
    """argmax, argmin: places along a dimension, or in the whole."""
    return {0: (0, max(x.numel() if dim is None else _size(x, dim), 1))}


def found_beside(x: Tensor, dim: int, *_: Any) -> dict[int, Bounds]:
    """max, min and sort along a dimension give values, and their places."""
    return {1: (0, max(_size(x, dim), 1))}


def found_by_topk(x: Tensor, k: int, dim: int, *_: Any) -> dict[int, Bounds]:
    return found_beside(x, dim)


def found_in_plane(
    x: Tensor, kernel: Any, stride: Any, padding: Sequence[int], dilation: Sequence[int], ceil_mode: bool
) -> dict[int, Bounds]:
    """max_pool2d: places in the image, of all rows together. A spread window can lie in the padding altogether;
    then the kernel gives a place outside."""
    if any(padding) and any(step != 1 for step in dilation):
        return {}
    return {1: (0, x.shape[-2] * x.shape[-1])}


def found_among(x: Tensor, boundaries: Tensor, *_: Any) -> dict[int, Bounds]:
    return {0: (0, boundaries.numel() + 1)}


def divisor(x: Tensor, other: Any, rounding_mode: str | None = "trunc") -> Iterator[Demand]:
    """div, remainder and fmod of integers; a true division is one of floating-point numbers."""
    common = torch.result_type(x, other)
    if rounding_mode is None or common.is_floating_point or common == torch.bool or not x.numel():
        return
    smallest = torch.iinfo(common).min
    if isinstance(other, Tensor):
        if other.numel():
            yield Quotient(smallest), [x, other]
    elif other == -1 and smallest < 0:
        yield NoOverflow(smallest), [x]
