"""The Network: knows Domains, searches them, carries messages to them. This page says which services it has."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apps.assembly import open_node
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.archiving import Kept
from grid.audit.service import AuditService
from grid.config import NetworkSettings
from grid.dashboard.service import DashboardService
from grid.network.associations import AssociationService
from grid.network.hub import HubService
from grid.network.monitor import NetworkMonitorService
from grid.network.relaying import LineService, RelayService
from grid.network.search import NetworkSearchService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService
from grid.outgoing.dialer import GuardedOpener
from grid.outgoing.policy import OutgoingPolicy
from grid.peers.service import TurnService
from grid.upkeep.service import UpkeepService

__all__ = ["build"]


def build(home: Path, settings: NetworkSettings) -> Node:
    """A Network whose state is in ``home``."""
    return open_node(
        "network",
        home,
        settings.name,
        [
            MetadataService,
            partial(UpkeepService, settings=settings),
            HousekeepingService,
            partial(AuditService, kept=Kept(settings.audit_kept, settings.audit_age)),
            *ACCOUNTS,
            DashboardService,
            partial(
                AssociationService,
                offline_after=settings.offline_after,
                outgoing=GuardedOpener(OutgoingPolicy.of(settings), ca_file=settings.ca_file),
            ),
            partial(HubService, settings=settings),
            NetworkMonitorService,
            partial(NetworkSearchService, deadline=settings.search_deadline),
            LineService,
            partial(RelayService, settings=settings),
            partial(TurnService, settings=settings),
        ],
        address=settings.address.rstrip("/"),
        database_url=settings.database_url or None,
        contents_url=settings.contents or None,
        quarantine=settings.quarantine,
        quarantine_size=settings.quarantine_size,
    )
