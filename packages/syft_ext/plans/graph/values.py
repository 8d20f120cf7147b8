"""Names of the paper's listings: ``List`` and ``Int`` wrap a plan's example arguments, ``ROOT_CLIENT`` stands for
the machine that will run it."""

from __future__ import annotations

from typing import Any, TypeVar

import torch

__all__ = ["ROOT_CLIENT", "Int", "List", "RootClient"]

T = TypeVar("T")


class List(list[T]):
    """A list argument of a plan, e.g. ``List(model.parameters())``."""


class Int(int):
    """A whole-number argument of a plan, e.g. ``Int(0)``: an input of every call, never a constant."""


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
