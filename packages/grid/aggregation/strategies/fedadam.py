"""FedAdam: Adam on the server.

S. Reddi et al., "Adaptive federated optimization", 2021, algorithm 2: with the averaged difference Δ (here base
minus trained, there the other way round), m ← β₁m + (1 − β₁)Δ, v ← β₂v + (1 − β₂)Δ², w ← w − ηm / (√v + τ), where
m begins with 0 and v with τ². As there, neither is corrected for its beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import msgspec
import numpy as np

from grid.aggregation.strategies.interface import Parameters
from grid.aggregation.strategies.server_optimizer import ServerOptimizer, Values

__all__ = ["FedAdam"]


class AdamParameters(Parameters, frozen=True):
    """``learning_rate``: η; ``beta_1``, ``beta_2``: how slowly the moments change; ``tau``: τ, how adaptive."""

    learning_rate: Annotated[float, msgspec.Meta(gt=0, le=1000)] = 0.1
    beta_1: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.9
    beta_2: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.99
    tau: Annotated[float, msgspec.Meta(ge=1e-9, le=1000)] = 1e-3


class FedAdam(ServerOptimizer):
    name = "fedadam"
    parameters = AdamParameters
    under_policy = True
    slots = ("first_moment", "second_moment")

    def initial(self, slot: str, parameters: AdamParameters) -> float:
        return 0.0 if slot == "first_moment" else parameters.tau**2

    def advance(self, slot: str, before: Values, gradient: Values, parameters: AdamParameters) -> Values:
        first = slot == "first_moment"
        beta = parameters.beta_1 if first else parameters.beta_2
        moment: Values = before * beta
        moment += (gradient if first else np.square(gradient)) * (1.0 - beta)
        return moment

    def step(self, slots: Mapping[str, Values], parameters: AdamParameters) -> Values:
        step: Values = slots["first_moment"] * parameters.learning_rate
        step /= np.sqrt(slots["second_moment"]) + parameters.tau
        return step
