"""A Network on the wan of a bed, and a Domain behind one of its routers: real nodes, in processes of their own."""

from __future__ import annotations

import contextlib
import http.client
import itertools
import json
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import syft_ext as sy
from syft_ext.messages.network import RequestAssociation
from syft_ext.transport.relayed.relay import relay_address
from tests.coturn import SECRET, Coturn
from tests.nat.bed import SERVER, Bed, Place
from tests.nodes import NodeProcess
from tests.sdk.live import EMAIL, PASSWORD

__all__ = ["Servers", "Site", "coturn_in"]

_OWNER = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
_ports = itertools.count(7000)
_STUN, _TURN = f"stun:{SERVER}", f"turn:{SERVER}"


@dataclass(frozen=True, slots=True)
class Servers:
    """What a node's settings name."""

    stun: Sequence[str] = ()
    turn: Sequence[str] = ()

    def environment(self) -> dict[str, str]:
        named = {"GRID_STUN_SERVERS": ",".join(self.stun), "GRID_TURN_SERVERS": ",".join(self.turn)}
        return {**named, "GRID_TURN_SECRET": SECRET} if self.turn else named


NONE = Servers()
STUN = Servers([_STUN])
TURN = Servers([_STUN], [_TURN])
TURN_TCP = Servers([_STUN], [f"{_TURN}?transport=tcp"])


class Site:
    """A Network at ``srv`` and a Domain without an address at ``lb``, which keeps a line to it.

    Args:
        network, domain: the servers that each names. A Domain that names none takes its Network's.
        origins: of pages that may use the nodes.

    Attributes:
        key: the Domain's verify key.
    """

    def __init__(
        self,
        bed: Bed,
        root: Path,
        network: Servers = NONE,
        domain: Servers = NONE,
        *,
        arguments: Sequence[str] = (),
        origins: Sequence[str] = (),
    ) -> None:
        port = next(_ports)  # users know nodes by their addresses: no two sites have one
        self.bed, self.url = bed, f"http://{SERVER}:{port}"
        self._root, self._arguments = root, list(arguments)
        self._origins = ",".join(origins)
        self._servers: dict[str, Servers] = {"network": network, "domain": domain}
        self._port = {"network": port, "domain": port}
        self.nodes: dict[str, NodeProcess] = {}
        root.mkdir(parents=True, exist_ok=True)
        try:
            self.start("network")
            self.start("domain")
            self.key = self._join()
            self.wait_until_ready()
        except BaseException:
            self.close()
            raise

    def start(self, kind: str) -> None:
        """Start it, again if it was there, at the same place."""
        place: Place = "srv" if kind == "network" else "lb"
        host = SERVER if kind == "network" else "127.0.0.1"
        flags = ["--name", kind, "--host", host, "--port", str(self._port[kind]), "--heartbeat-interval", "0.5",
                 "--plain-http", "accept"]  # fmt: skip
        if kind == "network":
            flags += ["--auto-accept"]
        else:
            flags += ["--keep-line", "--peers", "--allow-addresses", f"{SERVER}/32", *self._arguments]
        self.nodes[kind] = NodeProcess(
            kind,
            self._root / kind,
            flags,
            environment=_OWNER
            | self._servers[kind].environment()
            | ({"GRID_ORIGINS": self._origins} if self._origins else {}),
            log_file=self._root / f"{kind}.log",
            namespace=self.bed.file(place),
        )

    def _join(self) -> str:
        with self.bed.standing_in("lb"):
            owner = sy.login(self.nodes["domain"].url, EMAIL, PASSWORD)
            assert owner.call(RequestAssociation(address=self.url)).status == "accepted"
            key = owner.connection.node_key
            owner.close()
        return key

    def wait_until_ready(self, seconds: float = 90.0) -> None:
        """Until the Domain takes offers: its gateways are processes of their own."""
        deadline = time.monotonic() + seconds
        with self.bed.standing_in("lb"):
            while (said := _readiness(self._port["domain"])).get("gateways") != "ok":
                assert time.monotonic() < deadline, f"{said}\n{self.log()}"
                time.sleep(0.1)

    @property
    def webrtc(self) -> str:
        """The Domain, over WebRTC and nothing else."""
        return f"webrtc+{self.url}/{self.key}"

    @property
    def every_way(self) -> str:
        """The Domain, whichever way leads there."""
        return f"grid+{self.url}/{self.key}"

    @property
    def relay(self) -> str:
        """The Domain, through its Network."""
        return relay_address(self.url, self.key)

    def log(self) -> str:
        """What the nodes wrote."""
        return "\n".join(
            f"== {path.name}\n{path.read_text(errors='replace')[-4000:]}" for path in self._root.glob("*.log")
        )

    def close(self) -> None:
        for node in self.nodes.values():
            node.kill()


def _readiness(port: int) -> dict[str, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/readyz")
        checks: dict[str, str] = json.loads(connection.getresponse().read())["checks"]
        return checks
    finally:
        connection.close()


@contextlib.contextmanager
def coturn_in(bed: Bed, folder: Path, *options: str) -> Iterator[Coturn]:
    """coturn at ``srv``."""
    server = Coturn(SERVER, folder, *options, within=bed.command("srv"))
    try:
        with bed.standing_in("srv"):
            server.wait()
        yield server
    finally:
        server.close()
