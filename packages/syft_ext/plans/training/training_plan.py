"""A plan as a job hands it out: called as in the paper's listing 7, keeping account of its metrics."""

from __future__ import annotations

from typing import Any

import torch

from syft_ext.plans import Plan

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
    """Means over the samples of all steps of one cycle."""

    def __init__(self) -> None:
        self.updates = 0
        self.samples = 0
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

    def _mean(self, name: str) -> float | None:
        return self._sums[name] / self._weights[name] if self._weights[name] else None

    @property
    def loss(self) -> float | None:
        """Mean over the samples of this cycle's steps; None where no step gave any."""
        return self._mean("loss")

    @property
    def accuracy(self) -> float | None:
        """As :attr:`loss`."""
        return self._mean("accuracy")


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

    def step(self, flat: list[torch.Tensor], results: tuple[torch.Tensor, ...]) -> StepResult:
        """Flat inputs and flat outputs of one step as its result; it is taken into account."""
        params: list[torch.Tensor] = []
        metrics: dict[str, float] = {}
        for output, tensor in zip(self.document.outputs, results, strict=True):
            if output.role == "param":
                params.append(tensor)
            elif output.role in ("metric", "result") and tensor.numel() == 1:
                metrics[output.name] = float(tensor)
        result = StepResult(params, metrics, self.nest(results))
        if self.account is not None:
            self.account.add(result, self.batch_of(flat))
        return result

    def batch_of(self, flat: list[torch.Tensor]) -> int:
        """Samples in these inputs: the first size of the first data input; 1 if there is none."""
        for item, tensor in zip(self.document.inputs, flat, strict=True):
            if item.role == "data" and tensor.ndim:
                return int(tensor.shape[0])
        return 1
