"""Sealed uploads on their way in: what is public of them is checked before a byte comes.

Nobody here can open one. But a header, certificate or signature that does not hold would end the whole round in
the worker, so none is taken (amendments A1); and a participant whom a key host would refuse is turned away while
others can still take the place (A13).
"""

from __future__ import annotations

import logging
from typing import Any

from sqlalchemy import bindparam, delete, insert

from grid.confidential.books import RoundBook, StoredRound
from grid.confidential.choices import policy_of
from grid.confidential.hosts import KeyHosts
from grid.confidential.rounds import Rounds
from grid.confidential.tables import ConfidentialUpload
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.state.events import ReportUnusable
from grid.federated.state.machines import cycle as cycles
from grid.federated.state.store import TrainingStore, Unit
from grid.node.events import EventBus
from grid.storage.blobs.blob import Blob
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.certificates import names_of
from syft_ext.confidential.kernel.numbers import UpdateReader
from syft_ext.confidential.manifest import CheckedEntry, Declaration, ManifestEntry, check_declaration
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.sealing import head_of
from syft_ext.confidential.stream import sealed_length
from syft_ext.errors import BadRequest, Conflict, InvalidStatement, TooLarge, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages.key_host import CheckManifest, IneligibleEntries

__all__ = ["SealedIntake", "SealedUpload"]

logger = logging.getLogger(__name__)

_DECLARE = PreparedStatement(insert(ConfidentialUpload))
_FORGET = PreparedStatement(
    delete(ConfidentialUpload).where(ConfidentialUpload.assignment_id == bindparam("assignment_id"))
)


class SealedUpload:
    """The check of the bytes of one upload: they are as many as was declared, and begin as was declared. That they
    are the very bytes is seen by their digest, when the upload is counted."""

    def __init__(self, declaration: Declaration, length: int) -> None:
        self._head = head_of(declaration.header, declaration.shares)
        self.limit, self._seen = length, 0

    def feed(self, chunk: memoryview) -> None:
        if self._seen + len(chunk) > self.limit:
            raise TooLarge(f"more than the {self.limit} bytes that were declared", limit=self.limit)
        expected = self._head[self._seen : self._seen + len(chunk)]
        if bytes(chunk[: len(expected)]) != expected:
            raise BadRequest("this is not the sealed report that was declared")
        self._seen += len(chunk)

    def finish(self) -> None:
        if self._seen != self.limit:
            raise BadRequest(f"{self._seen} bytes, and {self.limit} were declared")

    def check(self, file: memoryview) -> None:
        """Nobody here can look further."""


