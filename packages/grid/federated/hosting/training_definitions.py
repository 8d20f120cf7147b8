"""What is fixed when a training is hosted: its configurations, plans and the layout of its model."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select
from sqlalchemy.orm import Session

from grid.federated.hosting.authentication import Authenticator
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.inputs import stored_inputs
from grid.federated.hosting.stored_config import StoredConfigs, shown_config
from grid.federated.state import tables as t
from grid.federated.state.store import TrainingStore, Unit
from grid.outgoing.endpoints import TrustedEndpoints
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Forbidden, InvalidConfig, NotFound
from syft_ext.messages.training_inputs import TrainingInputs
from syft_ext.messages.training_reviews import DefinitionFacts, definition_digest
from syft_ext.tensors import Layout, header_size, read_layout

__all__ = ["PlanFile", "TrainingDefinition", "TrainingDefinitions"]


@dataclass(frozen=True, slots=True)
class PlanFile:
    """A hosted file; its content is ``digest``'s in the store. ``kind``: plan, protocol or averaging."""

    id: str
    name: str
    kind: str
    digest: str
    size: int


@dataclass(frozen=True, slots=True)
class TrainingDefinition:
    """The part of a training that never changes, so that it is read from the database once."""

    id: str
    name: str
    version: str
    owner: str
    created_at: float
    server: ServerConfig
    client_config: Mapping[str, Any]
    authenticator: Authenticator
    files: tuple[PlanFile, ...]
    inputs: TrainingInputs | None = None

    def names(self, kind: str) -> dict[str, str]:
        """Name → id of the hosted files of a kind (``plan``, ``protocol``)."""
        return {file.name: file.id for file in self.files if file.kind == kind}

    @property
    def averaging_plan(self) -> PlanFile | None:
        """The hosted plan that averages; None where a built-in strategy does."""
        return next((file for file in self.files if file.kind == "averaging"), None)


_BY_ID = select(t.TrainingProcess).where(t.TrainingProcess.id == bindparam("process_id"))
_FILES = select(t.HostedPlan).where(t.HostedPlan.process_id == bindparam("process_id"))
_BY_NAME = PreparedStatement(
    select(t.TrainingProcess.id).where(
        t.TrainingProcess.name == bindparam("name"), t.TrainingProcess.version == bindparam("version")
    )
)
_CHECKPOINT = PreparedStatement(
    select(t.Checkpoint.blob_digest, t.Checkpoint.size).where(
        t.Checkpoint.process_id == bindparam("process_id"), t.Checkpoint.number == bindparam("number")
    )
)


