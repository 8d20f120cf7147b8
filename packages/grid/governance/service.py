"""The services of governance."""

from __future__ import annotations

from sqlalchemy.orm import Session

from grid.catalogue.access import Viewer, viewer_of
from grid.governance.grants import GrantManager, Look
from grid.node import Context, Node, Service, handles
from syft_ext.messages import grants as g

__all__ = ["SERVICES", "GrantService"]


def _look(ctx: Context) -> Look:
    def look(session: Session) -> tuple[Viewer, bool]:
        return viewer_of(session, ctx.principal), "can_triage_requests" in ctx.principal.flags

    return look


class GrantService(Service):
    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._grants = GrantManager(node.db, node.clock)

    @handles(g.CreateGrant)
    def create(self, ctx: Context, message: g.CreateGrant) -> g.GrantView:
        ctx.note(message.object_id, user=message.user_id, scope=message.scope)
        view = self._grants.create(_look(ctx), message)
        ctx.note(grant=view.id)
        return view

    @handles(g.ListGrants)
    def list(self, ctx: Context, message: g.ListGrants) -> g.GrantList:
        return g.GrantList(grants=self._grants.all(_look(ctx), message))

    @handles(g.RevokeGrant)
    def revoke(self, ctx: Context, message: g.RevokeGrant) -> g.GrantView:
        view = self._grants.revoke(_look(ctx), message.grant_id)
        ctx.note(view.object_id, grant=view.id)
        return view


#: What a Domain needs to govern its data.
SERVICES: tuple[type[Service], ...] = (GrantService,)
