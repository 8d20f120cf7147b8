"""The audit log of one node: one writer for all that is recorded.

Callers wait until their entry is committed; entries that come together share a transaction. Where the database
fails, entries go to a file in the node's home and from there into the chain as soon as that works again. Only
when that fails too is the caller refused: then something would have happened that is written nowhere. An
entry is written again rather than lost, so after a crash one from that file may be in the chain twice.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from grid.audit.archives import heads, last_head, verify_archives
from grid.audit.archiving import Archiver, Kept
from grid.audit.chain import Draft, Value, append, entries, read_head
from grid.audit.checkpoints import FILE, Checkpoints, read_checkpoints
from grid.audit.pending_entries import PendingEntries
from grid.concurrency.passing import is_passing, said_of
from grid.storage.blobs.group import GroupCommit
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.database import Database
from syft_ext.audit.entries import Checkpoint
from syft_ext.audit.export import VerificationReport, export_lines
from syft_ext.audit.verifier import Verifier
from syft_ext.clock import Clock
from syft_ext.errors import GridError, InternalError, Unavailable
from syft_ext.identity import Identity, node_id_of

if TYPE_CHECKING:
    from grid.node.principal import Principal

__all__ = ["AuditLog", "export_database", "verify_database"]

logger = logging.getLogger(__name__)

#: Refusals of callers that nobody knows: so many at once and so many a second are entries of their own, the
#: others are counted in the next one. A stranger must not be able to fill the disk.
STRANGERS, STRANGERS_PER_SECOND = 100.0, 1.0


class AuditLog:
    """Args:
    home: the directory of the checkpoints, and of entries that wait for the database.
    contents: where archives of older entries are.
    """

    def __init__(
        self, identity: Identity, db: Database, home: Path, contents: BlobStore, clock: Clock
    ) -> None:
        self._identity, self._db, self._contents, self._clock = identity, db, contents, clock
        self._path = home / FILE
        self._checkpoints: Checkpoints | None = None
        #: The number of the last entry that this process has written; -1: of none yet.
        self.vouched = -1
        self._pending = PendingEntries(home / "audit.pending")
        self._group: GroupCommit[Draft | None] = GroupCommit(self._commit)
        self._allowance, self._refilled, self._skipped = STRANGERS, time.monotonic(), 0

    # -- writing ------------------------------------------------------------------------------------

    def record(
        self,
        actor: Principal,
        operation: str,
        objects: Sequence[str] = (),
        grants: Sequence[str] = (),
        outcome: str = "ok",
        detail: Mapping[str, Value] | None = None,
    ) -> None:
        """Return when the entry is committed. Must not be called inside a transaction.

        ``detail`` must hold no secrets and no data. Raises :class:`InternalError` when nothing could be
        recorded anywhere.
        """
        if self._db.inside:
            raise RuntimeError("an audit entry is recorded after the transaction, not inside")
        known = actor.kind not in ("anonymous", "key")
        facts = dict(detail or {})
        if not known and outcome != "ok" and not self._admit(facts):
            return
        actor_id = actor.verify_key if actor.kind == "key" else actor.id
        draft = Draft(
            self._clock.now(), actor.kind, actor_id, actor.name, operation, outcome, objects, grants, facts
        )
        self._group.submit(draft)

    def start(self) -> None:
        """Begin the chain, and take up entries that had to wait."""
        self._group.submit(None)

    def begin_file_anew(self) -> None:
        """The file of checkpoints was put aside, and the entries that it knew are no more: restored."""
        self.vouched = -1
        self.close()

    def close(self) -> None:
        """Close the file of checkpoints. May be called twice; the entries are in the database."""
        if self._checkpoints is not None:
            self._checkpoints.close()
            self._checkpoints = None

    def _admit(self, facts: dict[str, Value]) -> bool:
        """Whether a stranger's refusal becomes an entry (a token bucket)."""
        now = time.monotonic()
        earned = (now - self._refilled) * STRANGERS_PER_SECOND
        self._allowance, self._refilled = min(STRANGERS, self._allowance + earned), now
        if self._allowance < 1.0:
            self._skipped += 1
            return False
        self._allowance -= 1.0
        if self._skipped:
            facts["refusals_before_not_listed"], self._skipped = self._skipped, 0
        return True

    def _commit(self, batch: list[Draft | None]) -> list[BaseException | None]:
        drafts = [draft for draft in batch if draft is not None]
        try:
            waiting = self._pending.read()
            now = self._clock.now()
            seq, last = self._db.run(
                lambda session: append(session, self._identity.node_id, [*waiting, *drafts], now),
                durable=True,
            )
        except Exception:
            logger.exception("the audit log's database failed; %d entries are set aside", len(drafts))
            return self._set_aside(batch, drafts)
        try:
            if waiting:
                self._pending.clear()
            self.vouched = max(self.vouched, seq)
            self._vouch(Checkpoint(node_id=self._identity.node_id, seq=seq, hash=last, at=now))
        except OSError:
            logger.exception("the audit log's files could not be brought up to date")
        return [None] * len(batch)

    def _set_aside(self, batch: list[Draft | None], drafts: list[Draft]) -> list[BaseException | None]:
        try:
            self._pending.add(drafts)
        except OSError as error:
            logger.exception("the audit log could not be written at all")
            why = "this could not be recorded in the audit log, so it is not answered"
            failed: GridError = InternalError(why)
            if is_passing(error):
                failed = Unavailable(f"{said_of(error)}: {why}")
            return [failed] * len(batch)
        return [None] * len(batch)

    def _vouch(self, checkpoint: Checkpoint) -> None:
        if self._checkpoints is None:
            self._checkpoints = Checkpoints(self._path)
        self._checkpoints.write(checkpoint.sign(self._identity))

    # -- reading ------------------------------------------------------------------------------------

    def verify(self) -> VerificationReport:
        """Go through the whole log, in one snapshot of the database. Run it off the event loop."""
        return verify_database(self._db, self._identity.verify_key, self._path, self._contents)

    def archive(self, kept: Kept) -> int:
        """Put into archives what the database need not keep; how many that made. Run it off the event loop."""
        return Archiver(self._identity, self._db, self._contents, self._clock, kept).archive()

    def export(self) -> Iterator[bytes]:
        """The lines of an export file, in one snapshot of the database. Run it off the event loop."""
        return export_database(self._db, self._identity, self._path, self._clock.now())


