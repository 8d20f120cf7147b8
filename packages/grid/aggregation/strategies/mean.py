"""FedAvg: the weighted mean of what the participants learned becomes the next model (McMahan et al. 2017)."""

from __future__ import annotations

from grid.aggregation.strategies.interface import Strategy

__all__ = ["Mean"]


class Mean(Strategy):
    """The model minus the weighted mean of the differences. Nothing is kept between cycles."""

    name = "mean"
    under_policy = True
