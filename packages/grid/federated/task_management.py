"""Task management: create, list, pause, resume, cancel; status and history are read through the views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import ExitStack, suppress
from typing import Any

from sqlalchemy import Connection, and_, bindparam, delete, insert, not_, select
from sqlalchemy.exc import IntegrityError

from grid.aggregation.tensor_stream import TensorStream
from grid.federated.averaging.strategies import PlanRunner, with_strategy
from grid.federated.cycles.lifecycle import Lifecycle
from grid.federated.cycles.policy import SitePolicies
from grid.federated.hosting.config import ClientConfig, ServerConfig
from grid.federated.hosting.training_definitions import TrainingDefinitions
from grid.federated.intake.registry import check_format, format_of
from grid.federated.state import tables as t
from grid.federated.state.machines import training as trainings
from grid.federated.state.store import TrainingStore
from grid.storage.objects.references import record
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import BadRequest, Conflict, TooLarge
from syft_ext.ids import new_id

__all__ = ["TaskManagement"]

MAX_PLAN = 64 << 20
MAX_PLANS = 64

_NAMED = (t.TrainingProcess.name == bindparam("name"), t.TrainingProcess.version == bindparam("version"))
_GIVEN_UP = and_(
    t.TrainingProcess.status == str(trainings.TrainingStatus.CANCELLED),
    t.TrainingProcess.latest_checkpoint == 0,
)
_EXISTS = select(t.TrainingProcess.id).where(*_NAMED, not_(_GIVEN_UP))
_RUNNING_OF = select(t.TrainingProcess.id).where(
    t.TrainingProcess.owner == bindparam("owner"),
    t.TrainingProcess.status == str(trainings.TrainingStatus.RUNNING),
)
_HUSK = select(t.TrainingProcess.id).where(*_NAMED, _GIVEN_UP)
_NEW_CHECKPOINT = PreparedStatement(insert(t.Checkpoint))


class TaskManagement:
    """Args: ``model_limit``: bytes of the largest model that may be hosted."""

    def __init__(
        self,
        store: TrainingStore,
        definitions: TrainingDefinitions,
        lifecycle: Lifecycle,
        policies: SitePolicies,
        plans: PlanRunner,
        model_limit: int,
    ) -> None:
        self._store, self._definitions, self._lifecycle = store, definitions, lifecycle
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
    ) -> str:
        """Register a training; it starts when its model is uploaded. Returns its id.

        Raises :class:`InvalidConfig`, :class:`InvalidPlan`, :class:`TooLarge`, and :class:`Conflict` when
        there is a training of that name and version.
        """
        server, client = ServerConfig.parse(server_config), ClientConfig.parse(client_config)
        server = with_strategy(server, averaging_plan is not None)
        check_format(server, averaging_plan is not None)
        self._policies.check_hosting(server, averaging_plan is not None)
        names = {"name": client.name, "version": client.version}
        if self._store.read(_EXISTS, names):
            raise _exists(client)
        files = [("plan", name, data) for name, data in client_plans.items()]
        files += [("protocol", name, data) for name, data in (client_protocols or {}).items()]
        files += [("averaging", "averaging_plan", averaging_plan)] if averaging_plan is not None else []
        self._check_files(files, server)
        return self._store_new(owner, server, client, files)

    def _check_files(self, files: list[tuple[str, str, bytes]], server: ServerConfig) -> None:
        if len(files) > MAX_PLANS:
            raise TooLarge(f"{len(files)} plans and protocols", limit=MAX_PLANS)
        for kind, name, data in files:
            if not 0 < len(name) <= 128 or not name.isprintable():
                raise BadRequest(f"the name of a {kind} has 1 to 128 printable characters")
            if len(data) > MAX_PLAN:
                raise TooLarge(f"{kind} {name!r}: {len(data)} bytes", limit=MAX_PLAN)
            if kind != "protocol":
                self._plans.check(kind, data, server)

    def _store_new(
        self, owner: str, server: ServerConfig, client: ClientConfig, files: list[tuple[str, str, bytes]]
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
                            "cycle": 0,
                            "cycles_completed": 0,
                            "latest_checkpoint": 0,
                            "model_size": 0,
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
            except IntegrityError as error:
                raise _exists(client) from error
        return process_id

    def upload_model(self, process_id: str, body: Iterable[bytes | bytearray | memoryview]) -> None:
        """Store checkpoint 1 (a tensor file) and start the training.

        Raises :class:`InvalidTensors`, :class:`TooLarge`, or :class:`Conflict` when it has a model already.
        """
        definition = self._definitions.get(process_id)
        stream = TensorStream(None, self._model_limit)
        with self._store.blobs.create() as writer:
            for chunk in body:
                stream.feed(chunk)
                writer.write(chunk)
            layout = stream.finish()
            if not layout.data_size:
                raise BadRequest("a model without parameters cannot be trained")
            format_of(definition.server).check_model(layout, definition.server.report_options)
            if definition.averaging_plan is not None:
                plan = self._store.blobs.read_range(definition.averaging_plan.digest, 0)
                self._plans.check_model(plan, definition.server, layout)
            blob = writer.commit()
        with blob, self._store.unit(process_id) as unit:
            if unit.process.latest_checkpoint:
                raise Conflict("the training has its model already", reason="has-model")
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
            self._lifecycle.process(unit, trainings.TrainingEvent.START)

    def pause(self, process_id: str) -> None:
        """Hand out no assignments and close no cycle until :meth:`resume`; reports are still taken.

        Raises :class:`Conflict` unless the training is running.
        """
        self._apply(process_id, trainings.TrainingEvent.PAUSE)

    def resume(self, process_id: str) -> None:
        """Go on. The time of the pause does not count. Raises :class:`Conflict` unless it is paused."""
        with self._store.unit(process_id) as unit:
            self._lifecycle.process(unit, trainings.TrainingEvent.RESUME)
            unit.process.reason = ""

    def pause_those_of(self, owner: str) -> int:
        """Pause every running training of an owner whose account was disabled; returns how many there were.

        They hand out no assignments and make no models until the owner, or whoever may then, resumes them.
        """
        found = self._store.read(_RUNNING_OF, {"owner": owner})
        for row in found:
            with suppress(Conflict):  # it has ended meanwhile
                self._apply(row.id, trainings.TrainingEvent.PAUSE, "the account of its owner was disabled")
        return len(found)

    def cancel(self, process_id: str, reason: str = "") -> None:
        """End the training for good; its checkpoints stay. Raises :class:`Conflict` when it has ended."""
        self._apply(process_id, trainings.TrainingEvent.CANCEL, reason[:500])

    def _apply(self, process_id: str, event: trainings.TrainingEvent, reason: str = "") -> None:
        with self._store.unit(process_id) as unit:
            self._lifecycle.process(unit, event, reason)


def _remove_husk(connection: Connection, client: ClientConfig) -> None:
    """A training that was given up before it had a model does not hold its name for ever."""
    found = connection.execute(_HUSK, {"name": client.name, "version": client.version}).scalar()
    if found is not None:
        for table in (t.History, t.HostedPlan):
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
