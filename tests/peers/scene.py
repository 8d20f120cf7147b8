"""A Network, and a Domain that takes peers and keeps a line to it: real apps, on threads of this process."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import apps.domain.app
import apps.network.app
import syft_ext as sy
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings, NetworkSettings
from grid.network.associations import AssociationService
from grid.peers.pool import GatewayPool
from grid.peers.service import OfferService
from grid.web.testing import ServedNode
from syft_ext.messages.network import RequestAssociation
from tests.peers.pool import until

__all__ = ["OWNER", "PASSWORD", "PeerScene"]

OWNER, PASSWORD = "owner@grid.example", "correct horse battery"


class PeerScene:
    """Attributes:
    network, domain: both served; the Domain is ``north``. key: the Domain's.
    """

    def __init__(self, root: Path, template: Path, *, keep_line: bool = True, peers: bool = True) -> None:
        self._root, self._template = root, template
        allowed = ["127.0.0.0/8"]
        self.network = self._serve(
            "network",
            apps.network.app.build,
            NetworkSettings(name="net", auto_accept=True, allow_addresses=allowed),
        )
        self.domain = self._serve(
            "north",
            apps.domain.app.build,
            DomainSettings(
                name="north",
                keep_line=keep_line,
                heartbeat_interval=0.5,
                allow_addresses=allowed,
                peers=peers,
            ),
        )
        self.key = self.domain.node.identity.verify_key
        if peers:
            until(lambda: self.domain.node.checks()["gateways"] == "ok")
        client = sy.login(self.domain.url, OWNER, PASSWORD)
        assert client.call(RequestAssociation(address=self.network.url)).status == "accepted"
        client.close()
        if keep_line:
            lines = self.network.node.service(AssociationService).lines
            until(lambda: lines.line(self.key) is not None)

    def _serve(self, name: str, build: Any, settings: Any) -> ServedNode:
        home = self._root / name
        home.mkdir(exist_ok=True)
        shutil.copyfile(self._template, home / "node.db")
        node = build(home, settings)
        bootstrap_owner(node, OWNER, PASSWORD)
        return ServedNode(node)

    @property
    def pool(self) -> GatewayPool:
        gateways = self.domain.node.service(OfferService).gateways
        assert isinstance(gateways, GatewayPool)
        return gateways

    def address(self, scheme: str, name: str = "") -> str:
        """The Domain's address at this Network: ``scheme`` is ``grid``, ``webrtc`` or ``relay``."""
        return f"{self.network.url.replace('http', f'{scheme}+http', 1)}/{name or self.key}"

    def close(self) -> None:
        self.domain.close(0.5)
        self.network.close(0.5)
