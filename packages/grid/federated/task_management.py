"""Task management: create, list, pause, resume, cancel; status and history are read through the views."""

from __future__ import annotations

import functools
import operator
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from blake3 import blake3
from sqlalchemy import (
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    literal,
    not_,
    or_,
    select,
)
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from grid.aggregation.tensor_file import TensorFile
from grid.aggregation.tensor_stream import TensorStream
from grid.federated.averaging.resuming import Resuming
from grid.federated.averaging.strategies import PlanRunner, state_size, with_strategy
from grid.federated.consent.reviews import TrainingReviews
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.outside import Outsiders
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.config import ClientConfig, ServerConfig
from grid.federated.hosting.inputs import check_inputs
from grid.federated.hosting.training_definitions import TrainingDefinition, TrainingDefinitions
from grid.federated.intake.registry import check_format, format_of
from grid.federated.state import tables as t
from grid.federated.state.consent_tables import TrainingShare
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import TrainingStore, Unit
from grid.federated.state.strategy_tables import StrategyStateRow
from grid.quotas.enforcing import limited, require_fit, require_room, room_for
from grid.quotas.usage import OWNER, Kind, register_kind
from grid.storage.blobs.blob import Blob
from grid.storage.objects.references import collect, record
from grid.storage.objects.tables import UploadRow
from grid.storage.sql.followed import followed
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.encrypted.frames import refuse_secret_keys
from syft_ext.errors import BadRequest, Conflict, QuotaExceeded, TooLarge
from syft_ext.ids import new_id
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.tensors import Layout

__all__ = ["MODEL_PARTS", "TaskManagement"]

MODEL_PARTS = "model:"
"""Before a training's id: for whom parts of its model are kept."""
MAX_PLAN = 64 << 20
MAX_PLANS = 64

_NAMED = (t.TrainingProcess.name == bindparam("name"), t.TrainingProcess.version == bindparam("version"))
_GIVEN_UP = and_(
    t.TrainingProcess.status == str(trainings.TrainingStatus.CANCELLED),
    t.TrainingProcess.latest_checkpoint == 0,
)
_STANDING = select(t.TrainingProcess.status, t.TrainingProcess.latest_checkpoint).where(
    t.TrainingProcess.id == bindparam("process_id")
)
_EXISTS = select(t.TrainingProcess.id).where(*_NAMED, not_(_GIVEN_UP))
_RUNNING_OF, _WAITING_OF = (
    select(t.TrainingProcess.id).where(
        t.TrainingProcess.owner == bindparam("owner"), t.TrainingProcess.status == str(status)
    )
    for status in (trainings.TrainingStatus.RUNNING, trainings.TrainingStatus.WAITING)
)
_HUSK = select(t.TrainingProcess.id).where(*_NAMED, _GIVEN_UP)
_NEW_CHECKPOINT = PreparedStatement(insert(t.Checkpoint))
_CONTENTS = tuple(
    PreparedStatement(select(table.blob_digest).where(table.process_id == bindparam("process_id")))
    for table in (t.Checkpoint, t.HostedPlan)
)
_DROP = tuple(
    PreparedStatement(delete(table).where(table.process_id == bindparam("process_id")))
    for table in (t.Checkpoint, t.HostedPlan)
)
_MINE = select(t.TrainingProcess.id).where(t.TrainingProcess.owner == bindparam(OWNER))
_KEPT_BYTES = [
    select(func.coalesce(func.sum(column), 0)).where(condition).scalar_subquery()
    for column, condition in (
        (t.TrainingProcess.reserved, t.TrainingProcess.owner == bindparam(OWNER)),
        (t.HostedPlan.size, t.HostedPlan.process_id.in_(_MINE)),
        (t.Checkpoint.size, t.Checkpoint.process_id.in_(_MINE)),
        (
            StrategyStateRow.size,
            StrategyStateRow.process_id.in_(_MINE) & StrategyStateRow.blob_digest.is_not(None),
        ),
    )
]
register_kind(
    Kind.of(
        "trainings",
        select(
            functools.reduce(operator.add, _KEPT_BYTES).label("size"),
            # Those that have not ended, and those that still have their models.
            select(func.count())
            .where(
                t.TrainingProcess.owner == bindparam(OWNER),
                or_(
                    and_(*(t.TrainingProcess.status != str(status) for status in sorted(trainings.TERMINAL))),
                    exists().where(t.Checkpoint.process_id == t.TrainingProcess.id),
                ),
            )
            .scalar_subquery()
            .label("number"),
        ),
        size="training_bytes",
    )
)


