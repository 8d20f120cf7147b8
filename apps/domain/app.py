"""The Domain: people, data and trainings; asks Networks to associate, and is asked by Workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apps.assembly import open_node
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.service import AuditService
from grid.catalogue.schemas import statistics_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.compute.service import ComputeService
from grid.config import DomainSettings
from grid.dashboard.published import counts_of
from grid.dashboard.service import DashboardService, data_section
from grid.environments.service import EnvironmentService
from grid.federated.open_trainings import OpenTrainingsService
from grid.federated.service import SERVICES as FEDERATED
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.network.associations import AssociationService, opener
from grid.network.hub import HubService
from grid.network.monitor import MonitorService
from grid.network.requester import RequesterService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService
from grid.privacy.budget.service import BudgetService

__all__ = ["build"]


def build(home: Path, settings: DomainSettings) -> Node:
    """A Domain whose state is in ``home``."""
    return open_node(
        "domain",
        home,
        settings.name,
        [
            MetadataService,
            AuditService,
            *ACCOUNTS,
            partial(DashboardService, sections=[data_section]),
            *CATALOGUE,
            *GOVERNANCE,
            PolicyService,
            BudgetService,
            statistics_service,
            partial(ComputeService, settings=settings),
            partial(EnvironmentService, settings=settings),
            *FEDERATED,
            partial(
                AssociationService, offline_after=settings.offline_after, opener=opener(settings.ca_file)
            ),
            partial(HubService, settings=settings),
            partial(RequesterService, interval=settings.heartbeat_interval, counts=counts_of),
            MonitorService,
            OpenTrainingsService,
            HousekeepingService,  # last: what a crash left is for the others to look at first
        ],
        address=settings.address.rstrip("/"),
        database_url=settings.database_url or None,
        contents_url=settings.contents or None,
        jobs=settings.job_queue,
    )
