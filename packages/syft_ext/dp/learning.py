"""Private training as a plan: DP-SGD, whose noise the executor draws.

M. Abadi et al., "Deep learning with differential privacy", 2016: gradients of single rows are clipped, summed,
and get Gaussian noise of ``noise_multiplier`` clipping norms. What a Worker runs is data, like every plan; noise
is an input of the role "noise", which only whoever runs it fills.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from syft_ext.plans import Batch, Option, Param, Plan, Target, trace
from syft_ext.plans.graph.values import Noise

__all__ = ["make_dp_sgd_plan"]

RowLoss = Callable[[torch.Tensor, torch.Tensor], torch.Tensor]


def make_dp_sgd_plan(
    model: torch.nn.Module,
    xs: torch.Tensor,
    ys: torch.Tensor,
    *,
    clip_norm: float = 1.0,
    noise_multiplier: float = 1.0,
    lr: float = 0.1,
    loss: RowLoss | None = None,
) -> Plan:
    """A training plan that takes one step of DP-SGD on a batch.

    Args:
        model: without batch norm, which mixes rows. xs, ys: example rows, shapes ``[B, …]`` and ``[B]``.
        clip_norm: the L2 norm that the gradient of each row is clipped to, all parameters together.
        noise_multiplier: deviation of the noise in the sum of gradients, in clipping norms.
        loss: of one row, from the model's output for it and its target; None: cross entropy of classes.

    ``clip_norm``, ``noise_multiplier`` and ``lr`` are options: ``client_config`` may set them.
    Raises :class:`~syft_ext.plans.TraceError` for a model that cannot be recorded row by row.
    """
    names = [name for name, _ in model.named_parameters()]
    of_row = loss or _cross_entropy

    def training_plan(
        xs: Any, ys: Any, lr: Any, clip_norm: Any, noise_multiplier: Any, params: Any, noise: Any
    ) -> Any:
        def row_loss(leaves: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
            output = torch.func.functional_call(model, dict(zip(names, leaves, strict=True)), (x[None],))
            return of_row(output[0], y)

        by_row = torch.func.vmap(torch.func.grad_and_value(row_loss), (None, 0, 0))
        gradients, losses = by_row(list(params), xs, ys)
        squares = sum((each * each).flatten(1).sum(1) for each in gradients)
        factor = (clip_norm / (squares.sqrt() + 1e-12)).clamp(max=1.0)
        clipped = [(each * factor.view(-1, *([1] * (each.dim() - 1)))).sum(0) for each in gradients]
        noisy = [
            each + noise_multiplier * clip_norm * drawn for each, drawn in zip(clipped, noise, strict=True)
        ]
        loss = losses.mean()
        return (loss, *[old - lr * each / xs.shape[0] for old, each in zip(params, noisy, strict=True)])

    return trace(
        training_plan,
        xs=Batch(xs),
        ys=Target(ys),
        lr=Option(float(lr)),
        clip_norm=Option(float(clip_norm)),
        noise_multiplier=Option(float(noise_multiplier)),
        params=Param(model),
        noise=Noise(model),
    )


def _cross_entropy(logits: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    # Not gather: under vmap it fixes the size of the batch.
    right = torch.arange(logits.shape[0]) == target
    return -(torch.nn.functional.log_softmax(logits, 0) * right).sum()
