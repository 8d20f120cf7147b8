"""Models of tables: rows of numbers and categories, and times to events."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .zoo import Case, normal, output_loss, whole

__all__ = ["TABULAR", "partial_likelihood"]

_CLASSIFY = output_loss(F.cross_entropy)
_TABLE = (normal(8, 5), whole(3, 8))
_YES_NO = (normal(8, 5), whole(2, 8).float())
_MIXED = (normal(8, 5), whole(4, 8, 3), whole(3, 8))
_SURVIVAL = (normal(8, 5), normal(8).abs() + 0.1, whole(2, 8).float())


def partial_likelihood(risk: Tensor, times: Tensor, events: Tensor) -> Tensor:
    """Cox's, Breslow's way with ties: at each event, against all who are still at risk then."""
    at_risk = times[None, :] >= times[:, None]
    scores = torch.where(at_risk, risk[None, :], -torch.inf)
    return -((risk - scores.logsumexp(1)) * events).sum() / events.sum().clamp(min=1)


def survival(model: nn.Module, x: Tensor, times: Tensor, events: Tensor) -> Tensor:
    return partial_likelihood(model(x)[:, 0], times, events)


def survival_sorted(model: nn.Module, x: Tensor, times: Tensor, events: Tensor) -> Tensor:
    order = times.argsort(descending=True)
    risk = model(x)[order, 0]
    return -((risk - risk.logcumsumexp(0)) * events[order]).sum() / events.sum().clamp(min=1)


def discrete_survival(model: nn.Module, x: Tensor, times: Tensor, events: Tensor) -> Tensor:
    bins = torch.bucketize(times, torch.tensor([0.5, 1.0, 1.5])).long()
    alive = F.logsigmoid(-model(x)).cumsum(1)
    hazard = F.logsigmoid(model(x)).gather(1, bins[:, None])[:, 0]
    last = alive.gather(1, bins[:, None])[:, 0]
    return -torch.where(events > 0, hazard + last, last).mean()


def binary(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(model(x)[:, 0], y)


def mlp(norm: bool = False) -> nn.Module:
    middle = [nn.BatchNorm1d(8)] if norm else []
    return nn.Sequential(nn.Linear(5, 8), *middle, nn.ReLU(), nn.Dropout(0.0), nn.Linear(8, 3))


class WideAndDeep(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.wide, self.deep = nn.Linear(12, 3), nn.Sequential(nn.Linear(17, 8), nn.ReLU(), nn.Linear(8, 3))
        self.words = nn.ModuleList(nn.Embedding(4, 4) for _ in range(3))

    def forward(self, numbers: Tensor, words: Tensor) -> Tensor:
        crossed = F.one_hot(words, 4).flatten(1).float()
        deep = [table(words[:, i]) for i, table in enumerate(self.words)]
        return self.wide(crossed) + self.deep(torch.cat([numbers, *deep], 1))


class FactorisationMachine(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear, self.factors = nn.Linear(5, 1), nn.Parameter(torch.randn(5, 4) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        pairs = (x @ self.factors) ** 2 - (x**2) @ self.factors**2
        return self.linear(x) + 0.5 * pairs.sum(1, keepdim=True)


class TabTransformer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(12, 8)
        layer = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)
        self.head = nn.Sequential(nn.LayerNorm(29), nn.Linear(29, 3))
        self.register_buffer("offset", torch.tensor([0, 4, 8]))

    def forward(self, numbers: Tensor, words: Tensor) -> Tensor:
        tokens = self.encoder(self.words(words + self.offset))
        return self.head(torch.cat([tokens.flatten(1), numbers], 1))


class ObliviousTrees(nn.Module):
    """NODE: soft splits of two levels, a response for each leaf."""

    def __init__(self, trees: int = 4) -> None:
        super().__init__()
        self.choice = nn.Parameter(torch.randn(trees, 2, 5))
        self.threshold = nn.Parameter(torch.zeros(trees, 2))
        self.response = nn.Parameter(torch.randn(trees, 4, 3) * 0.1)

    def forward(self, x: Tensor) -> Tensor:
        found = torch.einsum("bf,tdf->btd", x, self.choice.softmax(-1))
        right = torch.sigmoid(found - self.threshold)
        first = torch.stack([1 - right[..., 0], right[..., 0]], -1)
        second = torch.stack([1 - right[..., 1], right[..., 1]], -1)
        leaves = (first[..., :, None] * second[..., None, :]).flatten(2)
        return torch.einsum("btl,tlc->bc", leaves, self.response)


class Gated(nn.Module):
    """TabNet's parts: ghost-free batch norm, gated units, a soft mask of features."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.mask = nn.BatchNorm1d(5), nn.Linear(5, 5)
        self.unit, self.head = nn.Linear(5, 16), nn.Linear(8, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.norm(x)
        return self.head(F.glu(self.unit(x * self.mask(x).softmax(-1))))


TABULAR = {
    "logistic regression": Case(lambda: nn.Linear(5, 1), _YES_NO, binary),
    "multinomial regression": Case(lambda: nn.Linear(5, 3), _TABLE, _CLASSIFY),
    "Poisson regression": Case(
        lambda: nn.Linear(5, 1), (normal(8, 5), whole(5, 8, 1).float()), output_loss(F.poisson_nll_loss)
    ),
    "MLP": Case(mlp, _TABLE, _CLASSIFY),
    "MLP, batch norm": Case(lambda: mlp(True), _TABLE, _CLASSIFY),
    "wide & deep": Case(WideAndDeep, _MIXED, _CLASSIFY),
    "factorisation machine": Case(FactorisationMachine, _YES_NO, binary),
    "TabTransformer": Case(TabTransformer, _MIXED, _CLASSIFY),
    "NODE (oblivious trees)": Case(ObliviousTrees, _TABLE, _CLASSIFY),
    "TabNet block": Case(Gated, _TABLE, _CLASSIFY),
    "Cox regression": Case(lambda: nn.Linear(5, 1, bias=False), _SURVIVAL, survival),
    "DeepSurv": Case(
        lambda: nn.Sequential(nn.Linear(5, 8), nn.SELU(), nn.Linear(8, 1)), _SURVIVAL, survival_sorted
    ),
    "discrete-time survival": Case(lambda: nn.Linear(5, 4), _SURVIVAL, discrete_survival),
}
