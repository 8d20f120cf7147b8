"""Autograd, modules and optimisers: training there is training here."""

from __future__ import annotations

import copy
import gc
from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import syft_ext as sy
from syft_ext.errors import Conflict, GridError, NotFound
from tests.pointers.site import Site, seeded


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rnn = nn.LSTM(4, 6, num_layers=2, bidirectional=True, batch_first=True)
        self.out = nn.Linear(12, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        found: torch.Tensor = self.out(self.rnn(x)[0][:, -1])
        return found


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.block = nn.TransformerEncoderLayer(8, 2, 16, dropout=0.0, batch_first=True)
        self.attend = nn.MultiheadAttention(8, 2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.block(x)
        mask = nn.Transformer.generate_square_subsequent_mask(x.shape[1])
        found: torch.Tensor = self.attend(x, x, x, need_weights=False, attn_mask=mask, is_causal=True)[0]
        return found


MODELS: dict[str, tuple[Callable[[], nn.Module], torch.Tensor]] = {
    "mlp": (lambda: nn.Sequential(nn.Linear(4, 8), nn.GELU(), nn.Linear(8, 1)), seeded(5, 4)),
    "cnn": (
        lambda: nn.Sequential(
            nn.Conv2d(1, 4, 3, padding=1),
            nn.BatchNorm2d(4),
            nn.ReLU(),
            nn.MaxPool2d(2),
            nn.Conv2d(4, 4, 3),
            nn.AvgPool2d(2),
            nn.Flatten(),
            nn.Linear(4, 2),
        ),
        seeded(3, 1, 8, 8),
    ),
    "recurrent": (Recurrent, seeded(3, 5, 4)),
    "transformer": (Attention, seeded(2, 5, 8)),
    "words": (
        lambda: nn.Sequential(
            nn.Embedding(10, 4, padding_idx=0), nn.LayerNorm(4), nn.Flatten(), nn.Linear(12, 2)
        ),
        torch.tensor([[0, 1, 2], [3, 9, 0], [5, 5, 1]]),
    ),
}
Optimizer = Callable[[Iterator[nn.Parameter]], torch.optim.Optimizer]
OPTIMIZERS: dict[str, Optimizer] = {
    "momentum": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, nesterov=True),
    "adam": lambda p: torch.optim.AdamW(p, lr=0.01),
    "adagrad": lambda p: torch.optim.Adagrad(p, lr=0.01),
    "adamax": lambda p: torch.optim.Adamax(p, lr=0.01),
}


def train(
    model: nn.Module, x: torch.Tensor, optimizer: torch.optim.Optimizer, steps: int = 3
) -> torch.Tensor:
    for _ in range(steps):
        optimizer.zero_grad()
        loss: torch.Tensor = (model(x) ** 2).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return loss


def agree(one: nn.Module, other: nn.Module) -> None:
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, other.state_dict()[name], rtol=1e-6, atol=1e-6)
    for here, there in zip(one.parameters(), other.parameters(), strict=True):
        if there.grad is not None:
            torch.testing.assert_close(here.grad, there.grad, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_trained_there_is_the_model_trained_here(north: Site, name: str) -> None:
    torch.manual_seed(1)
    make, x = MODELS[name]
    model = make()
    twin = copy.deepcopy(model)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    weight = next(model.parameters())

    assert model.send(north.sue) is model
    assert isinstance(weight, sy.RemoteTensor) and isinstance(weight, nn.Parameter)
    loss = train(model, x.send(model_location(model)), optimizer)
    assert model.get() is model
    assert type(weight) is nn.Parameter and weight is next(model.parameters())

    expected = train(twin, x, torch.optim.SGD(twin.parameters(), lr=0.1, momentum=0.9))
    torch.testing.assert_close(loss.get(), expected.detach(), rtol=1e-6, atol=1e-6)
    agree(model, twin)


def model_location(model: nn.Module) -> sy.Location:
    weight = next(model.parameters())
    assert isinstance(weight, sy.RemoteTensor)
    return weight.location


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimisers_keep_their_state_where_the_gradients_are(north: Site, south: Site, name: str) -> None:
    torch.manual_seed(2)
    model = nn.Linear(4, 3)
    twin = copy.deepcopy(model)
    sites = [north.sue.location, south.sue.location]
    data = [seeded(6, 4, seed=index) for index in range(2)]
    pointers = [x.send(site) for x, site in zip(data, sites, strict=True)]
    optims = sy.Optims([site.id for site in sites], OPTIMIZERS[name](model.parameters()))
    twins = [OPTIMIZERS[name](twin.parameters()) for _ in sites]
    for _ in range(3):
        for x, pointer, other in zip(data, pointers, twins, strict=True):
            model.send(pointer.location)
            train(model, pointer, optims.get_optim(pointer.location.id), 1)
            model.get()
            train(twin, x, other, 1)
    assert optims.count() == 2
    agree(model, twin)
    with pytest.raises(NotFound, match="no optimiser"):
        optims.get_optim("elsewhere")


def test_gradients_of_tensors_and_of_second_order(north: Site) -> None:
    def hessian(w: torch.Tensor) -> torch.Tensor:
        (first,) = torch.autograd.grad((w**3).sum(), w, create_graph=True)
        (second,) = torch.autograd.grad((first * first).sum(), w)
        return second

    w = seeded(4)
    remote = w.clone().requires_grad_().send(north.sue)
    assert remote.requires_grad and remote.is_leaf
    torch.testing.assert_close(hessian(remote).get(), hessian(w.clone().requires_grad_()))
    (remote * 2).sum().backward()
    fetched = remote.get()
    assert fetched.requires_grad and torch.equal(fetched, w)
    assert fetched.grad is not None and torch.equal(fetched.grad, torch.full((4,), 2.0))


def test_a_module_is_in_one_place_at_a_time(north: Site, south: Site) -> None:
    model = nn.Linear(2, 1)
    model.send(north.sue).send(north.sue.location)  # where it is already: nothing to do
    with pytest.raises(Conflict, match="north"):
        model.send(south.sue)
    with pytest.raises(GridError, match=r"two places, (north and south|south and north)"):
        model(torch.ones(1, 2).send(south.sue))
    model.get().send(south.sue).get()


def test_backward_through_what_was_computed_before_the_move_says_so(north: Site) -> None:
    model = nn.Linear(2, 1)
    loss = model(torch.ones(1, 2)).sum()
    model.send(north.sue)
    with pytest.raises(GridError, match=r"before model\.send"):
        loss.backward()
    model.get()
    model(torch.ones(1, 2)).sum().backward()


def test_evaluation_and_state_of_batch_norm(north: Site) -> None:
    torch.manual_seed(3)
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3))
    twin = copy.deepcopy(model)
    x = seeded(6, 4)
    model.send(north.sue)
    pointer = x.send(north.sue)
    model(pointer), twin(x)
    model.eval(), twin.eval()
    with torch.no_grad():
        torch.testing.assert_close(model(pointer).get(), twin(x), rtol=1e-6, atol=1e-6)
    F.mse_loss(model(pointer), torch.zeros(6, 3)).backward()
    F.mse_loss(twin(x), torch.zeros(6, 3)).backward()
    agree(model.get(), twin)


def test_training_leaves_nothing_behind(north: Site) -> None:
    gc.collect()
    before = north.values()
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 1)).send(north.sue)
    x = seeded(5, 4).send(north.sue)
    optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(3):
        train(model, x, optimizer, 5)
        sizes = north.values()
    assert sizes - before < 40, "parameters, gradients, two moments, the data: not the steps"
    model.get()
    del x, optimizer
    gc.collect()
    assert north.values() == before
