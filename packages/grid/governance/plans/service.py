"""The operations on requests to run plans, and on standing rules."""

from __future__ import annotations

import hashlib

from grid.catalogue.content import download
from grid.governance.plans.influence import PlanTrials
from grid.governance.plans.requests import PlanRequests
from grid.governance.plans.runs import PlanRuns
from grid.governance.requests.service import RequestService, noted, reviewer_loader
from grid.governance.rules.book import RuleBook
from grid.node import Context, Download, Node, Service, handles
from syft_ext.messages import Empty
from syft_ext.messages import plan_requests as p
from syft_ext.messages import rules as u
from syft_ext.messages.requests import RequestView

__all__ = ["PlanRequestService", "RuleService"]


class PlanRequestService(Service):
    """Each user's plans run apart; :class:`RequestService` decides on them as on others."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        requests = node.service(RequestService).requests
        self._requests = PlanRequests(
            node.db, node.blobs, node.clock, node.plan_processes, requests, node.identity.verify_key
        )
        secret = hashlib.sha256(b"grid noise of plans" + node.identity.private_pem()).digest()
        self._trials = PlanTrials(node.db, node.blobs, node.plan_processes)
        self._runs = PlanRuns(node.db, node.blobs, node.clock, node.plan_processes, secret)

    @handles(p.CreatePlanRequest)
    def create(self, ctx: Context, message: p.CreatePlanRequest) -> RequestView:
        return noted(ctx, self._requests.create(ctx, reviewer_loader(ctx), message))

    @handles(p.ReviewPlan)
    def review(self, ctx: Context, message: p.ReviewPlan) -> p.PlanReview:
        return self._requests.review(reviewer_loader(ctx), message.request_id)

    @handles(p.TryPlan)
    def try_(self, ctx: Context, message: p.TryPlan) -> p.PlanInfluence:
        found = self._trials.run(reviewer_loader(ctx), message.request_id)
        ctx.note(plan=found.plan_id)
        return found

    @handles(p.DownloadPlan)
    def plan(self, ctx: Context, message: p.DownloadPlan) -> Download:
        review = self._requests.review(reviewer_loader(ctx), message.request_id)
        plan_id = review.facts.plan_id
        ctx.note(plan=plan_id)
        return download(self.node.blobs, plan_id, self.node.blobs.size(plan_id), review)

    @handles(p.RunPlanRequest)
    def run(self, ctx: Context, message: p.RunPlanRequest) -> Download:
        return self._runs.run(ctx, reviewer_loader(ctx), message)


class RuleService(Service):
    """The operations on standing rules; whom a rule may speak for is :class:`RuleBook`'s to say."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._rules = RuleBook(node.db, node.clock)

    @handles(u.CreateRule)
    def create(self, ctx: Context, message: u.CreateRule) -> u.RuleView:
        if message.object_id:
            ctx.note(message.object_id)
        ctx.note(action=message.action, kind=message.kind, scope=message.scope)
        return self._rules.create(reviewer_loader(ctx), message)

    @handles(u.ListRules)
    def list(self, ctx: Context, message: u.ListRules) -> u.RuleList:
        return u.RuleList(rules=self._rules.all(reviewer_loader(ctx), message))

    @handles(u.DeleteRule)
    def delete(self, ctx: Context, message: u.DeleteRule) -> Empty:
        self._rules.delete(reviewer_loader(ctx), message.rule_id, ctx.principal.role)
        return Empty()

    @handles(u.ClearRules)
    def clear(self, ctx: Context, message: u.ClearRules) -> Empty:
        ctx.note(rules=self._rules.clear(reviewer_loader(ctx)))
        return Empty()
