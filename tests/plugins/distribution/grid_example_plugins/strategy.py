"""A strategy: each model goes a share of the way that the mean of its reports points."""

from __future__ import annotations

from dataclasses import replace
from typing import Annotated

import msgspec

from grid.aggregation.base import Aggregate
from grid.aggregation.strategies.interface import Parameters, Strategy, WriteNumbers, subtraction
from grid.aggregation.tensor_file import TensorFile

__all__ = ["ShareOfMean"]


class ShareParameters(Parameters, frozen=True):
    share: Annotated[float, msgspec.Meta(gt=0, le=1)] = 1.0


class ShareOfMean(Strategy):
    name = "example-share"
    parameters = ShareParameters

    def next_model(
        self, base: TensorFile, aggregate: Aggregate, state: TensorFile | None, parameters: ShareParameters
    ) -> WriteNumbers:
        return subtraction(base, replace(aggregate, scale=aggregate.scale * parameters.share))
