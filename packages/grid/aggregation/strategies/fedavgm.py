"""FedAvgM: the mean with momentum on the server.

T.-M. H. Hsu, H. Qi, M. Brown, "Measuring the effects of non-identical data distribution for federated visual
classification", 2019, section 4: with the averaged difference Δ, v ← βv + Δ and w ← w − ηv.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec

from grid.aggregation.strategies.interface import Parameters
from grid.aggregation.strategies.server_optimizer import ServerOptimizer, Values

__all__ = ["FedAvgM"]


class MomentumParameters(Parameters, frozen=True):
    """``learning_rate``: η, ``momentum``: β. With 1 and 0 it is the plain mean."""

    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 1.0
    momentum: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9


class FedAvgM(ServerOptimizer):
    name = "fedavgm"
    parameters = MomentumParameters
    under_policy = True
    slots = ("velocity",)

    def advance(self, slot: str, before: Values, gradient: Values, parameters: MomentumParameters) -> Values:
        velocity: Values = before * parameters.momentum
        velocity += gradient
        return velocity

    def step(self, slots: Mapping[str, Values], parameters: MomentumParameters) -> Values:
        step: Values = slots["velocity"] * parameters.learning_rate
        return step
