"""A report as its participant's owner lets it out."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch

from syft_ext.errors import BadRequest, InvalidTensors
from syft_ext.federated.bounds.clipping import Pair, blocks, clip_scale, towards_zero
from syft_ext.federated.bounds.noisy import noisy_difference
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.report_metrics import coarse
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.messages.worker_bounds import check_bounds
from syft_ext.plans.training.parameters import Difference, Parameters, parameter_pairs
from syft_ext.privacy.keys import derive_key
from syft_ext.tensors import TensorKind

__all__ = ["BoundedReports", "demands_noise"]


class BoundedReports:
    """Makes the difference that a report carries, and says what else goes with it.

    Always: tensors of the model's names, shapes and dtypes in its order, all finite; constants are reported as
    unchanged. With ``clip_norm``: the exact L2 norm of all parameters together is at most that, and everything
    else (:data:`~syft_ext.tensors.TensorKind`) is reported as unchanged: statistics and counters are made of rows,
    and would be a way around it. With ``noise_multiplier``: exact Gaussian noise on a grid, on the parameters
    (:mod:`syft_ext.federated.bounds.noisy`).

    Args:
        bounds: None: only what always holds.
        secret: at least 32 bytes that only this participant knows: noise follows from it.
    """

    def __init__(self, bounds: WorkerBounds | None, secret: bytes) -> None:
        self.bounds = check_bounds(bounds or WorkerBounds())
        self._secret = secret

    def secret_of(self, *question: str) -> bytes:
        """The secret (32 bytes) from which the noise follows that a report's format adds to the answer to a
        question, as in :meth:`difference`; no two questions share noise."""
        return derive_key(self._secret, "noise of a report's format", *(each.encode() for each in question))

    def difference(
        self, base: Parameters, trained: Any, *question: str, hides_failures: bool = False
    ) -> Difference:
        """``base − trained`` by name, within the bounds.

        Args:
            question: what the report answers: training, cycle, assignment. The same report to the same
                question has the same noise; no two others share any.
            hides_failures: nobody may hear that it is not finite, because there is noise here or at the Domain:
                then such a difference counts as none.

        Raises :class:`InvalidTensors` when ``trained`` is not shaped as ``base``, or not finite; under noise a
        difference that is not finite counts as none.
        """
        pairs = parameter_pairs(base, trained)
        kinds = {name: base.kind(name, before) for name, (before, _) in pairs.items()}
        try:
            return self._made(pairs, kinds, question)
        except InvalidTensors:
            if not hides_failures:
                raise
            return Difference({name: torch.zeros_like(before) for name, (before, _) in pairs.items()})

    def _made(
        self,
        pairs: Mapping[str, tuple[torch.Tensor, torch.Tensor]],
        kinds: Mapping[str, TensorKind],
        question: tuple[str, ...],
    ) -> Difference:
        if self.bounds.clip_norm is None:
            return Difference(
                {
                    name: torch.zeros_like(pair[0])
                    if kinds[name] == "constant"
                    else _finite(name, torch.sub(*pair))
                    for name, pair in pairs.items()
                }
            )
        flat = {name: (before.reshape(-1), after.reshape(-1)) for name, (before, after) in pairs.items()}
        learned = {name: pair for name, pair in flat.items() if kinds[name] == "parameter"}
        made = self._bounded(learned, question, self.bounds.clip_norm)
        return Difference(
            {
                name: made[name].reshape(before.shape) if name in made else torch.zeros_like(before)
                for name, (before, _) in pairs.items()
            }
        )

    def _bounded(
        self, pairs: dict[str, Pair], question: tuple[str, ...], norm: float
    ) -> dict[str, torch.Tensor]:
        multiplier = self.bounds.noise_multiplier
        if multiplier is not None:
            return noisy_difference(pairs, norm, multiplier, self._secret, question)
        scale = clip_scale(list(pairs.values()), norm)
        return {name: _clipped(pair, scale) for name, pair in pairs.items()}

    def check_rows(self, rows: int) -> None:
        """Raise :class:`BadRequest` for a report on fewer rows than the owner wants behind one."""
        if rows < self.bounds.min_rows and self.bounds.min_rows > 1:
            raise BadRequest(
                f"the bounds demand at least {self.bounds.min_rows} rows behind a report", field="min_rows"
            )

    def samples(self, count: int | None) -> int | None:
        """The number of samples that a report claims."""
        most = self.bounds.max_samples
        return count if count is None or most is None else min(count, most)

    def metric(self, value: float | None, policy: CyclePolicy | None = None) -> float | None:
        """Loss or accuracy as it is reported: it came out of the plan, so that under noise it stays here, and
        where reports are clipped little of it is left (:func:`~syft_ext.messages.report_metrics.coarse`).

        Args:
            policy: what the site demands beside the bounds.
        """
        noise = self.bounds.noise_multiplier is not None or demands_noise(policy)
        if value is None or noise:
            return None
        if self.bounds.clip_norm is not None or (policy is not None and policy.clip_norm is not None):
            return coarse(value)
        return value if math.isfinite(value) else None


def demands_noise(policy: CyclePolicy | None) -> bool:
    """Whether the site demands noise on a cycle."""
    return policy is not None and policy.noise_multiplier is not None


def _clipped(pair: Pair, scale: float) -> torch.Tensor:
    made = torch.empty_like(pair[0])
    for part, values in blocks(pair):
        made[part] = towards_zero(values * scale, made.dtype)
    return made


def _finite(name: str, values: torch.Tensor) -> torch.Tensor:
    """``values``, of which one sum mostly says whether all are finite: not, if one of them is not."""
    doubtful = values.is_floating_point() and not math.isfinite(float(values.sum(dtype=torch.float64)))
    if doubtful and not bool(values.isfinite().all()):
        raise InvalidTensors(f"what was learned for {name!r} holds a number that is not finite")
    return values
