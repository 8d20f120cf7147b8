"""What a row of the table is made from: a model, its data, and how its loss is computed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

__all__ = ["Case", "normal", "output_loss", "whole"]

Loss = Callable[..., Tensor]
_RANDOM = torch.Generator().manual_seed(36)


def normal(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=_RANDOM)


def whole(below: int, *shape: int) -> Tensor:
    return torch.randint(0, below, shape, generator=_RANDOM)


def output_loss(loss: Callable[[Tensor, Tensor], Tensor]) -> Loss:
    """A loss of the model's one result and a target."""

    def of_output(model: Callable[..., Tensor], *data: Tensor) -> Tensor:
        return loss(model(*data[:-1]), data[-1])

    return of_output


@dataclass(frozen=True)
class Case:
    """A row of docs/models.md.

    Attributes:
        make: a small one, as its users write it; parameters come from a seed.
        data: what a step takes, rows first.
        loss: of the model (a function) and the data.
        refused: a part of the hint; "" where it goes.
        note: what a reader of the table should know.
        fixed: the function fixes its number of rows: such as a graph, which is one input.
        draws: it draws random numbers in training; torch draws others, so only the tracer's own comparison holds.
    """

    make: Callable[[], nn.Module]
    data: tuple[Tensor, ...]
    loss: Loss
    refused: str = ""
    note: str = ""
    fixed: bool = False
    draws: bool = False

    def model(self) -> nn.Module:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(36)
            return self.make().train()
