"""What the site's policy demands of trainings: checked when one is hosted, fixed for each cycle when it opens.

A cycle is under the policy that stood when it was opened, and keeps it: a sum that is made again after a crash
is made under the same demands, and participants know beforehand under which ones they report. A change acts
on the very next cycle, also of trainings that were hosted before; one that cannot honour it fails there, with
the reason.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from fractions import Fraction
from weakref import WeakKeyDictionary

import msgspec
from sqlalchemy import bindparam, insert, select

from grid.access.policy import current_policy
from grid.access.tables import PolicyRow
from grid.aggregation.base import Aggregator
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.federated.averaging.strategies import installed_strategy
from grid.federated.cycles.charging import charge_cycle
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.intake.registry import format_of
from grid.federated.state.policy_tables import CyclePolicyRow
from grid.federated.state.store import TrainingStore, Unit
from grid.privacy.mechanisms.registry import demanded_mechanism
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest, InvalidConfig
from syft_ext.messages.policy import CyclePolicy, SitePolicy
from syft_ext.privacy.keys import derive_key
from syft_ext.tensors import Layout

__all__ = ["SitePolicies", "demands", "policy_of"]

_CARRIED = "discrete_gaussian"
"""What participants' own noise is."""
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


def demands(site: SitePolicy) -> CyclePolicy:
    """The part of the site's policy that is about trainings."""
    return CyclePolicy(**{name: getattr(site, name) for name in CyclePolicy.__struct_fields__})


class SitePolicies:
    """The policy of each cycle; what was fixed is read from the database once.

    Args:
        secret: 32 bytes of the node's, from which the noise of each round follows.
    """

    def __init__(self, store: TrainingStore, secret: bytes) -> None:
        self._store, self._secret = store, secret
        self._lock = threading.Lock()
        self._known: dict[str, CyclePolicy] = {}
        self._next: WeakKeyDictionary[Unit, SitePolicy] = WeakKeyDictionary()

    def check_hosting(self, server: ServerConfig, has_plan: bool) -> None:
        """Raise :class:`InvalidConfig`, naming the field, for a training that could not honour the policy, and
        :class:`Unavailable` while this node cannot."""
        with self._store.database.read() as session:
            policy = _demands(current_policy(session), server)
        _check(policy, server, has_plan)

    def next(self, unit: Unit) -> SitePolicy:
        """The site's policy as the unit's next cycle is opened under it: as it is when this is first asked."""
        found = self._next.get(unit)
        if found is None:
            row = unit.run(_SITE).first()
            found = self._next[unit] = msgspec.convert(row.document, SitePolicy) if row else SitePolicy()
        return found

    def pay(self, unit: Unit, definition: TrainingDefinition, layout: Callable[[], Layout]) -> None:
        """Take what the unit's next cycle costs, whose model's layout is what ``layout`` says.

        Raises :class:`LedgerExhausted` where there is not so much.
        """
        charge_cycle(unit, self._store.database, self.next(unit), definition, layout)

    def opened(self, unit: Unit, server: ServerConfig) -> None:
        """Fix the policy of the unit's new cycle, in the transaction that opens it: with as many different
        participants as the format of its reports needs, where participants are known at all."""
        assert unit.cycle is not None
        policy = _demands(self.next(unit), server)
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
        return max(server.min_diffs or 1, self.demanded(server, cycle_id, unit))

    def demanded(self, server: ServerConfig, cycle_id: str, unit: Unit | None = None) -> int:
        """Participants that the policy demands of a cycle; 1 where that is more than the training ever takes."""
        demanded = self.of_cycle(cycle_id, unit).min_participants
        return demanded if _reachable(demanded, server) else 1

    def weight(self, cycle_id: str, samples: int | None) -> int | None:
        """What a report weighs that says it is of so many samples."""
        return None if samples is None else min(samples, self.of_cycle(cycle_id).max_samples)

    def check_cycle(self, server: ServerConfig, has_plan: bool, cycle_id: str) -> None:
        """Raise :class:`InvalidConfig` when the training cannot honour the policy of this cycle, and
        :class:`Unavailable` while this node cannot."""
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

    def aggregator(self, cycle_id: str, base: TensorFile, round_: Sequence[str]) -> Aggregator | None:
        """The aggregator that the policy of the cycle prescribes, None where the training has its own.

        Args:
            round_: what the round is, and would be again in an older database: no ids that are drawn.
        """
        policy = self.of_cycle(cycle_id)
        if policy.clip_norm is None:
            return None
        mechanism = demanded_mechanism(policy.clip_norm, policy.noise_multiplier, policy.mechanism)
        question = (mechanism.statement(), *(part.encode() for part in round_))

        def key(content: bytes) -> bytes:
            return derive_key(self._secret, "round of a training", *question, content)

        return ClippedMean(base, mechanism, None if policy.noise_multiplier is None else key)


