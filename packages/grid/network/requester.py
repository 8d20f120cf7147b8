"""The side that asks: a Domain asks a Network, a Worker asks a Domain; then it sends heartbeats."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable, Sequence

from grid.network.associations import AssociationService
from grid.network.handshake import HandshakeBook, Transcript, address_proof, new_challenge
from grid.network.line_keeping import LineKeeper
from grid.network.load import machine_load
from grid.network.tables import Association
from grid.node import Context, Node, Service, ServiceNode, handles
from syft_ext._version import __version__
from syft_ext.errors import BadRequest, BadSignature, Forbidden, GridError, Unauthenticated, Unavailable
from syft_ext.messages.network import (
    LINE,
    AssociationView,
    ChallengeReply,
    ConfirmAssociation,
    Heartbeat,
    HeartbeatReply,
    ProofReply,
    ProveAddress,
    ReceiveAssociation,
    RequestAssociation,
    StandingReply,
)
from syft_ext.transport import Connection
from syft_ext.transport.address import NodeAddress

__all__ = ["RequesterService"]

logger = logging.getLogger(__name__)

_CHANCE = random.SystemRandom()

HANDSHAKE_TIMEOUT = 30.0
HEARTBEAT_TIMEOUT = 10.0


class RequesterService(Service):
    """Asks hubs to associate and keeps the associations alive.

    Args:
        interval: seconds between heartbeats, until a hub asks for another pace.
        counts: how many of what this node has, for the hub's users; asked at each heartbeat.
        address: where others reach this node; asked each time, it is known once the node listens.
        lines: whether nobody can connect to it, and it keeps lines to its hubs instead, by its
            :class:`~grid.network.line_keeping.LineKeeper`, which is made before.
    """

    def __init__(
        self,
        node: Node,
        *,
        interval: float,
        counts: Callable[[ServiceNode], dict[str, int]] = lambda node: {},
        address: Callable[[ServiceNode], str] = lambda node: node.address,
        lines: bool = False,
    ) -> None:
        super().__init__(node)
        self.associations = node.service(AssociationService)
        self.book = HandshakeBook(node.clock)
        self._interval = interval
        self._counts = counts
        self._own_address = (lambda node: LINE) if lines else address
        self._lines = node.service(LineKeeper) if lines else None
        self._silent: set[str] = set()
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._beat_until_stopped, name="heartbeat", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._stopping.set()
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5)

    # -- asking -------------------------------------------------------------------------------------

    @handles(RequestAssociation)
    def request(self, ctx: Context, message: RequestAssociation) -> AssociationView:
        address = str(NodeAddress.parse(message.address))
        return self.associations.view(self.ask(address, message.verify_key, message.note))

    def ask(self, address: str, verify_key: str = "", note: str = "") -> Association:
        """The whole handshake with the hub at ``address``; the association, pending or accepted.

        Raises :class:`BadRequest` when no such hub is there, :class:`BadSignature` when it has another key.
        """
        connection = self.associations.peer_connections.connect(address)
        hub = connection.metadata()
        if verify_key and hub.verify_key != verify_key:
            raise BadSignature(f"the node at {address} has not the key that you named")
        asks = self.node.kind.asks
        if not asks or hub.kind != asks:
            with_whom = f"a {asks}" if asks else "nobody"
            raise BadRequest(f"{address} is a {hub.kind}; a {self.node.kind} associates with {with_whom}")
        own_address = self._own_address(self.node)
        held = self._lines.held(hub.verify_key) if self._lines is not None else contextlib.nullcontext()
        with held:
            standing = self._introduce(connection, hub.verify_key, own_address, note)
            row = self.associations.registry.requested(
                hub.verify_key,
                kind=hub.kind,
                name=hub.name,
                address=address,
                own_address=own_address,
                note=note,
            )
        if standing.status in ("accepted", "denied"):
            self.associations.registry.settle(hub.verify_key, "outgoing", standing.status, standing.reason)
        self._wake.set()
        return self.associations.registry.get(row.id)

    def _introduce(self, connection: Connection, hub_key: str, address: str, note: str) -> StandingReply:
        """The handshake with a claimed address; who need not be reached there joins without one."""
        # The hub's challenge is not known yet; what the call back needs stands in the book before it can come.
        transcript = Transcript(
            requester_key=self.node.identity.verify_key,
            hub_key=hub_key,
            kind=self.node.kind.name,
            name=self.node.name,
            address=address,
            requester_challenge=new_challenge(),
            hub_challenge=b"",
        )
        handshake = self.book.begin(transcript)
        try:
            return self._shake_hands(connection, transcript, note)
        except Forbidden as error:
            if self.node.kind.needs_address or not address or "reason" not in error.extra:
                raise
            logger.info("%s; joining without an address", error.detail)
        finally:
            self.book.end(handshake)
        return self._introduce(connection, hub_key, "", note)

    def _shake_hands(self, connection: Connection, transcript: Transcript, note: str) -> StandingReply:
        challenged: ChallengeReply = connection.call(
            ReceiveAssociation(
                kind=transcript.kind,
                name=transcript.name,
                address=transcript.address,
                challenge=transcript.requester_challenge,
                note=note,
            ),
            timeout=HANDSHAKE_TIMEOUT,
        )
        if self._lines is not None and transcript.address == LINE:
            self._lines.open(transcript.hub_key, connection.address, HANDSHAKE_TIMEOUT)
        values = {name: getattr(transcript, name) for name in transcript.__slots__}
        whole = Transcript(**values | {"hub_challenge": challenged.challenge})
        whole.check("hub", challenged.proof)
        standing: StandingReply = connection.call(
            ConfirmAssociation(
                handshake_id=challenged.handshake_id, proof=whole.prove(self.node.identity, "requester")
            ),
            timeout=HANDSHAKE_TIMEOUT,
        )
        return standing

    @handles(ProveAddress)
    def prove(self, ctx: Context, message: ProveAddress) -> ProofReply:
        handshake = self.book.find(message.handshake_challenge)
        if ctx.principal.verify_key != handshake.transcript.hub_key:
            raise Forbidden("only the node that we asked may call back")
        return ProofReply(proof=address_proof(self.node.identity, handshake.transcript, message.challenge))

    # -- heartbeats ---------------------------------------------------------------------------------

    def _beat_until_stopped(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            interval = self._interval
            try:
                rows = self.associations.registry.list(Association.direction == "outgoing")
            except Exception:
                logger.exception("the heartbeat could not read the associations")
                rows = None
            if rows is not None and self._lines is not None:
                self._keep_lines(self._lines, rows)
            for row in rows or ():
                if row.status not in ("accepted", "pending") or self._stopping.is_set():
                    continue
                try:
                    asked = self._beat(row)
                    interval = min(interval, asked) if asked else interval
                    if row.id in self._silent:
                        self._silent.remove(row.id)
                        logger.info("%s %s answers again", row.kind, row.name)
                except GridError as error:
                    if row.id not in self._silent:  # said once, not at every heartbeat
                        self._silent.add(row.id)
                        logger.warning("%s %s does not answer: %s", row.kind, row.name, error)
                except Exception:
                    logger.exception("heartbeat to %s %s failed", row.kind, row.name)
            # A tenth of jitter, so that a thousand nodes that started together drift apart.
            self._wake.wait(interval * _CHANCE.uniform(0.9, 1.1))

    def _keep_lines(self, lines: LineKeeper, rows: Sequence[Association]) -> None:
        needed = [row for row in rows if row.own_address == LINE and row.status in ("accepted", "pending")]
        with contextlib.suppress(Unavailable):  # the node is stopping
            lines.keep({row.verify_key: row.address for row in needed})

    def _beat(self, row: Association) -> float | None:
        """One heartbeat, or the question what became of a request; the interval that the hub asks for."""
        own_address = self._own_address(self.node)
        if row.own_address != own_address:
            # We moved (another port, say): the hub believes only a proven address.
            self.ask(row.address, row.verify_key)
            return None
        if row.status == "pending":
            self.associations.ask_standing(row)
            return None
        load = machine_load()
        busy = load.get("cpu", 0.0) >= 0.95
        try:
            reply: HeartbeatReply = self.associations.peer_connections.connect(
                row.address, row.verify_key
            ).call(
                Heartbeat(
                    status="busy" if busy else "online",
                    name=self.node.name,
                    version=__version__,
                    load=load,
                    counts=self._counts(self.node),
                ),
                timeout=HEARTBEAT_TIMEOUT,
            )
        except (Unauthenticated, Forbidden) as error:
            if error.code not in ("unauthenticated", "forbidden"):
                raise
            self.associations.ask_standing(row)  # it may have ended the association while we were away
            return None
        self.associations.registry.reached(row.id)
        return reply.interval
