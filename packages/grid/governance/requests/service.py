"""The operations on grants, and on requests of every kind."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy.orm import Session

from grid.access.viewer import Viewer, viewer_of
from grid.governance.decisions.grants import GrantManager, ReviewerLoader
from grid.governance.requests.manager import RequestManager
from grid.node import Context, Node, Service, handles
from grid.storage.objects.references import collect
from syft_ext.messages import grants as g
from syft_ext.messages import requests as r

__all__ = ["GrantService", "RequestService", "noted", "reviewer_loader"]


def reviewer_loader(ctx: Context) -> ReviewerLoader:
    """Loads the caller, and whether their role or groups make them a reviewer of everybody's requests."""

    def load_reviewer(session: Session) -> tuple[Viewer, bool]:
        return viewer_of(session, ctx.principal), "can_triage_requests" in ctx.principal.flags

    return load_reviewer


class GrantService(Service):
    """The operations on grants; what was granted to whom is noted for the audit log."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._grants = GrantManager(node.db, node.clock)

    @handles(g.CreateGrant)
    def create(self, ctx: Context, message: g.CreateGrant) -> g.GrantView:
        ctx.note(message.object_id, user=message.user_id, scope=message.scope)
        view = self._grants.create(reviewer_loader(ctx), message)
        ctx.note(grant=view.id)
        return view

    @handles(g.ListGrants)
    def list(self, ctx: Context, message: g.ListGrants) -> g.GrantList:
        return g.GrantList(grants=self._grants.all(reviewer_loader(ctx), message))

    @handles(g.RevokeGrant)
    def revoke(self, ctx: Context, message: g.RevokeGrant) -> g.GrantView:
        view = self._grants.revoke(reviewer_loader(ctx), message.grant_id)
        ctx.note(view.object_id, grant=view.id)
        return view


class RequestService(Service):
    """The operations on requests of every kind, those to run plans included once they are made."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.requests = RequestManager(node.db, node.clock, node.events)

    @handles(r.CreateRequest)
    def create(self, ctx: Context, message: r.CreateRequest) -> r.RequestView:
        ctx.note(message.object_id, scope=message.scope)
        return noted(ctx, self.requests.create(reviewer_loader(ctx), message))

    @handles(r.CreateBudgetRequest)
    def create_budget(self, ctx: Context, message: r.CreateBudgetRequest) -> r.RequestView:
        ctx.note(scope="budget", epsilon=message.epsilon)
        return noted(ctx, self.requests.create_budget(reviewer_loader(ctx), message))

    @handles(r.ListRequests)
    def list(self, ctx: Context, message: r.ListRequests) -> r.RequestList:
        return r.RequestList(requests=self.requests.all(reviewer_loader(ctx), message))

    @handles(r.GetRequest)
    def get(self, ctx: Context, message: r.GetRequest) -> r.RequestView:
        return self.requests.get(reviewer_loader(ctx), message.request_id, message.wait)

    @handles(r.ApproveRequest)
    def approve(self, ctx: Context, message: r.ApproveRequest) -> r.RequestView:
        return noted(ctx, self.requests.approve(reviewer_loader(ctx), message))

    @handles(r.DenyRequest)
    def deny(self, ctx: Context, message: r.DenyRequest) -> r.RequestView:
        return noted(ctx, self.requests.deny(reviewer_loader(ctx), message))

    @handles(r.RevokeRequest)
    def revoke(self, ctx: Context, message: r.RevokeRequest) -> r.RequestView:
        return noted(ctx, self.requests.revoke(reviewer_loader(ctx), message.request_id))

    @handles(r.WithdrawRequest)
    def withdraw(self, ctx: Context, message: r.WithdrawRequest) -> r.RequestView:
        view = self.requests.withdraw(reviewer_loader(ctx), message.request_id, self._dropped)
        return noted(ctx, view)

    def _dropped(self, digests: Sequence[str], owner: str) -> None:
        collect(self.node.db, self.node.blobs, digests, owner=owner)


def noted(ctx: Context, view: r.RequestView) -> r.RequestView:
    """Say in the audit log what became of a request, and by which rules."""
    ctx.note(*view.objects, grant=view.grant_id or "", user=view.user_id, state=view.state)
    if view.training is not None:
        ctx.note(training=view.training.process_id, digest=view.training.digest)
    rules = [each.rule for each in view.decisions if each.rule]
    if rules:
        ctx.note(rules=",".join(rules))
    return view
