"""Names of the paper's listings: ``List`` and ``Int`` wrap a plan's example arguments, ``ROOT_CLIENT`` stands for
the machine that will run it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, TypeVar

import torch

from syft_ext.plans.graph.document import InputRole

__all__ = [
    "ROOT_CLIENT",
    "Batch",
    "Buffer",
    "Declared",
    "Int",
    "List",
    "Noise",
    "Option",
    "Param",
    "RootClient",
    "Seed",
    "State",
    "Target",
]

T = TypeVar("T")


class List(list[T]):
    """A list argument of a plan, e.g. ``List(model.parameters())``."""


class Int(int):
    """A whole-number argument of a plan, e.g. ``Int(0)``: an input of every call, never a constant."""


class Declared:
    """An example argument of a plan, and what it is for: said, and not guessed from its name.

    Args:
        value: the example: a tensor or number, or lists and dictionaries of those.
        size: the name of the size that varies along the first dimension; "" where none does.
    """

    role: ClassVar[InputRole]
    first: ClassVar[str] = ""

    def __init__(self, value: Any, *, size: str | None = None) -> None:
        self.value = value
        self.size = self.first if size is None else size

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


class Batch(Declared):
    """Rows of data: ``xs=Batch(torch.zeros(64, 784))``; how many there are varies (``size``, "B")."""

    role, first = "data", "B"


class Target(Declared):
    """What is to be learned of the same rows: ``ys=Target(torch.zeros(64, dtype=torch.int64))``."""

    role, first = "target", "B"


class _OfModel(Declared):
    def __init__(self, value: Any, *, size: str | None = None) -> None:
        if isinstance(value, torch.nn.Module):
            value = self.of_module(value)
        elif not isinstance(value, torch.Tensor | Mapping):
            value = list(value)
        super().__init__(value, size=size)

    @staticmethod
    def of_module(module: torch.nn.Module) -> list[torch.Tensor]:
        raise NotImplementedError


class Param(_OfModel):
    """What is trained: a module (its parameters), tensors, or a state dict: ``params=Param(model)``."""

    role = "param"

    @staticmethod
    def of_module(module: torch.nn.Module) -> list[torch.Tensor]:
        return list(module.parameters())


class Buffer(_OfModel):
    """What a model keeps beside its parameters, running statistics and counters: ``buffers=Buffer(model)``."""

    role = "buffer"

    @staticmethod
    def of_module(module: torch.nn.Module) -> list[torch.Tensor]:
        return list(module.buffers())


class Noise(_OfModel):
    """Standard normal numbers, drawn by whoever runs the plan, at every run: a module (as many as it has
    parameters) or tensors of the shapes that are needed: ``noise=Noise(model)``. Their values say nothing."""

    role = "noise"

    @staticmethod
    def of_module(module: torch.nn.Module) -> list[torch.Tensor]:
        return list(module.parameters())


class State(Declared):
    """What an optimiser carries from step to step; every cycle begins with the example's values."""

    role = "state"


class Option(Declared):
    """A number that ``client_config`` may set by the argument's name: ``lr=Option(0.1)``."""

    role = "hyper"


class Seed(Declared):
    """From which the plan draws its random numbers: ``seed=Seed(0)``, another one at every step."""

    role = "seed"


class RootClient:
    """Where ``module.send(ROOT_CLIENT)`` sends to: the plan that is being recorded. ``torch`` is the torch of
    that machine, as in ``ROOT_CLIENT.torch.no_grad()``."""

    @property
    def torch(self) -> Any:
        """torch itself: ``ROOT_CLIENT.torch`` in the paper's listings."""
        return torch

    def __repr__(self) -> str:
        return "ROOT_CLIENT"


ROOT_CLIENT = RootClient()
