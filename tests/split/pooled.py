"""A split network over two tables, in one process with torch: what a run over Domains has to equal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from syft_ext.messages.split_terms import SplitTerms
from syft_ext.split.crossing import batches_of
from syft_ext.vertical.split_plans import parts_of

__all__ = ["modules", "pooled", "pooled_output", "terms"]

WIDTH = 4


def modules(own: bool = True) -> tuple[nn.Module, nn.Module | None, nn.Module]:
    """A bottom of two columns, one of one column at the label's owner, a top."""
    torch.manual_seed(7)
    bottom = nn.Sequential(nn.Linear(2, WIDTH), nn.Tanh())
    mine = nn.Linear(1, 2) if own else None
    top = nn.Sequential(nn.Linear(WIDTH + (2 if own else 0), 3), nn.Tanh(), nn.Linear(3, 1))
    return bottom, mine, top


def terms(**fields: Any) -> SplitTerms:
    """Of parties and plans that are nobody's."""
    made: dict[str, Any] = {
        "parties": ["a" * 64, "b" * 64],
        "top": 1,
        "plans": ["1" * 64, "2" * 64],
        "values": ["", ""],
        "task": "train",
        "common": "c" * 64,
        "rows": 20,
        "batch": 8,
        "width": WIDTH,
        "reader": "d" * 64,
    }
    return SplitTerms(**{**made, **fields})


def pooled_output(bottom: nn.Module, parts: nn.ModuleDict, rows: Mapping[str, torch.Tensor]) -> torch.Tensor:
    activations = bottom(rows["x0"])
    if "own" in parts:
        activations = torch.cat([activations, parts["own"](rows["x1"])], dim=1)
    found: torch.Tensor = parts["top"](activations)
    return found


def pooled(
    agreed: SplitTerms,
    made: tuple[nn.Module, nn.Module | None, nn.Module],
    rows: Mapping[str, torch.Tensor],
    lr: float,
) -> tuple[nn.Module, nn.ModuleDict, list[float]]:
    """The modules, trained in place by torch's own optimiser on both tables, and each epoch's mean loss."""
    bottom, own, top = made
    parts = parts_of(top, own)
    optimizer = torch.optim.SGD([*bottom.parameters(), *parts.parameters()], lr=lr)
    means = [0.0] * agreed.epochs
    for epoch, places in batches_of(agreed):
        optimizer.zero_grad()
        batch = {name: each[places] for name, each in rows.items()}
        loss = nn.functional.mse_loss(pooled_output(bottom, parts, batch), batch["y"])
        loss.backward()
        optimizer.step()
        means[epoch] += loss.item() * len(places) / agreed.rows
    return bottom, parts, means
