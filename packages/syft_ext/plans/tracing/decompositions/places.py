"""Operations that move values from place to place: windows, indices, bags of embeddings, padding."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch

from syft_ext.plans.tracing.errors import TraceError, user_line

__all__ = ["PLACES"]

aten = torch.ops.aten


def _windows(size: Any, length: int, step: int) -> torch.Tensor:
    """Places of each window one after the other, along a dimension of ``size``: (windows × length,)."""
    count = (size - length) // step + 1
    starts = torch.arange(count).unsqueeze(1) * step
    return (starts + torch.arange(length)).reshape(-1)


def _unfold(x: torch.Tensor, dim: int, length: int, step: int) -> torch.Tensor:
    if x.dim() == 0:
        return x.reshape(1)[:length]
    dim = dim % x.dim()
    places = _windows(x.shape[dim], length, step)
    shape = list(x.shape)
    shape[dim : dim + 1] = [(shape[dim] - length) // step + 1, length]
    return torch.index_select(x, dim, places).reshape(shape).movedim(dim + 1, -1)


def _unfold_backward(
    grad: torch.Tensor, sizes: Sequence[Any], dim: int, length: int, step: int
) -> torch.Tensor:
    dim = dim % len(sizes)
    places = _windows(sizes[dim], length, step)
    shape = list(sizes)
    shape[dim] = places.shape[0]
    flat = grad.movedim(-1, dim + 1).reshape(shape)
    return torch.zeros(sizes, dtype=grad.dtype).index_add(dim, places, flat)


def _index_reduce(
    x: torch.Tensor,
    dim: int,
    index: torch.Tensor,
    source: torch.Tensor,
    reduce: str,
    *,
    include_self: bool = True,
) -> torch.Tensor:
    shape = [1] * source.dim()
    shape[dim % source.dim()] = -1
    places = index.to(torch.int64).reshape(shape).expand(source.shape)
    return torch.scatter_reduce(x, dim, places, source, reduce, include_self=include_self)


def _masked_scatter(x: torch.Tensor, mask: torch.Tensor, source: torch.Tensor) -> torch.Tensor:
    chosen = mask.expand(x.shape).reshape(-1)
    which = (torch.cumsum(chosen.to(torch.int64), 0) - 1).clamp_min(0)
    taken = torch.index_select(source.reshape(-1), 0, which)
    return torch.where(chosen, taken, x.reshape(-1)).reshape(x.shape)


def _masked_scatter_backward(grad: torch.Tensor, mask: torch.Tensor, sizes: Sequence[Any]) -> torch.Tensor:
    chosen = mask.expand(grad.shape).reshape(-1)
    which = (torch.cumsum(chosen.to(torch.int64), 0) - 1).clamp_min(0)
    given = torch.where(chosen, grad.reshape(-1), torch.zeros_like(grad).reshape(-1))
    count = 1
    for size in sizes:
        count = count * size
    return torch.zeros([count], dtype=grad.dtype).index_add(0, which, given).reshape(sizes)


def _triangle(upper: bool) -> Callable[..., torch.Tensor]:
    def indices(row: int, col: int, offset: int = 0, *, dtype: Any = torch.int64, **_: Any) -> torch.Tensor:
        if not isinstance(row, int) or not isinstance(col, int):
            raise TraceError(f"{user_line()} takes triangle indices of a variable size", hint="a fixed size")
        places = [
            (r, c) for r in range(row) for c in range(col) if (c - r >= offset if upper else c - r <= offset)
        ]
        return torch.tensor([[r for r, _ in places], [c for _, c in places]], dtype=dtype)

    return indices


def _replication_backward(grad: torch.Tensor, x: torch.Tensor, padding: Sequence[Any]) -> torch.Tensor:
    for pair in range(len(padding) // 2):
        dim, before = x.dim() - 1 - pair, padding[2 * pair]
        size = x.shape[dim]
        source = (torch.arange(grad.shape[dim]) - before).clamp(0, size - 1)
        shape = list(grad.shape)
        shape[dim] = size
        grad = torch.zeros(shape, dtype=grad.dtype).index_add(dim, source, grad)
    return grad


# --- EmbeddingBag -------------------------------------------------------------------------------------------
_SUM, _MEAN, _MAX = 0, 1, 2


def _bag_of_each(indices: torch.Tensor, offsets: torch.Tensor) -> torch.Tensor:
    return torch.bucketize(torch.arange(indices.shape[0]), offsets.to(torch.int64), right=True) - 1


def _embedding_bag(
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    scale_grad_by_freq: bool = False,
    mode: int = _SUM,
    sparse: bool = False,
    per_sample_weights: torch.Tensor | None = None,
    include_last_offset: bool = False,
    padding_idx: int = -1,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    if scale_grad_by_freq:
        raise TraceError(
            f"{user_line()} uses EmbeddingBag(scale_grad_by_freq=True)", hint="scale_grad_by_freq=False"
        )
    if include_last_offset:
        offsets = offsets.narrow(0, 0, offsets.shape[0] - 1)
    bags = offsets.shape[0]
    bag = _bag_of_each(indices, offsets)
    rows = torch.nn.functional.embedding(indices, weight)
    counted = torch.ones_like(indices)
    if padding_idx >= 0:
        counted = (indices != padding_idx).to(indices.dtype)
        rows = rows * counted.unsqueeze(-1).to(rows.dtype)
    if per_sample_weights is not None:
        rows = rows * per_sample_weights.unsqueeze(-1)
    sizes = torch.zeros([bags], dtype=indices.dtype).index_add(0, bag, counted)
    zeros = torch.zeros([bags, weight.shape[1]], dtype=weight.dtype)
    most = torch.zeros([bags, weight.shape[1]] if mode == _MAX else [bags], dtype=indices.dtype)
    if mode == _MAX:
        if padding_idx >= 0:
            rows = torch.where(counted.unsqueeze(-1) == 0, torch.full_like(rows, -torch.inf), rows)
        places = bag.unsqueeze(-1).expand(rows.shape)
        out = torch.scatter_reduce(zeros, 0, places, rows, "amax", include_self=False)
        out = torch.where(sizes.unsqueeze(-1) == 0, zeros, out)
        # The first place in the bag that has the largest value is its maximum's index.
        is_most = (rows == out.gather(0, places)) & (counted.unsqueeze(-1) != 0)
        order = torch.arange(indices.shape[0]).unsqueeze(-1).expand(rows.shape)
        candidates = torch.where(is_most, order, torch.full_like(order, torch.iinfo(torch.int64).max))
        none = torch.zeros_like(out, dtype=torch.int64)
        first = torch.scatter_reduce(none, 0, places, candidates, "amin", include_self=False)
        first = torch.where(sizes.unsqueeze(-1) == 0, torch.zeros_like(first), first)
        most = indices.gather(0, first.reshape(-1)).reshape(first.shape)
        return out, bag, sizes, most
    out = zeros.index_add(0, bag, rows)
    if mode == _MEAN:
        out = out / sizes.clamp_min(1).unsqueeze(-1).to(out.dtype)
    return out, bag, sizes, most


def _embedding_bag_dense_backward(
    grad: torch.Tensor,
    indices: torch.Tensor,
    bag: torch.Tensor,
    sizes: torch.Tensor,
    most: torch.Tensor,
    rows: Any,
    scale_grad_by_freq: bool,
    mode: int,
    per_sample_weights: torch.Tensor | None,
    padding_idx: int = -1,
) -> torch.Tensor:
    weight = torch.zeros([rows, grad.shape[1]], dtype=grad.dtype)
    if mode == _MAX:
        given = torch.where(sizes.unsqueeze(-1) == 0, torch.zeros_like(grad), grad)
        return weight.scatter_add(0, most, given)
    if mode == _MEAN:
        grad = grad / sizes.clamp_min(1).unsqueeze(-1).to(grad.dtype)
    each = torch.index_select(grad, 0, bag)
    if per_sample_weights is not None:
        each = each * per_sample_weights.unsqueeze(-1)
    if padding_idx >= 0:
        each = torch.where((indices == padding_idx).unsqueeze(-1), torch.zeros_like(each), each)
    return weight.index_add(0, indices, each)


def _embedding_bag_backward(
    grad: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    bag: torch.Tensor,
    sizes: torch.Tensor,
    most: torch.Tensor,
    rows: Any,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: torch.Tensor | None,
    padding_idx: int = -1,
) -> torch.Tensor:
    bag = _bag_of_each(indices, offsets)
    return _embedding_bag_dense_backward(
        grad, indices, bag, sizes, most, rows, scale_grad_by_freq, mode, per_sample_weights, padding_idx
    )


def _per_sample_weights_backward(
    grad: torch.Tensor,
    weight: torch.Tensor,
    indices: torch.Tensor,
    offsets: torch.Tensor,
    bag: torch.Tensor,
    mode: int,
    padding_idx: int = -1,
) -> torch.Tensor:
    bag = _bag_of_each(indices, offsets)
    slope = (torch.index_select(grad, 0, bag) * torch.index_select(weight, 0, indices)).sum(-1)
    return slope if padding_idx < 0 else torch.where(indices == padding_idx, torch.zeros_like(slope), slope)


PLACES: dict[Any, Callable[..., Any]] = {
    aten.unfold.default: _unfold,
    aten.unfold_backward.default: _unfold_backward,
    aten.index_reduce.default: _index_reduce,
    aten.masked_scatter.default: _masked_scatter,
    aten.masked_scatter_backward.default: _masked_scatter_backward,
    aten.triu_indices.default: _triangle(True),
    aten.tril_indices.default: _triangle(False),
    aten.replication_pad1d_backward.default: _replication_backward,
    aten.replication_pad2d_backward.default: _replication_backward,
    aten.replication_pad3d_backward.default: _replication_backward,
    aten._embedding_bag.default: _embedding_bag,
    aten._embedding_bag_forward_only.default: _embedding_bag,
    aten._embedding_bag_backward.default: _embedding_bag_backward,
    aten._embedding_bag_dense_backward.default: _embedding_bag_dense_backward,
    aten._embedding_bag_per_sample_weights_backward.default: _per_sample_weights_backward,
}
