"""The sum of a cycle's encrypted reports: made here, opened by the holder of the key, and then the model's.

The sum is made ciphertext by ciphertext in a confined child, and kept for the training's host, until they say
what is in it. Nothing of that can be had twice: a sum is of the reports that were counted when the cycle
closed, and what its holder said of it stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import bindparam, delete, insert, select, update
from sqlalchemy.orm import aliased

from grid.aggregation.summed import moved_parameters, summed_length
from grid.aggregation.tensor_file import TensorFile
from grid.aggregation.tensor_stream import TensorStream
from grid.federated.averaging.strategies import installed_strategy
from grid.federated.cycles.outside import AwaitedSum, OutsideSum
from grid.federated.encrypted.library import ConfinedLibrary
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.intake.ckks import terms_of
from grid.federated.intake.format import UploadCheck
from grid.federated.state import tables as t
from grid.federated.state.encrypted_tables import EncryptedSumRow
from grid.federated.state.events import CycleClosed, CycleEnded, StateForgotten
from grid.federated.state.machines.assignment import AssignmentStatus
from grid.federated.state.machines.cycle import CycleStatus
from grid.federated.state.store import TrainingStore, Unit
from grid.node.events import EventBus
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import record
from grid.storage.objects.tables import BlobRow
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.encrypted.context import PublicContext
from syft_ext.encrypted.frames import LONGEST_HEAD
from syft_ext.encrypted.statement import CONTEXT_PROTOCOL
from syft_ext.encrypted.sums import EncryptedSumRules
from syft_ext.errors import (
    BadRequest,
    Conflict,
    InvalidConfig,
    InvalidTensors,
    NotFound,
    TooLarge,
    Unsupported,
)
from syft_ext.tensors import Layout

__all__ = ["EncryptedSums", "SumOfCycle"]

WHOM = "the holder of the key, to open the sum"
_HEADER = 64 << 10
_REPORTS = PreparedStatement(
    select(t.Assignment.blob_digest)
    .where(
        t.Assignment.cycle_id == bindparam("cycle_id"),
        t.Assignment.status == str(AssignmentStatus.REPORTED),
    )
    .order_by(t.Assignment.report_index)
)
_OPENED = aliased(BlobRow)
_OF_CYCLE = PreparedStatement(
    select(
        EncryptedSumRow.blob_digest,
        EncryptedSumRow.size,
        EncryptedSumRow.count,
        EncryptedSumRow.opened_digest,
        _OPENED.size.label("opened_size"),
    )
    .outerjoin(_OPENED, _OPENED.digest == EncryptedSumRow.opened_digest)
    .where(EncryptedSumRow.cycle_id == bindparam("cycle_id"))
)
_CURRENT = PreparedStatement(
    select(t.Cycle.id, t.Cycle.sequence)
    .join(
        t.TrainingProcess,
        (t.TrainingProcess.id == t.Cycle.process_id) & (t.TrainingProcess.cycle == t.Cycle.sequence),
    )
    .where(t.Cycle.process_id == bindparam("process_id"))
)
_INSERT = PreparedStatement(insert(EncryptedSumRow))
_OPEN = PreparedStatement(
    update(EncryptedSumRow).where(
        EncryptedSumRow.cycle_id == bindparam("b_cycle"), EncryptedSumRow.opened_digest.is_(None)
    )
)
_DROP = PreparedStatement(delete(EncryptedSumRow).where(EncryptedSumRow.cycle_id == bindparam("cycle_id")))


@dataclass(frozen=True, slots=True)
class SumOfCycle:
    """What waits for the holder: the cycle's number, how many reports are in it, its content."""

    cycle: int
    count: int
    digest: str
    size: int


