"""The services of governance."""

from __future__ import annotations

from grid.governance.plans.service import PlanRequestService, RuleService
from grid.governance.requests.service import GrantService, RequestService
from grid.node import Service

__all__ = ["SERVICES", "GrantService", "PlanRequestService", "RequestService", "RuleService"]

#: What a Domain needs to govern its data.
SERVICES: tuple[type[Service], ...] = (GrantService, RequestService, PlanRequestService, RuleService)
