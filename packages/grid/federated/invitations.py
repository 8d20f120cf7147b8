"""At the Domain: invitations to trainings, and what somebody who comes with one, or without, is told."""

from __future__ import annotations

from sqlalchemy import select

from grid.access.policy import current_policy
from grid.accounts.tables import User
from grid.accounts.throttle import Subject, Throttle
from grid.federated.consent.invitations import Invitations
from grid.federated.cycles.policy import demands
from grid.federated.intake.registry import format_of
from grid.federated.service import FederatedService
from grid.node import Context, Node, Principal, Service, handles
from syft_ext.errors import NotFound
from syft_ext.messages import Empty
from syft_ext.messages import invitations as m

__all__ = ["InvitationService"]


class InvitationService(Service):
    """Answers about invitations; what a Domain needs beside :class:`FederatedService` to have guests."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self._federated = node.service(FederatedService)
        self._throttle = Throttle(node.db, node.clock)
        self._invitations = Invitations(node.db, node.clock, self._federated.readers)

    @handles(m.Invite)
    def create(self, ctx: Context, message: m.Invite) -> m.Invited:
        invited = self._invitations.invite(ctx.principal, message)
        invited.address = self.node.address
        ctx.note(invitation=invited.invitation.id, uses=message.uses, accepted=message.accepted)
        return invited

    @handles(m.ListInvitations)
    def list(self, ctx: Context, message: m.ListInvitations) -> m.InvitationList:
        return self._invitations.list(ctx.principal, message.process_id)

    @handles(m.RevokeInvitation)
    def revoke(self, ctx: Context, message: m.RevokeInvitation) -> Empty:
        ctx.note(invitation=message.invitation_id, guests=message.guests)
        ctx.note(
            training=self._invitations.revoke(ctx.principal, message.invitation_id, guests=message.guests)
        )
        return Empty()

    @handles(m.DecideGuest)
    def decide(self, ctx: Context, message: m.DecideGuest) -> m.GuestView:
        ctx.note(guest=message.guest_id, accept=message.accept)
        guest = self._invitations.decide(ctx.principal, message.guest_id, accept=message.accept)
        ctx.note(training=guest.process_id, key=guest.verify_key)
        return guest

    @handles(m.RedeemInvitation)
    def redeem(self, ctx: Context, message: m.RedeemInvitation) -> m.Attendance:
        subjects = [Subject.invitation(ctx.remote), Subject.teller(ctx.remote, "invitation")]
        self._throttle.admit(*subjects)
        process_id = self._invitations.redeem(ctx.principal.verify_key, message)
        self._throttle.succeeded(*subjects)
        ctx.note(training=process_id)
        return self._attendance(ctx.principal, process_id)

    @handles(m.GetAttendance)
    def attendance(self, ctx: Context, message: m.GetAttendance) -> m.Attendance:
        return self._attendance(ctx.principal, message.process_id)

    def _attendance(self, principal: Principal, process_id: str) -> m.Attendance:
        federated = self._federated
        member = bool(federated.participants.identity_of(principal))
        guest = "" if member else federated.participants.guest_of(principal, process_id)[1]
        with self.node.db.read() as session:
            policy = demands(current_policy(session))
        status = "member" if member else guest or ("open" if policy.participation == "open" else "none")
        reply = m.Attendance(process_id=process_id, status=status)  # type: ignore[arg-type]
        if status in ("none", "refused"):
            return reply
        try:
            definition = federated.pipeline.definitions.get(process_id)
            layout = federated.pipeline.definitions.layout(process_id)
        except NotFound:  # there is none, or nobody has uploaded its model
            return reply
        with self.node.db.read() as session:
            host = session.scalar(select(User.email).where(User.id == definition.owner)) or ""
        reply.training = federated.pipeline.views.process(process_id).status
        reply.name, reply.version, reply.policy = definition.name, definition.version, policy
        reply.host = host if status != "open" else ""
        reply.report_format = definition.server.report_format
        reply.statement = format_of(definition.server).statement(layout, definition.server)
        return reply
