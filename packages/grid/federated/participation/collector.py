"""The collector: takes reports in, refuses the wrong ones by themselves, closes a cycle that has enough.

A report is accepted when its bytes are durable in the blob store *and* the transaction that counts it is
committed; only then its worker hears so. Whatever is refused changes nothing.
"""

from __future__ import annotations

import hmac
import threading
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import bindparam, select, update

from grid.concurrency.combiner import Combiner
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.outside import Outsiders, OutsideSums
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.intake.format import UploadCheck
from grid.federated.intake.registry import format_of
from grid.federated.participation.task_assignment import hash_key
from grid.federated.state import tables as t
from grid.federated.state.events import ReportAccepted, ReportReceived, ReportUnusable
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.store import TrainingStore, Unit
from grid.node.events import EventBus
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from grid.storage.sql.prepared import PreparedSizes, PreparedStatement, places
from syft_ext.errors import BadRequest, Conflict, GridError, InvalidToken, NotFound
from syft_ext.messages.federated import ReportReply
from syft_ext.messages.report_metrics import coarse
from syft_ext.transport import PayloadReader

__all__ = ["Collector", "Metrics"]

MAX_SAMPLES = 1_000_000_000

_FIND = PreparedStatement(
    select(
        t.Assignment.id,
        t.Assignment.process_id,
        t.Assignment.cycle_id,
        t.Assignment.worker_id,
        t.Assignment.key_hash,
        t.Assignment.status,
        t.Cycle.base_checkpoint,
        t.Worker.bounds,
    )
    .join(t.Cycle, t.Cycle.id == t.Assignment.cycle_id)
    .join(t.Worker, t.Worker.id == t.Assignment.worker_id)
    .where(t.Assignment.id == bindparam("assignment_id"))
)
_STATUSES = PreparedSizes(
    lambda size: select(t.Assignment.id, t.Assignment.status).where(t.Assignment.id.in_(places("id", size)))
)
_STATUS = PreparedStatement(select(t.Assignment.status).where(t.Assignment.id == bindparam("assignment_id")))
_PARTICIPANT = PreparedStatement(
    select(t.Assignment.worker_id).where(t.Assignment.id == bindparam("assignment_id"))
)
_MOVE = PreparedStatement(
    update(t.Assignment).where(
        t.Assignment.id == bindparam("b_id"), t.Assignment.status == bindparam("b_status")
    )
)
_REST = PreparedStatement(
    update(t.Worker).where(t.Worker.id == bindparam("b_worker"), t.Worker.rests_until < bindparam("b_until"))
)


@dataclass(frozen=True, slots=True)
class Metrics:
    """What a worker says of its own training; ``samples`` is its weight where the training asks for it."""

    samples: int | None = None
    loss: float | None = None
    accuracy: float | None = None


_METRICS = ("samples", "loss", "accuracy")


def _refuse_metrics(metrics: Metrics) -> None:
    """What is said beside a report that nobody can read would be said in the clear."""
    for name in _METRICS:
        if getattr(metrics, name) is not None:
            raise Conflict(
                f"this training takes no {name} beside a report: it would be told in the clear",
                reason="confidential",
                field=name,
            )


@dataclass(frozen=True, slots=True)
class _Report:
    """A report whose bytes are stored and that is to be counted."""

    row: Any
    blob: Blob
    kind: str
    metrics: Metrics

    def values(self, now: float, index: int) -> dict[str, Any]:
        """The assignment's columns when this is its ``index``-th accepted report of the cycle."""
        return {
            "b_id": self.row.id,
            "b_status": str(assignments.AssignmentStatus.ASSIGNED),
            "status": str(assignments.AssignmentStatus.REPORTED),
            "finished_at": now,
            "report_index": index,
            "kind": self.kind,
            "samples": self.metrics.samples,
            "loss": self.metrics.loss,
            "accuracy": self.metrics.accuracy,
            "report_size": self.blob.size,
            "report_digest": self.blob.digest,
            "blob_digest": self.blob.digest,
        }


