"""Offers of peers, as a node takes them, and the servers that it tells them."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence

from grid.config import PeerSettings
from grid.network.associations import AssociationService
from grid.node import Context, Node, Service, handles
from grid.outgoing.policy import OutgoingPolicy
from grid.peers.borrowed import BorrowedServers
from grid.peers.gateways import Gateways, IceServersNow, NoGateways
from grid.peers.ice_servers import OwnServers
from grid.peers.signals import SignalLimits
from syft_ext.errors import Conflict, NotFound, Unavailable
from syft_ext.identity import node_id_of
from syft_ext.messages.peers import (
    GetIceServers,
    IceCandidates,
    IceServer,
    IceServers,
    OfferPeer,
    PeerAnswer,
    SendCandidates,
)

__all__ = ["OfferService", "TurnService"]

REMEMBERED = 65_536
"""Sessions whose offers are known again. Who repeats one needs its key: others are refused as replaying."""


def _none(node: Node, servers: IceServersNow) -> Gateways:
    return NoGateways()


class TurnService(Service):
    """Tells which servers peers find each other by."""

    def __init__(self, node: Node, *, settings: PeerSettings) -> None:
        super().__init__(node)
        self.limits = SignalLimits(settings)
        self.own = OwnServers(settings, node.clock)
        self.borrowed = BorrowedServers(
            node.service(AssociationService), node.clock, OutgoingPolicy.of(settings)
        )

    @handles(GetIceServers)
    def servers(self, ctx: Context, message: GetIceServers) -> IceServers:
        self.limits.admit(ctx)
        return self._servers(node_id_of(ctx.principal.verify_key))

    def now(self) -> Sequence[IceServer]:
        """The servers for this node's own sessions (:data:`~grid.peers.gateways.IceServersNow`)."""
        return self._servers(self.node.id).servers

    def _servers(self, name: str) -> IceServers:
        return self.own.credentials(name) if self.own else self.borrowed.now()


class OfferService(Service):
    """Takes offers: each session once, and no more than the limits let through.

    Args:
        gateways: makes what ends the sessions; by default none are taken.
    """

    def __init__(self, node: Node, *, gateways: Callable[[Node, IceServersNow], Gateways] = _none) -> None:
        super().__init__(node)
        turn = node.service(TurnService)
        self.limits = turn.limits
        self.gateways = gateways(node, turn.now)
        self._used: OrderedDict[tuple[str, str], bytes] = OrderedDict()  # digest of the offer
        self._answering: dict[tuple[str, str], threading.Event] = {}
        self._lock = threading.Lock()

    @handles(OfferPeer)
    def offer(self, ctx: Context, message: OfferPeer) -> PeerAnswer:
        self.limits.admit(ctx)
        name = (ctx.principal.verify_key, message.session)
        with self.limits.waiting(ctx):
            first, answered = self._claim(name, hashlib.sha256(message.sdp.encode()).digest())
            if not first:
                return self._again(message, name, answered)
            try:
                sdp = self.gateways.offer(
                    message.session, message.sdp, name[0], message.wait, origin=ctx.remote
                )
            finally:
                with self._lock:
                    self._answering.pop(name).set()
        return PeerAnswer(session=message.session, sdp=sdp)

    def _claim(self, name: tuple[str, str], digest: bytes) -> tuple[bool, threading.Event | None]:
        """Whether this offer is the first of its session, and what is set when another one was answered."""
        with self._lock:
            before = self._used.get(name)
            if before is None:
                self._used[name] = digest
                self._answering[name] = threading.Event()
                while len(self._used) > REMEMBERED:
                    self._used.popitem(last=False)
                return True, None
            if before != digest:
                raise Conflict("this session has another offer; one session has one")
            return False, self._answering.get(name)

    def _again(
        self, message: OfferPeer, name: tuple[str, str], answered: threading.Event | None
    ) -> PeerAnswer:
        if answered is not None and not answered.wait(message.wait):
            raise Unavailable("the offer is not answered yet; try again")
        sdp = self.gateways.answer(message.session, name[0])
        if sdp is None:
            raise Conflict("this session is over; make another one")
        return PeerAnswer(session=message.session, sdp=sdp)

    @handles(SendCandidates)
    def candidates(self, ctx: Context, message: SendCandidates) -> IceCandidates:
        key = ctx.principal.verify_key
        if self.gateways.answer(message.session, key) is None:
            raise NotFound("no session of yours of that name is open")
        found = self.gateways.candidates(message.session, key, message.candidates, done=message.done)
        return IceCandidates(candidates=list(found.candidates), done=found.done)
