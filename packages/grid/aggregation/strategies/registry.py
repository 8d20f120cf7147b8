"""Strategies by name: those that come with Grid, and those of installed packages.

A package brings one with an entry point in the group ``grid.aggregation_strategies`` that refers to a subclass of
:class:`~grid.aggregation.strategies.interface.Strategy`, which is made without arguments:

    [options.entry_points]
    grid.aggregation_strategies =
        trimmed_mean = my_package.trimmed:TrimmedMean
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from importlib.metadata import EntryPoint, entry_points
from typing import Any

import msgspec

from grid.aggregation.strategies.fedadam import FedAdam
from grid.aggregation.strategies.fedavgm import FedAvgM
from grid.aggregation.strategies.interface import Parameters, Strategy
from grid.aggregation.strategies.mean import Mean
from syft_ext.errors import InvalidConfig

__all__ = ["GROUP", "STRATEGIES", "find_strategy", "parse_parameters", "strategy_names"]

GROUP = "grid.aggregation_strategies"
FIELD = "aggregator"

#: Those that come with Grid.
STRATEGIES: dict[str, Strategy] = {strategy.name: strategy for strategy in (Mean(), FedAvgM(), FedAdam())}


def strategy_names() -> list[str]:
    """All names that a training may use now, in alphabetical order."""
    return sorted({*STRATEGIES, *(point.name for point in entry_points(group=GROUP))})


def find_strategy(name: str) -> Strategy:
    """The strategy of this name.

    Raises :class:`InvalidConfig` when there is none, when more than one has the name, or when a package's
    cannot be loaded.
    """
    points = list(entry_points(group=GROUP, name=name))
    if len(points) + (name in STRATEGIES) > 1:
        told = ", ".join(f"{point.name} = {point.value}" for point in points)
        raise _refused(f"more than one strategy is called {name!r}: {told}")
    if name in STRATEGIES:
        return STRATEGIES[name]
    if not points:
        raise _refused(f"no aggregator {name[:80]!r}, there are: {', '.join(strategy_names())}")
    return _loaded(points[0])


def _loaded(point: EntryPoint) -> Strategy:
    told = f"the strategy {point.name!r} ({point.value})"
    try:
        strategy = point.load()()
    except Exception as error:
        raise _refused(f"{told} cannot be loaded: {error}") from error
    if not isinstance(strategy, Strategy):
        raise _refused(f"{told} is no Strategy")
    if getattr(strategy, "name", None) != point.name:
        raise _refused(f"{told} calls itself {getattr(strategy, 'name', None)!r}")
    if not (isinstance(strategy.parameters, type) and issubclass(strategy.parameters, Parameters)):
        raise _refused(f"the parameters of {told} are no Parameters")
    return strategy


def parse_parameters(strategy: Strategy, values: Mapping[str, Any]) -> Parameters:
    """The strategy's parameters, from what came from outside. Raises :class:`InvalidConfig`, naming the field."""
    known = strategy.parameters.__struct_fields__
    for name in values:
        if name not in known:
            told = f"they are: {', '.join(known)}" if known else "it has none"
            raise _refused(
                f"the strategy {strategy.name} has no parameter {str(name)[:80]!r}, {told}", str(name)[:80]
            )
    try:
        parsed = msgspec.convert(dict(values), strategy.parameters)
    except msgspec.ValidationError as error:
        told, _, place = str(error).partition(" - at `$.")
        raise _refused(told, place.rstrip("`")) from error
    for name in known:
        value = getattr(parsed, name)
        if isinstance(value, float) and not math.isfinite(value):
            raise _refused("Expected a finite number", name)
    return parsed


def _refused(reason: str, parameter: str = "") -> InvalidConfig:
    field = f"{FIELD}.parameters.{parameter}" if parameter else FIELD
    return InvalidConfig(f"server_config: {reason} - at `$.{field}`", field=field)
