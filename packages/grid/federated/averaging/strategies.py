"""Which aggregator a training gets: a built-in strategy by name, or its hosted averaging plan."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from grid.aggregation.base import Aggregator
from grid.aggregation.mean import WeightedMean
from grid.aggregation.tensor_file import TensorFile
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.storage.blobs.interface import BlobStore
from syft_ext.errors import InvalidConfig
from syft_ext.tensors import Layout

__all__ = ["STRATEGIES", "PlanRunner", "check_strategy", "make_aggregator"]

STRATEGIES: dict[str, Callable[[TensorFile], Aggregator]] = {"mean": WeightedMean}
"""Name in ``server_config["aggregator"]`` → the aggregator, given the base model."""


class PlanRunner(Protocol):
    """Where plans of strangers are checked and run: never in the server process."""

    def check(self, kind: str, plan: bytes, server: ServerConfig) -> None:
        """Raise :class:`InvalidPlan` unless ``plan`` can serve as ``kind``: "plan" or "averaging"."""

    def check_model(self, plan: bytes, server: ServerConfig, layout: Layout) -> None:
        """Raise :class:`InvalidPlan` unless the averaging plan fits a model of this ``layout``."""

    def aggregator(self, plan: bytes, server: ServerConfig, base: TensorFile) -> Aggregator:
        """The aggregator that averages with ``plan``."""


def check_strategy(server: ServerConfig, has_plan: bool) -> None:
    """Raise :class:`InvalidConfig` for an unknown strategy, or one beside an averaging plan."""
    if server.aggregator not in STRATEGIES:
        known = ", ".join(sorted(STRATEGIES))
        raise InvalidConfig(
            f"server_config: no aggregator {server.aggregator[:80]!r}, there are: {known} - at `$.aggregator`",
            field="aggregator",
        )
    if has_plan and server.aggregator != "mean":
        raise InvalidConfig(
            "server_config: the hosted averaging plan is the aggregator, name no other - at `$.aggregator`",
            field="aggregator",
        )


def make_aggregator(
    definition: TrainingDefinition, base: TensorFile, blobs: BlobStore, plans: PlanRunner
) -> Aggregator:
    """The aggregator of ``definition`` for a cycle that starts from the model ``base``."""
    if definition.averaging_plan is None:
        return STRATEGIES[definition.server.aggregator](base)
    return plans.aggregator(blobs.read_range(definition.averaging_plan.digest, 0), definition.server, base)
