"""Transactions on one training: its row is locked first, its history is numbered, news go out at commit.

Everything that changes a training goes through :meth:`TrainingStore.unit`. The lock on the training's row
makes its transactions follow one another (SQLite has one writer anyway), so that history numbers are in the
order of commits, without holes, and a watcher who asks for what came after number n misses nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields
from operator import attrgetter
from typing import Any

from sqlalchemy import Executable, bindparam, insert, select, update

from grid.federated.state import tables as t
from grid.federated.state.notifier import Notifier
from grid.storage.blobs.interface import BlobStore
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.database import Database
from grid.storage.sql.followed import FollowedTransaction, call_all
from grid.storage.sql.prepared import PreparedStatement, StatementResult
from syft_ext.clock import Clock
from syft_ext.errors import Conflict, NotFound

__all__ = ["CycleState", "TrainingState", "TrainingStore", "Unit"]


@dataclass(slots=True)
class TrainingState:
    """The columns of ``fl_process`` that change, and whose it is."""

    id: str
    status: str
    reason: str
    cycle: int
    cycles_completed: int
    latest_checkpoint: int
    owner: str
    model_size: int
    step_size: int
    reserved: int
    history_seq: int
    paused_at: float | None


@dataclass(slots=True)
class CycleState:
    """A row of ``fl_cycle``."""

    id: str
    process_id: str
    sequence: int
    status: str
    base_checkpoint: int
    slots_open: int
    admitted: int
    arrived: int
    reported: int
    accepted: int
    rejected: int
    extensions: int
    bytes_received: int
    opened_at: float
    deadline: float | None
    closed_at: float | None
    finished_at: float | None


_PROCESS_NAMES, _CYCLE_NAMES = ([f.name for f in fields(state)] for state in (TrainingState, CycleState))
_process_values, _cycle_values = attrgetter(*_PROCESS_NAMES), attrgetter(*_CYCLE_NAMES)
_PROCESS = [getattr(t.TrainingProcess, name) for name in _PROCESS_NAMES]
_CYCLE = [getattr(t.Cycle, name) for name in _CYCLE_NAMES]
_CURRENT = (t.Cycle.process_id == t.TrainingProcess.id) & (t.Cycle.sequence == t.TrainingProcess.cycle)
_LOAD = PreparedStatement(
    select(*_PROCESS, *_CYCLE)
    .select_from(t.TrainingProcess)
    .outerjoin(t.Cycle, _CURRENT)
    .where(t.TrainingProcess.id == bindparam("process_id"))
)
_LOCK = PreparedStatement(
    select(t.TrainingProcess.id).where(t.TrainingProcess.id == bindparam("process_id")).with_for_update()
)
_HISTORY = PreparedStatement(insert(t.History))
# What is SET follows from the values that these are executed with.
_UPDATE_PROCESS = PreparedStatement(
    update(t.TrainingProcess).where(
        t.TrainingProcess.id == bindparam("b_id"),
        t.TrainingProcess.status == bindparam("b_status"),
        t.TrainingProcess.history_seq == bindparam("b_seq"),
    )
)
_UPDATE_CYCLE = PreparedStatement(
    update(t.Cycle).where(
        t.Cycle.id == bindparam("b_id"),
        t.Cycle.status == bindparam("b_status"),
        t.Cycle.slots_open == bindparam("b_slots"),
        t.Cycle.accepted == bindparam("b_accepted"),
    )
)
_NEW_CYCLE = PreparedStatement(insert(t.Cycle))


class Unit:
    """One transaction on one training.

    ``process`` and ``cycle`` (the current one, None before the first) may be changed; what changed is
    written at the end, on condition that the rows are still as they were read.
    """

    def __init__(
        self, connection: DriverConnection, now: float, process: TrainingState, cycle: CycleState | None
    ) -> None:
        self.connection, self.now = connection, now
        self.process, self.cycle = process, cycle
        self._process_before = _process_values(process)
        self._cycle_before = _cycle_values(cycle) if cycle else None
        self._history: list[dict[str, Any]] = []
        self._last: dict[str, Callable[[], None]] = {}
        self._after: list[Callable[[], None]] = []
        self._undone: list[Callable[[], None]] = []

    def run(
        self, statement: PreparedStatement, values: dict[str, Any] | Sequence[dict[str, Any]] = ()
    ) -> StatementResult:
        """Run a statement in this transaction."""
        return statement.run(self.connection, values)

    def record(self, entity: str, entity_id: str, before: str, after: str, **detail: Any) -> None:
        """Append a row to the history."""
        self._history.append(
            {
                "process_id": self.process.id,
                "at": self.now,
                "entity": entity,
                "entity_id": entity_id,
                "cycle": self.cycle.sequence if self.cycle else 0,
                "before": before,
                "after": after,
                "detail": detail,
            }
        )

    def last(self, name: str, action: Callable[[], None]) -> None:
        """Call ``action`` once, at the transaction's end but still inside it, however often it is asked for."""
        self._last[name] = action

    def after_commit(self, action: Callable[[], None], *, first: bool = False) -> None:
        """Call ``action`` once the transaction is committed; ``first``: somebody waits for it."""
        if first:
            self._after.insert(0, action)
        else:
            self._after.append(action)

    def after_rollback(self, action: Callable[[], None]) -> None:
        """Call ``action`` if the transaction fails."""
        self._undone.append(action)

    def open_cycle(self, cycle: CycleState) -> None:
        """Make ``cycle`` the current one."""
        self._write_cycle()
        self.cycle, self._cycle_before = cycle, _cycle_values(cycle)
        self.run(_NEW_CYCLE, dict(zip(_CYCLE_NAMES, self._cycle_before, strict=True)))
        self.process.cycle = cycle.sequence

    def flush(self) -> None:
        """Do what was put off to the end; write what changed, the history, and its number."""
        while self._last:
            self._last.pop(next(iter(self._last)))()
        self._write_cycle()
        for row in self._history:
            self.process.history_seq += 1
            row["seq"] = self.process.history_seq
        if self._history:
            self.run(_HISTORY, self._history)
        now = _process_values(self.process)
        if now != self._process_before:
            before = TrainingState(*self._process_before)
            changes = _changes(_PROCESS_NAMES, self._process_before, now)
            guard = {"b_id": before.id, "b_status": before.status, "b_seq": before.history_seq}
            _must_change(self.run(_UPDATE_PROCESS, {**changes, "updated_at": self.now, **guard}))

    def committed(self) -> None:
        """Call all that was asked for by :meth:`after_commit`, then raise the first error of it."""
        call_all(self._after)

    def undone(self) -> None:
        """Call all that was asked for by :meth:`after_rollback`, then raise the first error of it."""
        call_all(self._undone)

    def _write_cycle(self) -> None:
        if self.cycle is None or self._cycle_before is None:
            return
        now = _cycle_values(self.cycle)
        if now != self._cycle_before:
            before = CycleState(*self._cycle_before)
            changes = _changes(_CYCLE_NAMES, self._cycle_before, now)
            guard = {
                "b_id": before.id,
                "b_status": before.status,
                "b_slots": before.slots_open,
                "b_accepted": before.accepted,
            }
            _must_change(self.run(_UPDATE_CYCLE, {**changes, **guard}))