class SealedIntake:
    """Takes declarations, and counts uploads."""

    def __init__(
        self,
        store: TrainingStore,
        book: RoundBook,
        rounds: Rounds,
        definitions: TrainingDefinitions,
        hosts: KeyHosts,
        identity: Identity,
        bus: EventBus,
    ) -> None:
        self._store, self._book, self._rounds, self._definitions = store, book, rounds, definitions
        self._hosts, self._identity, self._bus = hosts, identity, bus
        bus.subscribe(ReportUnusable, self._dropped)

    def declare(self, assignment: Any, data: bytes) -> None:
        """Keep what the participant of this row (:meth:`Collector.find_active`) declares, if all of it holds.

        Raises :class:`InvalidStatement` or :class:`BadSignature` for what does not, :class:`Conflict` for whom
        this round, or a key host, cannot take, and :class:`Unavailable` while hosts cannot be asked.
        """
        server = self._definitions.get(assignment.process_id).server
        if server.confidential is None:
            raise Conflict("this training is not confidential", reason="confidential")
        policy, found = policy_of(server), self.bound(assignment)
        declaration = Declaration.decode(data)
        checked = self._check(declaration, found, policy, assignment)
        self._ask_hosts(found, policy, assignment, checked, declaration.entry)
        with self._store.unit(assignment.process_id) as unit:
            self._require_free(unit, assignment, _one_person(checked, policy))
            before = self._book.upload(assignment.id, unit)
            if before is not None and before.counted:
                raise Conflict("the report of this assignment is here already", reason="duplicate")
            if before is not None:
                unit.run(_FORGET, {"assignment_id": assignment.id})
            unit.run(
                _DECLARE,
                {
                    "assignment_id": assignment.id,
                    "cycle_id": assignment.cycle_id,
                    "person": _one_person(checked, policy),
                    "blob": checked.upload.blob.hex(),
                    "length": checked.upload.length,
                    "declaration": data,
                    "counted": False,
                    "declared_at": unit.now,
                },
            )

    def bound(self, assignment: Any) -> StoredRound:
        """The round of an assignment's cycle. Raises :class:`Unavailable` until it has one."""
        found = self._book.of_cycle(assignment.cycle_id)
        if found is None or found.row.state == "failed":
            what = self._rounds.waiting.get(assignment.process_id, "its key hosts")
            raise Unavailable(f"this cycle has no keys yet: it waits for {what}")
        if found.row.state != "bound":
            raise Conflict("this round takes no report any more", reason="late")
        return found

    def _check(
        self, declaration: Declaration, found: StoredRound, policy: ConfidentialPolicy, assignment: Any
    ) -> CheckedEntry:
        now = self._store.clock.now()
        if now > found.row.upload_until:
            raise Conflict("this round takes no report any more", reason="late")
        keys = tuple(key.digest() for key in found.keys(policy))
        base = bytes.fromhex(found.row.base_digest)
        checked = check_declaration(declaration, found.context, base, keys, policy, int(now))
        upload = checked.upload
        if upload.assignment != assignment.id:
            raise InvalidStatement("an upload for another assignment")
        if checked.certificate.not_after < found.row.erase_at:
            # Hosts and workers look at it again, when nobody can be left out any more.
            raise Conflict("the certificate ends before this round may", reason="certificate")
        length = UpdateReader(self._rounds.layout(assignment.process_id)).length
        head = len(head_of(declaration.header, declaration.shares))
        if declaration.header.length != length or upload.length != head + sealed_length(length):
            raise InvalidStatement("an upload of another length than this round's updates have")
        return checked

    def _ask_hosts(
        self,
        found: StoredRound,
        policy: ConfidentialPolicy,
        assignment: Any,
        checked: CheckedEntry,
        entry: ManifestEntry,
    ) -> None:
        """Ask each host whether it would take this entry. A manifest has the fewest entries at least, so the first
        participants are asked about together, when the last of these comes; who would be refused gives up the
        place."""
        others = [
            row for row in self._book.counted(assignment.cycle_id) if row.assignment_id != assignment.id
        ]
        if len(others) + 1 < policy.cohort.least:
            return
        some = others[: policy.cohort.least - 1]
        entries = sorted(
            [
                (assignment.id, entry),
                *((row.assignment_id, Declaration.decode(row.declaration).entry) for row in some),
            ],
            key=lambda each: each[0],
        )
        manifest = self._rounds.manifest(found, policy, [each for _, each in entries])
        message = CheckManifest(manifest=Signed.make(manifest, self._identity).encode())
        for host in policy.hosts:
            reply: IneligibleEntries = self._hosts.work(host, message)
            for ineligible in reply.entries:
                reason = f"key host {host.name} would refuse it: {ineligible.reason}"
                if ineligible.assignment == assignment.id:
                    raise Conflict(f"this participant cannot be counted: {reason}", reason=ineligible.reason)
                self._take_back(assignment, ineligible.assignment, reason)

    def _take_back(self, assignment: Any, other: str, reason: str) -> None:
        """While the cycle still collects, whoever would be refused gives the place to somebody else."""
        row = self._book.upload(other)
        if row is None or not row.counted or row.cycle_id != assignment.cycle_id:
            return
        with self._store.unit(assignment.process_id) as unit:
            cycle = unit.cycle
            if (
                cycle is not None
                and cycle.id == row.cycle_id
                and cycle.status == cycles.CycleStatus.COLLECTING
            ):
                self._bus.publish(ReportUnusable(unit, other, reason))

    def _dropped(self, event: ReportUnusable) -> None:
        if self._book.upload(event.assignment_id, event.unit) is not None:
            self._book.count(event.unit, event.assignment_id, counted=False)

    def upload(self, assignment: Any) -> SealedUpload:
        """The check of the bytes that were declared for this row. Raises :class:`Conflict` where nothing was."""
        row = self._book.upload(assignment.id)
        if row is None:
            raise Conflict("say first what will come (confidential.declare_upload)", reason="undeclared")
        self.bound(assignment)
        return SealedUpload(Declaration.decode(row.declaration), row.length)

    def count(self, unit: Unit, assignment: Any, blob: Blob) -> None:
        """The bytes are here: they are in the round from now on. Raises what refuses them."""
        row = self._book.upload(assignment.id, unit)
        if row is None or (blob.digest, blob.size) != (row.blob, row.length):
            raise BadRequest("these are not the bytes that were declared")
        until = self._book.until(unit, assignment.cycle_id)
        if until is None or unit.now > until:
            raise Conflict("this round takes no report any more", reason="late")
        self._require_free(unit, assignment, row.person)
        self._book.count(unit, assignment.id, counted=True)

    def _require_free(self, unit: Unit, assignment: Any, person: str) -> None:
        if self._book.has_person(unit, assignment.cycle_id, person):
            raise Conflict("this participant is in the round already", reason="twice")


def _one_person(checked: CheckedEntry, policy: ConfidentialPolicy) -> str:
    """What a subject is known by in a round, whichever of the policy's authorities vouches."""
    return min(names_of(checked.certificate.subject, policy.cohort.authorities)).hex()
