"""The check at every opening of a node, before anything is swept, deleted, or written by services; and the claim.

A database belongs to the node whose key is in its row. With it goes one store of contents, known by the id inside
it, and every home of that node (one, or one per replica) remembers the database and the last epoch that it saw.
The claim is made in three steps, each durable before the next: the database's row (epoch 0), the store's id, the
home's record (epoch 1). Who is killed in between goes on there at the next start. An epoch is committed in the
database first, then noted in the store of contents, then in the home: neither ever knows of more than the
database, and one that does has been given an older one. The store says so also where the home is as old as the
database, or is one of several and behind the others. Between two epochs the audit log's last checkpoint, which is
in the home too, says the same of what was recorded.

With the same database at an earlier time a node starts, and waits (:mod:`grid.installation.restored`); with any
other refusal it does not.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from grid.audit.archives import KnownEntries
from grid.audit.chain import read_head
from grid.audit.checkpoints import FILE as CHECKPOINTS
from grid.audit.checkpoints import read_checkpoints
from grid.audit.tables import AuditEntry, AuditHead
from grid.concurrency.offload import Lock
from grid.installation.record import HomeRecord, read_record, write_record
from grid.installation.restored import Heads, acknowledge, notice, view_of
from grid.installation.tables import InstallationRow
from grid.spending.keeping import SpendingKeeper, is_waiting, keeper_for, waiting
from grid.spending.record import PutRight, Spent, SpentRecord
from grid.spending.tables import RestoredRow
from grid.storage.blobs.interface import BlobStore
from grid.storage.objects.tables import BlobRow
from grid.storage.sql import dialect
from grid.storage.sql.database import Database
from syft_ext.audit.entries import Checkpoint
from syft_ext.clock import Clock
from syft_ext.errors import (
    Conflict,
    DatabaseLost,
    DatabaseOutdated,
    ForeignContents,
    ForeignDatabase,
    InvalidConfig,
    RestoredDatabase,
)
from syft_ext.identity import Identity, node_id_of
from syft_ext.ids import new_id
from syft_ext.messages.installation import DatabaseHead, RestoreView

__all__ = ["Installation"]

logger = logging.getLogger(__name__)

_TABLE = dialect.table_of(InstallationRow)
_SAMPLE = 1000


@dataclass(frozen=True, slots=True)
class _Facts:
    """What is there: the home's record and last checkpoint, the store's id and how far it says that its database
    had come, what of this cannot be read, and the database's row."""

    record: HomeRecord | None
    store_id: str | None
    reached: tuple[str, int] | None
    checkpoint: Checkpoint | None
    problems: list[str]
    row: InstallationRow | None


