"""A training's server configuration as it lies in the database: the shared secret of its workers is sealed.

Whoever has the secret can make tokens that this training takes; a stolen database must not hold it. Rows from
before are read as they are, and sealed when the node starts.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

import msgspec
from sqlalchemy import select, update

from grid.federated.hosting.config import ServerConfig
from grid.federated.state import tables as t
from grid.storage.sealed import Sealer, is_sealed
from grid.storage.sql.database import Database

__all__ = ["StoredConfigs", "shown_config"]

logger = logging.getLogger(__name__)


class StoredConfigs:
    """Writes and reads ``server_config``.

    Args:
        secret: the node's own; the key is derived from it.
    """

    def __init__(self, secret: bytes) -> None:
        self._sealer = Sealer(secret, "training authentication")

    def write(self, process_id: str, config: ServerConfig) -> dict[str, Any]:
        """What to store for the training ``process_id``."""
        return self._sealed(process_id, msgspec.to_builtins(config))

    def read(self, process_id: str, stored: Mapping[str, Any]) -> ServerConfig:
        """The configuration behind ``stored``. Raises :class:`~grid.storage.sealed.CannotOpen`."""
        secret = _secret(stored)
        if is_sealed(secret):
            opened = self._sealer.open(secret, process_id)
            stored = {**stored, "authentication": {**stored["authentication"], "secret": opened}}
        return msgspec.convert(dict(stored), ServerConfig)

    def seal_old_rows(self, database: Database) -> int:
        """Seal what an earlier version stored openly; how many rows there were."""
        with database.read() as session:
            rows = session.execute(select(t.TrainingProcess.id, t.TrainingProcess.server_config)).all()
        old = {row.id: row.server_config for row in rows if _is_open(_secret(row.server_config))}
        if not old:
            return 0
        with database.transaction() as session:
            for process_id, stored in old.items():
                values = {"server_config": self._sealed(process_id, stored)}
                session.execute(
                    update(t.TrainingProcess).where(t.TrainingProcess.id == process_id).values(values)
                )
        logger.info("sealed the secrets of %d trainings", len(old))
        return len(old)

    def _sealed(self, process_id: str, values: Mapping[str, Any]) -> dict[str, Any]:
        secret = _secret(values)
        if not secret:
            return dict(values)
        sealed = self._sealer.seal(secret, process_id)
        return {**values, "authentication": {**values["authentication"], "secret": sealed}}


def shown_config(stored: Mapping[str, Any]) -> dict[str, Any]:
    """What is stored, with "…" for the shared secret: the same whether that is sealed or not."""
    if not _secret(stored):
        return dict(stored)
    return {**stored, "authentication": {**stored["authentication"], "secret": "…"}}


def _secret(values: Mapping[str, Any]) -> str:
    return str((values.get("authentication") or {}).get("secret") or "")


def _is_open(secret: str) -> bool:
    return bool(secret) and not is_sealed(secret)
