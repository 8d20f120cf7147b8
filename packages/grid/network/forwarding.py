"""Messages for a Domain, carried there through the Network: unopened, streaming both ways.

The Network sees who sends how much to whom, and nothing else is its business: what is inside was signed by
the sender for the Domain, and the answer is signed by the Domain for the sender. One Domain, one hop: a
message goes to the address that the Domain with that id proved to be its own, or nowhere; a message that
comes back (an address that leads to this Network again) is refused by its nonce.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator

from grid.config import NetworkSettings
from grid.network.associations import AssociationService, online_status
from grid.network.tables import Association
from grid.node import Node, Service
from grid.node.replay import ReplayGuard
from syft_ext.errors import BadSignature, TooLarge, Unavailable
from syft_ext.messages.envelope import Envelope, frame_head
from syft_ext.transport import PayloadReader
from syft_ext.transport.base import IncomingFrame

__all__ = ["ForwardingService"]

logger = logging.getLogger(__name__)
Pieces = Iterable[bytes | bytearray | memoryview]


class ForwardingService(Service):
    """Carries messages to associated Domains that are online."""

    def __init__(self, node: Node, *, settings: NetworkSettings) -> None:
        super().__init__(node)
        self.settings = settings
        self.associations = node.service(AssociationService)
        self._seen = ReplayGuard(node.clock)

    def forward(self, envelope: Envelope, payload: PayloadReader) -> Pieces | None:
        domain = self._domain(envelope.recipient)
        if domain is None:
            return None
        self._seen.admit(envelope)
        if envelope.payload_size > self.settings.forward_limit:
            raise TooLarge("the payload is too large to be carried", limit=self.settings.forward_limit)
        if online_status(domain, self.node.clock.now(), self.associations.offline_after) == "offline":
            raise Unavailable(f"the Domain {domain.name} is offline")
        transport = self.associations.peer_connections.transport(domain.address)
        answer = transport.exchange(envelope, payload, timeout=self.settings.forward_timeout)
        self._check(domain, answer)
        return _frame(answer)

    def _domain(self, node_id: str) -> Association | None:
        rows = self.associations.registry.list(
            Association.node_id == node_id,
            Association.direction == "incoming",
            Association.status == "accepted",
            Association.kind == self.node.kind.presents,
        )
        return rows[0] if rows else None

    def _check(self, domain: Association, answer: IncomingFrame) -> None:
        answer.envelope.verify()
        if answer.envelope.sender != domain.verify_key:
            raise BadSignature(f"the address of the Domain {domain.name} was answered by another node")
        if answer.envelope.payload_size > self.settings.forward_limit:
            raise TooLarge("the answer is too large to be carried", limit=self.settings.forward_limit)


def _frame(answer: IncomingFrame) -> Iterator[bytes | bytearray | memoryview]:
    yield frame_head(answer.envelope)
    yield from answer.payload
