"""What every node offers about its associations, whichever side it is on: list, end, and who is a node of ours."""

from __future__ import annotations

import logging
import threading
from urllib.parse import urlsplit

from grid.network.lines import Lines
from grid.network.peer_connections import PeerConnections
from grid.network.registry import Peer, Registry
from grid.network.tables import Association
from grid.node import Context, Node, Principal, Service, handles
from grid.outgoing.dialer import GuardedOpener, Outgoing
from grid.outgoing.policy import OutgoingPolicy, is_loopback_host
from syft_ext.errors import GridError, NotFound
from syft_ext.messages import Empty, Message
from syft_ext.messages.network import (
    AssociationList,
    AssociationView,
    DeleteAssociation,
    GetAssociation,
    GetStanding,
    ListAssociations,
    NotifyAssociation,
    StandingReply,
)

__all__ = ["AssociationService", "online_status"]

logger = logging.getLogger(__name__)
NOTIFY_TIMEOUT = 5.0


def online_status(row: Association | Peer, now: float, offline_after: float) -> str:
    """online, busy or offline, by the last heartbeat; who was just accepted has time to send the first."""
    seen = row.last_seen if row.last_seen is not None else row.decided_at
    if seen is None or now - seen > offline_after:
        return "offline"
    return row.reported


class AssociationService(Service):
    """The associations of this node, in both directions.

    Args:
        offline_after: seconds without a heartbeat after which a peer counts as offline.
        outgoing: makes transports and pipes to addresses that another node named: what it may connect to is
            decided there. None: what is reached from everywhere, and loopback for a node that is known by it.

    Attributes:
        lines: those that nodes without an address keep to this one.
    """

    def __init__(
        self,
        node: Node,
        *,
        offline_after: float,
        outgoing: Outgoing | None = None,
    ) -> None:
        super().__init__(node)
        outgoing = outgoing or GuardedOpener(OutgoingPolicy(loopback=self._on_loopback))
        self.opener, self.open_pipe = outgoing.transport, outgoing.pipe
        self.lines = Lines()
        self.offline_after = offline_after
        self.registry = Registry(node.db, node.clock)
        self.peer_connections = PeerConnections(node.identity, node.clock, self.opener, self.lines)

    def _on_loopback(self) -> bool:
        return is_loopback_host(urlsplit(self.node.address).hostname or "")

    def stop(self) -> None:
        self.peer_connections.close()

    # -- identity -----------------------------------------------------------------------------------

    def principal_of_key(self, verify_key: str) -> Principal | None:
        """An associated node is known by its key. Asked of the database each time: an end acts at once."""
        row = self.registry.associated(verify_key)
        if row is None:
            return None
        claims = {"node_kind": row.kind, "direction": row.direction}
        return Principal("node", row.node_id, verify_key, row.name, claims=claims)

    # -- operations ---------------------------------------------------------------------------------

    @handles(ListAssociations)
    def list(self, ctx: Context, message: ListAssociations) -> AssociationList:
        conditions = [Association.status == message.status] if message.status else []
        return AssociationList(associations=[self.view(row) for row in self.registry.list(*conditions)])

    @handles(GetAssociation)
    def get(self, ctx: Context, message: GetAssociation) -> AssociationView:
        return self.view(self.registry.get(message.association_id))

    @handles(DeleteAssociation)
    def delete(self, ctx: Context, message: DeleteAssociation) -> Empty:
        row = self.registry.delete(message.association_id)
        self.drop_line(row)
        logger.info("association with %s %s ended by %s", row.kind, row.name, ctx.principal.name)
        self.tell(row, NotifyAssociation(status="revoked", reason=message.reason))
        return Empty()

    @handles(NotifyAssociation)
    def notify(self, ctx: Context, message: NotifyAssociation) -> Empty:
        row = self.registry.by_key(ctx.principal.verify_key)
        if row is None:
            raise NotFound("this node has no association with you")
        if self.registry.settle(row.verify_key, row.direction, message.status, message.reason):
            logger.info("%s %s: %s", row.kind, row.name, message.status)
        return Empty()

    @handles(GetStanding)
    def standing(self, ctx: Context, message: GetStanding) -> StandingReply:
        row = self.registry.by_key(ctx.principal.verify_key)
        return StandingReply(status="none") if row is None else _standing(row)

    # -- for the other services of this package -----------------------------------------------------

    def view(self, row: Association) -> AssociationView:
        """The association as it is shown; ``online`` says how it is now, by the last sign of life."""
        return AssociationView(
            association_id=row.id,
            direction=row.direction,  # type: ignore[arg-type]
            status=row.status,  # type: ignore[arg-type]
            node_id=row.node_id,
            verify_key=row.verify_key,
            kind=row.kind,
            name=row.name,
            address=row.address,
            created_at=row.created_at,
            decided_at=row.decided_at,
            decided_by=row.decided_by,
            last_seen=row.last_seen,
            online=online_status(row, self.node.clock.now(), self.offline_after),  # type: ignore[arg-type]
            note=row.note,
            reason=row.reason,
        )

    def drop_line(self, row: Association) -> None:
        """Close the line of a node that this one has no more to do with, once it was told so over it."""
        ended = threading.Timer(NOTIFY_TIMEOUT, self.lines.drop, (row.verify_key,))
        ended.daemon = True
        ended.start()

    def tell(self, row: Association, message: Message) -> None:
        """Send ``message`` to a peer in the background. It is a courtesy: a peer that is down asks later."""
        if row.address:
            threading.Thread(target=self._tell, args=(row, message), daemon=True).start()

    def _tell(self, row: Association, message: Message) -> None:
        try:
            self.peer_connections.connect(row.address, row.verify_key).call(message, timeout=NOTIFY_TIMEOUT)
        except GridError as error:
            logger.info("%s %s will learn of it later: %s", row.kind, row.name, error)

    def ask_standing(self, row: Association | Peer) -> None:
        """Ask the peer what we are to it, and take its answer over. Raises when it cannot be reached."""
        connection = self.peer_connections.connect(row.address, row.verify_key)
        reply: StandingReply = connection.call(GetStanding(), timeout=NOTIFY_TIMEOUT)
        status = "revoked" if reply.status == "none" else reply.status
        if status != "pending" and self.registry.settle(row.verify_key, row.direction, status, reply.reason):
            logger.info("%s %s: %s", row.kind, row.name, status)


def _standing(row: Association) -> StandingReply:
    return StandingReply(status=row.status, reason=row.reason)  # type: ignore[arg-type]
