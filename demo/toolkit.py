"""Two hospitals and a registry, for one question that is answered in four ways; and what each way cost."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

import syft_ext as sy
from demo.processes import NodeProcess
from syft_ext.messages.envelope import Envelope, frame_head
from syft_ext.transport import HTTPTransport
from syft_ext.transport.base import IncomingFrame, Pieces

__all__ = ["HOSPITALS", "SCIENTIST", "WARDS", "Cost", "ToolkitScene", "patients"]

HOSPITALS = ("North", "South")
REGISTRY = "Registry"
SCIENTIST = "scientist@lab.example"
ROWS = {"North": 4000, "South": 3000}
WARDS = ["surgery", "trauma", "children"]


def patients(hospital: str) -> dict[str, Any]:
    """Made-up patients after an operation at the hip: ``days`` in hospital, and their ``ward`` (an index of
    :data:`WARDS`). At the children's wards there are a few."""
    random = np.random.default_rng(HOSPITALS.index(hospital))
    rows, mean = ROWS[hospital], (9.0, 11.0)[HOSPITALS.index(hospital)]
    days = np.round(random.gamma(4.0, mean / 4.0, rows), 1).clip(1, 60)
    ward = random.choice(len(WARDS), rows, p=[0.7, 0.299, 0.001])
    return {"days": days, "ward": ward}


class Cost(msgspec.Struct):
    """What one way took: seconds, exchanges with nodes, and bytes of their frames, both ways."""

    seconds: float = 0.0
    exchanges: int = 0
    nbytes: int = 0

    def __add__(self, other: Cost) -> Cost:
        return Cost(
            self.seconds + other.seconds, self.exchanges + other.exchanges, self.nbytes + other.nbytes
        )


class _Counted(HTTPTransport):
    """Counts its frames."""

    def __init__(self, address: str, cost: Cost) -> None:
        super().__init__(address)
        self.cost = cost

    def exchange(
        self, envelope: Envelope, payload: Pieces = (), *, timeout: float | None = None
    ) -> IncomingFrame:
        answer = super().exchange(envelope, payload, timeout=timeout)
        self.cost.exchanges += 1
        for each in (envelope, answer.envelope):
            self.cost.nbytes += len(frame_head(each)) + each.payload_size
        return answer


class ToolkitScene:
    """The Domains of two hospitals, each with a table of its patients, and that of a registry, which has none.

    Attributes:
        owners: clients of all Domains as their owners, by name. you: as the scientist, by name.
        guests: clients of the registry's as the hospitals' owners, by hospital.
    """

    def __init__(self, folder: Path) -> None:
        self.password = secrets.token_urlsafe(12)
        self._total = Cost()
        names = (*HOSPITALS, REGISTRY)
        with ThreadPoolExecutor() as pool:
            nodes = list(pool.map(lambda name: self._start(folder, name), names))
        self.nodes = dict(zip(names, nodes, strict=True))
        self.owners = {name: self.client(name, owner_of(name)) for name in names}
        for name in names:
            self.owners[name].users.create(email=SCIENTIST, password=self.password)
        self.owners[REGISTRY].roles.create(name="Contributor", can_upload_data=True)
        for name in HOSPITALS:
            # Who brings something to the registry has an account there.
            self.owners[REGISTRY].users.create(
                email=owner_of(name), password=self.password, role="Contributor"
            )
        self.guests = {name: self.client(REGISTRY, owner_of(name)) for name in HOSPITALS}
        self.you = {name: self.client(name, SCIENTIST) for name in names}

    def _start(self, folder: Path, name: str) -> NodeProcess:
        owner = {"GRID_OWNER_EMAIL": owner_of(name), "GRID_OWNER_PASSWORD": self.password}
        return NodeProcess(
            "domain", folder / name.lower(), ["--name", name, "--port", "0"], environment=owner
        )

    def client(self, at: str, email: str) -> sy.DomainClient:
        """A client of the Domain ``at``, logged in, whose traffic is counted."""
        url = self.nodes[at].url
        transport = _Counted(url, self._total)
        client = sy.login(url, email, self.password, transport=transport)
        assert isinstance(client, sy.DomainClient)
        return client

    @contextmanager
    def counted(self) -> Iterator[Cost]:
        """What everybody here sends and receives meanwhile."""
        before, begin = msgspec.structs.replace(self._total), time.perf_counter()
        cost = Cost()
        yield cost
        cost.seconds = time.perf_counter() - begin
        cost.exchanges = self._total.exchanges - before.exchanges
        cost.nbytes = self._total.nbytes - before.nbytes

    def close(self) -> None:
        """Stop everything that runs."""
        for node in self.nodes.values():
            node.stop()


def owner_of(name: str) -> str:
    """The e-mail address of a Domain's owner."""
    return f"owner@{name.lower()}.example"
