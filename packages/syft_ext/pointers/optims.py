"""``Optims``: an optimiser with state for each place, as PySyft 0.2 had it for federated training."""

from __future__ import annotations

import copy
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

import torch

from syft_ext.errors import NotFound
from syft_ext.pointers.record import put
from syft_ext.pointers.tensor import RemoteTensor

__all__ = ["Optims"]


class Optims:
    """One optimiser for several places: momentum and the like stay where the gradients were.

    Args:
        workers: the places: ids, locations or pointers. None: whichever :meth:`get_optim` is asked for.
        optim: the optimiser whose class, options and parameters all of them have.
    """

    def __init__(self, workers: Iterable[Any] | None, optim: torch.optim.Optimizer) -> None:
        self.optim = optim
        self.workers = None if workers is None else [_id(worker) for worker in workers]
        self.optimizers: dict[str, torch.optim.Optimizer] = {}

    def get_optim(self, worker: Any) -> torch.optim.Optimizer:
        """The optimiser for a place (``data.location.id``). Raises :class:`NotFound` for one not named before."""
        name = _id(worker)
        if self.workers is not None and name not in self.workers:
            raise NotFound(f"no optimiser for {name!r}; there are: {', '.join(self.workers)}")
        if name not in self.optimizers:
            self.optimizers[name] = self._fresh()
        _follow(self.optimizers[name])
        return self.optimizers[name]

    def count(self) -> int:
        """For how many places there is an optimiser by now."""
        return len(self.optimizers)

    def _fresh(self) -> torch.optim.Optimizer:
        made = copy.copy(self.optim)
        made.state = defaultdict(dict)
        for parameter, state in self.optim.state.items():
            made.state[parameter] = {name: copy.deepcopy(value) for name, value in state.items()}
        made.param_groups = [{**group, "params": list(group["params"])} for group in self.optim.param_groups]
        return made


def _follow(optimizer: torch.optim.Optimizer) -> None:
    """Send state that is still here to where its parameter is (Adagrad makes its state at once)."""
    for parameter, state in optimizer.state.items():
        if isinstance(parameter, RemoteTensor):
            for name, value in state.items():
                here = isinstance(value, torch.Tensor) and not isinstance(value, RemoteTensor)
                if here and name != "step" and value.shape == parameter.shape:
                    state[name] = put(parameter._session, value)


def _id(worker: Any) -> str:
    if isinstance(worker, str):
        return worker
    location = getattr(worker, "location", worker)
    return str(location.id)
