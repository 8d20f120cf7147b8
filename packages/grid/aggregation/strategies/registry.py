"""Strategies by name: those that come with Grid, and those of installed packages.

A package brings one with an entry point in the group ``grid.aggregation_strategies`` that refers to a subclass of
:class:`~grid.aggregation.strategies.interface.Strategy`, which is made without arguments:

    [options.entry_points]
    grid.aggregation_strategies =
        trimmed_mean = my_package.trimmed:TrimmedMean
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid.aggregation.strategies.fedadam import FedAdam
from grid.aggregation.strategies.fedavgm import FedAvgM
from grid.aggregation.strategies.interface import Strategy
from grid.aggregation.strategies.mean import Mean
from grid.extensions import parameters
from grid.extensions.parameters import Parameters
from grid.extensions.registry import Extensions
from syft_ext.errors import InvalidConfig

__all__ = ["STRATEGIES", "parse_parameters"]

FIELD = "aggregator"


def _refused(reason: str, parameter: str = "") -> InvalidConfig:
    field = f"{FIELD}.parameters.{parameter}" if parameter else FIELD
    return InvalidConfig(f"server_config: {reason} - at `$.{field}`", field=field)


STRATEGIES: Extensions[Strategy] = Extensions(
    "grid.aggregation_strategies",
    "strategy",
    Strategy,
    (Mean(), FedAvgM(), FedAdam()),
    _refused,
)


def parse_parameters(strategy: Strategy, values: Mapping[str, Any]) -> Parameters:
    """The strategy's parameters, from what came from outside. Raises :class:`InvalidConfig`, naming the field."""
    return parameters.parse_parameters(strategy.parameters, values, f"the strategy {strategy.name}", _refused)
