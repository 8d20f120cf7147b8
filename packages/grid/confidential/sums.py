"""The pipeline's seam: trainings whose reports are sealed, and summed where nobody at this node looks."""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from typing import Any

from blake3 import blake3

from grid.aggregation.tensor_file import TensorFile
from grid.confidential.books import RoundBook, StoredRound
from grid.confidential.choices import check_training, policy_of, signed_policy_of
from grid.confidential.hosts import KeyHosts, RoundFailed
from grid.confidential.intake import SealedIntake, SealedUpload
from grid.confidential.launching import Workers
from grid.confidential.outputs import OpenedOutput, SealedOutputs, difference
from grid.confidential.rehearsing import Rehearsals
from grid.confidential.rounds import Rounds
from grid.federated.cycles.outside import OutsideSum
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.blobs.blob import Blob
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import RoundJob
from syft_ext.confidential.kernel.reports import report_layout
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.errors import ContentCorrupt, InvalidTensors
from syft_ext.identity import Identity
from syft_ext.messages.key_host import GetHead
from syft_ext.tensors import Layout

__all__ = ["ConfidentialSums"]

logger = logging.getLogger(__name__)


class ConfidentialSums:
    """As :class:`~grid.federated.cycles.outside.OutsideSums` says."""

    def __init__(
        self,
        store: TrainingStore,
        book: RoundBook,
        rounds: Rounds,
        intake: SealedIntake,
        outputs: SealedOutputs,
        rehearsals: Rehearsals,
        hosts: KeyHosts,
        workers: Workers,
        identity: Identity,
    ) -> None:
        self._store, self._book, self._rounds, self._intake = store, book, rounds, intake
        self._outputs, self._rehearsals, self._workers = outputs, rehearsals, workers
        self._identity, self._hosts = identity, hosts
        self._tried: set[str] = set()  # cycles for which a worker was started

    def check_training(
        self, server: ServerConfig, plans: Mapping[str, str], protocols: Mapping[str, bytes]
    ) -> None:
        check_training(server, plans, key_of(self._identity), self._store.clock.now())

    def check_model(self, definition: TrainingDefinition, layout: Layout) -> None:
        mechanism, found = policy_of(definition.server).mechanism, report_layout(layout)
        if math.ldexp(1.0, -mechanism.grid_bits) == 0:
            raise InvalidTensors(f"a grid of 2^-{mechanism.grid_bits} is finer than numbers are")
        logger.debug("training %s sums %d numbers", definition.id, found.size)

    def kept(self, definition: TrainingDefinition, layout: Layout) -> int:
        return SealedOutputs.size_of(report_layout(layout))

    def until(self, unit: Unit) -> float | None:
        return None if unit.cycle is None else self._book.until(unit, unit.cycle.id)

    def upload(self, assignment: Any, layout: Layout) -> SealedUpload:
        return self._intake.upload(assignment)

    def count(self, unit: Unit, assignment: Any, blob: Blob) -> None:
        self._intake.count(unit, assignment, blob)

    def sum(self, definition: TrainingDefinition, cycle_id: str, base: TensorFile) -> OutsideSum:
        policy, found = policy_of(definition.server), self._book.of_cycle(cycle_id)
        if found is None or found.row.manifest is None:
            raise RoundFailed("this cycle has no manifest: its round was lost")
        if found.row.state == "failed":
            raise RoundFailed(found.row.reason)
        signed: Signed[Manifest] = Signed.decode(found.row.manifest)
        manifest = signed.open(Manifest, key_of(self._identity))
        try:
            if self._book.output(found.row) is None:
                self._run(definition, found, manifest)
            output = self._book.output(found.row)
            opened = self._outputs.open(output, policy, manifest, found.keys(policy))
        except RoundFailed as error:
            self._fail(found, error)
            raise
        layout = self._rounds.layout(definition.id)
        made = difference(base, layout, opened.sums, policy.mechanism, len(manifest.entries))
        return OutsideSum(made, (found, opened))

    def _run(self, definition: TrainingDefinition, found: StoredRound, manifest: Manifest) -> None:
        """Have a worker make the output of this manifest, and store it."""
        row, now = found.row, self._store.clock.now()
        left = row.erase_at - now
        if left <= 0:
            raise RoundFailed(
                "the key hosts have erased the keys of this round: its time was over", reason="over"
            )
        signed_policy, policy = signed_policy_of(definition.server)
        self._require_ready(policy, row)
        layout = self._rounds.layout(definition.id)
        job = RoundJob(
            policy=signed_policy.encode(),
            round_keys=[each.encode() for each in found.signed_keys],
            layout=layout.encode(),
            manifest=row.manifest,
        )
        lengths = {bytes.fromhex(each.blob): each.length for each in self._book.counted(row.cycle_id)}
        with self._store.blobs.create() as writer, self._workers.running(left) as pipe:
            pipe.send(job)
            served = self._rehearsals.serving(policy, layout, lengths, row.manifest, writer).serve(pipe)
            with writer.commit() as blob:
                self._outputs.put(row, policy, manifest, blob, served)
        self._rehearsals.keep(definition.id, policy, served)
        with self._store.unit(definition.id) as unit:
            self._book.change(unit, row, "closed", state="sealed")

    def _require_ready(self, policy: ConfidentialPolicy, row: Any) -> None:
        """Hosts give a round's key a few times only: none is asked for while another is away, or while an upload
        is not what it was. Raises what passes."""
        for host in policy.hosts:
            self._hosts.work(host, GetHead())
        if row.cycle_id in self._tried:
            for each in self._book.counted(row.cycle_id):
                if blake3(self._store.blobs.map(each.blob, hold=True)).hexdigest() != each.blob:
                    raise ContentCorrupt(f"a sealed report is not what it was: {each.blob}")
        self._tried.add(row.cycle_id)

    def _fail(self, found: StoredRound, error: RoundFailed) -> None:
        row = found.row
        with self._store.unit(row.process_id) as unit:
            for state in ("closed", "sealed"):
                self._book.change(unit, row, state, state="failed", reason=error.detail[:2000])

    def publish(self, unit: Unit, found: OutsideSum, number: int) -> None:
        """The receipt is written down with the model that was made of the output."""
        stored, opened = found.note
        assert isinstance(opened, OpenedOutput)
        for state in ("closed", "sealed"):
            self._book.change(
                unit,
                stored.row,
                state,
                state="released",
                checkpoint=number,
                receipt=opened.bundle.encode(),
                simulated=opened.receipt.simulated or stored.row.simulated,
            )
        self._book.released(unit, stored.row)
        unit.after_commit(lambda: self._tried.discard(stored.row.cycle_id))
