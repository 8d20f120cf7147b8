"""The sum of a cycle's masked reports, opened with what its participants answered."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, select

from grid.aggregation.base import Aggregate
from grid.aggregation.summed import moved_parameters, summed_length
from grid.aggregation.tensor_file import TensorFile
from grid.concurrency.offload import offload
from grid.federated.averaging.strategies import installed_strategy
from grid.federated.cycles.outside import OutsideSum
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.intake.format import UploadCheck
from grid.federated.intake.registry import format_of
from grid.federated.masked.rounds import MaskedRounds
from grid.federated.state import tables as t
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.blobs.blob import Blob
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest, InvalidConfig, Unsupported
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.server import MaskedSum, Unmasking
from syft_ext.secure_aggregation.vector import Sum
from syft_ext.tensors import Layout

__all__ = ["MaskedSums"]

_REPORTS = PreparedStatement(
    select(t.Assignment.id, t.Assignment.process_id, t.Assignment.blob_digest)
    .where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.REPORTED),
    )
    .order_by(t.Assignment.report_index)
)


class MaskedSums:
    """Sums masked reports for the pipeline (:class:`~grid.federated.cycles.outside.OutsideSums`)."""

    def __init__(self, store: TrainingStore, policies: SitePolicies, rounds: MaskedRounds) -> None:
        self._store, self._policies, self._rounds = store, policies, rounds

    def check_training(
        self, server: ServerConfig, plans: Mapping[str, str], protocols: Mapping[str, bytes]
    ) -> None:
        """Raise :class:`InvalidConfig` for a strategy that wants to see single reports."""
        name = server.strategy.name
        if not installed_strategy(name).under_policy:
            raise InvalidConfig(
                f"server_config: of masked reports only the sum is seen, and {name} looks at each - at "
                "`$.aggregator`",
                field="aggregator",
            )

    def check_model(self, definition: TrainingDefinition, layout: Layout) -> None:
        """The format has said all there is."""

    def kept(self, definition: TrainingDefinition, layout: Layout) -> int:
        return 0  # what a round keeps goes with it

    def until(self, unit: Unit) -> float | None:
        """The cycle's own time, and then those of the phases."""
        return None

    def upload(self, assignment: Any, layout: Layout) -> UploadCheck:
        """As many words as there must be."""
        server = self._rounds.server_config(assignment.process_id)
        return format_of(server).upload(layout, "masked", server.report_options, whole=False)

    def count(self, unit: Unit, assignment: Any, blob: Blob) -> None:
        """Raise :class:`Conflict` for words that nobody waits for: of whoever has shared no secrets, or too
        late."""
        if not self._rounds.takes_masked(unit, assignment.id):
            raise assignments.refusal(assignments.AssignmentStatus.LATE)

    def sum(self, definition: TrainingDefinition, cycle_id: str, base: TensorFile) -> OutsideSum:
        """The weighted mean of the differences, of the survivors' reports."""
        self._policies.check_cycle(definition.server, definition.averaging_plan is not None, cycle_id)
        rules = definition.server.sums
        assert rules is not None
        masks = self._rounds.opening(definition.id, cycle_id)
        return OutsideSum(offload(self._opened, cycle_id, base, rules, masks))

    def publish(self, unit: Unit, found: OutsideSum, number: int) -> None:
        """There is nothing beside the model."""

    def _opened(self, cycle_id: str, base: TensorFile, rules: SumRules, masks: Unmasking) -> Aggregate:
        total = MaskedSum(summed_length(base.layout), rules)
        try:
            for row in self._store.read(_REPORTS, {"cycle_id": cycle_id}):
                total.add(self._store.blobs.map(row.blob_digest, hold=True))
            found = total.open(masks)
        except BadRequest as error:  # however often it is tried
            raise Unsupported(error.detail) from error
        return self._aggregate(base, found, rules, total.added)

    def _aggregate(self, base: TensorFile, found: Sum, rules: SumRules, count: int) -> Aggregate:
        def means(part: slice) -> NDArray[Any]:
            made: NDArray[Any] = np.ldexp(found.steps[part] / found.weight, rules.grid.exponent)
            return made

        return moved_parameters(base, len(found.steps), means, count, float(found.weight))
