"""Nodes in one process, on real databases, that reach each other by address through local transports."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from apps.assembly import open_node
from grid.config import DomainSettings, NetworkSettings
from grid.network.associations import AssociationService
from grid.network.hub import HubService
from grid.network.monitor import MonitorService, NetworkMonitorService
from grid.network.requester import RequesterService
from grid.node import Node, Principal, Service
from grid.node.metadata import MetadataService
from syft_ext.clock import ManualClock
from syft_ext.errors import Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import FLAGS, Message
from syft_ext.transport import Connection, LocalTransport, Transport
from syft_ext.transport.pipe import MessagePipe

__all__ = ["World"]

ADMIN = Identity.generate()
USER = Identity.generate()


class _People(Service):
    """Two users known by their keys: an admin with all flags, and one with none."""

    def principal_of_key(self, verify_key: str) -> Principal | None:
        if verify_key == ADMIN.verify_key:
            return Principal("user", "1" * 32, verify_key, "admin@x.org", "Owner", frozenset(FLAGS))
        if verify_key == USER.verify_key:
            return Principal("user", "2" * 32, verify_key, "user@x.org", "User")
        return None


class World:
    """Addresses and the nodes behind them; a node can be taken down and come back."""

    def __init__(self, root: Path, template: Path) -> None:
        self.root = root
        self.template = template
        self.clock = ManualClock()
        self.nodes: dict[str, Node] = {}
        self.down: set[str] = set()

    def transport(self, address: str) -> Transport:
        return _Line(self, address)

    def pipe(self, address: str, path: str, max_message: int) -> MessagePipe:
        raise Unavailable("there are no sockets in this world")

    def node(
        self, kind: str, name: str, makers: list[Callable[[Node], Service]], address: str | None = None
    ) -> Node:
        associations = partial(AssociationService, offline_after=20.0, outgoing=self)
        home = self.root / name
        home.mkdir()
        shutil.copyfile(self.template, home / "node.db")  # migrated already: that takes a while
        node = open_node(
            kind,
            home,
            name,
            [MetadataService, _People, associations, *makers],
            address=f"http://{name}:80" if address is None else address,
            clock=self.clock,
        )
        self.nodes[f"http://{name}:80"] = node
        for service in node.services:
            if isinstance(service, HubService):
                service.call_back_timeout = 0.5  # a call back that fails takes just so long
        self.clock.advance(0.001)  # the replay guard refuses what was sent before the node began
        return node

    def network(self, name: str = "net", **settings: Any) -> Node:
        config = NetworkSettings(**settings)
        return self.node(
            "network",
            name,
            [
                partial(HubService, settings=config),
                NetworkMonitorService,
            ],
        )

    def domain(self, name: str, *extra: Callable[[Node], Service], **settings: Any) -> Node:
        return self.node(
            "domain",
            name,
            [
                partial(HubService, settings=DomainSettings(**settings)),
                partial(RequesterService, interval=5.0),
                MonitorService,
                *extra,
            ],
        )

    def worker(self, name: str) -> Node:
        return self.node("worker", name, [partial(RequesterService, interval=5.0)], address="")

    def connect(self, node: Node, identity: Identity = ADMIN) -> Connection:
        return Connection(LocalTransport(node), identity, clock=self.clock)

    def call(self, node: Node, message: Message, identity: Identity = ADMIN) -> Any:
        self.clock.advance(0.001)
        return self.connect(node, identity).call(message)

    def close(self) -> None:
        for node in self.nodes.values():
            node.stop()


class _Line(Transport):
    """Looks the node up at each exchange, so that it can be down, or another one."""

    def __init__(self, world: World, address: str) -> None:
        self.address = address
        self._world = world

    def exchange(self, envelope: Any, payload: Any = (), *, timeout: float | None = None) -> Any:
        node = self._world.nodes.get(self.address)
        if node is None or self.address in self._world.down:
            raise Unavailable(f"{self.address} cannot be reached")
        return LocalTransport(node).exchange(envelope, payload)  # however late: what comes of it is tested
