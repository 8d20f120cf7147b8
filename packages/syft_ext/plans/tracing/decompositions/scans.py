"""Running sums and maxima, order statistics and searches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from syft_ext.plans.tracing.errors import TraceError, user_line

__all__ = ["SCANS"]

aten = torch.ops.aten


def _fixed(x: torch.Tensor, dim: int, what: str) -> int:
    size = x.shape[dim]
    if not isinstance(size, int):
        raise TraceError(
            f"{user_line()}: {what} along a dimension of variable size cannot be recorded",
            hint="along a fixed dimension, not along the batch",
        )
    return size


def _earlier(x: torch.Tensor, dim: int, by: int, filler: float) -> torch.Tensor:
    """``x`` moved by ``by`` places along ``dim``; what comes in is ``filler``."""
    kept = x.narrow(dim, 0, x.shape[dim] - by)
    shape = list(x.shape)
    shape[dim] = by
    return torch.cat([torch.full(shape, filler, dtype=x.dtype), kept], dim)


def _logcumsumexp(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Sums of pairs, of fours, of eights …: as stable as one after the other, which a single shift of all by
    their largest is not."""
    if x.dim() == 0:
        return x.clone()
    if not isinstance(x.shape[dim], int):
        return _logcumsumexp_of_rows(x, dim)
    size, step = x.shape[dim], 1
    while step < size:
        x = torch.logaddexp(x, _earlier(x, dim, step, -torch.inf))
        step *= 2
    return x


def _logcumsumexp_of_rows(x: torch.Tensor, dim: int) -> torch.Tensor:
    """Of as many as there are (the sorted risks of Cox's likelihood): each against all before it, as stable; n
    rows cost n squared."""
    rows = x.movedim(dim, -1)
    at = torch.arange(rows.shape[-1])
    before = torch.where(at[None, :] <= at[:, None], rows.unsqueeze(-2), -torch.inf)
    return torch.logsumexp(before, -1).movedim(-1, dim)


def _running(larger: bool) -> Callable[[torch.Tensor, int], tuple[torch.Tensor, torch.Tensor]]:
    def run(x: torch.Tensor, dim: int) -> tuple[torch.Tensor, torch.Tensor]:
        if x.dim() == 0:
            return x.clone(), torch.zeros([], dtype=torch.int64)
        dim = dim % x.dim()
        size, step = _fixed(x, dim, "a running maximum or minimum"), 1
        shape = [1] * x.dim()
        shape[dim] = size
        places = torch.arange(size).reshape(shape).expand(x.shape)
        filler = _least(x.dtype) if larger else _most(x.dtype)
        while step < size:
            before, where = _earlier(x, dim, step, filler), _earlier(places, dim, step, 0)
            keep = x >= before if larger else x <= before  # of equal ones the last, as torch has it
            if x.dtype.is_floating_point:
                keep = torch.isnan(x) | (keep & ~torch.isnan(before))
            keep = keep | (torch.arange(size).reshape(shape) < step)  # nothing is before these
            x, places = torch.where(keep, x, before), torch.where(keep, places, where)
            step *= 2
        return x, places

    return run


def _least(dtype: torch.dtype) -> Any:
    return -torch.inf if dtype.is_floating_point else torch.iinfo(dtype).min


def _most(dtype: torch.dtype) -> Any:
    return torch.inf if dtype.is_floating_point else torch.iinfo(dtype).max


def _kth(x: torch.Tensor, k: int, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    if x.dim() == 0:
        return x.clone(), torch.zeros([], dtype=torch.int64)
    values, places = torch.sort(x, dim)
    value, place = values.select(dim, k - 1), places.select(dim, k - 1)
    return (value.unsqueeze(dim), place.unsqueeze(dim)) if keepdim else (value, place)


def _median_dim(x: torch.Tensor, dim: int = -1, keepdim: bool = False) -> tuple[torch.Tensor, torch.Tensor]:
    if x.dim() == 0:
        return x.clone(), torch.zeros([], dtype=torch.int64)
    size = _fixed(x, dim, "the median")
    value, place = _kth(x, (size + 1) // 2, dim, keepdim)
    if x.dtype.is_floating_point:  # sorted to the end; torch's median is not a number if one of them is not
        last, at = _kth(x, size, dim, keepdim)
        value, place = torch.where(torch.isnan(last), last, value), torch.where(torch.isnan(last), at, place)
    return value, place


def _median(x: torch.Tensor) -> torch.Tensor:
    return _median_dim(x.reshape(-1), 0)[0]


def _searchsorted(
    ordered: torch.Tensor,
    values: torch.Tensor,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: torch.Tensor | None = None,
) -> torch.Tensor:
    right = right or side == "right"
    if sorter is not None:
        ordered = ordered.gather(-1, sorter)
    if ordered.dim() == 1:
        return torch.bucketize(values, ordered, out_int32=out_int32, right=right)
    row, value = ordered.unsqueeze(-2), values.unsqueeze(-1)
    before = row <= value if right else row < value
    return before.sum(-1, dtype=torch.int32 if out_int32 else torch.int64)


SCANS: dict[Any, Callable[..., Any]] = {
    aten.logcumsumexp.default: _logcumsumexp,
    aten.cummax.default: _running(True),
    aten.cummin.default: _running(False),
    aten.kthvalue.default: _kth,
    aten.median.dim: _median_dim,
    aten.median.default: _median,
    aten.searchsorted.Tensor: _searchsorted,
}
