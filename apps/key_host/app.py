"""The key host: gives the keys of confidential rounds away, once. This page says which services it has."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apps.assembly import open_node
from grid.audit.archiving import Kept
from grid.audit.service import AuditService
from grid.config import KeyHostSettings
from grid.key_host.service import KeyHostService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService
from grid.node.operator import OperatorService
from grid.upkeep.service import UpkeepService

__all__ = ["build"]


def build(home: Path, settings: KeyHostSettings) -> Node:
    """A key host whose state is in ``home``."""
    return open_node(
        "key_host",
        home,
        settings.name,
        [
            MetadataService,
            partial(UpkeepService, settings=settings),
            HousekeepingService,
            partial(AuditService, kept=Kept(settings.audit_kept, settings.audit_age)),
            OperatorService,
            partial(KeyHostService, settings=settings),
        ],
        address=settings.address.rstrip("/"),
        database_url=settings.database_url or None,
        contents_url=settings.contents or None,
        quarantine=settings.quarantine,
        quarantine_size=settings.quarantine_size,
    )
