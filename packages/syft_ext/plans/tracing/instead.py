"""Functions of torch that are recorded by other code than torch's: that gives other numbers than its kernel."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch.nn import _reduction

__all__ = ["INSTEAD"]


def _multilabel_margin_loss(
    x: torch.Tensor,
    target: torch.Tensor,
    size_average: Any = None,
    reduce: Any = None,
    reduction: str = "mean",
) -> torch.Tensor:
    """The labels of a row end at its first -1. torch 2.13 decomposes it so that what stands behind counts as
    label 0."""
    classes = torch.arange(x.shape[-1])
    counts = torch.cumsum((target == -1).to(torch.int64), -1) == 0
    label = torch.where(counts, target, torch.zeros_like(target))
    is_label = ((label.unsqueeze(-1) == classes) & counts.unsqueeze(-1)).any(-2)
    margin = (1 - x.gather(-1, label).unsqueeze(-1) + x.unsqueeze(-2)).clamp_min(0)
    pairs = counts.unsqueeze(-1) & ~is_label.unsqueeze(-2)
    loss = torch.where(pairs, margin, torch.zeros_like(margin)).sum([-2, -1]) / x.shape[-1]
    if size_average is not None or reduce is not None:
        reduction = _reduction.legacy_get_string(size_average, reduce)
    return {"none": loss, "mean": loss.mean(), "sum": loss.sum()}[reduction]


def _to_one(pool: Callable[..., torch.Tensor], dims: int) -> Callable[[torch.Tensor, Any], torch.Tensor]:
    """Of all places at once it is a mean, which is what torch computes too; it then sets strides, for the sake of
    the memory format."""

    def run(x: torch.Tensor, output_size: Any) -> torch.Tensor:
        sizes = output_size if isinstance(output_size, list | tuple) else [output_size] * dims
        if all(size == 1 for size in sizes):
            return x.mean(list(range(-dims, 0)), keepdim=True)
        return pool(x, output_size)

    return run


INSTEAD: dict[Any, Callable[..., Any]] = {
    F.adaptive_avg_pool2d: _to_one(F.adaptive_avg_pool2d, 2),
    F.adaptive_avg_pool3d: _to_one(F.adaptive_avg_pool3d, 3),
    F.multilabel_margin_loss: _multilabel_margin_loss,
}
