"""Trainings as callers see them, read from the tables."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from sqlalchemy import Select, bindparam, select

from grid.federated.averaging.aggregator import AGGREGATE
from grid.federated.consent.reviews import REVIEW, review_of
from grid.federated.cycles.policy import policy_of
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.state import tables as t
from grid.federated.state.consent_tables import TrainingReviewRow
from grid.federated.state.encrypted_tables import EncryptedSumRow
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.policy_tables import CyclePolicyRow
from grid.federated.state.store import TrainingStore
from syft_ext.encrypted.statement import CKKS
from syft_ext.errors import NotFound
from syft_ext.messages.federated import CheckpointView, CycleMetrics, Event, EventsReply, ProcessView
from syft_ext.messages.policy import CyclePolicy

__all__ = ["Views"]

MAX_EVENTS = 5000
_ENDED = "ended"
_OUTCOMES = frozenset(
    {
        assignments.AssignmentStatus.REJECTED,
        assignments.AssignmentStatus.FAILED_BY_WORKER,
        assignments.AssignmentStatus.TIMED_OUT,
        assignments.AssignmentStatus.LATE,
    }
)
"""What an assignment comes to by what a plan did with somebody's data, perhaps: no noise covers that."""

_PROCESSES = (
    select(
        t.TrainingProcess.id,
        t.TrainingProcess.status,
        t.TrainingProcess.reason,
        t.TrainingProcess.cycle,
        t.TrainingProcess.cycles_completed,
        t.TrainingProcess.latest_checkpoint,
        t.TrainingProcess.model_size,
        t.TrainingProcess.history_seq,
        t.Cycle.status.label("cycle_status"),
        t.Cycle.admitted,
        t.Cycle.reported,
        CyclePolicyRow.document.label("policy"),
        t.OutboxMessage.error.label("waits_for"),
        (EncryptedSumRow.made_at.is_not(None) & EncryptedSumRow.opened_at.is_(None)).label("unopened"),
        *REVIEW,
    )
    .select_from(t.TrainingProcess)
    .outerjoin(
        t.Cycle, (t.Cycle.process_id == t.TrainingProcess.id) & (t.Cycle.sequence == t.TrainingProcess.cycle)
    )
    .outerjoin(CyclePolicyRow, CyclePolicyRow.cycle_id == t.Cycle.id)
    .outerjoin(
        t.OutboxMessage,
        (t.OutboxMessage.topic == AGGREGATE)
        & (t.OutboxMessage.key == t.Cycle.id)
        & (t.OutboxMessage.status == "pending"),
    )
    .outerjoin(EncryptedSumRow, EncryptedSumRow.cycle_id == t.Cycle.id)
    .outerjoin(TrainingReviewRow, TrainingReviewRow.process_id == t.TrainingProcess.id)
)
_ONE = _PROCESSES.where(t.TrainingProcess.id == bindparam("process_id"))
_CYCLES = (
    select(*t.Cycle.__table__.c, CyclePolicyRow.document.label("policy"))
    .outerjoin(CyclePolicyRow, CyclePolicyRow.cycle_id == t.Cycle.id)
    .where(t.Cycle.process_id == bindparam("process_id"))
    .order_by(t.Cycle.sequence)
)
_METRICS = (
    select(t.CycleMetric.cycle_id, t.CycleMetric.name, t.CycleMetric.value)
    .join(t.Cycle, t.Cycle.id == t.CycleMetric.cycle_id)
    .where(t.Cycle.process_id == bindparam("process_id"))
)
_EVENTS = (
    select(*t.History.__table__.c)
    .where(t.History.process_id == bindparam("process_id"), t.History.seq > bindparam("after"))
    .order_by(t.History.seq)
    .limit(bindparam("count"))
)
_RECENT = 500
"""Rows at the end of a history that are looked at for what goes wrong now."""
_FAILED = (assignments.AssignmentStatus.FAILED_BY_WORKER, assignments.AssignmentStatus.REJECTED)
_FAILURES = (
    select(t.History.detail, t.Assignment.worker_id)
    .join(t.Assignment, t.Assignment.id == t.History.entity_id)
    .where(
        t.History.process_id == bindparam("process_id"),
        t.History.seq > bindparam("after"),
        t.History.cycle == bindparam("cycle"),
        t.History.entity == "assignment",
        t.History.after.in_([str(status) for status in _FAILED]),
    )
    .order_by(t.History.seq)
)
_POLICIES = (
    select(t.Cycle.sequence, CyclePolicyRow.document.label("policy"))
    .join(CyclePolicyRow, CyclePolicyRow.cycle_id == t.Cycle.id)
    .where(t.Cycle.process_id == bindparam("process_id"))
)
_CHECKPOINT = (
    select(*t.Checkpoint.__table__.c, CyclePolicyRow.document.label("policy"))
    .outerjoin(CyclePolicyRow, CyclePolicyRow.cycle_id == t.Checkpoint.cycle_id)
    .where(t.Checkpoint.process_id == bindparam("process_id"), t.Checkpoint.number == bindparam("number"))
)


