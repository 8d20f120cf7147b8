"""What the site's policy demands of trainings: checked when one is hosted, fixed for each cycle when it opens.

A cycle is under the policy that stood when it was opened, and keeps it: a sum that is made again after a crash
is made under the same demands, and participants know beforehand under which ones they report. A change acts
on the very next cycle, also of trainings that were hosted before; one that cannot honour it fails there, with
the reason.
"""

from __future__ import annotations

import threading

import msgspec
from sqlalchemy import bindparam, insert, select

from grid.access.policy import current_policy
from grid.access.tables import PolicyRow
from grid.aggregation.base import Aggregator
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.federated.averaging.strategies import installed_strategy
from grid.federated.hosting.config import ServerConfig
from grid.federated.intake.registry import format_of
from grid.federated.state.policy_tables import CyclePolicyRow
from grid.federated.state.store import TrainingStore, Unit
from grid.privacy.mechanisms.registry import vector_mechanism
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest, InvalidConfig
from syft_ext.messages.federated import CyclePolicy
from syft_ext.messages.policy import SitePolicy

__all__ = ["SitePolicies", "policy_of"]

_KEPT = 256
_NONE = CyclePolicy()
_SITE = PreparedStatement(select(PolicyRow.document))
_FIX = PreparedStatement(insert(CyclePolicyRow))
_OF_CYCLE = PreparedStatement(
    select(CyclePolicyRow.document).where(CyclePolicyRow.cycle_id == bindparam("cycle_id"))
)


def policy_of(document: object) -> CyclePolicy | None:
    """The policy of a cycle as its row says; None where there is none."""
    return None if document is None else msgspec.convert(document, CyclePolicy)


def _demands(site: SitePolicy) -> CyclePolicy:
    """The part of the site's policy that is about trainings."""
    return CyclePolicy(**{name: getattr(site, name) for name in CyclePolicy.__struct_fields__})


class SitePolicies:
    """The policy of each cycle; what was fixed is read from the database once."""

    def __init__(self, store: TrainingStore) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: dict[str, CyclePolicy] = {}

    def check_hosting(self, server: ServerConfig, has_plan: bool) -> None:
        """Raise :class:`InvalidConfig`, naming the field, for a training that could not honour the policy."""
        with self._store.database.read() as session:
            policy = _demands(current_policy(session))
        _check(policy, server, has_plan)

    def opened(self, unit: Unit) -> None:
        """Fix the policy of the unit's new cycle, in the transaction that opens it."""
        assert unit.cycle is not None
        row = unit.run(_SITE).first()
        policy = _demands(msgspec.convert(row.document, SitePolicy)) if row else _NONE
        if policy != _NONE:
            unit.run(_FIX, {"cycle_id": unit.cycle.id, "document": msgspec.to_builtins(policy)})
        self._keep(unit.cycle.id, policy)

    def of_cycle(self, cycle_id: str, unit: Unit | None = None) -> CyclePolicy:
        """The policy of a cycle; read in ``unit`` where there is one."""
        found = self._known.get(cycle_id)
        if found is None:
            values = {"cycle_id": cycle_id}
            rows = unit.run(_OF_CYCLE, values).all() if unit else self._store.read(_OF_CYCLE, values)
            found = (policy_of(rows[0].document) if rows else None) or _NONE
            self._keep(cycle_id, found)
        return found

    def _keep(self, cycle_id: str, policy: CyclePolicy) -> None:
        with self._lock:
            self._known[cycle_id] = policy
            while len(self._known) > _KEPT:
                del self._known[next(iter(self._known))]

    # -- what follows from it -----------------------------------------------------------------------

    def fewest(self, server: ServerConfig, cycle_id: str, unit: Unit | None = None) -> int:
        """Reports without which the cycle is not averaged when its time is up. Where the policy asks for more
        than the training ever takes, its own number: :meth:`check_cycle` then says what is wrong."""
        own, demanded = server.min_diffs or 1, self.of_cycle(cycle_id, unit).min_participants
        return max(own, demanded) if _reachable(demanded, server) else own

    def check_cycle(self, server: ServerConfig, has_plan: bool, cycle_id: str) -> None:
        """Raise :class:`InvalidConfig` when the training cannot honour the policy of this cycle."""
        _check(self.of_cycle(cycle_id), server, has_plan)

    def check_samples(self, cycle_id: str, samples: int | None) -> None:
        """Raise :class:`BadRequest` for a report that states fewer samples than the policy's ``min_rows``.

        One that states none is refused, too, where the policy asks for more than one.
        """
        needed = self.of_cycle(cycle_id).min_rows
        if needed > 1 and (samples is None or samples < needed):
            raise BadRequest(
                f"the site's policy demands at least {needed} samples behind a report", field="samples"
            )

    def aggregator(self, cycle_id: str, base: TensorFile) -> Aggregator | None:
        """The aggregator that the policy of the cycle prescribes, None where the training has its own."""
        policy = self.of_cycle(cycle_id)
        if policy.clip_norm is None:
            return None
        return ClippedMean(base, vector_mechanism(policy.clip_norm, policy.noise_multiplier))


def _reachable(participants: int, server: ServerConfig) -> bool:
    return min(server.cap, server.goal or server.cap) >= participants


def _check(policy: CyclePolicy, server: ServerConfig, has_plan: bool) -> None:
    needed = policy.min_participants
    if not _reachable(needed, server):
        field = "max_diffs" if server.cap >= needed else "max_workers"
        raise _refuse(f"at least {needed} participants in a cycle, and this training takes fewer", field)
    if policy.clip_norm is None:
        return
    if has_plan:
        raise _refuse("that it clips contributions itself: host no averaging plan", "iterative_plan")
    if server.weighting == "samples":
        raise _refuse('that contributions are clipped and count alike: weighting must be "none"', "weighting")
    if format_of(server).reveals == "sum":
        raise _refuse(
            "that it clips each contribution: of these reports only the sum is seen", "report_format"
        )
    name = server.strategy.name
    if not installed_strategy(name).under_policy:
        raise _refuse(f"that it clips contributions itself, and {name} cannot do with that", "aggregator")


def _refuse(what: str, field: str) -> InvalidConfig:
    return InvalidConfig(f"server_config: the site's policy demands {what} - at `$.{field}`", field=field)
