"""Which strategy a training has, and which aggregator: the strategy's, or the training's hosted averaging plan."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import msgspec

from grid.aggregation.base import Aggregator
from grid.aggregation.strategies.files import state_layout
from grid.aggregation.strategies.interface import Entry, Parameters, Strategy
from grid.aggregation.strategies.registry import STRATEGIES, parse_parameters
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig, StrategyChoice
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import InvalidConfig, Unavailable
from syft_ext.tensors import Layout

__all__ = [
    "ChosenStrategy",
    "PlanRunner",
    "TrainingStrategies",
    "installed_strategy",
    "make_aggregator",
    "state_size",
    "with_strategy",
]


class PlanRunner(Protocol):
    """Where plans of strangers are checked and run: never in the server process, and each owner's apart."""

    def check(self, owner: str, kind: str, plan: bytes, server: ServerConfig) -> None:
        """Raise :class:`InvalidPlan` unless ``plan`` can serve as ``kind``: "plan" or "averaging"."""

    def check_model(self, owner: str, plan: bytes, server: ServerConfig, layout: Layout) -> None:
        """Raise :class:`InvalidPlan` unless the averaging plan fits a model of this ``layout``."""

    def check_configuration(self, plans: Mapping[str, bytes], config: Mapping[str, Any]) -> None:
        """Raise :class:`InvalidConfig` unless the configuration fits these plans of participants, by name."""

    def check_layout(self, plans: Mapping[str, bytes], layout: Layout) -> None:
        """Raise :class:`InvalidPlan` or :class:`InvalidTensors` unless they take and return such a model."""

    def check_step(
        self, owner: str, plans: Mapping[str, bytes], config: Mapping[str, Any], model: TensorFile
    ) -> None:
        """Raise :class:`InvalidPlan` unless the first step on made rows runs and gives finite numbers."""

    def aggregator(self, owner: str, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        """The aggregator that averages with ``plan``."""


@dataclass(frozen=True, slots=True)
class ChosenStrategy:
    """A strategy with the parameters that a training set."""

    strategy: Strategy
    parameters: Parameters

    def state(self, layout: Layout) -> Sequence[Entry]:
        """The tensors that it keeps between cycles, for a model of this layout."""
        return self.strategy.state(layout, self.parameters)


def with_strategy(server: ServerConfig, has_plan: bool) -> ServerConfig:
    """The configuration with all parameters of its strategy, so that the training keeps the defaults of today.

    Raises :class:`InvalidConfig` for an unknown strategy or parameter, or one beside an averaging plan.
    """
    strategy = STRATEGIES.find(server.strategy.name)
    if has_plan and server.aggregator != "mean":
        raise InvalidConfig(
            "server_config: the hosted averaging plan is the aggregator, name no other - at `$.aggregator`",
            field="aggregator",
        )
    parameters = msgspec.to_builtins(parse_parameters(strategy, server.strategy.parameters))
    if not parameters:
        return msgspec.structs.replace(server, aggregator=strategy.name)
    return msgspec.structs.replace(
        server, aggregator=StrategyChoice(name=strategy.name, parameters=parameters)
    )


def installed_strategy(name: str) -> Strategy:
    """The strategy of a training that was hosted already.

    Raises :class:`Unavailable` where the package that brings it is not installed any more: it may come back.
    """
    try:
        return STRATEGIES.get(name)
    except InvalidConfig as error:
        raise _unavailable(error) from error


def _unavailable(error: InvalidConfig) -> Unavailable:
    return Unavailable(f"the training's strategy cannot be used here: {error.detail}")


class TrainingStrategies:
    """The strategy of each training; each is looked up once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._known: dict[str, ChosenStrategy] = {}

    def of(self, definition: TrainingDefinition) -> ChosenStrategy:
        """Raises :class:`Unavailable`, as :func:`installed_strategy`."""
        found = self._known.get(definition.id)
        if found is None:
            choice = definition.server.strategy
            strategy = installed_strategy(choice.name)
            try:
                found = ChosenStrategy(strategy, parse_parameters(strategy, choice.parameters))
            except InvalidConfig as error:  # they were valid when it was hosted
                raise _unavailable(error) from error
            with self._lock:
                self._known[definition.id] = found
        return found


def state_size(definition: TrainingDefinition, layout: Layout) -> int:
    """Bytes that the training's strategy keeps with each model of this layout."""
    if definition.averaging_plan is not None:
        return 0
    chosen = TrainingStrategies().of(definition)
    entries = chosen.state(layout)
    return state_layout(chosen.strategy, entries).total_size if entries else 0


def make_aggregator(
    definition: TrainingDefinition,
    base: TensorFile,
    blobs: BlobStore,
    plans: PlanRunner,
    strategies: TrainingStrategies,
) -> Aggregator:
    """The aggregator of ``definition`` for a cycle that starts from the model ``base``."""
    if definition.averaging_plan is None:
        chosen = strategies.of(definition)
        return chosen.strategy.aggregator(base, chosen.parameters)
    plan = blobs.read_range(definition.averaging_plan.digest, 0)
    return plans.aggregator(definition.owner, plan, definition.server, base)