class Views:
    """Reads trainings, cycles and history. Whether the caller may see them was asked before."""

    def __init__(
        self, store: TrainingStore, definitions: TrainingDefinitions, waiting: Mapping[str, str]
    ) -> None:
        """``waiting``: by training, the passing fault that this process has met and could not note."""
        self._store, self._definitions, self._waiting = store, definitions, waiting

    def process(self, process_id: str) -> ProcessView:
        """Raises :class:`NotFound`."""
        rows = self._store.read(_ONE, {"process_id": process_id})
        if not rows:
            raise NotFound("there is no such training")
        return self._view(rows[0])

    def processes(
        self, name: str = "", version: str = "", readable: Select[str] | None = None
    ) -> list[ProcessView]:
        """All trainings, newest first; ``name`` and ``version`` narrow it down where they are given, and so does
        ``readable``: the ids of those that may be among them."""
        query: Any = _PROCESSES.order_by(t.TrainingProcess.created_at.desc(), t.TrainingProcess.id)
        if name:
            query = query.where(t.TrainingProcess.name == name)
        if version:
            query = query.where(t.TrainingProcess.version == version)
        if readable is not None:
            query = query.where(t.TrainingProcess.id.in_(readable))
        return [self._view(row) for row in self._store.read(query)]

    def _view(self, row: Any) -> ProcessView:
        definition = self._definitions.get(row.id)
        strategy, policy = definition.server.strategy, policy_of(row.policy)
        return ProcessView(
            process_id=row.id,
            name=definition.name,
            version=definition.version,
            status=row.status,
            owner=definition.owner,
            created_at=definition.created_at,
            num_cycles=definition.server.num_cycles,
            cycles_completed=row.cycles_completed,
            cycle=row.cycle,
            cycle_status=row.cycle_status or "",
            admitted=row.admitted or 0,
            reported=row.reported or 0,
            checkpoint=row.latest_checkpoint,
            model_size=row.model_size,
            plans=definition.names("plan"),
            protocols=definition.names("protocol"),
            client_config=dict(definition.client_config),
            report_format=definition.server.report_format,
            reason=row.reason or self._trouble(row, policy),
            aggregator=strategy.name if definition.averaging_plan is None else "averaging_plan",
            aggregator_parameters=strategy.parameters,
            policy=policy,
            review=review_of(row),
            min_workers=definition.server.min_workers or 0,
            waits_for=self._waiting.get(row.id, "") or row.waits_for or _others(row, definition, policy),
            inputs=definition.inputs,
        )

    def _trouble(self, row: Any, policy: CyclePolicy | None) -> str:
        """Why a training that runs gets nowhere: nobody has reported in this cycle, and whoever tried has failed.

        Nothing under noise, where what single participants come to is not told.
        """
        noisy = policy is not None and policy.noise_multiplier is not None
        if row.status != trainings.TrainingStatus.RUNNING or row.reported or noisy:
            return ""
        values = {"process_id": row.id, "after": row.history_seq - _RECENT, "cycle": row.cycle}
        failures = self._store.read(_FAILURES, values)
        if not failures:
            return ""
        causes = Counter(str(failure.detail.get("reason") or "no reason given") for failure in failures)
        count = len({failure.worker_id for failure in failures})
        told = "; ".join(f"{cause} ({number}×)" for cause, number in causes.most_common(3))
        if len(causes) == 1:
            told = f"all for the same cause: {next(iter(causes))}"
        who = "participant has" if count == 1 else "participants have"
        return f"nobody has reported in cycle {row.cycle}; {count} {who} failed, {told}"[:500]

    def metrics(self, process_id: str) -> list[CycleMetrics]:
        """What each cycle came to, in order."""
        self._definitions.get(process_id)
        found: dict[str, dict[str, float]] = {}
        for cycle_id, name, value in self._store.read(_METRICS, {"process_id": process_id}):
            found.setdefault(cycle_id, {})[name] = value
        return [
            CycleMetrics(
                cycle=row.sequence,
                status=row.status,
                opened_at=row.opened_at,
                closed_at=row.finished_at,
                checkpoint=row.base_checkpoint + 1 if row.status == "completed" else None,
                admitted=row.admitted,
                reported=row.reported,
                rejected=row.rejected,
                samples=int(found.get(row.id, {}).get("samples", 0)),
                loss=found.get(row.id, {}).get("loss"),
                accuracy=found.get(row.id, {}).get("accuracy"),
                bytes_received=row.bytes_received,
                policy=policy_of(row.policy),
            )
            for row in self._store.read(_CYCLES, {"process_id": process_id})
        ]

    def events(self, process_id: str, after: int = 0, limit: int = 1000) -> EventsReply:
        """The history after row ``after``, at most ``limit`` rows."""
        values = {"process_id": process_id, "after": after, "count": min(max(limit, 1), MAX_EVENTS)}
        rows: Sequence[Any] = self._store.read(_EVENTS, values)
        events = [
            Event(
                seq=row.seq,
                at=row.at,
                entity=row.entity,
                entity_id=row.entity_id,
                cycle=row.cycle,
                before=row.before,
                after=row.after,
                detail=row.detail,
            )
            for row in rows
        ]
        return EventsReply(
            events=events, last=events[-1].seq if events else after, process=self.process(process_id)
        )

    def watch(
        self,
        process_id: str,
        after: int = 0,
        timeout: float = 25.0,
        alive: Callable[[], bool] = lambda: True,
    ) -> EventsReply:
        """The history after row ``after``; where there is none, wait up to ``timeout`` s for some, as long as
        somebody is ``alive`` to hear of it."""
        found, limit = self.events(process_id, after), min(max(timeout, 0), 300.0)
        if not found.events and self._store.notifier.wait(process_id, after, limit, alive):
            found = self.events(process_id, after)
        return found

    def without_outcomes(self, reply: EventsReply) -> EventsReply:
        """A part of the history for whoever does not manage this Domain: without what single assignments came to,
        and why, in cycles on which noise is demanded."""
        found = self._store.read(_POLICIES, {"process_id": reply.process.process_id})
        policies = {row.sequence: policy_of(row.policy) for row in found}
        noisy = {
            cycle for cycle, policy in policies.items() if policy and policy.noise_multiplier is not None
        }
        for event in reply.events:
            if event.entity == "assignment" and event.cycle in noisy and event.after in _OUTCOMES:
                event.after, event.detail = _ENDED, {}
        return reply

    def checkpoint(self, definition: TrainingDefinition, which: str | int = "latest") -> CheckpointView:
        """A checkpoint by number, or ``latest``. Raises :class:`NotFound`."""
        number = which
        if which == "latest":
            number = self.process(definition.id).checkpoint
        elif not str(which).isdecimal() or len(str(which)) > 9:
            raise NotFound("a checkpoint is a number, or latest", checkpoint=str(which)[:40])
        rows = self._store.read(_CHECKPOINT, {"process_id": definition.id, "number": int(number)})
        if not rows:
            latest = self.process(definition.id).checkpoint
            if 1 < int(number) <= latest:
                raise NotFound(
                    f"checkpoint {which} is not kept any more; the latest is {latest}", latest=latest
                )
            raise NotFound(f"the training has no checkpoint {which}")
        row = rows[0]
        return CheckpointView(
            process_id=definition.id,
            number=row.number,
            created_at=row.created_at,
            digest=row.blob_digest,
            size=row.size,
            policy=policy_of(row.policy),
        )


def _others(row: Any, definition: TrainingDefinition, policy: CyclePolicy | None) -> str:
    """Whom the cycle waits for, where its reports have come; "" where it waits for nobody in particular."""
    if row.unopened:
        return f"its host, to open the sum of cycle {row.cycle}"
    fewest = 1 if policy is None else policy.min_participants
    formed = definition.server.report_format == CKKS and row.cycle_status == cycles.CycleStatus.COLLECTING
    if not formed or not 0 < row.reported < fewest:
        return ""
    verb = "has" if row.reported == 1 else "have"
    return f"{fewest} different participants in cycle {row.cycle}, of whom {row.reported} {verb} reported"