class TaskManagement:
    """Args: ``model_limit``: bytes of the largest model that may be hosted."""

    def __init__(
        self,
        store: TrainingStore,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        policies: SitePolicies,
        reviews: TrainingReviews,
        resuming: Resuming,
        plans: PlanRunner,
        outside: Outsiders,
        *,
        model_limit: int,
    ) -> None:
        self._outside = outside
        self._store, self._definitions, self._lifecycle = store, definitions, lifecycle
        self._reviews, self._resuming = reviews, resuming
        self._policies, self._plans, self._model_limit = policies, plans, model_limit

    def create(
        self,
        owner: str,
        *,
        client_plans: Mapping[str, bytes],
        client_protocols: Mapping[str, bytes] | None = None,
        averaging_plan: bytes | None = None,
        client_config: Mapping[str, Any],
        server_config: Mapping[str, Any],
        inputs: TrainingInputs | None = None,
    ) -> str:
        """Register a training; it starts when its model is uploaded. Returns its id.

        Raises :class:`InvalidConfig`, :class:`InvalidPlan`, :class:`TooLarge`, and :class:`Conflict` when
        there is a training of that name and version.
        """
        server, client = ServerConfig.parse(server_config), ClientConfig.parse(client_config)
        server = with_strategy(server, averaging_plan is not None)
        check_format(server, averaging_plan is not None)
        outside = self._outside.of(server)
        if outside is not None:
            outside.check_training(
                server,
                {name: blake3(data).hexdigest() for name, data in client_plans.items()},
                client_protocols or {},
            )
        self._policies.check_hosting(server, averaging_plan is not None)
        self._definitions.check_endpoint(server)
        names = {"name": client.name, "version": client.version}
        if self._store.read(_EXISTS, names):
            raise _exists(client)
        files = [("plan", name, data) for name, data in client_plans.items()]
        files += [("protocol", name, data) for name, data in (client_protocols or {}).items()]
        files += [("averaging", "averaging_plan", averaging_plan)] if averaging_plan is not None else []
        with self._store.database.reading() as connection:
            require_fit(connection, owner, "trainings", size=sum(len(data) for *_, data in files), number=1)
        self._check_files(owner, files, server)
        self._plans.check_configuration(client_plans, client.values)
        declared = check_inputs(inputs, client_plans)
        return self._store_new(owner, server, client, files, declared)

    def _check_files(self, owner: str, files: list[tuple[str, str, bytes]], server: ServerConfig) -> None:
        if len(files) > MAX_PLANS:
            raise TooLarge(f"{len(files)} plans and protocols", limit=MAX_PLANS)
        for kind, name, data in files:
            if not 0 < len(name) <= 128 or not name.isprintable():
                raise BadRequest(f"the name of a {kind} has 1 to 128 printable characters")
            if len(data) > MAX_PLAN:
                raise TooLarge(f"{kind} {name!r}: {len(data)} bytes", limit=MAX_PLAN)
            if kind == "protocol":
                refuse_secret_keys(data)
            else:
                self._plans.check(owner, kind, data, server)

    def _store_new(
        self,
        owner: str,
        server: ServerConfig,
        client: ClientConfig,
        files: list[tuple[str, str, bytes]],
        inputs: dict[str, Any] | None,
    ) -> str:
        process_id, now = new_id(), self._store.clock.now()
        with ExitStack() as held:
            blobs = [held.enter_context(self._store.blobs.put([data])) for _, _, data in files]
            try:
                with self._store.database.transaction() as session:
                    connection = session.connection()
                    _remove_husk(connection, client)
                    if blobs:
                        record(session, *sorted(blobs, key=lambda blob: blob.digest))
                    connection.execute(
                        insert(t.TrainingProcess),
                        {
                            "id": process_id,
                            "name": client.name,
                            "version": client.version,
                            "owner": owner,
                            "status": str(trainings.TrainingStatus.CREATED),
                            "reason": "",
                            "server_config": self._definitions.configs.write(process_id, server),
                            "client_config": client.values,
                            "inputs": inputs,
                            "cycle": 0,
                            "cycles_completed": 0,
                            "latest_checkpoint": 0,
                            "model_size": 0,
                            "step_size": 0,
                            "reserved": 0,
                            "history_seq": 1,
                            "created_at": now,
                            "updated_at": now,
                            "paused_at": None,
                        },
                    )
                    rows = [
                        {
                            "id": new_id(),
                            "process_id": process_id,
                            "kind": kind,
                            "name": name,
                            "blob_digest": blob.digest,
                            "size": blob.size,
                        }
                        for (kind, name, _), blob in zip(files, blobs, strict=True)
                    ]
                    if rows:
                        connection.execute(insert(t.HostedPlan), rows)
                    connection.execute(insert(t.History), _created(process_id, now, owner))
                    require_room(connection, owner, "trainings")
            except IntegrityError as error:
                raise _exists(client) from error
        return process_id

    def upload_model(
        self, process_id: str, body: Iterable[bytes | bytearray | memoryview], reason: str = ""
    ) -> None:
        """Store checkpoint 1 (a tensor file); begin the training, or ask for the word that it needs, and tell
        whoever gives it ``reason``.

        Raises :class:`InvalidTensors`, :class:`InvalidPlan` where the training plan does not take such a model or
        give it back, :class:`TooLarge`, :class:`QuotaExceeded` (there must be room for the next model, too), or
        :class:`Conflict` when it has a model already.
        """
        definition = self._definitions.get(process_id)
        stream = TensorStream(None, self._model_limit, bools=True)
        with self._store.database.reading() as connection:
            room = room_for(connection, definition.owner, "trainings")
        with self._store.blobs.create() as writer:
            for chunk in limited(body, room, "trainings"):
                stream.feed(chunk)
                writer.write(chunk)
            layout = stream.finish()
            if not layout.data_size:
                raise BadRequest("a model without parameters cannot be trained")
            format_of(definition.server).check_model(layout, definition.server.report_options)
            outside = self._outside.of(definition.server)
            if outside is not None:
                outside.check_model(definition, layout)
            if definition.averaging_plan is not None:
                plan = self._store.blobs.read_range(definition.averaging_plan.digest, 0)
                self._plans.check_model(definition.owner, plan, definition.server, layout)
            plans = self._client_plans(definition)
            self._plans.check_layout(plans, layout)
            blob = writer.commit()
        with blob:
            model = TensorFile(self._store.blobs.map(blob.digest))
            self._plans.check_step(definition.owner, plans, definition.client_config, model)
            self._begin(process_id, blob, layout, reason)

    def _client_plans(self, definition: TrainingDefinition) -> dict[str, bytes]:
        return {
            file.name: bytes(self._store.blobs.read_range(file.digest, 0))
            for file in definition.files
            if file.kind == "plan"
        }

    def _begin(self, process_id: str, blob: Blob, layout: Layout, reason: str) -> None:
        definition = self._definitions.get(process_id)
        with followed(self._store.database) as transaction:
            with self._store.within(transaction, process_id) as unit:
                if unit.process.latest_checkpoint:
                    raise _has_model()
                record(unit.connection, blob)
                unit.run(
                    _NEW_CHECKPOINT,
                    {
                        "process_id": process_id,
                        "number": 1,
                        "blob_digest": blob.digest,
                        "size": blob.size,
                        "cycle_id": None,
                        "created_at": unit.now,
                    },
                )
                unit.process.latest_checkpoint = 1
                unit.process.model_size = blob.size
                outside = self._outside.of(definition.server)
                kept = 0 if outside is None else outside.kept(definition, layout)
                unit.process.step_size = blob.size + state_size(definition, layout) + kept
            self._reviews.submit(transaction, process_id, layout, reason)

    def room_for_model(self, process_id: str) -> int:
        """Bytes that the training's model may have. Raises :class:`Conflict` where it has one, or has ended."""
        owner = self._definitions.get(process_id).owner
        ((status, latest),) = self._store.read(_STANDING, {"process_id": process_id})
        if latest:
            raise _has_model()
        if trainings.TrainingStatus(status) in trainings.TERMINAL:
            raise Conflict(f"a training that is {status} takes no model")
        with self._store.database.reading() as connection:
            room = room_for(connection, owner, "trainings")
        return self._model_limit if room is None else min(room, self._model_limit)

    def admit_parts(self, session: Session, purpose: str) -> None:
        """As the last thing of the transaction that begins to keep parts of a model. They are in no quota until
        they are handed in: till then no more of an owner's are kept than would fit.

        ``purpose``: what they are for. Raises :class:`QuotaExceeded`.
        """
        owner = self._definitions.get(purpose.removeprefix(MODEL_PARTS)).owner
        require_room(session, owner, "trainings")
        room = room_for(session, owner, "trainings")
        total = select(func.coalesce(func.sum(UploadRow.size), 0)).where(
            UploadRow.owner.in_(
                select(literal(MODEL_PARTS) + t.TrainingProcess.id).where(t.TrainingProcess.owner == owner)
            )
        )
        if room is not None and int(session.scalars(total).one()) > room:
            raise QuotaExceeded(
                f"that is more than the {room} bytes that your quota of training bytes has left, with the parts "
                "of your other models",
                quota="training_bytes",
                left=room,
            )

    def pause(self, process_id: str) -> None:
        """Hand out no assignments and close no cycle until :meth:`resume`; reports are still taken.

        Raises :class:`Conflict` unless the training is running.
        """
        self._apply(process_id, trainings.TrainingEvent.PAUSE)

    def resume(self, process_id: str, vouched_by: str = "") -> None:
        """Go on; the time of the pause does not count. One that failed begins a new cycle from its last good
        checkpoint. Raises :class:`Conflict` unless it is paused or has failed, and can be gone on with.

        ``vouched_by``: the e-mail address of a manager who does it, which is a word on a training that has none
        (:meth:`TrainingReviews.vouch`).
        """
        checkpoint = self._resuming.good_checkpoint(process_id)
        with followed(self._store.database) as transaction:
            self._reviews.vouch(transaction, process_id, vouched_by)
            with self._store.within(transaction, process_id) as unit:
                if checkpoint is not None:
                    self._resuming.begin_from(unit, checkpoint)
                self._lifecycle.process(unit, trainings.TrainingEvent.RESUME)
                unit.process.reason = ""

    def pause_those_of(self, owner: str) -> int:
        """Pause every running training of an owner whose account was disabled; returns how many there were.

        They hand out no assignments and make no models until the owner, or whoever may then, resumes them. What
        waits for a review is over.
        """
        why = "the account of its owner was disabled"
        for row in self._store.read(_WAITING_OF, {"owner": owner}):
            with suppress(Conflict):
                self.cancel(row.id, why)
        found = self._store.read(_RUNNING_OF, {"owner": owner})
        for row in found:
            with suppress(Conflict):  # it has ended meanwhile
                self._apply(row.id, trainings.TrainingEvent.PAUSE, why)
        return len(found)

    def cancel(self, process_id: str, reason: str = "", by: str = "") -> None:
        """End the training for good. What cycles made of its model stays; without such, nothing does.

        ``by``: the id of the user who does it; a request that waits for it is withdrawn by them. Raises
        :class:`Conflict` when it has ended.
        """
        with followed(self._store.database) as transaction:
            self._reviews.cancel(transaction, process_id, by, reason[:500])
            with self._store.within(transaction, process_id) as unit:
                if not unit.process.cycles_completed:
                    self._drop_contents(unit)

    def discard(self, process_id: str) -> None:
        """Remove plans and models of a training that has ended; what happened in it stays on record.

        Raises :class:`Conflict` while it has not.
        """
        with self._store.unit(process_id) as unit:
            if trainings.TrainingStatus(unit.process.status) not in trainings.TERMINAL:
                raise Conflict(f"a training that is {unit.process.status} needs its models; cancel it first")
            self._drop_contents(unit)

    def _drop_contents(self, unit: Unit) -> None:
        key = {"process_id": unit.process.id}
        digests = {row.blob_digest for held in _CONTENTS for row in held.run(unit.connection, key).all()}
        for dropped in _DROP:
            unit.run(dropped, key)
        self._resuming.forget(unit)
        owner = unit.process.owner
        unit.after_commit(lambda: self._collect(digests, owner))

    def _collect(self, digests: Collection[str], owner: str) -> None:
        collect(self._store.database, self._store.blobs, digests, owner=owner)

    def _apply(self, process_id: str, event: trainings.TrainingEvent, reason: str = "") -> None:
        with self._store.unit(process_id) as unit:
            self._lifecycle.process(unit, event, reason)


def _remove_husk(connection: Connection, client: ClientConfig) -> None:
    """A training that was given up before it had a model does not hold its name for ever."""
    found = connection.execute(_HUSK, {"name": client.name, "version": client.version}).scalar()
    if found is not None:
        for table in (t.History, t.HostedPlan, TrainingShare):
            connection.execute(delete(table).where(table.process_id == found))
        connection.execute(delete(t.TrainingProcess).where(t.TrainingProcess.id == found))


def _created(process_id: str, now: float, owner: str) -> dict[str, Any]:
    return {
        "process_id": process_id,
        "seq": 1,
        "at": now,
        "entity": "process",
        "entity_id": process_id,
        "cycle": 0,
        "before": "",
        "after": str(trainings.TrainingStatus.CREATED),
        "detail": {"owner": owner},
    }


def _exists(client: ClientConfig) -> Conflict:
    return Conflict(f"there is a training {client.name!r} in version {client.version!r}", reason="exists")


def _has_model() -> Conflict:
    return Conflict("the training has its model already", reason="has-model")
