"""What listing 2 takes for granted: a model, an optimiser for each place, and data at two Domains."""

from __future__ import annotations

import os

import torch

import syft_ext as sy

__all__ = ["ROWS", "datasets", "finish", "make_model", "make_optimizer", "model", "optims"]

#: Inputs and targets of PySyft's own tutorial; the first half is at one Domain, the rest at the other.
ROWS = (
    torch.tensor([[0.0, 0], [0, 1], [1, 0], [1, 1]]),
    torch.tensor([[0.0], [0], [1], [1]]),
)


def make_model() -> torch.nn.Module:
    torch.manual_seed(11)
    return torch.nn.Sequential(torch.nn.Linear(2, 6), torch.nn.Tanh(), torch.nn.Linear(6, 1))


def make_optimizer(model: torch.nn.Module) -> torch.optim.Optimizer:
    return torch.optim.SGD(params=model.parameters(), lr=0.1, momentum=0.5)


def _connect() -> list[sy.DomainClient]:
    found = []
    for url in os.environ["GRID_ADDRESSES"].split():
        client = sy.login(url, os.environ["GRID_EMAIL"], os.environ["GRID_PASSWORD"])
        assert isinstance(client, sy.DomainClient)
        found.append(client)
    return found


if "GRID_ADDRESSES" in os.environ:
    model = make_model()
    domains = _connect()
    tables = [domain.datasets["xor"]["table"].pointer() for domain in domains]
    datasets = [(table["data"], table["target"]) for table in tables]
    optims = sy.Optims([data.location.id for data, _ in datasets], optim=make_optimizer(model))


def finish() -> None:
    """Say what the model has become, here again."""
    for parameter in model.parameters():
        assert type(parameter) is torch.nn.Parameter and parameter.grad is not None
        print("parameter", " ".join(value.hex() for value in parameter.double().flatten().tolist()))
