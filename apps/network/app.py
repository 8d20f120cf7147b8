"""The Network: knows Domains, searches them, carries messages to them. This page says which services it has."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apps.assembly import open_node
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.config import NetworkSettings
from grid.dashboard.service import DashboardService
from grid.network.associations import AssociationService, opener
from grid.network.forwarding import ForwardingService
from grid.network.hub import HubService
from grid.network.monitor import NetworkMonitorService
from grid.network.search import NetworkSearchService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService

__all__ = ["build"]


def build(home: Path, settings: NetworkSettings) -> Node:
    """A Network whose state is in ``home``."""
    return open_node(
        "network",
        home,
        settings.name,
        [
            MetadataService,
            HousekeepingService,
            AuditService,
            *ACCOUNTS,
            DashboardService,
            partial(
                AssociationService, offline_after=settings.offline_after, opener=opener(settings.ca_file)
            ),
            partial(HubService, settings=settings),
            NetworkMonitorService,
            partial(NetworkSearchService, deadline=settings.search_deadline),
            partial(ForwardingService, settings=settings),
        ],
        address=settings.address.rstrip("/"),
        database_url=settings.database_url or None,
        contents_url=settings.contents or None,
    )
