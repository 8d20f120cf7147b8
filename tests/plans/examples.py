"""The thirteen computations (fifteen examples) that every plan must be able to hold.

Each example is a natural PyTorch function with example arguments and the sizes that vary. Shared by the tests
and ``benchmarks/plans.py``; a training example also knows the model and the optimiser that a person would use
without plans.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

from syft_ext.plans import Int
from syft_ext.plans.tracing import optim

BATCH = {"x": {0: "B"}, "y": {0: "B"}}


@dataclass
class Example:
    """``function(**arguments)``; ``rebatch(n)`` gives arguments with a batch of n."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    symbols: Mapping[str, Mapping[int, str]] = field(default_factory=dict)
    has_seed: bool = False
    model: nn.Module | None = None
    optimizer: Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer] | None = None

    def idiomatic_step(self) -> Callable[[], Any]:
        """One step as a person writes it without plans: nn.Module and torch.optim that keep their state."""
        if self.model is None or self.optimizer is None:
            return lambda: self.function(**self.arguments)
        model = copy.deepcopy(self.model)
        optimizer = self.optimizer(model.parameters())
        x, y = self.arguments["x"], self.arguments["y"].flatten()

        def step() -> tuple[Tensor, Tensor]:
            optimizer.zero_grad()
            loss, accuracy = loss_and_accuracy(model(x), y)
            loss.backward()
            optimizer.step()
            return loss, accuracy

        return step

    def rebatch(self, size: int) -> dict[str, Any]:
        """The same arguments, with ``size`` rows wherever the batch varies."""
        arguments = dict(self.arguments)
        for name in self.symbols:
            tensor = arguments[name]
            repeats = -(-size // tensor.shape[0])
            arguments[name] = torch.cat([tensor] * repeats)[:size].clone()
        return arguments


# --- models ------------------------------------------------------------------------------------------------


class MLP(nn.Module):
    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.fc1, self.fc2 = nn.Linear(784, 392), nn.Linear(392, 10)
        self.drop = nn.Dropout(dropout) if dropout else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.fc2(self.drop(F.relu(self.fc1(x))))


class CNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.c2 = nn.Conv2d(1, 16, 3, padding=1), nn.Conv2d(16, 32, 3, padding=1)
        self.fc = nn.Linear(32 * 49, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.c1(x)), 2)
        return self.fc(F.max_pool2d(F.relu(self.c2(x)), 2).flatten(1))


class NormalizedCNN(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.c1, self.b1 = nn.Conv2d(1, 16, 3, stride=2, padding=1, bias=False), nn.BatchNorm2d(16)
        self.c2, self.b2 = nn.Conv2d(16, 16, 3, padding=1, bias=False), nn.BatchNorm2d(16)
        self.fc = nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.b1(self.c1(x)))
        x = F.relu(x + self.b2(self.c2(x)))
        return self.fc(F.adaptive_avg_pool2d(x, 1).flatten(1))


class Transformer(nn.Module):
    def __init__(self, vocabulary: int = 64, width: int = 64, length: int = 32) -> None:
        super().__init__()
        self.emb = nn.Embedding(vocabulary, width)
        self.pos = nn.Parameter(torch.randn(length, width) * 0.02)
        self.layer = nn.TransformerEncoderLayer(
            width, 4, 128, dropout=0.0, activation="gelu", batch_first=True
        )
        self.head = nn.Linear(width, vocabulary)
        self.register_buffer("mask", torch.triu(torch.full((length, length), float("-inf")), 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.layer(self.emb(x) + self.pos, src_mask=self.mask)).flatten(0, 1)


class CharLSTM(nn.Module):
    def __init__(self, vocabulary: int = 64, width: int = 32, hidden: int = 64) -> None:
        super().__init__()
        self.emb = nn.Embedding(vocabulary, width)
        self.rnn = nn.LSTM(width, hidden, batch_first=True)
        self.head = nn.Linear(hidden, vocabulary)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.rnn(self.emb(x))[0]).flatten(0, 1)


# --- training steps ----------------------------------------------------------------------------------------


def values(model: nn.Module) -> list[Tensor]:
    return [p.detach().clone() for p in model.parameters()]


