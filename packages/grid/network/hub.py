"""The side that is asked: a Network by its Domains, a Domain by its Workers."""

from __future__ import annotations

import logging
import threading

from grid.config.settings import HubSettings
from grid.kinds import title_of
from grid.network.associations import AssociationService
from grid.network.handshake import Handshake, HandshakeBook, Transcript, check_address_proof, new_challenge
from grid.node import Context, Node, Service, handles
from syft_ext.errors import BadRequest, Forbidden, GridError, TooManyRequests
from syft_ext.messages.network import (
    AcceptAssociation,
    AssociationView,
    ChallengeReply,
    ConfirmAssociation,
    DenyAssociation,
    Heartbeat,
    HeartbeatReply,
    NotifyAssociation,
    ProofReply,
    ProveAddress,
    ReceiveAssociation,
    StandingReply,
)
from syft_ext.transport.address import NodeAddress

__all__ = ["HubService"]

logger = logging.getLogger(__name__)

CALL_BACK_TIMEOUT = 5.0
CALL_BACKS = 8


class HubService(Service):
    """Receives requests, checks keys and addresses, lets an admin decide, and hears heartbeats."""

    def __init__(self, node: Node, *, settings: HubSettings) -> None:
        super().__init__(node)
        self.settings = settings
        self.associations = node.service(AssociationService)
        self.book = HandshakeBook(node.clock)
        self._call_backs = threading.BoundedSemaphore(CALL_BACKS)

    # -- handshake ----------------------------------------------------------------------------------

    @handles(ReceiveAssociation)
    def receive(self, ctx: Context, message: ReceiveAssociation) -> ChallengeReply:
        if message.kind not in self.node.kind.accepts:
            raise BadRequest(f"a {self.node.kind} does not associate with a {message.kind}")
        if message.kind == self.node.kind.presents and not message.address:
            raise BadRequest(
                f"a {title_of(message.kind)} needs an address under which the {self.node.kind.title} reaches it"
            )
        if message.address:
            claimed = NodeAddress.parse(message.address)
            if not claimed.public:  # calling it would lead into this machine, not to the requester
                raise BadRequest(
                    f"{claimed.scheme}:// says nothing to other machines; name an address that does"
                )
        transcript = Transcript(
            requester_key=ctx.principal.verify_key,
            hub_key=self.node.identity.verify_key,
            kind=message.kind,
            name=message.name,
            address=message.address,
            requester_challenge=message.challenge,
            hub_challenge=new_challenge(),
        )
        handshake = self.book.begin(transcript, message.note)
        return ChallengeReply(
            handshake_id=handshake.id,
            challenge=transcript.hub_challenge,
            proof=transcript.prove(self.node.identity, "hub"),
        )

    @handles(ConfirmAssociation)
    def confirm(self, ctx: Context, message: ConfirmAssociation) -> StandingReply:
        handshake = self.book.take(message.handshake_id, ctx.principal.verify_key)
        handshake.transcript.check("requester", message.proof)
        if handshake.transcript.address:
            self._call_back(handshake)
        row = self.associations.registry.receive(
            handshake.transcript,
            handshake.note,
            accept=self.settings.auto_accept,
            max_pending=self.settings.max_pending,
        )
        logger.info("%s %s (%s) asks to associate: %s", row.kind, row.name, row.node_id, row.status)
        return StandingReply(status=row.status, reason=row.reason)  # type: ignore[arg-type]

    def _call_back(self, handshake: Handshake) -> None:
        """Make the claimed address prove that the requester's key is there."""
        transcript, challenge = handshake.transcript, new_challenge()
        if not self._call_backs.acquire(timeout=CALL_BACK_TIMEOUT):
            raise TooManyRequests("too many nodes ask at once; try again")
        try:
            connection = self.associations.peer_connections.connect(
                transcript.address, transcript.requester_key
            )
            reply: ProofReply = connection.call(
                ProveAddress(handshake_challenge=transcript.requester_challenge, challenge=challenge),
                timeout=CALL_BACK_TIMEOUT,
            )
            check_address_proof(transcript, challenge, reply.proof)
        except GridError as error:
            raise Forbidden(
                f"{transcript.address} did not prove that it is yours: {error.detail}", reason=error.code
            ) from error
        finally:
            self._call_backs.release()

    # -- an admin decides ---------------------------------------------------------------------------

    @handles(AcceptAssociation)
    def accept(self, ctx: Context, message: AcceptAssociation) -> AssociationView:
        row = self.associations.registry.decide(message.association_id, "accepted", ctx.principal.name)
        self.associations.tell(row, NotifyAssociation(status="accepted"))
        return self.associations.view(row)

    @handles(DenyAssociation)
    def deny(self, ctx: Context, message: DenyAssociation) -> AssociationView:
        row = self.associations.registry.decide(
            message.association_id, "denied", ctx.principal.name, message.reason
        )
        self.associations.tell(row, NotifyAssociation(status="denied", reason=message.reason))
        return self.associations.view(row)

    # -- monitoring ---------------------------------------------------------------------------------

    @handles(Heartbeat)
    def heartbeat(self, ctx: Context, message: Heartbeat) -> HeartbeatReply:
        self.associations.registry.heartbeat(
            ctx.principal.verify_key,
            name=message.name,
            reported=message.status,
            version=message.version,
            load=message.load,
            counts=message.counts,
        )
        return HeartbeatReply(interval=self.settings.heartbeat_interval)
