"""The operations on runs on shares: who joins, begins, carries frames."""

from __future__ import annotations

import hashlib

from blake3 import blake3

from grid.concurrency.offload import offload
from grid.config import DomainSettings
from grid.governance.plans.runs import Approved
from grid.governance.plans.shared import SharedPlanRuns
from grid.governance.requests.service import reviewer_loader
from grid.mpc.carrying import CarriedRuns
from grid.node import Context, Node, handles
from syft_ext.errors import BadRequest
from syft_ext.messages import Empty
from syft_ext.messages import shared_runs as m
from syft_ext.mpc.seals import packed_frames
from syft_ext.plans.graph.document import MAX_PLAN_BYTES, read_ops

__all__ = ["SharedRunService"]


class SharedRunService(CarriedRuns[Approved]):
    """Shares are never in this process, and torch is not either."""

    def __init__(self, node: Node, settings: DomainSettings) -> None:
        super().__init__(node, settings)
        secret = hashlib.sha256(b"grid noise of plans" + node.identity.private_pem()).digest()
        self._runs = SharedPlanRuns(node.db, node.blobs, node.clock, node.plan_processes, secret)

    @handles(m.JoinSharedRun)
    def join(self, ctx: Context, message: m.JoinSharedRun) -> m.MemberView:
        self._members.check_room(ctx.principal.id)  # what is refused here takes no use
        brought = self._runs.begin_shared(ctx, reviewer_loader(ctx), message.request_id)
        index = brought.terms.parties.index(self.node.identity.verify_key)
        place = (brought.terms, brought.agreement, index)
        content = (brought.plan, brought.values)
        member = self._members.open(ctx.principal.id, message.run, place, content, brought.approved)
        return self.view_of(ctx, member)

    @handles(m.DealSharedRun)
    def deal(self, ctx: Context, message: m.DealSharedRun) -> m.MemberView:
        message.terms.check()
        if message.terms.dealer != self.node.identity.verify_key:
            raise BadRequest("the terms name another node as the dealer", field="terms")
        data = ctx.body.read_all(min(MAX_PLAN_BYTES, self._settings.compute_payload))
        plan, values = bytes(data[: message.plan_size]), bytes(data[message.plan_size :])
        offload(read_ops, plan)
        plan_id = blake3(plan).hexdigest()
        agreement = message.terms.digest(plan_id, blake3(values).hexdigest() if values else "")
        ctx.note(plan=plan_id, agreement=agreement)
        place = (message.terms, agreement, len(message.terms.parties))
        member = self._members.open(ctx.principal.id, message.run, place, (plan, values), None)
        return self.view_of(ctx, member)

    @handles(m.BeginSharedRun)
    def begin(self, ctx: Context, message: m.BeginSharedRun) -> Empty:
        return self.begin_member(ctx, message.session_id, message.statements)

    @handles(m.AdvanceSharedRun)
    def advance(self, ctx: Context, message: m.AdvanceSharedRun) -> m.CarriedFrames:
        return self.advance_member(ctx, message.session_id)

    @handles(m.FinishSharedRun)
    def finish(self, ctx: Context, message: m.FinishSharedRun) -> m.CarriedFrames:
        with self.finished(ctx, message.session_id) as member:
            self._members.end(member)
            if member.approved is not None:
                self._runs.require_still(member.approved)  # before anything leaves
                ctx.note(*member.objects)
                for grant in member.approved.grants:
                    ctx.note(grant=grant)
        return m.CarriedFrames(frames=packed_frames(member.results), finished=True)

    @handles(m.EndSharedRun)
    def end(self, ctx: Context, message: m.EndSharedRun) -> Empty:
        return self.end_member(ctx, message.session_id)