class EncryptedSums:
    """As :class:`~grid.federated.cycles.outside.OutsideSums` says, and the holder's side of it.

    Args:
        library: where ciphertexts are read.
    """

    def __init__(
        self,
        store: TrainingStore,
        bus: EventBus,
        definitions: TrainingDefinitions,
        library: ConfinedLibrary,
    ) -> None:
        self._store, self._bus, self._definitions, self._library = store, bus, definitions, library
        bus.subscribe(CycleEnded, lambda event: self._forget(event.unit))

    # -- the pipeline's seam

    def check_training(
        self, server: ServerConfig, plans: Mapping[str, str], protocols: Mapping[str, bytes]
    ) -> None:
        """The holder's public context comes along, is the one that the terms name, and the library takes it."""
        terms, content = terms_of(server), protocols.get(CONTEXT_PROTOCOL)
        name = server.strategy.name
        if not installed_strategy(name).under_policy:
            raise _refuse(
                "aggregator", f"of encrypted reports only the sum is seen, and {name} looks at each"
            )
        if content is None:
            raise _refuse(
                "report_options",
                f"the public context comes with the training, as the protocol {CONTEXT_PROTOCOL}",
            )
        try:
            context = PublicContext(content)
            if (context.digest, context.parameters) != (terms.context, terms.parameters):
                raise BadRequest("the public context is not the one that the terms name")
            self._library.run(context.opened)
        except (BadRequest, TooLarge, Unsupported) as error:
            raise _refuse("report_options", f"{CONTEXT_PROTOCOL}: {error.detail}") from error

    def check_model(self, definition: TrainingDefinition, layout: Layout) -> None:
        """The format has said all there is."""

    def kept(self, definition: TrainingDefinition, layout: Layout) -> int:
        """The sum, and what its holder opens of it."""
        length = summed_length(layout)
        return self._rules(definition, layout).nbytes + LONGEST_HEAD + 8 * length + _HEADER

    def until(self, unit: Unit) -> float | None:
        return None

    def upload(self, assignment: Any, layout: Layout) -> UploadCheck:
        definition = self._definitions.get(assignment.process_id)
        return _Upload(self._rules(definition, layout), self._context(definition), self._library)

    def count(self, unit: Unit, assignment: Any, blob: Blob) -> None:
        """Each was looked at by itself before it got its name."""

    def sum(self, definition: TrainingDefinition, cycle_id: str, base: TensorFile) -> OutsideSum | AwaitedSum:
        found = next(iter(self._store.read(_OF_CYCLE, {"cycle_id": cycle_id})), None)
        if found is None:
            return self._made(definition, cycle_id, self._rules(definition, base.layout))
        if found.opened_digest is None:
            raise Conflict("this cycle has its sum, which nobody has opened yet", reason="state")
        numbers = _numbers(self._store.blobs.map(found.opened_digest, hold=True))

        def means(part: slice) -> NDArray[Any]:
            made: NDArray[Any] = numbers[part] / found.count
            return made

        return OutsideSum(moved_parameters(base, len(numbers), means, found.count, float(found.count)))

    def publish(self, unit: Unit, found: OutsideSum, number: int) -> None:
        """There is nothing beside the model."""

    def _made(self, definition: TrainingDefinition, cycle_id: str, rules: EncryptedSumRules) -> AwaitedSum:
        blobs = self._store.blobs
        rows = self._store.read(_REPORTS, {"cycle_id": cycle_id})
        count, fewest = len(rows), terms_of(definition.server).minimum
        if count < fewest:
            raise Unsupported(f"{count} reports: the holder of the key is given sums of {fewest}")
        context = self._context(definition)
        try:
            with ExitStack() as held:  # read a ciphertext at a time: what is mapped would stay in memory
                readers = [held.enter_context(blobs.open(row.blob_digest, hold=True)) for row in rows]
                updates = [(each.read, each.size) for each in readers]
                total = self._library.run(lambda child: rules.added_from(context, updates, child), last=True)
        except (
            BadRequest,
            InvalidTensors,
            Conflict,
        ) as error:  # each was looked at: what was stored is another
            raise Unsupported(f"the encrypted reports cannot be summed: {error.detail}") from error
        blob = blobs.put([total])

        def note(unit: Unit) -> None:
            record(unit.connection, blob)
            unit.run(
                _INSERT,
                {
                    "cycle_id": cycle_id,
                    "blob_digest": blob.digest,
                    "size": blob.size,
                    "count": count,
                    "made_at": unit.now,
                    "opened_digest": None,
                    "opened_at": None,
                },
            )

        return AwaitedSum(blob, note, WHOM)

    # -- the holder's side

    def waiting(self, process_id: str) -> SumOfCycle:
        """The sum that a training waits for its holder to open. Raises :class:`NotFound` where it waits for
        none."""
        for current in self._store.read(_CURRENT, {"process_id": process_id}):
            for found in self._store.read(_OF_CYCLE, {"cycle_id": current.id}):
                if found.opened_digest is None:
                    return SumOfCycle(current.sequence, found.count, found.blob_digest, found.size)
        raise NotFound("no sum of this training waits to be opened")

    def opened(self, process_id: str, cycle: int, body: Iterable[bytes | bytearray | memoryview]) -> None:
        """Take what the holder says is in the sum of the current cycle: a tensor file with one tensor ``sum``,
        float64, a number for each of the model's parameters. The next model is made of it.

        Raises :class:`Conflict` where no such sum waits, and :class:`InvalidTensors` for numbers that no sum of
        reports
        has: not finite, too large, or finer than the grid.
        """
        found, definition = self.waiting(process_id), self._definitions.get(process_id)
        if found.cycle != cycle:
            raise Conflict(f"the sum of cycle {found.cycle} waits, not of {cycle}", reason="state")
        rules = self._rules(definition, self._definitions.layout(process_id))
        stream = TensorStream(None, 8 * rules.length + _HEADER)
        with self._store.blobs.create() as writer:
            for chunk in body:
                stream.feed(chunk)
                writer.write(chunk)
            layout = stream.finish()
            if [(spec.name, spec.dtype, list(spec.shape)) for spec in layout.specs] != [
                ("sum", "F64", [rules.length])
            ]:
                raise InvalidTensors(f"one tensor is expected: sum, F64, {rules.length} numbers")
            blob = writer.commit(check=lambda file: _check_opened(_numbers(file), rules, found.count))
        with blob, self._store.unit(process_id) as unit:
            cycle_now = unit.cycle
            if (
                cycle_now is None
                or cycle_now.sequence != cycle
                or cycle_now.status != CycleStatus.AGGREGATING
            ):
                raise Conflict("the cycle has ended", reason="state")
            record(unit.connection, blob)
            values = {"b_cycle": cycle_now.id, "opened_digest": blob.digest, "opened_at": unit.now}
            if unit.run(_OPEN, values).rowcount != 1:
                raise Conflict("this sum was opened already", reason="state")
            self._bus.publish(CycleClosed(unit))

    # -- helpers

    def _rules(self, definition: TrainingDefinition, layout: Layout) -> EncryptedSumRules:
        return terms_of(definition.server).rules(summed_length(layout))

    def _context(self, definition: TrainingDefinition) -> PublicContext:
        digest = next(
            file.digest
            for file in definition.files
            if file.kind == "protocol" and file.name == CONTEXT_PROTOCOL
        )
        return PublicContext(self._store.blobs.read_range(digest, 0))

    def _forget(self, unit: Unit) -> None:
        """The cycle is over: its sum, and what was opened of it, are needed by nobody."""
        assert unit.cycle is not None
        rows = unit.run(_OF_CYCLE, {"cycle_id": unit.cycle.id}).all()
        if not rows:
            return
        unit.run(_DROP, {"cycle_id": unit.cycle.id})
        gone = {row.blob_digest: row.size for row in rows}
        gone.update({row.opened_digest: row.opened_size for row in rows if row.opened_digest})
        unit.after_commit(lambda: self._bus.publish(StateForgotten(gone)))


