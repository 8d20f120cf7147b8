"""The Domain: people, data and trainings; asks Networks to associate, and is asked by Workers."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from apps.assembly import open_node
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.archiving import Kept
from grid.audit.service import AuditService
from grid.catalogue.schemas import ledger_service, query_service, statistics_service, tensor_service
from grid.catalogue.service import SERVICES as CATALOGUE
from grid.compute.service import ComputeService
from grid.confidential.launching import ChildWorkers
from grid.confidential.service import ConfidentialService
from grid.config import DomainSettings, plan_limits
from grid.dashboard.published import counts_of
from grid.dashboard.service import DashboardService, data_section
from grid.environments.service import EnvironmentService
from grid.federated.averaging.retention import Retention
from grid.federated.encrypted.service import EncryptedSumService
from grid.federated.invitations import InvitationService
from grid.federated.masked.service import SecureAggregationService
from grid.federated.open_trainings import OpenTrainingsService
from grid.federated.service import FederatedService
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.intersections.service import IntersectionService
from grid.mpc.service import SharedRunService
from grid.network.associations import AssociationService
from grid.network.hub import HubService
from grid.network.line_keeping import LineKeeper
from grid.network.monitor import MonitorService
from grid.network.requester import RequesterService
from grid.node import Node
from grid.node.confinement import ConfinementService
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService
from grid.node.plan_processes import PlanProcesses
from grid.outgoing.dialer import GuardedOpener
from grid.outgoing.endpoints import TrustedEndpoints
from grid.outgoing.policy import OutgoingPolicy
from grid.peers.gateway_service import GatewayService, make_gateways
from grid.peers.service import OfferService, TurnService
from grid.privacy.budget.service import BudgetService
from grid.quotas.service import QuotaService
from grid.upkeep.service import UpkeepService
from syft_ext.confinement.gate import Gate

__all__ = ["build"]


def build(home: Path, settings: DomainSettings) -> Node:
    """A Domain whose state is in ``home``."""
    gate = Gate(permissive=settings.sandbox == "permissive")
    return open_node(
        "domain",
        home,
        settings.name,
        [
            MetadataService,
            ConfinementService,
            partial(AuditService, kept=Kept(settings.audit_kept, settings.audit_age)),
            *ACCOUNTS,
            partial(DashboardService, sections=[data_section]),
            *CATALOGUE,
            *GOVERNANCE,
            PolicyService,
            BudgetService,
            QuotaService,
            statistics_service,
            ledger_service,
            query_service,
            tensor_service,
            partial(ComputeService, settings=settings),
            partial(SharedRunService, settings=settings),
            partial(IntersectionService, settings=settings),
            partial(EnvironmentService, settings=settings),
            partial(
                FederatedService,
                endpoints=TrustedEndpoints(
                    settings.authentication_endpoints,
                    ca_file=settings.ca_file,
                    proxy=settings.proxy == "environment",
                ),
                retention=Retention(settings.checkpoints_kept, settings.history_kept, settings.cycles_kept),
            ),
            SecureAggregationService,
            EncryptedSumService,
            partial(
                ConfidentialService,
                opener=GuardedOpener(OutgoingPolicy.of(settings), ca_file=settings.ca_file).transport,
                workers=ChildWorkers("apps.confidential_worker"),
                aggregates_kept=settings.aggregates_kept,
            ),
            partial(
                AssociationService,
                offline_after=settings.offline_after,
                outgoing=GuardedOpener(OutgoingPolicy.of(settings), ca_file=settings.ca_file),
            ),
            partial(HubService, settings=settings),
            partial(LineKeeper, believed=settings.trusted_networks),
            partial(
                RequesterService,
                interval=settings.heartbeat_interval,
                counts=counts_of,
                lines=settings.keep_line,
            ),
            MonitorService,
            partial(TurnService, settings=settings),
            partial(OfferService, gateways=partial(make_gateways, settings)),
            GatewayService,
            OpenTrainingsService,
            InvitationService,
            partial(UpkeepService, settings=settings),
            HousekeepingService,  # last: what a crash left is for the others to look at first
        ],
        address=settings.address.rstrip("/"),
        database_url=settings.database_url or None,
        contents_url=settings.contents or None,
        quarantine=settings.quarantine,
        quarantine_size=settings.quarantine_size,
        gate=gate,
        plan_processes=PlanProcesses(
            gate,
            processes=settings.plan_processes,
            memory=settings.plan_memory,
            idle=settings.plan_idle,
            limits=plan_limits(settings),
        ),
        jobs=settings.job_queue,
    )