def verify_database(
    db: Database, verify_key: str, checkpoints: Path, contents: BlobStore
) -> VerificationReport:
    """Verify the log in a database, and in its archives, against its head and the checkpoints in a file."""
    signed, problems = read_checkpoints(checkpoints)  # before the snapshot, which then has all that they name
    node_id = node_id_of(verify_key)
    verifier = Verifier(node_id, verify_key, signed)
    with db.read() as session:
        head, archives = read_head(session), heads(session)
        verify_archives(verifier, archives, contents)
        for entry in entries(session):
            verifier.add(entry)
    problems += verifier.finish(head)
    return VerificationReport(
        node_id, verifier.count, verifier.signed_up_to, problems, archives=len(archives)
    )


def export_database(db: Database, identity: Identity, checkpoints: Path, now: float) -> Iterator[bytes]:
    """The lines of an export file, with a head signed ``now`` by the node's ``identity``: of the entries in the
    database. Those before are in archives, which are exports themselves."""
    signed, _ = read_checkpoints(checkpoints)
    node_id = identity.node_id
    with db.read() as session:
        seq, last = read_head(session)
        head = Checkpoint(node_id=node_id, seq=seq, hash=last, at=now).sign(identity)
        archive = last_head(session)
        first = 0 if archive is None else archive.last + 1
        signed = [each for each in signed if each.seq >= first]
        found = entries(session, first)
        yield from export_lines(node_id, identity.verify_key, signed, found, head, archive)