def _demands(site: SitePolicy, server: ServerConfig) -> CyclePolicy:
    """What is demanded of a training's cycle: by the site, and by the format of its reports."""
    policy = demands(site)
    if policy.participation == "open":
        return policy
    fewest = max(policy.min_participants, format_of(server).fewest(server))
    return msgspec.structs.replace(policy, min_participants=fewest)


def _reachable(participants: int, server: ServerConfig) -> bool:
    return min(server.cap, server.goal or server.cap) >= participants


def _check(policy: CyclePolicy, server: ServerConfig, has_plan: bool) -> None:
    needed = policy.min_participants
    if not _reachable(needed, server):
        field = "max_diffs" if server.cap >= needed else "max_workers"
        raise _refuse(f"at least {needed} participants in a cycle, and this training takes fewer", field)
    if needed > 1 and has_plan:
        raise _refuse(
            f"{needed} participants behind a model: an averaging plan sees each report, and could hand out one of "
            "them: host none",
            "iterative_plan",
        )
    hidden = format_of(server)
    if policy.min_rows > 1 and hidden.outside:
        raise _refuse("to see how many rows are behind a report: of these it does not", "report_format")
    if policy.clip_norm is None:
        return
    if has_plan:
        raise _refuse("that it clips contributions itself: host no averaging plan", "iterative_plan")
    if server.weighting == "samples":
        raise _refuse('that contributions are clipped and count alike: weighting must be "none"', "weighting")
    if hidden.reveals == "sum":
        _check_carried(policy, policy.clip_norm, hidden.noise(server))
    name = server.strategy.name
    if not installed_strategy(name).under_policy:
        raise _refuse(f"that it clips contributions itself, and {name} cannot do with that", "aggregator")
    demanded_mechanism(policy.clip_norm, policy.noise_multiplier, policy.mechanism)


def _check_carried(policy: CyclePolicy, clip_norm: float, carried: tuple[Fraction, Fraction] | None) -> None:
    """Of reports of which only a sum is seen, nobody here can clip one, or see that it is: a policy that demands
    noise is kept where participants clip and add it themselves, who thereby protect themselves; one that only
    clips, against whoever would spoil the model, is not."""
    if policy.noise_multiplier is None or carried is None:
        raise _refuse(
            "that it clips each contribution: of these reports only the sum is seen", "report_format"
        )
    if policy.participation == "open":
        raise _refuse(
            "noise, which is that of different participants, and nobody knows who takes part: all but one may be "
            "somebody who adds none; participation must be accepted",
            "report_options.noise",
        )
    if policy.mechanism != _CARRIED:
        raise _refuse(
            f"noise of {policy.mechanism}, and participants add that of {_CARRIED}", "report_format"
        )
    (norm, deviation), demanded = carried, Fraction(policy.noise_multiplier) * Fraction(clip_norm)
    if norm > Fraction(clip_norm):
        raise _refuse(f"a norm of {clip_norm:g} at most", "report_options.norm")
    if deviation < demanded:
        raise _refuse(
            f"noise with a deviation of {float(demanded):g} at least in a sum, and that of the honest "
            f"participants has {float(deviation):g}",
            "report_options.noise",
        )


def _refuse(what: str, field: str) -> InvalidConfig:
    return InvalidConfig(f"server_config: the site's policy demands {what} - at `$.{field}`", field=field)
