"""The two models, and the training step that both the plan and the baselines run."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import nn
from torch.func import functional_call

from demo.data import Part, Study

__all__ = ["CNN", "MLP", "accuracy", "train_locally", "training_step"]

Step = Callable[..., tuple[torch.Tensor, ...]]


class MLP(nn.Module):
    """Two layers over features that it first brings to [0, 1] by their published ranges."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.register_buffer("low", torch.tensor([c[1] for c in study.columns]))
        self.register_buffer("span", torch.tensor([c[2] - c[1] for c in study.columns]))
        self.hidden = nn.Linear(len(study.columns), 16)
        self.out = nn.Linear(16, study.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scaled = (x - self.low) / self.span
        result: torch.Tensor = self.out(torch.relu(self.hidden(scaled)))
        return result


class CNN(nn.Module):
    """Two convolutions and a linear layer over 8 × 8 images."""

    def __init__(self, study: Study) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 12, 3, padding=1)
        self.second = nn.Conv2d(12, 24, 3, padding=1)
        self.out = nn.Linear(24 * 4, study.classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = F.max_pool2d(F.relu(self.first(x)), 2)
        x = F.max_pool2d(F.relu(self.second(x)), 2)
        result: torch.Tensor = self.out(x.flatten(1))
        return result


def training_step(model: nn.Module) -> Step:
    """One step of gradient descent in plain PyTorch: (x, y, lr, params) → (loss, accuracy, *new params)."""
    names = [name for name, _ in model.named_parameters()]

    def step(
        x: torch.Tensor, y: torch.Tensor, lr: torch.Tensor, params: Sequence[torch.Tensor]
    ) -> tuple[torch.Tensor, ...]:
        leaves = [p.detach().requires_grad_() for p in params]
        logits = functional_call(model, dict(zip(names, leaves, strict=True)), (x,))
        loss = F.cross_entropy(logits, y)
        loss.backward()
        correct = (logits.argmax(1) == y).float().mean()
        with torch.no_grad():
            updated = [p - lr * p.grad for p in leaves]  # type: ignore[operator]
        return (loss, correct, *updated)

    return step


def accuracy(model: nn.Module, params: Sequence[torch.Tensor], test: Part) -> float:
    """The share of the held-out set that ``model`` with ``params`` labels rightly."""
    names = [name for name, _ in model.named_parameters()]
    with torch.no_grad():
        logits = functional_call(model, dict(zip(names, params, strict=True)), (test.x,))
    return float((logits.argmax(1) == test.y).float().mean())


def train_locally(
    model: nn.Module,
    part: Part,
    *,
    epochs: int,
    batch_size: int,
    lr: float,
    each_epoch: Callable[[list[torch.Tensor]], None] | None = None,
    seed: int = 0,
) -> list[torch.Tensor]:
    """The baseline: the same step, the same number of epochs, on data that lies in one place."""
    step = training_step(model)
    params = [p.detach().clone() for p in model.parameters()]
    random = torch.Generator().manual_seed(seed)
    for _ in range(epochs):
        order = torch.randperm(len(part), generator=random)
        for rows in order.split(batch_size):
            _, _, *params = step(part.x[rows], part.y[rows], torch.tensor(lr), params)
        if each_epoch is not None:
            each_epoch(params)
    return params
