"""The Worker: load, run, save for its Domain; trainings on its owner's data."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apps.assembly import open_node
from grid.audit.archiving import Kept
from grid.audit.service import AuditService
from grid.config import WorkerSettings
from grid.network.associations import AssociationService
from grid.network.requester import RequesterService
from grid.node import Node
from grid.node.confinement import ConfinementService
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService
from grid.node.operator import OperatorService
from grid.outgoing.dialer import GuardedOpener
from grid.outgoing.policy import OutgoingPolicy
from grid.upkeep.service import UpkeepService
from grid.worker.daemon import TrainingService
from grid.worker.service import WorkerService
from syft_ext.confinement.gate import Gate

__all__ = ["build", "join"]

#: A Worker is asked by nobody; its Domain is offline for it when heartbeats have failed for so many intervals.
MISSED = 4


def build(home: Path, settings: WorkerSettings) -> Node:
    """A Worker whose state is in ``home``."""
    return open_node(
        "worker",
        home,
        settings.name,
        [
            MetadataService,
            ConfinementService,
            partial(UpkeepService, settings=settings),
            HousekeepingService,
            partial(AuditService, kept=Kept(settings.audit_kept, settings.audit_age)),
            OperatorService,
            partial(
                AssociationService,
                offline_after=MISSED * settings.heartbeat_interval,
                outgoing=GuardedOpener(OutgoingPolicy.of(settings), ca_file=settings.ca_file),
            ),
            partial(RequesterService, interval=settings.heartbeat_interval),
            partial(TrainingService, settings=settings),
            partial(WorkerService, settings=settings),
        ],
        address=settings.address.rstrip("/"),
        database_url=settings.database_url or None,
        contents_url=settings.contents or None,
        quarantine=settings.quarantine,
        quarantine_size=settings.quarantine_size,
        gate=Gate(permissive=settings.sandbox == "permissive"),
    )


def join(node: Node) -> None:
    """Ask its Domain at once: who waits for the Worker to be ready wants it to be there."""
    node.service(TrainingService).join()