def loss_and_accuracy(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return F.cross_entropy(logits, target), (logits.argmax(1) == target).float().mean()


def sgd_step(model: nn.Module, seeded: bool = False) -> Callable[..., Any]:
    """loss.backward() and a hand-written update."""
    names = [name for name, _ in model.named_parameters()]

    def step(x: Tensor, y: Tensor, lr: Tensor, params: Sequence[Tensor]) -> tuple[Tensor, ...]:
        leaves = [p.detach().requires_grad_() for p in params]
        logits = functional_call(model, dict(zip(names, leaves, strict=True)), (x,))
        loss, accuracy = loss_and_accuracy(logits, y.flatten())
        loss.backward()
        new_params = optim.sgd(leaves, [p.grad for p in leaves], lr)
        return loss, accuracy, *new_params

    def seeded_step(
        x: Tensor, y: Tensor, lr: Tensor, params: Sequence[Tensor], seed: Any = 0
    ) -> tuple[Tensor, ...]:
        return step(x, y, lr, params)

    return seeded_step if seeded else step


def torch_optim_step(
    model: nn.Module, kind: type[torch.optim.Optimizer], **options: Any
) -> Callable[..., Any]:
    """torch.optim; optimiser state and batch-norm statistics go in and out."""
    names = [name for name, _ in model.named_parameters()]
    buffers = [name for name, _ in model.named_buffers() if name != "mask"]

    def step(
        x: Tensor, y: Tensor, lr: Tensor, params: Sequence[Tensor], state: Sequence[Tensor], bufs: Any = ()
    ) -> tuple[Tensor, ...]:
        optimizer = optim.TorchOptimizer(kind, params, lr, state, **options)
        stats = [b.clone() for b in bufs]
        tensors = {
            **dict(zip(names, optimizer.params, strict=True)),
            **dict(zip(buffers, stats, strict=True)),
        }
        loss, accuracy = loss_and_accuracy(functional_call(model, tensors, (x,)), y.flatten())
        loss.backward()
        optimizer.step()
        return loss, accuracy, *optimizer.params, *optimizer.state, *stats

    return step


def adam_step(model: nn.Module) -> Callable[..., Any]:
    """The functional Adam of syft_ext."""
    names = [name for name, _ in model.named_parameters()]

    def step(
        x: Tensor, y: Tensor, lr: Tensor, params: Sequence[Tensor], m: Sequence[Tensor], v: Sequence[Tensor],
        t: Tensor,
    ) -> tuple[Tensor, ...]:  # fmt: skip
        leaves = [p.detach().requires_grad_() for p in params]
        logits = functional_call(model, dict(zip(names, leaves, strict=True)), (x,))
        loss, accuracy = loss_and_accuracy(logits, y.flatten())
        loss.backward()
        new, m, v, t = optim.adam(leaves, [p.grad for p in leaves], m, v, t, lr)
        return loss, accuracy, *new, *m, *v, t

    return step


def logistic_regression(x: Tensor, y: Tensor, lr: Tensor, w: Tensor, b: Tensor) -> tuple[Tensor, ...]:
    def objective(w: Tensor, b: Tensor) -> Tensor:
        return F.binary_cross_entropy_with_logits(x @ w + b, y) + 1e-3 * (w * w).sum()

    (grad_w, grad_b), loss = torch.func.grad_and_value(objective, (0, 1))(w, b)
    accuracy = (((x @ w + b) > 0).to(y.dtype) == y).float().mean()
    return loss, accuracy, w - lr * grad_w, b - lr * grad_b


# --- without a neural network ------------------------------------------------------------------------------


def kmeans_step(x: Tensor, centroids: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    distance = (x * x).sum(1, keepdim=True) - 2 * x @ centroids.T + (centroids * centroids).sum(1)
    members = F.one_hot(distance.argmin(1), centroids.shape[0]).to(x.dtype)
    count = members.sum(0)
    mean = members.T @ x / count.clamp(min=1)[:, None]
    return torch.where(count[:, None] > 0, mean, centroids), count, distance.min(1).values.mean()


def statistics(x: Tensor, edges: Tensor) -> tuple[Tensor, ...]:
    ones, mean = torch.ones_like(x[:, 0]), x.mean(0)
    bin_of = torch.bucketize(x[:, 0].contiguous(), edges)
    histogram = torch.zeros(edges.shape[0] + 1).index_add(0, bin_of, ones)
    covariance = (x - mean).T @ (x - mean) / (x.shape[0] - 1)
    median, quartile = torch.quantile(x, 0.5, dim=0), torch.quantile(x, 0.25, dim=0)
    return ones.sum(), mean, x.var(0), x.amin(0), x.amax(0), histogram, covariance, median, quartile


def average_iteratively(avg: Sequence[Tensor], item: Sequence[Tensor], num: Tensor) -> list[Tensor]:
    return [(a * num + i) / (num + 1) for a, i in zip(avg, item, strict=True)]


def federated_average(stacked: Sequence[Tensor], weights: Tensor) -> list[Tensor]:
    share = weights / weights.sum()
    return [(s * share.view(-1, *[1] * (s.dim() - 1))).sum(0) for s in stacked]


def trimmed_mean(stacked: Sequence[Tensor]) -> list[Tensor]:
    return [s.sort(0).values[1:-1].mean(0) for s in stacked]


# --- all of them -------------------------------------------------------------------------------------------


def all_examples(lstm_length: int = 20) -> dict[str, Example]:
    """Name -> example, in the order in which they are reported. An LSTM is unrolled: its length is its size."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return {**_networks(lstm_length), **_others()}


def _networks(length: int) -> dict[str, Example]:
    images, digits = torch.randn(64, 784), torch.randint(0, 10, (64,))
    pixels = images.reshape(64, 1, 28, 28)
    text, next_text = torch.randint(0, 64, (16, 32)), torch.randint(0, 64, (16, 32))
    sgd, adam = torch.optim.SGD, torch.optim.Adam
    lr, small = torch.tensor(0.1), torch.tensor(1e-3)
    mlp, dropout, cnn, normalized = MLP(), MLP(0.2), CNN(), NormalizedCNN()
    transformer, lstm = Transformer(), CharLSTM()

    def use_sgd(params: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        return sgd(params, lr=0.1)

    def use_adam(params: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        return adam(params, lr=1e-3)

    def use_momentum(params: Iterator[nn.Parameter]) -> torch.optim.Optimizer:
        return sgd(params, lr=0.02, momentum=0.9)

    def torch_adam(model: nn.Module, x: Tensor, y: Tensor) -> Example:
        state = optim.TorchOptimizer.init(adam, values(model))
        arguments = {"x": x, "y": y, "lr": small, "params": values(model), "state": state}
        return Example(torch_optim_step(model, adam), arguments, BATCH, model=model, optimizer=use_adam)

    def own_adam(model: nn.Module, x: Tensor, y: Tensor) -> Example:
        m, v, t = optim.adam_state(values(model))
        arguments = {"x": x, "y": y, "lr": small, "params": values(model), "m": m, "v": v, "t": t}
        return Example(adam_step(model), arguments, BATCH, model=model, optimizer=use_adam)

    def momentum(model: nn.Module, **extra: Any) -> Example:
        state = optim.TorchOptimizer.init(sgd, values(model), momentum=0.9)
        arguments = {
            "x": pixels, "y": digits, "lr": torch.tensor(0.02), "params": values(model), "state": state, **extra
        }  # fmt: skip
        step = torch_optim_step(model, sgd, momentum=0.9)
        return Example(step, arguments, BATCH, model=model, optimizer=use_momentum)

    return {
        "mlp_sgd": Example(
            sgd_step(mlp),
            {"x": images, "y": digits, "lr": lr, "params": values(mlp)},
            BATCH,
            model=mlp,
            optimizer=use_sgd,
        ),
        "mlp_torch_adam": torch_adam(mlp, images, digits),
        "mlp_adam": own_adam(mlp, images, digits),
        "mlp_dropout": Example(
            sgd_step(dropout, seeded=True),
            {"x": images, "y": digits, "lr": lr, "params": values(dropout), "seed": Int(7)},
            BATCH,
            has_seed=True,
            model=dropout,
            optimizer=use_sgd,
        ),
        "cnn_momentum": momentum(cnn),
        "cnn_batchnorm": momentum(normalized, bufs=[b.detach().clone() for b in normalized.buffers()]),
        "transformer_torch_adam": torch_adam(transformer, text, next_text),
        "transformer_adam": own_adam(transformer, text, next_text),
        "lstm_sgd": Example(
            sgd_step(lstm),
            {
                "x": text[:, :length],
                "y": next_text[:, :length],
                "lr": torch.tensor(0.5),
                "params": values(lstm),
            },
            BATCH,
            model=lstm,
            optimizer=use_sgd,
        ),
    }


def _others() -> dict[str, Example]:
    lr = torch.tensor(0.1)
    rows, labels = torch.randn(64, 30), (torch.randn(64) > 0).float()
    first, second = values(MLP()), values(MLP())
    return {
        "logistic_regression": Example(
            logistic_regression,
            {"x": rows, "y": labels, "lr": lr, "w": torch.zeros(30), "b": torch.zeros(())},
            BATCH,
        ),
        "kmeans": Example(
            kmeans_step, {"x": torch.randn(512, 8), "centroids": torch.randn(5, 8)}, {"x": {0: "B"}}
        ),
        "statistics": Example(
            statistics, {"x": torch.randn(512, 6), "edges": torch.linspace(-3, 3, 21)}, {"x": {0: "B"}}
        ),
        "average_iterative": Example(
            average_iteratively, {"avg": first, "item": second, "num": torch.tensor(3.0)}
        ),
        "federated_average": Example(
            federated_average,
            {
                "stacked": [torch.stack([a, b, a]) for a, b in zip(first, second, strict=True)],
                "weights": torch.tensor([10.0, 20.0, 5.0]),
            },
        ),
        "trimmed_mean": Example(
            trimmed_mean,
            {"stacked": [torch.stack([a, b, a, b, a]) for a, b in zip(first, second, strict=True)]},
        ),
    }
