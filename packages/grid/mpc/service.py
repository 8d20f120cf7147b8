"""The operations on runs on shares and of split networks: who joins, begins, carries frames."""

from __future__ import annotations

import hashlib

from blake3 import blake3

from grid.compute import protocol as p
from grid.concurrency.offload import offload
from grid.config import DomainSettings
from grid.governance.plans.runs import Approved
from grid.governance.plans.shared import SharedPlanRuns
from grid.governance.requests.service import reviewer_loader
from grid.mpc.carrying import CarriedRuns
from grid.mpc.members import MemberSession
from grid.node import Context, Node, handles
from syft_ext.errors import BadRequest
from syft_ext.messages import Empty
from syft_ext.messages import shared_runs as m
from syft_ext.messages.split_terms import SplitTerms
from syft_ext.mpc.seals import packed_frames
from syft_ext.plans.graph.document import MAX_PLAN_BYTES, read_ops

__all__ = ["SharedRunService"]


class SharedRunService(CarriedRuns[Approved]):
    """Shares and what crosses are never in this process, and torch is not either."""

    def __init__(self, node: Node, settings: DomainSettings) -> None:
        super().__init__(node, settings)
        secret = hashlib.sha256(b"grid noise of plans" + node.identity.private_pem()).digest()
        self._runs = SharedPlanRuns(node.db, node.blobs, node.clock, node.plan_processes, secret)

    @handles(m.JoinSharedRun)
    def join(self, ctx: Context, message: m.JoinSharedRun) -> m.MemberView:
        self._members.check_room(ctx.principal.id)  # what is refused here takes no use
        key = self.node.identity.verify_key
        brought = self._runs.begin_shared(ctx, reviewer_loader(ctx), message.request_id, key)
        place = (brought.terms, brought.agreement, brought.index)
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
    def finish(self, ctx: Context, message: m.FinishSharedRun) -> m.FinishedMember:
        kept = ""
        with self.finished(ctx, message.session_id) as member:
            try:
                split = isinstance(member.terms, SplitTerms)
                left = bytes(member.channel.ask(p.TakeRows(member.id), p.Bytes)[1]) if split else b""
            finally:
                self._members.end(member)
            if member.approved is not None:  # before anything leaves
                if split:
                    kept = self._runs.keep(member.approved, member.index, left)
                else:
                    self._runs.require_still(member.approved)
                ctx.note(*member.objects, *([kept] if kept else []))
                for grant in member.approved.grants:
                    ctx.note(grant=grant)
        return m.FinishedMember(frames=packed_frames(member.results), finished=True, object_id=kept)

    def check_turn(self, member: MemberSession[Approved]) -> None:
        if isinstance(member.terms, SplitTerms) and member.approved is not None:
            self._runs.require_running(member.approved)  # each turn tells the other party something

    @handles(m.EndSharedRun)
    def end(self, ctx: Context, message: m.EndSharedRun) -> Empty:
        return self.end_member(ctx, message.session_id)
