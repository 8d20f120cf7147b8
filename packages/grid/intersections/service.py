"""The operations on intersections: who asks, joins, begins, carries frames, and what is kept."""

from __future__ import annotations

from grid.compute import protocol as p
from grid.config import DomainSettings
from grid.governance.intersections.requests import IntersectionRequests
from grid.governance.intersections.runs import ApprovedIntersection, IntersectionRuns
from grid.governance.requests.service import RequestService, noted, reviewer_loader
from grid.mpc.carrying import CarriedRuns
from grid.node import Context, Node, handles
from syft_ext.messages import Empty
from syft_ext.messages import intersections as m
from syft_ext.messages.requests import RequestView
from syft_ext.messages.shared_runs import CarriedFrames, MemberView
from syft_ext.mpc.seals import packed_frames

__all__ = ["IntersectionService"]


class IntersectionService(CarriedRuns[ApprovedIntersection]):
    """Ids are tested in children; who is in both tables is not known in this process."""

    def __init__(self, node: Node, settings: DomainSettings) -> None:
        super().__init__(node, settings)
        requests = node.service(RequestService).requests
        self._requests = IntersectionRequests(
            node.db, node.blobs, node.clock, requests, node.identity.verify_key
        )
        self._runs = IntersectionRuns(node.db, node.blobs, node.clock)

    @handles(m.CreateIntersectionRequest)
    def request(self, ctx: Context, message: m.CreateIntersectionRequest) -> RequestView:
        return noted(ctx, self._requests.create(ctx, reviewer_loader(ctx), message))

    @handles(m.GetIntersectionBudget)
    def budget(self, ctx: Context, message: m.GetIntersectionBudget) -> m.IntersectionBudgetView:
        return self._requests.budget(reviewer_loader(ctx), message.object_id)

    @handles(m.JoinIntersection)
    def join(self, ctx: Context, message: m.JoinIntersection) -> MemberView:
        self._members.check_room(ctx.principal.id)  # what is refused here takes no use
        approved, brought = self._runs.begin(ctx, reviewer_loader(ctx), message.request_id)
        place = (approved.terms, approved.agreement, approved.party)
        content = (brought.ids, brought.values)
        return self.view_of(ctx, self._members.open(ctx.principal.id, message.run, place, content, approved))

    @handles(m.BeginIntersection)
    def begin(self, ctx: Context, message: m.BeginIntersection) -> Empty:
        return self.begin_member(ctx, message.session_id, message.statements)

    @handles(m.AdvanceIntersection)
    def advance(self, ctx: Context, message: m.AdvanceIntersection) -> CarriedFrames:
        return self.advance_member(ctx, message.session_id)

    @handles(m.FinishIntersection)
    def finish(self, ctx: Context, message: m.FinishIntersection) -> m.FinishedIntersection:
        with self.finished(ctx, message.session_id) as member:
            approved = member.approved
            assert approved is not None
            try:
                rows = b""
                if approved.terms.keeps_rows:
                    rows = bytes(member.channel.ask(p.TakeRows(member.id), p.Bytes)[1])
            finally:
                self._members.end(member)
            kept = self._runs.finish(approved, rows, member.run)
            ctx.note(*member.objects, *([kept] if kept else []))
            for grant in approved.grants:
                ctx.note(grant=grant)
        return m.FinishedIntersection(frames=packed_frames(member.results), object_id=kept)

    @handles(m.EndIntersection)
    def end(self, ctx: Context, message: m.EndIntersection) -> Empty:
        return self.end_member(ctx, message.session_id)
