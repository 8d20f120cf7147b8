"""Inputs of the role "noise": independent standard normal numbers that the executor draws, at every run anew.

Neither the plan, nor whoever calls it, gives them: noise that somebody else knows hides nothing. They come from
the operating system's generator through exact discrete sampling (:mod:`syft_ext.privacy.noise`), in steps of
2⁻²⁰. What a plan does with them is floating-point arithmetic: its last bits are not covered (I. Mironov, 2012).
"""

from __future__ import annotations

import math

import torch

from syft_ext.errors import InvalidPlan
from syft_ext.plans.graph.document import Document, Input
from syft_ext.plans.graph.dtypes import DTYPES
from syft_ext.privacy.noise import DiscreteGaussian

__all__ = ["drawn_noise", "refuse_noise"]

_BITS = 20


def drawn_noise(item: Input) -> torch.Tensor:
    """Fresh noise for one input."""
    draws = DiscreteGaussian(1 << 2 * _BITS).draws()
    steps = torch.from_numpy(draws.take(math.prod(item.shape)))
    return (steps.to(torch.float64) * 2.0**-_BITS).to(DTYPES[item.dtype]).reshape(item.shape)


def refuse_noise(document: Document) -> None:
    """Raise :class:`InvalidPlan` for a plan that takes noise, where whoever runs it gives all of its inputs."""
    found = next((item.name for item in document.inputs if item.role == "noise"), None)
    if found is not None:
        raise InvalidPlan(
            f"the plan takes {found} as noise, which only a participant of a training draws for itself",
            input=found,
        )
