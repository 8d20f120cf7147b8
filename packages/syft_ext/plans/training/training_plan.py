"""A plan as a job hands it out: called as in the paper's listing 7, keeping account of its metrics."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from syft_ext.plans import Plan
from syft_ext.privacy.renyi import GaussianAccount
from syft_ext.tensors import raw_bytes

__all__ = ["Account", "StepResult", "TrainingPlan"]


class StepResult(tuple[Any, ...]):
    """The result of one training step: a tuple of one element, the updated parameters.

    So listing 7 of the paper unpacks it: ``(model_params,) = training_plan(xs=x, ys=y, params=…)``.

    Attributes:
        params: the updated parameters, in order.
        metrics: name → value of every metric that the plan returns.
        loss, accuracy: the two metrics that reports carry, or None.
        outputs: everything, in the structure that the traced function returned.
    """

    params: list[torch.Tensor]
    metrics: dict[str, float]
    loss: float | None
    accuracy: float | None
    outputs: Any

    def __new__(cls, params: list[torch.Tensor], metrics: dict[str, float], outputs: Any) -> StepResult:
        self = super().__new__(cls, (params,))
        self.params, self.metrics, self.outputs = params, metrics, outputs
        self.loss = _named(metrics, ("loss",), position=0)
        self.accuracy = _named(metrics, ("accuracy", "acc"), position=1)
        return self


def _named(metrics: dict[str, float], names: tuple[str, ...], position: int) -> float | None:
    """A metric by one of its usual names; if no metric has a usual name, by its place (loss, accuracy)."""
    for name in names:
        if name in metrics:
            return metrics[name]
    if set(metrics) & {"loss", "accuracy", "acc"} or len(metrics) <= position:
        return None
    return list(metrics.values())[position]


class Account:
    """Means over the samples of all steps of one cycle.

    Attributes:
        updates: steps.
        samples: samples in all of them together, each as often as it was used.
        planned: different samples that are to be used, whether or not the plan goes through with them; 0: whoever
            trains does not say.
        privacy: what steps with noise told of any row so far; None: nothing was promised.
        largest: samples in the largest step: so many different ones there are at least, whatever is in them.
    """

    def __init__(self) -> None:
        self.updates = 0
        self.samples = 0
        self.planned = 0
        self.largest = 0
        self.privacy: GaussianAccount | None = None
        self._seen: set[int] = set()  # rows by a fingerprint, where nobody says how many there are
        self._sums = {"loss": 0.0, "accuracy": 0.0}
        self._weights = {"loss": 0, "accuracy": 0}

    def add(self, result: StepResult, samples: int) -> None:
        """Count one step, in which ``samples`` samples weigh."""
        self.updates += 1
        self.samples += samples
        for name, value in (("loss", result.loss), ("accuracy", result.accuracy)):
            if value is not None:
                self._sums[name] += value * samples
                self._weights[name] += samples

    @property
    def rows(self) -> int:
        """Different samples behind this cycle: however often each was used, and in however many batches. Where
        nobody says how many there are, those with equal numbers count once."""
        return self.planned or len(self._seen)

    def see(self, batch: torch.Tensor) -> None:
        """Take notice of the samples of a step, unless whoever trains has said how many there are."""
        self.largest = max(self.largest, len(batch))
        if not self.planned:
            self._seen.update(_fingerprints(batch))

    def _mean(self, name: str) -> float | None:
        return self._sums[name] / self._weights[name] if self._weights[name] else None

    @property
    def loss(self) -> float | None:
        """Mean over the samples of this cycle's steps; None where no step gave any, and of steps with noise, which
        covers parameters alone."""
        return self._mean("loss") if self.privacy is None else None

    @property
    def accuracy(self) -> float | None:
        """As :attr:`loss`."""
        return self._mean("accuracy") if self.privacy is None else None


def _fingerprints(batch: torch.Tensor) -> list[int]:
    """A number for each row, the same for the same bytes: whole numbers throughout, so that no rounding tells
    equal rows apart."""
    if not batch.numel():
        return [0] * len(batch)
    rows = raw_bytes(batch.cpu()).reshape(len(batch), -1)
    words = torch.nn.functional.pad(rows, (0, -rows.shape[1] % 8)).view(torch.int64)
    generator = torch.Generator().manual_seed(0x5EED)
    factors = torch.randint(-(2**62), 2**62, (words.shape[1],), generator=generator) | 1
    mixed = (words ^ (words >> 29)) * factors
    return [int(number) for number in (mixed ^ (mixed >> 32)).sum(1)]


class TrainingPlan(Plan):
    """A downloaded plan. One that returns updated parameters answers with a :class:`StepResult`; any other
    answers as a plain :class:`~syft_ext.plans.Plan` does.

    ``account`` is set by the job: every step's samples, loss and accuracy go there, and into the report.
    """

    account: Account | None = None

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        flat = self.flatten(args, kwargs)
        results = self.run(flat)
        return self.step(flat, results) if self.outputs_with_role("param") else self.nest(results)

    def step(self, flat: Sequence[torch.Tensor | int], results: Sequence[torch.Tensor | None]) -> StepResult:
        """Flat inputs and flat outputs of one step as its result; it is taken into account.

        Of a step in a chain some inputs are numbers, and some results None (:meth:`Plan.run_chain`).
        """
        params: list[torch.Tensor] = []
        metrics: dict[str, float] = {}
        for output, tensor in zip(self.document.outputs, results, strict=True):
            if tensor is None:
                continue
            if output.role == "param":
                params.append(tensor)
            elif output.role in ("metric", "result") and tensor.numel() == 1:
                metrics[output.name] = float(tensor)
        result = StepResult(params, metrics, self.nest(results))  # type: ignore[arg-type]  # None in chains
        if self.account is not None:
            batch = self._batch(flat)
            self.account.add(result, 1 if batch is None else len(batch))
            if batch is not None:
                self.account.see(batch)
        return result

    def _batch(self, flat: Sequence[torch.Tensor | int]) -> torch.Tensor | None:
        """The first data input, whose first size counts samples; None where there is none."""
        for item, tensor in zip(self.document.inputs, flat, strict=True):
            if item.role == "data" and isinstance(tensor, torch.Tensor) and tensor.ndim:
                return tensor
        return None
