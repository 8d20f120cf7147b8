"""What is fixed when a training is hosted: its configurations, plans and the layout of its model."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, select

from grid.federated.hosting.authentication import Authenticator
from grid.federated.hosting.config import ServerConfig
from grid.federated.hosting.stored_config import StoredConfigs
from grid.federated.state import tables as t
from grid.federated.state.store import TrainingStore, Unit
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import NotFound
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
    """Finds trainings, and keeps what cannot change of them in memory (a few KB each)."""

    def __init__(self, store: TrainingStore, configs: StoredConfigs) -> None:
        self._store = store
        self.configs = configs
        self._lock = threading.Lock()
        self._known: dict[str, TrainingDefinition] = {}
        self._layouts: dict[str, Layout] = {}
        self._checkpoints: dict[str, tuple[int, tuple[str, int]]] = {}

    def find(self, name: str, version: str) -> TrainingDefinition:
        """The training of that name and version. Raises :class:`NotFound`."""
        rows = self._store.read(_BY_NAME, {"name": name, "version": version})
        if not rows:
            raise NotFound(f"there is no training {name[:80]!r} in version {version[:40]!r}")
        return self.get(rows[0][0])

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
            authenticator=Authenticator(server.authentication),
            files=tuple(PlanFile(f.id, f.name, f.kind, f.blob_digest, f.size) for f in files),
        )

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

    def layout(self, process_id: str) -> Layout:
        """The layout of the training's model: every checkpoint has it. Raises :class:`NotFound` before one."""
        layout = self._layouts.get(process_id)
        if layout is None:
            digest, _ = self.checkpoint(process_id, 1)
            head = header_size(self._store.blobs.read_range(digest, 0, 8))
            layout = read_layout(self._store.blobs.read_range(digest, 0, head))
            with self._lock:
                self._layouts[process_id] = layout
        return layout
