"""A training tried out on made-up rows of the form of the owner's data, for who decides about it.

What runs is the plan itself, in the sandbox, over rows of the same columns, types and labels. They are drawn
from each column's mean and deviation, to two digits; no row of the owner's is among them. So a trial says how
the plan behaves, and not what it finds. Which of its results carry single rows back is tried on them, too
(:mod:`syft_ext.plans.checking.influence`).
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import torch
from numpy.typing import NDArray

from grid.worker.sandboxed import SandboxedPlan
from syft_ext.errors import GridError
from syft_ext.federated.batches import PlanTrainer
from syft_ext.federated.bounds import BoundedReports
from syft_ext.messages.plan_facts import TrialOfRows
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.messages.worker import TrainingTrial
from syft_ext.plans import Plan
from syft_ext.plans.checking.row_trial import try_rows
from syft_ext.plans.graph.document import Input
from syft_ext.plans.sandbox.tensors import TensorSandbox
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.training_plan import Account

__all__ = ["mock_rows", "try_out"]

ROWS = 256
TRIED = 32
STEPS = 3


def mock_rows(
    x: torch.Tensor, y: torch.Tensor, count: int, seed: int = 0
) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` made-up samples and targets of the form of ``x`` and ``y``, column by column.

    Numbers are drawn around each column's (or channel's) mean with its deviation, both rounded to two digits;
    labels are drawn from as many classes as there are.
    """
    random = torch.Generator().manual_seed(seed)
    samples = _like(x, count, random)
    if y.is_floating_point():
        return samples, _like(y, count, random)
    return samples, torch.randint(0, int(y.max()) + 1, (count, *y.shape[1:]), generator=random, dtype=y.dtype)


def _like(values: torch.Tensor, count: int, random: torch.Generator) -> torch.Tensor:
    axes = [axis for axis in range(values.ndim) if axis != 1]
    wide = values.double()
    mean, deviation = wide.mean(axes, keepdim=True), wide.std(axes, correction=0, keepdim=True)
    drawn = torch.randn((count, *values.shape[1:]), generator=random, dtype=torch.float64)
    return (_rounded(mean) + _rounded(deviation) * drawn).to(values.dtype)


def _rounded(values: torch.Tensor) -> torch.Tensor:
    """To two significant digits."""
    size = torch.where(values == 0, torch.ones_like(values), values.abs())
    step = 10.0 ** (torch.floor(torch.log10(size)) - 1)
    return torch.round(values / step) * step


@dataclass
class _Part:
    """What a trainer sees of a job, where there is none (:class:`~syft_ext.federated.batches.LocalTraining`)."""

    plans: dict[str, Plan]
    model: Parameters
    client_config: dict[str, Any]
    cycle: int = 1
    hides_failures: bool = False
    steps: int = field(default=0)

    def emit_progress(self, updates: int | None = None) -> None:
        self.steps += 1


def try_out(
    plans: dict[str, SandboxedPlan],
    model: Parameters,
    config: dict[str, Any],
    data: tuple[torch.Tensor, torch.Tensor],
    bounds: WorkerBounds,
) -> TrainingTrial:
    """A few steps of the training plan, from the initial model, over made-up rows.

    Where it cannot run, the trial says why: on the owner's data it would not run either.
    """
    account = Account()
    for plan in plans.values():
        plan.account = account
    part = _Part(dict(plans), model, {**config, "epochs": 1, "max_updates": _steps(config)})
    begun = time.perf_counter()
    try:
        count = min(len(data[0]), max(ROWS, *_batches(plans), 1))
        trained = PlanTrainer(*mock_rows(*data, count), seed=0)(part)
        unbounded, clipping = WorkerBounds(), msgspec.structs.replace(bounds, noise_multiplier=None)
        norm, bounded = (
            _norm(BoundedReports(each, bytes(32)).difference(model, trained))
            for each in (unbounded, clipping)
        )
    except GridError as error:
        return TrainingTrial(problem=error.detail)
    return TrainingTrial(
        rows=count,
        steps=part.steps,
        seconds=time.perf_counter() - begun,
        loss=account.loss,
        accuracy=account.accuracy,
        norm=norm,
        bounded=bounded,
        influence=_influence(plans, mock_rows(*data, ROWS)),
    )


def _influence(
    plans: dict[str, SandboxedPlan], rows: tuple[torch.Tensor, torch.Tensor]
) -> dict[str, TrialOfRows]:
    """Which results of each plan carry single ones of ``rows`` back."""
    found = {}
    for name, plan in plans.items():
        given = {
            item.name: _as_wanted(item, rows[0] if item.role == "data" else rows[1])
            for item in plan.inputs
            if item.role in ("data", "target")
        }
        content, sandbox = plan.dumps(), plan.sandbox
        assert isinstance(sandbox, TensorSandbox)  # a Worker runs no stranger's plan anywhere else
        tried = try_rows(
            plan.document,
            partial(sandbox.run_raw, content),
            lambda shapes, content=content, sandbox=sandbox: sandbox.price(content, shapes)[2],  # type: ignore[misc]
            TRIED,
            given,
        )
        if tried is not None:
            found[name] = tried
    return found


def _as_wanted(item: Input, rows: torch.Tensor) -> NDArray[Any]:
    """Made-up samples or labels as numbers of the input: labels one-hot where it wants classes as columns."""
    classes = item.shape[-1] if item.role == "target" and rows.ndim == len(item.shape) - 1 else None
    if (
        isinstance(classes, int)
        and classes >= 2
        and not rows.is_floating_point()
        and int(rows.max()) < classes
    ):
        rows = torch.nn.functional.one_hot(rows.long(), classes)
    return rows.double().numpy()


def _steps(config: dict[str, Any]) -> Any:
    """As many steps as the training would take, and at most :data:`STEPS`."""
    wanted = config.get("max_updates")
    return wanted if isinstance(wanted, int) and 0 < wanted < STEPS else STEPS


def _batches(plans: dict[str, SandboxedPlan]) -> list[int]:
    """The fixed numbers of rows that plans take at a time."""
    sizes = [item.shape[0] for plan in plans.values() for item in plan.inputs_with_role("data") if item.shape]
    return [size for size in sizes if isinstance(size, int)]


def _norm(difference: dict[str, torch.Tensor]) -> float:
    return float(sum(float((tensor.double() ** 2).sum()) for tensor in difference.values()) ** 0.5)
