"""A worker's session before there is anything to sum: hosts appraise it, and participants see what they said.

A worker attests before it looks at the uploads of its job. So it is given a job whose one upload is nobody's: it
asks all hosts for their word, refuses the job, and ends. No host is asked for a key, and nothing is charged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from grid.concurrency.jobs import JobQueue
from grid.confidential.books import RoundBook
from grid.confidential.choices import signed_policy_of
from grid.confidential.hosts import KeyHosts, RoundFailed
from grid.confidential.launching import Workers
from grid.confidential.rounds import REHEARSE, Rounds
from grid.confidential.serving import Served, WorkerServing
from grid.confidential.simulator import Simulator
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.store import TrainingStore
from grid.storage.blobs.interface import BlobWriter
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import RoundJob
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.confidential.manifest import ManifestEntry
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import ReportLayout
from syft_ext.identity import Identity

__all__ = ["Rehearsals"]

_FRESH = 12 * 3600.0
"""Seconds for which a session is shown: participants take one of a day by default."""

_LONGEST = 120.0
_ROOM = 64 << 20
"""Bytes of a sealed output beside its numbers: header, receipt, tags."""


class Rehearsals:
    """Has workers appraised, and serves them.

    Args:
        workers: where they run.
    """

    def __init__(
        self,
        store: TrainingStore,
        book: RoundBook,
        rounds: Rounds,
        definitions: TrainingDefinitions,
        hosts: KeyHosts,
        workers: Workers,
        identity: Identity,
        jobs: JobQueue,
    ) -> None:
        self._store, self._book, self._rounds, self._definitions = store, book, rounds, definitions
        self._hosts, self._workers, self._identity = hosts, workers, identity
        self._simulator = Simulator(identity, store.clock)
        jobs.handle(REHEARSE, self._rehearse)

    def _rehearse(self, args: Mapping[str, Any]) -> None:
        process_id = str(args["process_id"])
        known = self._book.session(process_id)
        if known is not None and self._store.clock.now() - known.at < _FRESH:
            return
        definition = self._definitions.get(process_id)
        with self._store.unit(process_id) as unit:
            cycle = unit.cycle
        if cycle is None or cycles.CycleStatus(cycle.status) not in cycles.ADMITTING:
            return
        found = self._book.of_cycle(cycle.id)
        if found is None or found.row.state != "bound":
            return
        signed_policy, policy = signed_policy_of(definition.server)
        layout, nobody = self._rounds.layout(process_id), key_of(self._identity)
        entry = ManifestEntry(Signed(b"\0", nobody, bytes(64)), Signed(b"\0", nobody, bytes(64)))
        manifest = Signed.make(self._rounds.manifest(found, policy, [entry]), self._identity)
        job = RoundJob(
            policy=signed_policy.encode(),
            round_keys=[each.encode() for each in found.signed_keys],
            layout=layout.encode(),
            manifest=manifest.encode(),
        )
        with self._store.blobs.create() as nothing, self._workers.running(_LONGEST) as pipe:
            serving = self.serving(policy, layout, {}, b"", nothing)
            pipe.send(job)
            try:
                serving.serve(pipe)
            except RoundFailed as error:
                if error.extra.get("reason") != "manifest_refused":  # which is how it ends
                    raise
        self.keep(process_id, policy, serving.served)

    def keep(self, process_id: str, policy: ConfidentialPolicy, served: Served) -> None:
        """For offers: participants look at what the hosts appraised last."""
        recorded = served.recorded(policy)
        if recorded is not None:
            self._book.keep_session(process_id, recorded)

    def serving(
        self,
        policy: ConfidentialPolicy,
        layout: ReportLayout,
        lengths: Mapping[bytes, int],
        manifest: bytes,
        output: BlobWriter,
    ) -> WorkerServing:
        """The operator's end for one worker, whose sealed output goes to ``output`` (:class:`WorkerServing`)."""
        return WorkerServing(
            self._store.blobs,
            self._hosts,
            policy,
            lengths=lengths,
            manifest=manifest,
            output=output,
            longest=8 * UpdateReader(layout).size + _ROOM,
            quote=self._simulator.quote if policy.evidence.allow_simulator else None,
        )
