"""The side that is asked: a Network by its Domains, a Domain by its Workers."""

from __future__ import annotations

import logging
import queue
import threading
import time

from grid.config.settings import HubSettings
from grid.kinds import title_of
from grid.network.associations import AssociationService
from grid.network.handshake import Handshake, HandshakeBook, Transcript, check_address_proof, new_challenge
from grid.node import Context, Node, Service, handles
from grid.node.networks import network_of
from syft_ext.errors import BadRequest, Forbidden, GridError, TooManyRequests
from syft_ext.messages.network import (
    LINE,
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
from syft_ext.transport import Connection, Transport
from syft_ext.transport.address import NodeAddress

__all__ = ["HubService"]

logger = logging.getLogger(__name__)

CALL_BACK_TIMEOUT = 5.0
CALL_BACKS = 8


class _CallBack:
    """A call that its beginner may end while another thread makes it."""

    def __init__(self) -> None:
        self._transport: Transport | None = None
        self._ended = False

    def begin(self, transport: Transport) -> Transport:
        self._transport = transport
        if self._ended:
            self.end()
        return transport

    def end(self) -> None:
        self._ended = True
        if self._transport is not None:
            self._transport.abort()


class HubService(Service):
    """Receives requests, checks keys and addresses, lets an admin decide, and hears heartbeats."""

    #: Seconds that a call back may take; one that failed is answered after just so long, whatever was there.
    call_back_timeout = CALL_BACK_TIMEOUT

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
        if message.address and message.address != LINE:
            if not message.address.isascii() or not message.address.isprintable():
                raise BadRequest("an address has printable ASCII characters only")
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
        handshake = self.book.begin(transcript, message.note, origin=network_of(ctx.remote))
        return ChallengeReply(
            handshake_id=handshake.id,
            challenge=transcript.hub_challenge,
            proof=transcript.prove(self.node.identity, "hub"),
        )

    @handles(ConfirmAssociation)
    def confirm(self, ctx: Context, message: ConfirmAssociation) -> StandingReply:
        handshake = self.book.take(message.handshake_id, ctx.principal.verify_key)
        handshake.transcript.check("requester", message.proof)
        if handshake.transcript.address == LINE:
            if self.associations.lines.line(handshake.transcript.requester_key) is None:
                raise Forbidden("you keep no line to this node", reason="no-line")
        elif handshake.transcript.address:
            self._call_back(handshake)
        row = self.associations.registry.receive(
            handshake.transcript,
            handshake.note,
            accept=self.settings.auto_accept,
            max_pending=self.settings.max_pending,
            origin=handshake.origin,
        )
        logger.info("%s %s (%s) asks to associate: %s", row.kind, row.name, row.node_id, row.status)
        return StandingReply(status=row.status, reason=row.reason)  # type: ignore[arg-type]

    def _call_back(self, handshake: Handshake) -> None:
        """Make the claimed address prove that the requester's key is there.

        A stranger names the address: what is there, or is not, is nothing that they may learn. Every failure has
        one text and comes at one time; the log has the cause.
        """
        if not self._call_backs.acquire(timeout=self.call_back_timeout):
            raise TooManyRequests("too many nodes ask at once; try again")
        ends = time.monotonic() + self.call_back_timeout
        proved: queue.SimpleQueue[bool] = queue.SimpleQueue()
        running = _CallBack()
        threading.Thread(target=self._ask_for_proof, args=(handshake, running, proved), daemon=True).start()
        try:
            if proved.get(timeout=self.call_back_timeout):
                return
        except queue.Empty:
            logger.info("%s was called back and did not answer in time", handshake.transcript.address)
            running.end()
        time.sleep(max(0.0, ends - time.monotonic()))
        raise Forbidden(
            f"{handshake.transcript.address} did not prove that it is yours", reason="address-not-proved"
        )

    def _ask_for_proof(
        self, handshake: Handshake, running: _CallBack, proved: queue.SimpleQueue[bool]
    ) -> None:
        transcript, challenge = handshake.transcript, new_challenge()
        done = False
        try:
            # Its own transport: strangers take no place among those to peers.
            transport = running.begin(self.associations.opener(transcript.address))
            connection = Connection(
                transport, self.node.identity, node_key=transcript.requester_key, clock=self.node.clock
            )
            reply: ProofReply = connection.call(
                ProveAddress(handshake_challenge=transcript.requester_challenge, challenge=challenge),
                timeout=self.call_back_timeout,
            )
            check_address_proof(transcript, challenge, reply.proof)
            done = True
        except GridError as error:
            logger.info("%s did not prove whose it is: %s", transcript.address, error)
        except Exception:
            logger.exception("the call back at %s failed", transcript.address)
        finally:
            self._call_backs.release()
            proved.put(done)
            running.end()

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
        self.associations.drop_line(row)
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
