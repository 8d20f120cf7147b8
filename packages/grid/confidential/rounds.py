"""Rounds of a training: keys asked of the hosts ahead of it, one bound to each cycle, its manifest fixed once.

A host makes keys for a number once, ever, and they are for uploads during a window that begins then. So the next
round's keys are asked for when a cycle closes, not earlier, and a round of whose window too little is left is
skipped: its number is used. Hosts that are not reached are asked until they are; meanwhile the cycle is open, and
participants are told what it waits for.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select

from grid.concurrency.jobs import JobQueue
from grid.concurrency.passing import is_passing, said_of
from grid.confidential.books import RoundBook, StoredRound
from grid.confidential.choices import policy_of
from grid.confidential.hosts import KeyHosts, RoundFailed
from grid.confidential.log import DomainLog, publications_of
from grid.confidential.witnessing import Witnessing
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.state.events import CycleClosed, CycleOpened
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import TrainingStore, Unit
from grid.federated.state.tables import TrainingProcess
from grid.node.events import EventBus
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.kernel.reports import report_layout
from syft_ext.confidential.manifest import Declaration, Manifest, ManifestEntry
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import OpenRounds, ReportLayout, RoundContext, RoundKey, open_round_keys
from syft_ext.errors import Conflict, GridError, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages.key_host import OpenHostRounds

__all__ = ["OPEN_ROUNDS", "REHEARSE", "Rounds"]

logger = logging.getLogger(__name__)

OPEN_ROUNDS = "confidential.open_rounds"
"""Job: see to it that a training has a round for its cycle, or for the next one."""

REHEARSE = "confidential.rehearse"
"""Job: have a worker appraised by all hosts before anybody uploads, and without a key: participants want to see
that (:mod:`grid.confidential.rehearsing`)."""

_LEAST_LEFT = 4
"""A round is bound to a cycle while at least one in so many parts of its window for uploads is left."""


class Rounds:
    """Asks hosts for keys, binds rounds to cycles, fixes manifests.

    Attributes:
        waiting: by training, what its next round waits for.
    """

    def __init__(
        self,
        store: TrainingStore,
        book: RoundBook,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        hosts: KeyHosts,
        identity: Identity,
        bus: EventBus,
        jobs: JobQueue,
        log: DomainLog,
        witnessing: Witnessing,
    ) -> None:
        self._log, self._witnessing = log, witnessing
        self._store, self._book, self._definitions, self._lifecycle = store, book, definitions, lifecycle
        self._hosts, self._identity, self._jobs = hosts, identity, jobs
        self.waiting: dict[str, str] = {}
        jobs.handle(OPEN_ROUNDS, self._open)
        bus.subscribe(CycleOpened, self._opened)
        bus.subscribe(CycleClosed, self._closed)

    def ask(self, process_id: str) -> None:
        """Have a round made, if the training needs one: now, and until it has one."""
        self._jobs.submit(
            OPEN_ROUNDS, {"process_id": process_id}, key=f"rounds of {process_id}", idempotency_key=process_id
        )

    def layout(self, process_id: str) -> ReportLayout:
        """Which numbers an update of a training has."""
        return report_layout(self._definitions.layout(process_id))

    # -- in the pipeline's transactions

    def _opened(self, event: CycleOpened) -> None:
        unit = event.unit
        definition = self._definitions.get(unit.process.id)
        if definition.server.confidential is None:
            return
        assert unit.cycle is not None
        self._bind(unit, definition)
        unit.after_commit(lambda: self.ask(definition.id))

    def _bind(self, unit: Unit, definition: TrainingDefinition) -> bool:
        """Bind the first round that can still be used to the unit's cycle; whether there was one."""
        cycle = unit.cycle
        assert cycle is not None
        window = policy_of(definition.server).windows.upload
        for row in self._book.of_training(definition.id, unit):
            if row.state != "opened":
                continue
            if row.upload_until - unit.now < window / _LEAST_LEFT:
                self._book.change(unit, row, "opened", state="failed", reason="never used: its time was up")
                continue
            base = self._definitions.checkpoint(definition.id, cycle.base_checkpoint, unit)[0]
            self._book.change(unit, row, "opened", state="bound", cycle_id=cycle.id, base_digest=base)
            self._lifecycle.close_at(unit, row.upload_until)
            unit.after_commit(lambda: self._rehearse(definition.id))
            return True
        return False

    def _closed(self, event: CycleClosed) -> None:
        """Fix what is summed: from here on it is these uploads, in this order, whatever happens."""
        unit = event.unit
        definition = self._definitions.get(unit.process.id)
        if definition.server.confidential is None:
            return
        assert unit.cycle is not None
        found = self._book.of_cycle(unit.cycle.id, unit)
        uploads = self._book.counted(unit.cycle.id, unit)
        if found is None or len(uploads) != unit.cycle.reported:
            raise Conflict(
                f"{unit.cycle.reported} reports are counted, {len(uploads)} of them sealed for a round of it"
            )
        manifest = self._manifest(found, policy_of(definition.server), uploads)
        fixed = self._book.change(
            unit,
            found.row,
            "bound",
            state="closed",
            manifest=Signed.make(manifest, self._identity).encode(),
            manifest_digest=manifest.digest().hex(),
            uploads=len(uploads),
        )
        if not fixed:
            raise Conflict("the round of this cycle has its manifest already")
        unit.after_commit(lambda: self.ask(definition.id))  # the next one's keys, ahead of it

    def _manifest(self, found: StoredRound, policy: ConfidentialPolicy, uploads: Sequence[Any]) -> Manifest:
        return self.manifest(found, policy, [Declaration.decode(row.declaration).entry for row in uploads])

    @staticmethod
    def manifest(
        found: StoredRound, policy: ConfidentialPolicy, entries: Sequence[ManifestEntry]
    ) -> Manifest:
        """The manifest of a bound round with these entries, which are in ascending order of their assignments."""
        return Manifest(
            context=found.context,
            base=bytes.fromhex(found.row.base_digest),
            keys=tuple(key.digest() for key in found.keys(policy)),
            entries=tuple(entries),
        )

    def _rehearse(self, process_id: str) -> None:
        self._jobs.submit(
            REHEARSE, {"process_id": process_id}, key=f"rehearsal of {process_id}", idempotency_key=process_id
        )

    # -- beside them

    def start(self) -> None:
        """Take up what a restart left: trainings whose cycle has no round, or whose next one has none."""
        for process_id in self.unfinished():
            self.ask(process_id)

    def unfinished(self) -> list[str]:
        """Confidential trainings that have not ended."""
        alive = [str(status) for status in trainings.TrainingStatus if status not in trainings.TERMINAL]
        rows = self._store.read(select(TrainingProcess.id).where(TrainingProcess.status.in_(alive)))
        return [row.id for row in rows if self._definitions.get(row.id).server.confidential is not None]

    def _open(self, args: Mapping[str, Any]) -> None:
        """The job: make a round if none waits, and bind it if the cycle has none."""
        process_id = str(args["process_id"])
        definition = self._definitions.get(process_id)
        try:
            self._serve(definition)
        except Exception as error:
            if is_passing(error):
                self.waiting[process_id] = said_of(error)
                raise
            logger.exception("training %s gets no round", process_id)
            said = error.detail if isinstance(error, GridError) else type(error).__name__
            self._end(process_id, f"no round can be opened: {said}")
        self.waiting.pop(process_id, None)

    def _serve(self, definition: TrainingDefinition) -> None:
        policy = policy_of(definition.server)
        self._log.publish(publications_of(policy))
        row = self._needed(definition)
        if row is None:
            if any(each.state != "asked" for each in self._book.of_training(definition.id)):
                self._witnessing.ask(policy)
            return
        keys = self._ask_hosts(definition, RoundContext.decode(row.context))
        self._witnessing.ask(policy)  # they sign the logs of Domains that have rounds with them
        with self._store.unit(definition.id) as unit:
            if row.state == "asked":
                self._book.put_keys(unit, row, keys)
            cycle = unit.cycle
            if (
                cycle is not None
                and cycles.CycleStatus(cycle.status) in cycles.ADMITTING
                and self._usable(unit, cycle.id) is None
            ):
                self._bind(unit, definition)

    def _usable(self, unit: Unit, cycle_id: str) -> StoredRound | None:
        """The round of a cycle, unless that has failed: then the cycle is given another one."""
        found = self._book.of_cycle(cycle_id, unit)
        if found is not None and found.row.state == "failed":
            self._book.change(unit, found.row, "failed", cycle_id=None)
            return None
        return found

    def _needed(self, definition: TrainingDefinition) -> Any | None:
        """The round whose keys are to be asked for; a new one where none waits. None: there is one ahead."""
        policy = policy_of(definition.server)
        with self._store.unit(definition.id) as unit:
            if unit.process.status not in ("running", "paused") or unit.cycle is None:
                return None
            admitting = cycles.CycleStatus(unit.cycle.status) in cycles.ADMITTING
            if admitting and self._usable(unit, unit.cycle.id) is not None:
                unit.after_commit(lambda: self._rehearse(definition.id))
                return None  # the next one's keys are asked for when this cycle closes
            done = unit.process.cycles_completed + (0 if admitting else 1)
            if definition.server.num_cycles and done >= definition.server.num_cycles:
                return None  # there is no next cycle
            rows = self._book.of_training(definition.id, unit)
            for row in rows:
                if row.state == "asked":
                    return row
                if (
                    row.state == "opened"
                    and row.upload_until - unit.now >= policy.windows.upload / _LEAST_LEFT
                ):
                    return row if admitting else None
            sequence = 1 + max((row.sequence for row in rows), default=0)
            if sequence > policy.rounds:
                raise RoundFailed(f"the policy is for {policy.rounds} rounds, and all of them are used")
            if policy.not_after <= unit.now:
                raise RoundFailed("no round begins under this policy any more: its time is over")
            self._book.ask(unit, self.context(definition, policy, sequence))
        return next(row for row in self._book.of_training(definition.id) if row.sequence == sequence)

    def context(
        self, definition: TrainingDefinition, policy: ConfidentialPolicy, sequence: int
    ) -> RoundContext:
        """What the round of this number is for."""
        plans = {bytes.fromhex(file.digest) for file in definition.files if file.kind == "plan"}
        return RoundContext(
            domain=key_of(self._identity),
            process=definition.id,
            sequence=sequence,
            suite=policy.suite,
            policy=policy.digest(),
            plans=tuple(sorted(plans)),
            layout=self.layout(definition.id).digest(),
        )

    def _ask_hosts(
        self, definition: TrainingDefinition, context: RoundContext
    ) -> tuple[Signed[RoundKey], ...]:
        """Each host's key for a round, which verifies. Raises :class:`Unavailable` until all have answered."""
        policy, found = policy_of(definition.server), []
        for host in policy.hosts:
            request = OpenRounds(host=host.key, contexts=(context,), at=int(self._store.clock.now()))
            message = OpenHostRounds(request=Signed.make(request, self._identity).encode())
            found.append(self._hosts.work(host, message).keys)
        if any(len(keys) != 1 for keys in found):
            raise Unavailable("a key host answered with another number of keys than it was asked for")
        signed: tuple[Signed[RoundKey], ...] = tuple(Signed.decode(keys[0]) for keys in found)
        open_round_keys(signed, tuple(host.key for host in policy.hosts), context)
        return signed

    def _end(self, process_id: str, reason: str) -> None:
        """Nothing can be learned any more: whoever watches the training hears why."""
        with self._store.unit(process_id) as unit:
            if trainings.TrainingStatus(unit.process.status) in trainings.TERMINAL:
                return
            if unit.cycle is not None and cycles.CycleStatus(unit.cycle.status) in cycles.ADMITTING:
                self._lifecycle.cycle(unit, cycles.CycleEvent.CANCEL, reason)
                self._lifecycle.process(unit, trainings.TrainingEvent.CYCLE_FAILED, reason)