class Installation:
    """Args:
        kind: "network", "domain" or "worker", for what refusals say.
        put_right: what puts right what was spent when a restore is acknowledged.

    Attributes:
        vouched: the number of the last entry that this process has written into the audit log; -1: of none.
        checkpoints_moved: called when the file of checkpoints was put aside.
    """

    def __init__(
        self,
        kind: str,
        identity: Identity,
        home: Path,
        database: Database,
        contents: BlobStore,
        clock: Clock,
        put_right: Sequence[PutRight] = (),
    ) -> None:
        self.kind, self.identity, self.home = kind, identity, home
        self.database, self.contents, self._clock = database, contents, clock
        self._turn = Lock()
        self.put_right = put_right
        self.vouched: Callable[[], int] = lambda: -1
        self.checkpoints_moved: Callable[[], None] = lambda: None
        marks = contents.marks
        self.record = None if marks is None else SpentRecord(marks, identity)
        self._seen: HomeRecord | None = None  # the latest; the home may hold an earlier one, no later one

    # -- the check ----------------------------------------------------------------------------------

    def check_owner(self) -> None:
        """Raise :class:`ForeignDatabase` if the database says so; for before its tables are brought up to date."""
        if self.is_current():
            self._check_owner(self.row())

    def is_current(self) -> bool:
        """Whether the database is new enough to say whose it is."""
        return self.database.has_table(_TABLE.name)

    def knows_restores(self) -> bool:
        """Whether the database is new enough to say whether it was restored."""
        return self.database.has_table(RestoredRow.__tablename__)

    def check(self) -> None:
        """Raise the refusal, if there is one: :class:`ForeignDatabase`, :class:`ForeignContents`,
        :class:`DatabaseLost` or :class:`DatabaseOutdated`. Nothing is written. The tables are up to date.
        """
        facts = self._facts()
        self._check_owner(facts.row)
        if facts.row is None:
            self._check_unclaimed(facts)
        else:
            self._check_claimed(facts.row, facts)

    def check_running(self) -> None:
        """Raise the refusal if the database is not, or is not any more, the one that this node was started with.
        One look at the database's row and one at the store's note; for a claimed installation.
        """
        reached = self.contents.reached()  # first: a replica may move both meanwhile
        self.check_waiting()
        self._check_running(self.row(), reached)

    def check_waiting(self) -> None:
        """Raise :class:`RestoredDatabase` while a restore waits to be acknowledged; the tables are up to date."""
        with self.database.read() as session:
            if is_waiting(session):
                raise waiting()

    def check_spending(self, session: Session) -> None:
        """Raise :class:`RestoredDatabase` if a transaction's database is behind what this process has seen."""
        seen = self._seen
        row = session.execute(select(_TABLE.c.database_id, _TABLE.c.epoch)).first()
        head = session.scalar(select(AuditHead.seq))
        if seen is None or (
            row is not None
            and row.database_id == seen.database_id
            and row.epoch >= seen.epoch
            and (head is None or head >= self.vouched())
        ):
            return
        raise RestoredDatabase(
            "this node's database was put in place of a newer one while it runs: nothing is spent any more. "
            "Restart the node; it will say what is known of the restore"
        )

    def _facts(self) -> _Facts:
        """The database comes last: a replica may move it on meanwhile, and then it knows more than the others."""
        problems: list[str] = []
        try:
            reached = self.contents.reached()
        except InvalidConfig as error:
            reached, problems = None, [error.detail]
        found, wrong = read_checkpoints(self.home / CHECKPOINTS)
        own = [each for each in found if each.node_id == self.identity.node_id]
        checkpoint = max(own, key=lambda each: each.seq, default=None)
        record, store_id = read_record(self.home), self.contents.identity()
        return _Facts(record, store_id, reached, checkpoint, problems + wrong, self.row())

    def row(self) -> InstallationRow | None:
        """The database's own word; None if nobody has claimed it."""
        with self.database.read() as session:
            return session.scalar(select(InstallationRow))

    def _check_owner(self, row: InstallationRow | None) -> None:
        if row is not None and row.verify_key != self.identity.verify_key:
            self._foreign(node_id_of(row.verify_key))

    def _foreign(self, owner: str) -> None:
        raise ForeignDatabase(
            f"this database belongs to node {owner}, and this home is of node {self.identity.node_id}: start it"
            " with the home that goes with it (--home), or give this node a database of its own (DATABASE_URL)",
            database_of=owner,
            node_id=self.identity.node_id,
        )

    def _check_claimed(self, row: InstallationRow, facts: _Facts) -> None:
        if facts.store_id != row.store_id and not (row.epoch == 0 and facts.store_id is None):
            self._other_contents(row.store_id, facts.store_id)
        self._check_evidence(facts)
        if facts.record is not None:
            self._check_reached(row, "home", facts.record.database_id, facts.record.epoch)
        if facts.reached is not None:
            self._check_reached(row, "store of contents", *facts.reached)
        if facts.checkpoint is not None and not self._is_behind_us(row, facts):
            self._check_history(facts.checkpoint)

    def _is_behind_us(self, row: InstallationRow, facts: _Facts) -> bool:
        """Whether what the home has seen is of before a restore that was acknowledged (by another replica, or just
        when this process was killed)."""
        with self.database.read() as session:
            restored = session.get(RestoredRow, 1)
        if restored is None or restored.acknowledged_at is None or facts.record is None:
            return False
        return facts.record.epoch <= restored.known_epoch < row.epoch

    def _check_running(self, row: InstallationRow | None, reached: tuple[str, int] | None) -> None:
        if row is None:
            self._outdated("the database does not say any more whose it is")
            return
        self._check_owner(row)
        if self._seen is not None:
            self._check_reached(row, "home", self._seen.database_id, self._seen.epoch)
        if reached is not None:
            self._check_reached(row, "store of contents", *reached)

    def _check_reached(self, row: InstallationRow, whose: str, database_id: str, epoch: int) -> None:
        if database_id != row.database_id:
            self._outdated(f"this is not the database that its {whose} has seen last")
        if epoch > row.epoch:
            self._outdated(
                f"the database is older than its {whose}: it is at {row.epoch}, the {whose} saw {epoch}",
                earlier=True,
            )

    def _check_evidence(self, facts: _Facts) -> None:
        """What cannot be read might have said that the database is an older one."""
        if facts.problems:
            self._outdated(f"{facts.problems[0]}, so the database may be an older one")

    def _check_unclaimed(self, facts: _Facts) -> None:
        """A fresh database, or one of before this table: it is claimed if everything else says that it fits."""
        with self.database.read() as session:
            head, _ = read_head(session)
            begun_by = session.scalar(select(AuditEntry.actor_id).where(AuditEntry.seq == 0))
            needed = session.scalars(select(BlobRow.digest).limit(1)).all()
        if head < 0 and not needed:
            self._check_fresh(facts)
            return
        if begun_by != self.identity.node_id:
            self._foreign(str(begun_by or "nobody knows which"))
        if facts.record is not None:
            self._outdated("the database is from before the home first claimed one")
        self._check_evidence(facts)
        self._check_history(facts.checkpoint)
        if facts.store_id is not None:
            self._other_contents(None, facts.store_id)
        self.check_contents()
        if not needed and facts.checkpoint is None and self._is_any_content():
            self._lost("the database knows no contents, but there are some")

    def check_contents(self) -> None:
        """Raise :class:`ForeignContents` if most of what the database knows (of a sample) is not in the store."""
        with self.database.read() as session:
            needed = session.scalars(select(BlobRow.digest).limit(_SAMPLE)).all()
        missing = sum(not self.contents.exists(digest) for digest in needed)
        if missing > len(needed) // 2:
            raise ForeignContents(
                f"of {len(needed)} contents that the database knows {missing} are not there: this is another store"
                " of contents. Set `contents` to the one that goes with this database",
                missing=missing,
            )

    def _check_fresh(self, facts: _Facts) -> None:
        if facts.record is not None or facts.checkpoint is not None or facts.problems:
            self._lost("the database is empty, and its home has seen one that was not")
        if self._is_any_content():
            self._lost("the database is empty, but there are contents")
        if facts.store_id is not None:
            self._other_contents(None, facts.store_id)

    def _check_history(self, checkpoint: Checkpoint | None) -> None:
        if checkpoint is not None and not self.knows(checkpoint):
            self._outdated(
                f"the database lacks entry {checkpoint.seq} of the audit log, which its home has seen",
                earlier=True,
            )

    def knows(self, checkpoint: Checkpoint) -> bool:
        """Whether the log in the database, or in its archives, has this entry."""
        return self._knows_all([checkpoint])

    def _knows_all(self, checkpoints: Sequence[Checkpoint]) -> bool:
        with self.database.read() as session:
            known = KnownEntries(session, self.contents)
            return all(
                known.hash_of(each.seq) == each.hash
                for each in sorted(checkpoints, key=lambda each: each.seq)
            )

    def _is_any_content(self) -> bool:
        return any(True for _ in islice(self.contents.digests(), 1))

    def _other_contents(self, expected: str | None, found: str | None) -> None:
        raise ForeignContents(
            f"the store of contents is {found or 'one without an id'}, and the database goes with"
            f" {expected or 'none yet'}: set `contents` to the store that belongs to this database, or to an empty"
            " one for a new database",
            expected=expected,
            found=found,
        )

    def _lost(self, what: str) -> None:
        raise DatabaseLost(
            f"{what}: a new database would take every content for garbage. Restore the database, or put the"
            f" contents aside and begin anew with `grid {self.kind} adopt --home {self.home}`"
        )

    def _outdated(self, what: str, *, earlier: bool = False) -> None:
        """``earlier``: it is the node's own database, as it was before; a node starts with that, and waits."""
        way = (
            f"start with this one and say `grid {self.kind} acknowledge-restore`"
            if earlier
            else "go on with this one and put the contents that it does not know aside with"
            f" `grid {self.kind} adopt --home {self.home}`"
        )
        raise DatabaseOutdated(f"{what}: what came since is lost. Put the newest database back, or {way}")

    # -- the claim ----------------------------------------------------------------------------------

    def claim(self) -> None:
        """Check, make the claim if it is not made yet, and begin an epoch. Raises as :meth:`check` does, but for
        an earlier state of the node's own database: with that it waits."""
        try:
            self.check()
        except DatabaseOutdated as error:
            if not self._is_earlier():
                raise
            self._wait(error.detail)
        row = self.row() or self._claim_database()
        self._put_checkpoints_aside(row)
        if self.contents.identity() is None:
            stays = self.contents.identity(row.store_id)
            if stays != row.store_id:
                self._other_contents(row.store_id, stays)
        self._seen = HomeRecord(database_id=row.database_id, store_id=row.store_id, epoch=row.epoch)
        keeper_for(self.database, SpendingKeeper(self.record, self.check_spending))
        with self.database.read() as session:
            waits = is_waiting(session)
        if waits:
            logger.warning("%s", waiting().detail)
        else:
            self.advance()

    def _is_earlier(self) -> bool:
        """Whether this is the database that home and contents know, as it was before: not another one, and nothing
        that cannot be read says so."""
        facts = self._facts()
        row, record, reached = facts.row, facts.record, facts.reached
        if row is None or row.epoch == 0 or facts.problems or facts.store_id != row.store_id:
            return False
        return all(each == row.database_id for each in (
            *([record.database_id] if record else []), *([reached[0]] if reached else []),
        ))  # fmt: skip

    def _wait(self, reason: str) -> None:
        """Have this node and its replicas wait."""
        facts = self._facts()
        row = facts.row
        assert row is not None
        epochs = [row.epoch, *([facts.record.epoch] if facts.record else [])]
        if facts.reached is not None:
            epochs.append(facts.reached[1])
        entry, at = (facts.checkpoint.seq, facts.checkpoint.at) if facts.checkpoint else (-1, 0.0)

        def write(session: Session) -> None:
            seq, _ = read_head(session)
            last = session.scalar(select(AuditEntry.at).where(AuditEntry.seq == seq)) or 0.0
            heads = Heads(
                database=DatabaseHead(epoch=row.epoch, entry=seq, at=last),
                known=DatabaseHead(epoch=max(epochs), entry=entry, at=at),
                reason=reason.partition(": what came since")[0],
            )
            notice(session, heads, self._clock.now())

        self.database.run(write, durable=True)

    def _put_checkpoints_aside(self, row: InstallationRow) -> None:
        """Those of entries that an acknowledged restore has lost."""
        facts = self._facts()
        if (
            facts.checkpoint is not None
            and self._is_behind_us(row, facts)
            and not self.knows(facts.checkpoint)
        ):
            self._move_checkpoints()

    def _move_checkpoints(self) -> None:
        path = self.home / CHECKPOINTS
        if path.exists():
            path.rename(
                path.with_name(f"{path.name}.before-{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}")
            )
        self.checkpoints_moved()

    def spent(self) -> Spent:
        """What the record beside the contents says; nothing where there is none."""
        return Spent() if self.record is None else self.record.read()

    # -- a restore ----------------------------------------------------------------------------------

    def restore(self) -> RestoreView:
        """What is known of the last restore, and what acknowledging it would change."""
        with self.database.transaction() as session:
            view = view_of(session, self.record, self.put_right)
            session.rollback()
        return view

    def acknowledge(self) -> RestoreView:
        """Go on with the database that was restored. Raises :class:`Conflict` where nothing waits.

        Durable step by step: the database, the record of what was spent, the store's note, the home. Who is killed
        in between has acknowledged, and goes on there at the next start.
        """
        with self._turn:
            now = self._clock.now()
            view, database_id, epoch = self.database.run(
                lambda session: acknowledge(session, self.record, self.put_right, now), durable=True
            )
            self.contents.reached(database_id, epoch)
            if self.record is not None:
                self.record.begin(database_id, epoch)
            store_id = self.contents.identity() or ""
            self._seen = HomeRecord(database_id=database_id, store_id=store_id, epoch=epoch)
            write_record(self.home, self._seen)
            found, _ = read_checkpoints(self.home / CHECKPOINTS)
            if not self._knows_all(found):
                self._move_checkpoints()
        return view

    def _claim_database(self) -> InstallationRow:
        values = self.values(self.contents.identity() or new_id())

        def write(session: Any) -> None:
            session.execute(dialect.insert(session, _TABLE).values(values).on_conflict_do_nothing())

        self.database.run(write, durable=True)
        row = self.row()
        assert row is not None
        self._check_owner(row)  # of two that start at once on an empty database one was faster
        return row

    def values(self, store_id: str) -> dict[str, Any]:
        """A row for a claim that is not finished."""
        return {
            "id": 1,
            "database_id": new_id(),
            "verify_key": self.identity.verify_key,
            "store_id": store_id,
            "epoch": 0,
            "claimed_at": self._clock.now(),
        }

    def advance(self) -> None:
        """Begin an epoch: in the database, in the store of contents, then in the home.

        Raises as :meth:`check_running` does, before anything is written, and :class:`Conflict` if nothing was
        claimed.
        """
        with self._turn:
            self.check_waiting()
            seen = self._seen
            if seen is None:
                raise Conflict("no epoch begins in a database that is not claimed")
            reached = self.contents.reached()
            self._check_running(self.row(), reached)
            statement = (
                update(_TABLE)
                .where(
                    _TABLE.c.verify_key == self.identity.verify_key,
                    _TABLE.c.database_id == seen.database_id,
                    _TABLE.c.epoch >= max(seen.epoch, reached[1] if reached else 0),
                )
                .values(epoch=_TABLE.c.epoch + 1)
                .returning(_TABLE.c.epoch)
            )
            epoch = self.database.run(lambda session: session.scalar(statement), durable=True)
            if epoch is None:
                self._check_running(self.row(), reached)
                self._outdated("the database was put in place of another just now")
            assert epoch is not None
            stays = self.contents.reached(seen.database_id, epoch)
            if stays is None or stays[0] != seen.database_id:
                self._outdated("the store of contents went over to another database just now")
            if self.record is not None:
                self.record.begin(seen.database_id, epoch)
            self._seen = HomeRecord(database_id=seen.database_id, store_id=seen.store_id, epoch=epoch)
            write_record(self.home, self._seen)