class TrainingDefinitions:
    """Finds trainings, and keeps what cannot change of them in memory (a few KB each).

    Args:
        endpoints: whom the node's owner lets it ask about tokens.
    """

    def __init__(self, store: TrainingStore, configs: StoredConfigs, endpoints: TrustedEndpoints) -> None:
        self._store = store
        self._endpoints = endpoints
        self.configs = configs
        self._lock = threading.Lock()
        self._known: dict[str, TrainingDefinition] = {}
        self._layouts: dict[str, Layout] = {}
        self._digests: dict[str, str] = {}
        self._checkpoints: dict[str, tuple[int, tuple[str, int]]] = {}

    def check_endpoint(self, server: ServerConfig) -> None:
        """Raise :class:`InvalidConfig` when ``server`` names an endpoint that the node's owner does not list."""
        if server.authentication is None or server.authentication.endpoint is None:
            return
        try:
            self._endpoints.check(server.authentication.endpoint)
        except Forbidden as error:
            field = "authentication.endpoint"
            raise InvalidConfig(f"server_config: {error.detail} - at `$.{field}`", field=field) from error

    def find(self, name: str, version: str) -> TrainingDefinition:
        """The training of that name and version. Raises :class:`NotFound`."""
        rows = self._store.read(_BY_NAME, {"name": name, "version": version})
        if not rows:
            raise self.unknown(name, version)
        return self.get(rows[0][0])

    @staticmethod
    def unknown(name: str, version: str) -> NotFound:
        """What is said of a training that is not there, and of one that the caller may not know of."""
        return NotFound(f"there is no training {name[:80]!r} in version {version[:40]!r}")

    def get(self, process_id: str) -> TrainingDefinition:
        """The training of that id. Raises :class:`NotFound`."""
        found = self._known.get(process_id)
        if found is None:
            found = self._load(process_id)
            with self._lock:
                self._known[process_id] = found
        return found

    def _load(self, process_id: str) -> TrainingDefinition:
        rows = self._store.read(
            _BY_ID.with_only_columns(*t.TrainingProcess.__table__.c), {"process_id": process_id}
        )
        if not rows:
            raise NotFound("there is no such training")
        row = rows[0]
        files = self._store.read(
            _FILES.with_only_columns(*t.HostedPlan.__table__.c), {"process_id": process_id}
        )
        server = self.configs.read(row.id, row.server_config)
        return TrainingDefinition(
            id=row.id,
            name=row.name,
            version=row.version,
            owner=row.owner,
            created_at=row.created_at,
            server=server,
            client_config=row.client_config,
            authenticator=Authenticator(server.authentication, self._endpoints),
            files=tuple(PlanFile(f.id, f.name, f.kind, f.blob_digest, f.size) for f in files),
            inputs=stored_inputs(row.inputs),
        )

    def facts(self, session: Session, process_id: str) -> DefinitionFacts:
        """Everything that is fixed of a training that has its model, as it is stored; raises :class:`NotFound`."""
        row = session.get(t.TrainingProcess, process_id)
        model = session.get(t.Checkpoint, (process_id, 1))
        if row is None or model is None:
            raise NotFound("there is no such training, or it has no model yet")
        files: dict[str, dict[str, str]] = {"plan": {}, "protocol": {}, "averaging": {}}
        for file in session.scalars(select(t.HostedPlan).where(t.HostedPlan.process_id == process_id)):
            files[file.kind][file.name] = file.blob_digest
        return DefinitionFacts(
            name=row.name,
            version=row.version,
            plans=files["plan"],
            protocols=files["protocol"],
            averaging_plan=next(iter(files["averaging"].values()), ""),
            client_config=row.client_config,
            server_config=shown_config(row.server_config),
            model=model.blob_digest,
            tensors=[
                (spec.name, spec.dtype, list(spec.shape)) for spec in self._layout(model.blob_digest).specs
            ],
            inputs=stored_inputs(row.inputs),
        )

    def digest(self, process_id: str) -> str:
        """The digest of the definition of a training that has its model; raises :class:`NotFound`."""
        found = self._digests.get(process_id)
        if found is None:
            with self._store.database.read() as session:
                found = definition_digest(self.facts(session, process_id))
            with self._lock:
                self._digests[process_id] = found
        return found

    def checkpoint(self, process_id: str, number: int, unit: Unit | None = None) -> tuple[str, int]:
        """Digest and size of a checkpoint, the latest asked for being kept. Raises :class:`NotFound`.

        Args:
            unit: a transaction that may just be publishing it.
        """
        kept = self._checkpoints.get(process_id)
        if kept is not None and kept[0] == number:
            return kept[1]
        key = {"process_id": process_id, "number": number}
        rows = self._store.read(_CHECKPOINT, key) if unit is None else unit.run(_CHECKPOINT, key).all()
        if not rows:
            raise NotFound(f"the training has no checkpoint {number}")
        found = (str(rows[0].blob_digest), int(rows[0].size))
        if unit is None:
            self._keep(process_id, number, found)
        else:
            unit.after_commit(lambda: self._keep(process_id, number, found))
        return found

    def _keep(self, process_id: str, number: int, found: tuple[str, int]) -> None:
        with self._lock:
            self._checkpoints[process_id] = (number, found)

    def layout(self, process_id: str, unit: Unit | None = None) -> Layout:
        """The layout of the training's model: every checkpoint has it. Raises :class:`NotFound` before one.

        Args:
            unit: a transaction that may just be publishing it.
        """
        layout = self._layouts.get(process_id)
        if layout is None and unit is not None:
            return self._layout(self.checkpoint(process_id, 1, unit)[0])
        if layout is None:
            layout = self._layout(self.checkpoint(process_id, 1)[0])
            with self._lock:
                self._layouts[process_id] = layout
        return layout

    def _layout(self, digest: str) -> Layout:
        head = header_size(self._store.blobs.read_range(digest, 0, 8))
        return read_layout(self._store.blobs.read_range(digest, 0, head))