def _changes(names: Sequence[str], before: Sequence[Any], after: Sequence[Any]) -> dict[str, Any]:
    return {n: new for n, old, new in zip(names, before, after, strict=True) if new != old}


def _must_change(result: StatementResult) -> None:
    if result.rowcount != 1:
        raise Conflict("the training changed meanwhile", reason="concurrent")


class TrainingStore:
    """Database, blobs, clock and news of the pipeline, in one hand."""

    def __init__(self, database: Database, blobs: BlobStore, clock: Clock, notifier: Notifier) -> None:
        self.database, self.blobs, self.clock, self.notifier = database, blobs, clock, notifier
        self._locks = database.dialect != "sqlite"  # which has one writer at a time
        #: All who use this database are on this machine: what a power cut takes, it takes from all of them.
        self.embedded = database.dialect == "sqlite"

    @contextmanager
    def unit(self, process_id: str) -> Iterator[Unit]:
        """A transaction on the training ``process_id``. Raises :class:`NotFound`."""
        unit: Unit | None = None
        try:
            with self.database.writing() as connection:
                unit = self._begin(connection, process_id)
                yield unit
                unit.flush()
        except BaseException:
            if unit is not None:
                unit.undone()
            raise
        self.notifier.publish(process_id, unit.process.history_seq)
        unit.committed()

    @contextmanager
    def within(self, transaction: FollowedTransaction, process_id: str) -> Iterator[Unit]:
        """As :meth:`unit`, in somebody else's transaction; units of one training in it follow one another."""
        transaction.session.flush()
        unit = self._begin(DriverConnection(transaction.session.connection()), process_id)
        transaction.after_rollback(unit.undone)
        yield unit
        unit.flush()
        seq = unit.process.history_seq
        transaction.after_commit(lambda: self.notifier.publish(process_id, seq))
        transaction.after_commit(unit.committed)

    def _begin(self, connection: DriverConnection, process_id: str) -> Unit:
        key = {"process_id": process_id}
        if self._locks:
            # By itself: a join that had waited for this lock would show the cycle as it was before.
            _LOCK.run(connection, key)
        row = _LOAD.run(connection, key).first()
        if row is None:
            raise NotFound("there is no such training")
        return Unit(connection, self.clock.now(), *_states(row))

    def read(
        self, statement: Executable | PreparedStatement, values: dict[str, Any] | None = None
    ) -> Sequence[Any]:
        """The rows of a query."""
        if isinstance(statement, PreparedStatement):
            return self.database.query(statement, values).all()
        with self.database.read() as session:
            return session.connection().execute(statement, values).all()


def _states(row: Sequence[Any]) -> tuple[TrainingState, CycleState | None]:
    process = TrainingState(*row[: len(_PROCESS)])
    rest = row[len(_PROCESS) :]
    return process, CycleState(*rest) if rest[0] is not None else None
