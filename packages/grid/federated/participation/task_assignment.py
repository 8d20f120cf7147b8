"""Task assignment: who takes part in which cycle.

The cap of a cycle is hard: its open slots are a counter that is taken from in the admitting transaction.
A check-in that is repeated with the same idempotency key gets the same assignment and the same answer; the
request key in it is derived from the node's secret, and only its hash is stored.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from sqlalchemy import bindparam, insert, or_, select, update

from grid.federated.averaging.strategies import installed_strategy
from grid.federated.consent.identities import Slots, subject_of
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.intake.registry import format_of
from grid.federated.participation.assignment_round import GRACE, RETRY, AssignmentRound, interval
from grid.federated.participation.waiting_room import Waiter, WaitingRoom
from grid.federated.state import tables as t
from grid.federated.state.events import AveragingStarts, SlotsChanged, WakeAt
from grid.federated.state.machines import assignment as assignments
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import CycleState, TrainingStore, Unit
from grid.node.events import EventBus
from grid.storage.sql.prepared import PreparedSizes, PreparedStatement, places
from syft_ext.errors import BadRequest, NotFound, Unavailable
from syft_ext.ids import new_id
from syft_ext.messages.federated import CheckInReply
from syft_ext.messages.participation import AssignmentHeartbeatReply
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_reviews import WorkerBounds

__all__ = ["TaskAssignment", "hash_key"]

MAX_WAIT = 300.0

_EXISTING = PreparedSizes(
    lambda size: (
        select(
            t.Assignment.id,
            t.Assignment.worker_id,
            t.Assignment.idempotency_key,
            t.Assignment.cycle_id,
            t.Assignment.status,
            t.Assignment.lease_until,
            t.Cycle.sequence,
            t.Cycle.base_checkpoint,
            t.Cycle.deadline,
        )
        .join(t.Cycle, t.Cycle.id == t.Assignment.cycle_id)
        .where(
            t.Assignment.worker_id.in_(places("worker", size)),
            or_(
                t.Assignment.cycle_id == bindparam("cycle_id"),
                t.Assignment.idempotency_key.in_(places("key", size)),
            ),
        )
    )
)
_WORKERS = PreparedSizes(
    lambda size: select(t.Worker.id, t.Worker.rests_until, t.Worker.identity, t.Worker.bounds).where(
        t.Worker.process_id == bindparam("process_id"), t.Worker.id.in_(places("worker", size))
    )
)
_KNOWN = PreparedStatement(
    select(t.Worker.id).where(
        t.Worker.process_id == bindparam("process_id"), t.Worker.subject == bindparam("subject")
    )
)
_NEW_WORKER = PreparedStatement(insert(t.Worker))
_DECLARE = PreparedStatement(update(t.Worker).where(t.Worker.id == bindparam("b_id")))
_ARRIVED = PreparedStatement(select(t.Arrival.worker_id).where(t.Arrival.cycle_id == bindparam("cycle_id")))
_ARRIVE = PreparedStatement(insert(t.Arrival))
_INSERT = PreparedStatement(insert(t.Assignment))
_BEAT = PreparedStatement(
    update(t.Assignment).where(
        t.Assignment.id == bindparam("b_id"),
        t.Assignment.status == str(assignments.AssignmentStatus.ASSIGNED),
    )
)


class TaskAssignment:
    """Args: ``secret``: the node's, request keys are derived from it; ``rng``: draws random pools."""

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        policies: SitePolicies,
        secret: bytes,
        rng: random.Random,
    ) -> None:
        self._store, self._bus, self._rng = store, bus, rng
        self._definitions, self._lifecycle, self._policies = definitions, lifecycle, policies
        self._key = hmac.new(secret, b"grid request key", hashlib.sha256).digest()
        self._lock = threading.Lock()
        self._rooms: dict[str, WaitingRoom] = {}
        bus.subscribe(SlotsChanged, lambda event: self._assign_within(event.unit))
        bus.subscribe(AveragingStarts, self._expect_round)

    # -- workers

    def authenticate(
        self,
        definition: TrainingDefinition,
        token: str | None,
        *,
        identity: str = "",
        key: str = "",
        bounds: WorkerBounds | None = None,
    ) -> str:
        """The worker id of whoever shows ``token``.

        Args:
            identity: who they are to this Domain, as it has verified; "" for anybody else.
            key: with which they sign, or "". Identity, key and the ``sub`` claim of a verified token make the
                worker id a lasting one; who has none of them is a new worker each time.
            bounds: what they declare of themselves.

        Raises :class:`InvalidToken`, or :class:`Unavailable` when the training's endpoint cannot be asked.
        """
        subject = subject_of(identity, key, definition.authenticator.check(token))
        declared = None if bounds is None else msgspec.to_builtins(bounds)
        if subject is not None and len(subject) > 128:
            subject = hashlib.sha256(subject.encode()).hexdigest()
        with self._store.unit(definition.id) as unit:
            if subject is not None:
                row = unit.run(_KNOWN, {"process_id": definition.id, "subject": subject}).first()
                if row is not None:
                    unit.run(_DECLARE, {"b_id": row[0], "bounds": declared, "aside": None})
                    return str(row[0])
            worker_id = new_id()
            unit.run(
                _NEW_WORKER,
                {
                    "id": worker_id,
                    "process_id": definition.id,
                    "subject": subject,
                    "rests_until": 0,
                    "created_at": unit.now,
                    "identity": identity or None,
                    "bounds": declared,
                },
            )
        return worker_id

    # -- check-in

    def check_in(
        self,
        process_id: str,
        worker_id: str,
        *,
        idempotency_key: str = "",
        upload: float | None = None,
        download: float | None = None,
        wait: float = 0.0,
        heartbeats: bool = False,
        alive: Callable[[], bool] = lambda: True,
    ) -> CheckInReply:
        """An assignment in the current cycle, or why there is none. Who has one, and not reported, gets it again.

        Args:
            heartbeats: the worker says that it is alive (:meth:`heartbeat`): it has its slot for as long as it
                does, and loses it soon after; else for the training's ``assignment_timeout``.
            alive: whether the worker still listens for the answer.
            upload, download: KB/s (1 KB = 1000 bytes), as the worker measured them.
            wait: seconds for which the answer may be held back until a cycle can take this worker.

        Raises :class:`NotFound` when the worker did not authenticate for this training.
        """
        if len(idempotency_key) > 128:
            raise BadRequest("an idempotency key has at most 128 characters")
        waiter = Waiter(worker_id, idempotency_key or new_id(), upload, download, False, alive, heartbeats)
        return self._room(process_id).enter(waiter, min(max(wait, 0.0), MAX_WAIT))

    def _expect_round(self, event: AveragingStarts) -> None:
        """Slots will be assigned before that is over: it is no use to look for some earlier."""
        event.scope.enter_context(self._room(event.process_id).expecting())

    def _assign_within(self, unit: Unit) -> None:
        """Assign in somebody's transaction: a cycle opens in it, a slot becomes free, or the training is over."""
        room = self._rooms.get(unit.process.id)
        present = None if room is None else room.begin_round()
        if room is None or present is None:
            return

        def end() -> None:
            if room.end_round(present):
                room.assign_slots()

        def give_answers() -> None:
            if round_ is not None:
                round_.give_answers()
            end()
            time.sleep(0)  # whoever has got an answer now sends it before the rest is done

        round_: AssignmentRound | None = None
        unit.after_rollback(end)
        if present:
            try:
                round_ = self._play(unit, present)
            except Exception as error:  # theirs, and not that of the next try
                for waiter in present:
                    waiter.error = error
                raise
            room.empty = round_.empty
        unit.after_commit(give_answers, first=True)

    def _room(self, process_id: str) -> WaitingRoom:
        room = self._rooms.get(process_id)
        if room is None:
            server = self._definitions.get(process_id).server
            format_of(server)  # nobody trains for what cannot be taken, or averaged, any more
            installed_strategy(server.strategy.name)
            with self._lock:
                room = self._rooms.setdefault(
                    process_id, WaitingRoom(lambda waiters: self._assign_slots(process_id, waiters))
                )
        return room

    def close(self) -> None:
        """Send everybody who waits away: the node stops."""
        for room in list(self._rooms.values()):
            room.close()

    # -- one round of assigning

    def _assign_slots(self, process_id: str, waiters: Sequence[Waiter]) -> None:
        with self._store.unit(process_id) as unit:
            round_ = self._play(unit, waiters)
        round_.give_answers()
        self._room(process_id).empty = round_.empty

    def _play(self, unit: Unit, waiters: Sequence[Waiter]) -> AssignmentRound:
        definition = self._definitions.get(unit.process.id)
        over = trainings.TrainingStatus(unit.process.status) in trainings.TERMINAL  # its contents may be gone
        digest = "" if over or not unit.process.latest_checkpoint else self._definitions.digest(definition.id)
        round_ = AssignmentRound(definition, digest, self._rng, self.request_key)
        waiters = self._concerned(unit, round_, waiters)
        candidates = self._sort_out(unit, round_, waiters) if waiters else []
        chosen = self._choose(unit, round_, candidates)
        if chosen:
            self._admit(unit, round_, chosen)
        round_.answer_duplicates()
        round_.concerned, round_.cycle_id = waiters, unit.cycle.id if unit.cycle else ""
        round_.empty = unit.cycle is not None and (
            not unit.cycle.slots_open or unit.cycle.status not in cycles.ADMITTING
        )
        return round_

    def _concerned(self, unit: Unit, round_: AssignmentRound, waiters: Sequence[Waiter]) -> Sequence[Waiter]:
        """Whom this round can have news for: only newcomers, while nobody can be given a slot.

        Without this, everybody who comes while a cycle is averaged would be a look at all who came before.
        """
        cycle = unit.cycle
        if cycle is None or unit.process.status != trainings.TrainingStatus.RUNNING:
            return waiters
        fresh = [w for w in waiters if not (w.patient and w.seen == cycle.id)]
        if cycle.status == cycles.CycleStatus.COLLECTING:
            return waiters if cycle.slots_open else fresh
        enough = cycle.arrived + len(fresh) >= (round_.definition.server.min_workers or 1)
        return waiters if cycle.status == cycles.CycleStatus.OPEN and enough else fresh

    def _sort_out(self, unit: Unit, round_: AssignmentRound, waiters: Sequence[Waiter]) -> list[Waiter]:
        """Answer whom the rules answer; the others are candidates for a slot, in order of arrival."""
        cycle = unit.cycle
        workers = list({w.worker_id for w in waiters})
        keys = list({w.idempotency_key for w in waiters})
        found = _WORKERS.run(unit.connection, {"process_id": unit.process.id}, worker=workers)
        known = {row.id: row for row in found.all()}
        existing = _EXISTING.run(
            unit.connection, {"cycle_id": cycle.id if cycle else ""}, worker=workers, key=keys
        ).all()
        by_key = {(row.worker_id, row.idempotency_key): row for row in existing}
        holding = {
            row.worker_id: row
            for row in existing
            if cycle and row.cycle_id == cycle.id and row.status in assignments.HOLDING
        }
        policy = self._policies.of_cycle(cycle.id, unit) if cycle else CyclePolicy()
        slots = Slots(policy, round_.definition.owner, unit, known)
        candidates: dict[str, Waiter] = {}
        for waiter in waiters:
            row = by_key.get((waiter.worker_id, waiter.idempotency_key))
            if waiter.worker_id not in known:
                waiter.error = NotFound("there is no such worker in this training")
            elif row is not None:
                self._accept(unit, round_, waiter, row)
            elif (own := _unreported(holding.get(waiter.worker_id))) is not None and _goes_on(unit):
                # It was ended and came back, or lost the answer with the key: the slot is its own.
                self._accept(unit, round_, waiter, own)
            elif not round_.turned_away(unit, waiter, known[waiter.worker_id].rests_until, holding):
                other = candidates.get(waiter.worker_id)
                if other is None:
                    reason = slots.refusal(known[waiter.worker_id].identity)
                    if reason:
                        round_.reject(waiter, reason, RETRY, final=reason != "taking-part")
                    else:
                        candidates[waiter.worker_id] = waiter
                elif other.idempotency_key == waiter.idempotency_key:
                    round_.duplicates.append((waiter, other))
                else:
                    round_.reject(waiter, "taking-part", RETRY)
        round_.bounds = {row.id: row.bounds for row in known.values() if row.bounds}
        return list(candidates.values())

    def _choose(self, unit: Unit, round_: AssignmentRound, candidates: list[Waiter]) -> list[Waiter]:
        """Who of the candidates gets one of the open slots: of those who still listen."""
        cycle = unit.cycle
        candidates = [waiter for waiter in candidates if self._is_there(waiter)]
        if cycle is None or not candidates:
            return []
        if cycle.status == cycles.CycleStatus.OPEN:
            self._arrive(unit, candidates)
        if cycle.status != cycles.CycleStatus.COLLECTING:
            for waiter in candidates:
                round_.reject(waiter, "waiting-for-workers", round_.pause(unit))
            return []
        count = min(cycle.slots_open, len(candidates))
        if round_.definition.server.pool_selection == "random":
            chosen = round_.rng.sample(candidates, count)
        else:
            chosen = candidates[:count]
        reason = "not-selected" if count else "full"
        for waiter in candidates:
            if waiter not in chosen:
                round_.reject(waiter, reason, round_.pause(unit))
        return chosen

    @staticmethod
    def _is_there(waiter: Waiter) -> bool:
        if waiter.alive():
            return True
        waiter.error = Unavailable("nobody listens for this answer any more")
        return False

    def _arrive(self, unit: Unit, candidates: list[Waiter]) -> None:
        """Count newcomers for a pool that is still filling."""
        cycle = unit.cycle
        assert cycle is not None
        seen = {row[0] for row in unit.run(_ARRIVED, {"cycle_id": cycle.id}).all()}
        fresh = [w.worker_id for w in candidates if w.worker_id not in seen]
        if fresh:
            rows = [{"cycle_id": cycle.id, "worker_id": w, "arrived_at": unit.now} for w in fresh]
            unit.run(_ARRIVE, rows)
            cycle.arrived += len(fresh)
            self._lifecycle.cycle(unit, cycles.CycleEvent.ARRIVED)

    def _admit(self, unit: Unit, round_: AssignmentRound, chosen: list[Waiter]) -> None:
        cycle, config = unit.cycle, round_.definition.server
        assert cycle is not None
        cycle.slots_open -= len(chosen)
        cycle.admitted += len(chosen)
        rows, leases = [], []
        for waiter in chosen:
            grace = GRACE * interval(config) if waiter.heartbeats else config.assignment_timeout
            leases.append(lease := unit.now + min(grace, config.assignment_timeout))
            row = {
                "id": new_id(),
                "process_id": unit.process.id,
                "cycle_id": cycle.id,
                "worker_id": waiter.worker_id,
                "status": str(assignments.AssignmentStatus.ASSIGNED),
                "idempotency_key": waiter.idempotency_key,
                "assigned_at": unit.now,
                "lease_until": lease,
            }
            row["key_hash"] = hash_key(self.request_key(str(row["id"])))
            rows.append(row)
            bounds = round_.bounds.get(waiter.worker_id)
            declared = {"bounds": bounds} if bounds else {}
            unit.record("assignment", str(row["id"]), "", assignments.AssignmentStatus.ASSIGNED, **declared)
            self._accept(unit, round_, waiter, _Granted(str(row["id"]), lease, cycle))
        unit.run(_INSERT, rows)
        unit.after_commit(lambda: self._bus.publish(WakeAt(unit.process.id, min(leases))))

    def _accept(self, unit: Unit, round_: AssignmentRound, waiter: Waiter, row: Any) -> None:
        number = row.base_checkpoint
        if number not in round_.models:
            round_.models[number] = self._definitions.checkpoint(unit.process.id, number, unit)
        round_.accept(waiter, row, round_.models[number], self._policies.of_cycle(row.cycle_id, unit))

    # -- heartbeats

    def heartbeat(self, assignment: Any) -> AssignmentHeartbeatReply:
        """The worker of this assignment's row (:meth:`Collector.find_active`) is alive: it keeps its slot.

        Raises :class:`Conflict` when it has lost it meanwhile.
        """
        server = self._definitions.get(assignment.process_id).server
        every = interval(server)
        lease = self._store.clock.now() + GRACE * every
        with self._store.database.writing() as connection:
            values = {"b_id": assignment.id, "lease_until": lease}
            if _BEAT.run(connection, values).rowcount != 1:
                raise assignments.refusal(assignments.AssignmentStatus.TIMED_OUT)
        self._bus.publish(WakeAt(assignment.process_id, lease))
        return AssignmentHeartbeatReply(interval=every, deadline=lease)

    # -- request keys

    def request_key(self, assignment_id: str) -> str:
        """The secret that an assignment's worker shows: 64 hex digits."""
        return hmac.new(self._key, assignment_id.encode(), hashlib.sha256).hexdigest()


def _unreported(row: Any) -> Any:
    return row if row is not None and row.status == assignments.AssignmentStatus.ASSIGNED else None


def _goes_on(unit: Unit) -> bool:
    return unit.process.status == trainings.TrainingStatus.RUNNING


def hash_key(request_key: str) -> str:
    """What is stored of a request key."""
    return hashlib.sha256(request_key.encode()).hexdigest()


class _Granted:
    """What an answer says of an assignment that is just made."""

    def __init__(self, id: str, lease_until: float, cycle: CycleState) -> None:
        self.id, self.lease_until, self.cycle_id = id, lease_until, cycle.id
        self.sequence, self.base_checkpoint = cycle.sequence, cycle.base_checkpoint
        self.deadline = cycle.deadline
