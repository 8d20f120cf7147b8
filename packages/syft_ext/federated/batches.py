"""The default local training: the hosted plan over batches of local data, as ``client_config`` says."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Protocol

import torch

from syft_ext.errors import InvalidConfig, InvalidPlan, InvalidTensors
from syft_ext.plans import Plan
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.graph.document import Input
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.training_plan import TrainingPlan

__all__ = ["LocalTraining", "PlanTrainer", "training_plan_of"]

#: Input role → the output role whose values it takes in the next step.
CARRIED = ("param", "buffer", "state")


class LocalTraining(Protocol):
    """What a trainer sees of a job; the attributes are those of :class:`~syft_ext.federated.job.FLJob`."""

    plans: dict[str, Plan]
    model: Parameters
    client_config: dict[str, Any]

    @property
    def cycle(self) -> int:
        """Number of the cycle, from 1."""

    def emit_progress(self, updates: int | None = None) -> None:
        """Tell whoever listens that one more of so many ``updates`` is done."""


class PlanTrainer:
    """Runs a training plan over ``x`` and ``y``; an instance is a ``train`` callable for ``FLJob.run``.

    From ``client_config``: ``batch_size`` (default: all samples at once), ``epochs`` (default 1),
    ``max_updates`` (default: no limit), ``shuffle`` (default true), and the value of every further input of
    the plan by its name (``lr``, …). Integer targets become one-hot where the plan wants that.

    Args:
        x, y: samples and targets, shapes ``[N, …]``.
        seed: of the shuffling, together with the cycle's number; None: not reproducible.
    """

    def __init__(self, x: torch.Tensor, y: torch.Tensor, *, seed: int | None = None) -> None:
        if len(x) != len(y) or not len(x):
            raise InvalidTensors(f"{len(x)} samples and {len(y)} targets: as many of both are needed")
        self.x, self.y, self.seed = x, y, seed
        self._fitted: tuple[str, torch.Tensor, torch.Tensor] | None = None

    def __call__(self, job: LocalTraining) -> list[torch.Tensor]:
        """Train from ``job.model``; the updated parameters. Tells progress after every step."""
        plan = training_plan_of(job.plans)
        inputs = _Inputs(plan, job.model, job.client_config)
        x, y = self._fit(plan, inputs)
        batches = list(self._batches(job.client_config, inputs.batch_size, job.cycle))
        for number, rows in enumerate(batches):
            inputs.step(x[rows], y[rows], number + self._seed(job.cycle))
            job.emit_progress(len(batches))
        return inputs.model()

    def _fit(self, plan: TrainingPlan, inputs: _Inputs) -> tuple[torch.Tensor, torch.Tensor]:
        """The data as the plan wants them; converted once, not in every cycle."""
        if self._fitted is None or self._fitted[0] != plan.id:
            self._fitted = (plan.id, inputs.fit("data", self.x), inputs.fit("target", self.y))
        return self._fitted[1:]

    def _seed(self, cycle: int) -> int:
        return (self.seed or 0) * 1_000_003 + cycle * 10_007

    def _batches(
        self, config: dict[str, Any], fixed: int | None, cycle: int
    ) -> Iterator[torch.Tensor | slice]:
        """The rows of every batch of this cycle."""
        count = len(self.x)
        size = fixed or _positive(config, "batch_size", count)
        limit = _positive(config, "max_updates", 0) or math.inf
        if size >= count and not fixed:
            rows: Iterator[torch.Tensor | slice] = iter([slice(None)] * _positive(config, "epochs", 1))
        else:
            rows = self._drawn(config, size, bool(fixed), cycle)
        for number, batch in enumerate(rows):
            if number >= limit:
                return
            yield batch

    def _drawn(
        self, config: dict[str, Any], size: int, only_full: bool, cycle: int
    ) -> Iterator[torch.Tensor | slice]:
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self._seed(cycle))
        count = len(self.x)
        if only_full and size > count:
            raise InvalidTensors(f"the plan takes batches of exactly {size}, there are {count} samples")
        for _ in range(_positive(config, "epochs", 1)):
            order = torch.randperm(count, generator=generator)
            if not config.get("shuffle", True):
                order = torch.arange(count)
            stop = count - count % size if only_full else count
            for start in range(0, stop, size):
                yield order[start : start + size]


def training_plan_of(plans: dict[str, Plan]) -> TrainingPlan:
    """The plan to train with: ``training_plan``, or the only one that returns updated parameters."""
    candidates = {
        n: p for n, p in plans.items() if isinstance(p, TrainingPlan) and p.outputs_with_role("param")
    }
    if "training_plan" in candidates:
        return candidates["training_plan"]
    if len(candidates) != 1:
        raise InvalidPlan(
            f"{len(candidates)} of the plans ({', '.join(plans) or 'none'}) train; "
            "call one yourself in an accepted listener or in train="
        )
    return next(iter(candidates.values()))


def _positive(config: dict[str, Any], name: str, default: int) -> int:
    value = config.get(name)
    if value is None:
        return default
    if not isinstance(value, int | float) or value != int(value) or value < 0:
        raise InvalidConfig(f"client_config: {name} is {value!r}, a whole number is needed", field=name)
    return int(value) or default


class _Inputs:
    """The flat inputs of a plan, step after step: what one step returned goes into the next."""

    def __init__(self, plan: TrainingPlan, model: list[torch.Tensor], config: dict[str, Any]) -> None:
        self.plan = plan
        self.data = _only(plan, "data")
        self.target = _only(plan, "target")
        first = self.data[1].shape[0] if self.data[1].shape else None
        self.batch_size: int | None = first if isinstance(first, int) else None
        self.values: list[torch.Tensor | None] = [_default(item) for item in plan.inputs]
        self._configure(config)
        self._model_roles = self._place(model)

    def _configure(self, config: dict[str, Any]) -> None:
        for index, item in enumerate(self.plan.inputs):
            if item.role == "hyper" and item.name in config and item.name != "batch_size":
                self.values[index] = _scalar(item, config[item.name])

    def _where(self, *roles: str) -> list[int]:
        return [index for index, item in enumerate(self.plan.inputs) if item.role in roles]

    def _place(self, model: list[torch.Tensor]) -> tuple[str, ...]:
        """Put the model's tensors where they belong: parameters, or parameters and buffers in order."""
        for roles in (("param",), ("param", "buffer")):
            places = self._where(*roles)
            if len(places) == len(model):
                for index, tensor in zip(places, model, strict=True):
                    self.values[index] = tensor
                return roles
        raise InvalidPlan(
            f"the plan takes {len(self._where('param'))} parameters and {len(self._where('buffer'))} buffers, "
            f"the model has {len(model)} tensors"
        )

    def fit(self, role: str, values: torch.Tensor) -> torch.Tensor:
        """Local data as the plan wants them: its dtype, and one-hot where it wants classes as columns."""
        item = (self.data if role == "data" else self.target)[1]
        dtype = DTYPES[item.dtype]
        if values.ndim == len(item.shape) - 1 and not values.is_floating_point() and role == "target":
            classes = item.shape[-1]
            if not isinstance(classes, int):
                raise InvalidTensors(f"how many classes {item.name} has, the plan does not say")
            values = torch.nn.functional.one_hot(values.long(), classes)
        return values.to(dtype)

    def step(self, x: torch.Tensor, y: torch.Tensor, seed: int) -> None:
        values = self.values
        values[self.data[0]], values[self.target[0]] = x, y
        for index, item in enumerate(self.plan.inputs):
            if item.name == "batch_size" and item.role in ("hyper", "count"):
                values[index] = _scalar(item, len(x))
            elif item.role == "seed":
                values[index] = _scalar(item, seed)
        missing = [item.name for item, value in zip(self.plan.inputs, values, strict=True) if value is None]
        if missing:
            raise InvalidConfig(
                f"client_config: the plan needs {missing[0]}, which has no default", field=missing[0]
            )
        flat = [value for value in values if value is not None]
        results = self.plan.run(flat)
        self.plan.step(flat, results)
        self._carry(results)

    def _carry(self, results: tuple[torch.Tensor, ...]) -> None:
        for role in CARRIED:
            found = [r for o, r in zip(self.plan.outputs, results, strict=True) if o.role == role]
            places = self._where(role)
            if found and len(found) != len(places):
                raise InvalidPlan(
                    f"the plan takes {len(places)} inputs of role {role} and returns {len(found)}"
                )
            for index, tensor in zip(places, found, strict=False):
                self.values[index] = tensor

    def model(self) -> list[torch.Tensor]:
        """The model's tensors as they are now, in the model's order."""
        return [value for i in self._where(*self._model_roles) if (value := self.values[i]) is not None]


def _default(item: Input) -> torch.Tensor | None:
    """What an input is before anybody says: the plan's default; an optimiser's state begins at zero."""
    if item.default is not None:
        return const_tensor(item.default)
    if item.role == "state" and all(isinstance(size, int) for size in item.shape):
        return torch.zeros(item.shape, dtype=DTYPES[item.dtype])
    return None


def _only(plan: Plan, role: str) -> tuple[int, Input]:
    found = [(index, item) for index, item in enumerate(plan.inputs) if item.role == role]
    if len(found) != 1:
        raise InvalidPlan(
            f"the plan has {len(found)} inputs of role {role}: pass train= to job.run and call it yourself"
        )
    return found[0]


def _scalar(item: Input, value: Any) -> torch.Tensor:
    if not isinstance(value, int | float) or isinstance(value, bool):
        raise InvalidConfig(f"client_config: {item.name} is {value!r}, a number is needed", field=item.name)
    if any(size != 1 for size in item.shape):
        raise InvalidConfig(f"client_config: {item.name} of the plan is no single number", field=item.name)
    return torch.full([1] * len(item.shape), value, dtype=DTYPES[item.dtype])