class _Upload:
    """Looks at one encrypted report: its form while it comes, its ciphertexts in the confined child."""

    def __init__(self, rules: EncryptedSumRules, context: PublicContext, library: ConfinedLibrary) -> None:
        self._rules, self._context, self._library = rules, context, library
        self.limit, self._size, self._head = rules.nbytes + LONGEST_HEAD, 0, bytearray()

    def feed(self, chunk: memoryview) -> None:
        self._size += len(chunk)
        if self._size > self.limit:
            raise TooLarge("an encrypted report is as large as its form says", limit=self.limit)
        missing = LONGEST_HEAD - len(self._head)
        self._head += chunk[: max(0, missing)]

    def finish(self) -> None:
        try:
            self._rules.check_head(self._head, self._size)
        except BadRequest as error:
            raise InvalidTensors(f"this is no report of the training: {error.detail}") from error

    def check(self, file: memoryview) -> None:
        try:
            self._library.run(lambda child: self._rules.check_update(self._context, file, child))
        except BadRequest as error:
            raise InvalidTensors(f"this is no report of the training: {error.detail}") from error


def _numbers(file: memoryview) -> NDArray[np.float64]:
    return np.frombuffer(file, "<f8", offset=TensorFile(file).layout.data_offset)


def _check_opened(numbers: NDArray[np.float64], rules: EncryptedSumRules, count: int) -> None:
    """Raise :class:`InvalidTensors` for what is the sum of no ``count`` reports under these rules."""
    if not float(np.abs(numbers).max(initial=0)) <= rules.reach * count:
        raise InvalidTensors(f"{count} reports with numbers of {rules.reach:g} at most have no such sum")
    steps = numbers / rules.step
    if not np.array_equal(steps, np.rint(steps)):
        raise InvalidTensors(
            f"an opened sum is told in whole steps of {rules.step:g}: what is finer are errors of "
            "decryption, from which "
            "the key could be computed"
        )


def _refuse(field: str, reason: str) -> InvalidConfig:
    return InvalidConfig(f"server_config: {reason} - at `$.{field}`", field=field)