class Collector:
    """Says over the bus when a report has come, and when it was accepted: averaging may begin, and go on."""

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        policies: SitePolicies,
        outside: Outsiders,
    ) -> None:
        self._store, self._bus, self._outside = store, bus, outside
        self._definitions, self._lifecycle, self._policies = definitions, lifecycle, policies
        self._lock = threading.Lock()
        self._combiners: dict[str, Combiner[_Report, ReportReply]] = {}
        bus.subscribe(ReportUnusable, self._drop)

    def find(self, assignment_id: str, worker_id: str, request_key: str) -> Any:
        """The assignment's row. Raises :class:`NotFound`, or :class:`InvalidToken` for a wrong key."""
        rows = self._store.read(_FIND, {"assignment_id": assignment_id})
        if not rows:
            raise NotFound("there is no such assignment")
        row = rows[0]
        if not hmac.compare_digest(row.key_hash, hash_key(request_key)) or row.worker_id != worker_id:
            raise InvalidToken("the request key is not that of this assignment")
        return row

    def find_active(self, assignment_id: str, worker_id: str, request_key: str) -> Any:
        """As :meth:`find`. Raises :class:`Conflict` (as :meth:`accept`) unless it waits for its report."""
        row = self.find(assignment_id, worker_id, request_key)
        if row.status != assignments.AssignmentStatus.ASSIGNED:
            raise assignments.refusal(assignments.AssignmentStatus(row.status))
        return row

    def accept(
        self,
        assignment_id: str,
        worker_id: str,
        request_key: str,
        body: Iterable[bytes | bytearray | memoryview],
        *,
        kind: str = "",
        metrics: Metrics | None = None,
    ) -> ReportReply:
        """Store and count a report; ``body`` is as the training's report format says.

        Args:
            kind: one of the format's kinds; "" its first.
            metrics: checked, and kept unless the site's policy demands noise on the cycle: then all but the number
                of samples is not even looked at, since a refusal would tell. Where it demands clipping, loss and
                accuracy are kept coarse (:func:`~syft_ext.messages.report_metrics.coarse`).

        Raises :class:`InvalidToken` (wrong key), :class:`BadRequest` (metrics, kind), what the format refuses, or
        :class:`Conflict` whose ``extra["reason"]`` is duplicate, late, timed-out, failed or cancelled.
        """
        metrics = metrics or Metrics()
        row = self.find_active(assignment_id, worker_id, request_key)
        server = self._definitions.get(row.process_id).server
        report_format, outside = format_of(server), self._outside.of(server)
        kind = report_format.kind_of(kind)
        if outside is not None:
            _refuse_metrics(metrics)
        policy = self._policies.of_cycle(row.cycle_id)
        noisy = policy.noise_multiplier is not None
        if noisy:  # a loss is whatever the plan makes of the data, and no noise would cover it
            metrics = Metrics(samples=metrics.samples)
        self._check_metrics(row.process_id, metrics)
        self._policies.check_samples(row.cycle_id, metrics.samples)
        if noisy:
            metrics = Metrics()
        elif policy.clip_norm is not None:
            metrics = replace(metrics, loss=coarse(metrics.loss), accuracy=coarse(metrics.accuracy))
        claimed = metrics.samples
        metrics = replace(metrics, samples=self._policies.weight(row.cycle_id, claimed))
        with self._store.blobs.create(body.size if isinstance(body, PayloadReader) else None) as writer:
            upload = self._upload(row, kind, noisy=noisy, whole=writer.whole)
            for chunk in writer.receive(body):
                upload.feed(chunk)
            upload.finish()
            self._bus.publish(ReportReceived(row.process_id, row.cycle_id))
            blob = writer.commit(check=upload.check, remember=report_format.streams)
        with blob:
            reply = self._combiner(row.process_id).submit(_Report(row, blob, kind, metrics))
        if metrics.samples != claimed:
            reply.samples = metrics.samples
        if reply.cycle_status == cycles.CycleStatus.COLLECTING:  # else the cycle is being closed already
            self._bus.publish(ReportAccepted(row.process_id, row.cycle_id, blob.size))
        return reply

    def room(self, row: Any) -> int:
        """Bytes that the report of this row (:meth:`find_active`) may have, whichever kind it will be: what comes
        in parts is held to it before any of it is kept. Raises what refuses it already."""
        server = self._definitions.get(row.process_id).server
        noisy = self._policies.of_cycle(row.cycle_id).noise_multiplier is not None
        kinds = ("",) if self._outside.of(server) is not None else format_of(server).kinds
        return max(self._upload(row, kind, noisy=noisy, whole=False).limit for kind in kinds)

    def _upload(self, row: Any, kind: str, *, noisy: bool, whole: bool) -> UploadCheck:
        """The check of one report's bytes."""
        server = self._definitions.get(row.process_id).server
        layout = self._definitions.layout(row.process_id)
        outside, report_format = self._outside.of(server), format_of(server)
        if outside is not None:
            return outside.upload(row, layout)
        checks = report_format.hiding_upload if noisy else report_format.upload
        return checks(layout, kind, server.report_options, whole=whole)

    def _check_metrics(self, process_id: str, metrics: Metrics) -> None:
        server = self._definitions.get(process_id).server
        # Where nobody here can read a report, its weight is in it, if it has one.
        weighted = server.weighting == "samples" and not format_of(server).outside
        if metrics.samples is None and weighted:
            raise BadRequest("this training weights reports by their samples: state them", field="samples")
        if metrics.samples is not None and not 1 <= metrics.samples <= MAX_SAMPLES:
            raise BadRequest(f"samples: 1 to {MAX_SAMPLES}", field="samples")
        for name, value in (("loss", metrics.loss), ("accuracy", metrics.accuracy)):
            if value is not None and not abs(value) < float("inf"):
                raise BadRequest(f"{name} is not a finite number", field=name)

    def _combiner(self, process_id: str) -> Combiner[_Report, ReportReply]:
        found = self._combiners.get(process_id)
        if found is None:
            with self._lock:
                found = self._combiners.setdefault(
                    process_id, Combiner(lambda reports: self._count(process_id, reports))
                )
        return found

    def _count(self, process_id: str, reports: Sequence[_Report]) -> list[ReportReply | BaseException]:
        """Count the stored reports of several workers in one transaction, in the order in which they came."""
        server = self._definitions.get(process_id).server
        results: list[ReportReply | BaseException] = []
        with self._store.unit(process_id) as unit:
            ids = [report.row.id for report in reports]
            statuses = {row.id: row.status for row in _STATUSES.run(unit.connection, {}, id=ids).all()}
            cycle, accepted, outside = unit.cycle, [], self._outside.of(server)
            for report in reports:
                found = assignments.AssignmentStatus(statuses[report.row.id])
                if found is not assignments.AssignmentStatus.ASSIGNED:
                    results.append(assignments.refusal(found))
                elif not self._is_open(unit, report, server.goal):
                    results.append(assignments.refusal(assignments.AssignmentStatus.LATE))
                elif outside is not None and (refused := _refusal(outside, unit, report)) is not None:
                    results.append(refused)
                else:
                    assert cycle is not None
                    statuses[report.row.id] = str(assignments.AssignmentStatus.REPORTED)
                    accepted.append(report.values(unit.now, cycle.accepted + 1))
                    self._tell(unit, report, found)
                    cycle.accepted += 1
                    cycle.reported += 1
                    cycle.bytes_received += report.blob.size
                    results.append(
                        ReportReply(
                            assignment_id=report.row.id,
                            cycle=cycle.sequence,
                            reported=cycle.reported,
                            cycle_status=cycle.status,
                        )
                    )
            if accepted:
                self._write(unit, reports, accepted, server.do_not_reuse_workers_until_cycle, results)
        return results

    def _is_open(self, unit: Unit, report: _Report, goal: int | None) -> bool:
        cycle = unit.cycle
        return (
            cycle is not None
            and cycle.id == report.row.cycle_id
            and cycle.status in (cycles.CycleStatus.COLLECTING, cycles.CycleStatus.SECURING)
            and (goal is None or cycle.reported < goal)
        )

    def _tell(self, unit: Unit, report: _Report, before: assignments.AssignmentStatus) -> None:
        """The history row of an accepted report: what the machine decides, and the metrics.

        These are whatever the plan makes of one participant's data: where the policy demands several behind a
        model, or the policy or the participant that it is clipped, they are told of all together, with the cycle.
        """
        decision = assignments.decide(before, assignments.AssignmentEvent.REPORT)
        policy, bounds = self._policies.of_cycle(report.row.cycle_id, unit), report.row.bounds or {}
        clipped = policy.clip_norm is not None or bounds.get("clip_norm") is not None
        told = () if policy.min_participants > 1 else ("samples",) if clipped else _METRICS
        metrics = {name: v for name in told if (v := getattr(report.metrics, name)) is not None}
        unit.record("assignment", report.row.id, before, decision.status, **metrics)

    def _write(
        self,
        unit: Unit,
        reports: Sequence[_Report],
        accepted: list[dict[str, Any]],
        rest: int,
        results: list[ReportReply | BaseException],
    ) -> None:
        cycle = unit.cycle
        assert cycle is not None
        ids = {values["b_id"] for values in accepted}
        record(unit.connection, *(report.blob for report in reports if report.row.id in ids))
        if unit.run(_MOVE, accepted).rowcount != len(accepted):
            raise Conflict("an assignment changed meanwhile", reason="concurrent")
        if rest:
            until = cycle.sequence + rest + 1
            workers = [report.row.worker_id for report in reports if report.row.id in ids]
            unit.run(_REST, [{"b_worker": w, "b_until": until, "rests_until": until} for w in workers])
        sequence = cycle.sequence
        self._lifecycle.cycle(unit, cycles.CycleEvent.REPORTED)
        last = next(reply for reply in reversed(results) if isinstance(reply, ReportReply))
        if cycle.sequence == sequence:
            last.cycle_status = cycle.status

    def give_up(self, assignment_id: str, worker_id: str, request_key: str, reason: str = "") -> None:
        """The worker cannot finish: its slot is free again. Raises like :meth:`accept`."""
        row = self.find_active(assignment_id, worker_id, request_key)
        with self._store.unit(row.process_id) as unit:
            if unit.cycle is None or unit.cycle.id != row.cycle_id:
                raise self._refusal(unit, row.id)
            values = {"status": str(assignments.AssignmentStatus.FAILED_BY_WORKER), "finished_at": unit.now}
            self._move(unit, row.id, assignments.AssignmentEvent.WORKER_FAILED, values, reason=reason[:500])
            self._lifecycle.assign_slots(unit)

    def _drop(self, event: ReportUnusable) -> None:
        """Take back an accepted report that turned out to be unusable when it was averaged."""
        unit = event.unit
        values = {
            "status": str(assignments.AssignmentStatus.REJECTED),
            "finished_at": unit.now,
            "blob_digest": None,
        }
        named = {"tensor": event.tensor[:200]} if event.tensor else {}
        row = unit.run(_PARTICIPANT, {"assignment_id": event.assignment_id}).first()
        detail = {"reason": event.reason, "worker_id": row.worker_id, **named}
        self._move(unit, event.assignment_id, assignments.AssignmentEvent.UNUSABLE, values, **detail)
        assert unit.cycle is not None
        unit.cycle.rejected += 1
        self._lifecycle.assign_slots(unit)

    def _move(
        self,
        unit: Unit,
        assignment_id: str,
        event: assignments.AssignmentEvent,
        values: dict[str, Any],
        **detail: Any,
    ) -> None:
        """Compare and set; the counters follow the machine's effects."""
        before = (
            assignments.AssignmentStatus.REPORTED
            if event is assignments.AssignmentEvent.UNUSABLE
            else assignments.AssignmentStatus.ASSIGNED
        )
        decision = assignments.decide(before, event)
        if unit.run(_MOVE, {"b_id": assignment_id, "b_status": str(before), **values}).rowcount != 1:
            raise self._refusal(unit, assignment_id)
        cycle = unit.cycle
        assert cycle is not None
        for effect in decision.effects:
            if effect is assignments.AssignmentEffect.FREE_SLOT:
                cycle.slots_open += 1
            else:
                cycle.reported -= 1
        unit.record("assignment", assignment_id, before, decision.status, **detail)

    def _refusal(self, unit: Unit, assignment_id: str) -> Exception:
        found = assignments.AssignmentStatus(
            unit.run(_STATUS, {"assignment_id": assignment_id}).first().status
        )
        return assignments.refusal(
            assignments.AssignmentStatus.LATE if found is assignments.AssignmentStatus.ASSIGNED else found
        )


def _refusal(outside: OutsideSums, unit: Unit, report: _Report) -> GridError | None:
    """Why a report that nobody here can read is not counted; None: it is."""
    try:
        outside.count(unit, report.row, report.blob)
    except GridError as error:
        return error
    return None
