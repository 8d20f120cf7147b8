"""Carrying what callers and Domains say to each other, which this Network cannot read, and lines of those Domains
that nobody can connect to.

A caller opens a WebSocket for a Domain, which is asked, at its address or over its line, to open another one to
here, and told where the caller is: so it counts callers, each by itself. Then messages go from one to the other;
one is held at a time, so that a slow reader slows the writer down. What is inside is sealed to the Domain's key
(:mod:`syft_ext.transport.relayed.sealed`), and whoever speaks there is checked by the Domain as ever.
"""

from __future__ import annotations

import contextlib
import logging
import queue
import secrets
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial

from grid.config import NetworkSettings
from grid.network.associations import AssociationService, online_status
from grid.network.hub import HubService
from grid.network.lines import Lines
from grid.network.tables import Association
from grid.node import Node, Service
from grid.node.networks import network_of
from grid.node.pipes import ExpectedPipe, PipeRoute
from syft_ext.errors import Forbidden, GridError, Unavailable
from syft_ext.messages.network import LINE, OpenTunnel
from syft_ext.transport.multiplexed import SegmentedFrames
from syft_ext.transport.pipe import CloseCode, MessagePipe
from syft_ext.transport.relayed import line, relay, tunnel
from syft_ext.transport.relayed.sealed import MAX_SEALED

__all__ = ["LineService", "RelayService"]

logger = logging.getLogger(__name__)

OPENING = 10.0
"""Seconds in which a Domain that is asked for a tunnel has opened it."""
UNKNOWN_LINES = 64
"""Lines of nodes that ask to associate, and are not accepted yet."""


class LineService(Service):
    """Takes the lines that nodes keep, if this one knows them or they are about to ask."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.associations = node.service(AssociationService)
        self.hub = node.service(HubService)

    def pipes(self) -> Sequence[PipeRoute]:
        return [PipeRoute(line.PATH, line.MAX_MESSAGE, self._take)]

    def _take(self, pipe: ExpectedPipe, remote: str, values: Mapping[str, str]) -> None:
        lines = self.associations.lines
        frames = SegmentedFrames(pipe, "the node at the other end of the line")
        take = partial(self._take_line, lines, frames, pipe)
        key = line.greet_node(pipe, self.node.identity, self._admit, take)
        try:
            frames.run()
        finally:
            lines.remove(key, frames)

    def _take_line(
        self, lines: Lines, frames: SegmentedFrames, pipe: ExpectedPipe, key: str, welcome: Callable[[], None]
    ) -> None:
        if self.associations.registry.associated(key) is not None:
            pipe.expected()
        lines.add(key, frames, welcome)

    def _admit(self, verify_key: str) -> None:
        row = self.associations.registry.by_key(verify_key, direction="incoming")
        if row is not None and row.status == "accepted":
            return
        waiting = row is not None and row.status == "pending"
        if not waiting and not self.hub.book.is_open(verify_key):
            raise Forbidden("this node has not asked to associate")
        if len(self.associations.lines) >= self.settings_limit():
            raise Unavailable("too many nodes that are not accepted keep lines")

    def settings_limit(self) -> int:
        """Lines at which those of nodes that wait to be accepted are refused."""
        accepted = self.associations.registry.accepted("incoming")
        return UNKNOWN_LINES + sum(row.address == LINE for row in accepted)


@dataclass(slots=True)
class _Tunnel:
    """One that a Domain was asked to open."""

    node_id: str
    opened: queue.SimpleQueue[MessagePipe] = field(default_factory=queue.SimpleQueue)
    done: threading.Event = field(default_factory=threading.Event)


class RelayService(Service):
    """Carries sealed pipes between callers and Domains."""

    def __init__(self, node: Node, *, settings: NetworkSettings) -> None:
        super().__init__(node)
        self.settings = settings
        self.associations = node.service(AssociationService)
        self._tunnels: dict[str, _Tunnel] = {}
        self._carried: Counter[str] = Counter()  # connections by the Domain, and by the caller's network
        self._lock = threading.Lock()

    def pipes(self) -> Sequence[PipeRoute]:
        return [
            PipeRoute(f"{relay.PATH}/<node_id>", MAX_SEALED, self._relay),
            PipeRoute(f"{tunnel.PATH}/<name>", MAX_SEALED, self._opened),
        ]

    # -- a caller comes -----------------------------------------------------------------------------

    def _relay(self, pipe: ExpectedPipe, remote: str, values: Mapping[str, str]) -> None:
        try:
            domain = self._domain(values["node_id"])
            with self._counted(domain, network_of(remote)), self._far_end(domain, remote) as far:
                splice(pipe, far)
        except GridError as error:
            logger.info("a caller was not carried: %s", error)
            pipe.close(CloseCode.TRY_AGAIN_LATER, error.detail[:100])

    def _domain(self, node_id: str) -> Association:
        rows = self.associations.registry.list(
            Association.node_id == node_id,
            Association.direction == "incoming",
            Association.status == "accepted",
            Association.kind == self.node.kind.presents,
        )
        if not rows:
            raise Unavailable("this Network knows no such Domain")
        if online_status(rows[0], self.node.clock.now(), self.associations.offline_after) == "offline":
            raise Unavailable(f"the Domain {rows[0].name} is offline")
        return rows[0]

    @contextlib.contextmanager
    def _counted(self, domain: Association, network: str) -> Iterator[None]:
        limits = {domain.node_id: self.settings.relayed, f"from {network}": self.settings.relayed_per_address}
        with self._lock:
            if any(self._carried[name] >= most for name, most in limits.items()):
                raise Unavailable("too many connections are carried there now; try again")
            self._carried.update(limits.keys())
        try:
            yield
        finally:
            with self._lock:
                self._carried.subtract(limits.keys())
                self._carried += Counter()  # without those that have none

    @contextlib.contextmanager
    def _far_end(self, domain: Association, remote: str) -> Iterator[MessagePipe]:
        name, asked = secrets.token_hex(32), _Tunnel(domain.node_id)
        self._tunnels[name] = asked
        try:
            connection = self.associations.peer_connections.connect(domain.address, domain.verify_key)
            connection.call(OpenTunnel(name=name, remote=network_of(remote)), timeout=OPENING)
            yield asked.opened.get(timeout=OPENING)
        except (GridError, queue.Empty) as error:
            logger.info("the Domain %s opened no tunnel: %s", domain.name, error)
            raise Unavailable(f"the Domain {domain.name} cannot be reached") from error
        finally:
            self._tunnels.pop(name, None)
            asked.done.set()

    # -- a Domain comes -----------------------------------------------------------------------------

    def _opened(self, pipe: ExpectedPipe, remote: str, values: Mapping[str, str]) -> None:
        asked = self._tunnels.pop(values["name"], None)
        if asked is None:
            pipe.close(CloseCode.TRY_AGAIN_LATER, "nobody waits for this tunnel any more")
            return
        pipe.expected()  # all tunnels of a Domain come from its address
        asked.opened.put(pipe)
        asked.done.wait()


def splice(one: MessagePipe, other: MessagePipe) -> None:
    """Carry messages both ways until either end closes; then the other is closed."""
    back = threading.Thread(target=_pump, args=(other, one), daemon=True)
    back.start()
    _pump(one, other)
    back.join()


def _pump(source: MessagePipe, sink: MessagePipe) -> None:
    try:
        while (message := source.receive()) is not None:
            sink.send([message])
    except GridError:
        pass  # either end went away
    finally:
        sink.close()
        source.close()
