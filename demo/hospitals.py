"""The scene: a Network, the hospitals North and South with a Domain each, and their Workers."""

from __future__ import annotations

import csv
import secrets
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType

import numpy as np

import syft_ext as sy
from demo.data import Part, Study
from demo.processes import NodeProcess
from syft_ext.messages.network import AcceptAssociation, ListAssociations, RequestAssociation

__all__ = ["HOSPITALS", "MALLORY", "OFFICER", "SCIENTIST", "Scene"]

HOSPITALS = ("North", "South")
SCIENTIST = "scientist@lab.example"
OFFICER = "officer@north.example"
MALLORY = "mallory@elsewhere.example"


class Scene:
    """Everything that runs. All nodes are processes of their own and talk over sockets.

    Attributes:
        password: of every account here, made up afresh for each run.
        network, domains: the nodes.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.password = secrets.token_urlsafe(12)
        self.workers: list[NodeProcess] = []
        with ThreadPoolExecutor() as pool:
            nodes = list(pool.map(self._start, ("network", "domain", "domain"), ("Registry", *HOSPITALS)))
        self.network, *self.domains = nodes

    def _start(self, kind: str, name: str) -> NodeProcess:
        owner = {"GRID_OWNER_EMAIL": owner_of(name), "GRID_OWNER_PASSWORD": self.password}
        return NodeProcess(
            kind, self.folder / name.lower(), ["--name", name, "--port", "0"], environment=owner
        )

    def owner(self, name: str) -> sy.DomainClient | sy.NetworkClient:
        """A client logged in as the owner of the node ``name``."""
        url = dict(
            zip(("Registry", *HOSPITALS), (self.network.url, *(d.url for d in self.domains)), strict=True)
        )
        return sy.login(url[name], owner_of(name), self.password)

    def open_for_business(self) -> None:
        """Accounts for the scientist, North's reviewer and somebody with other plans; both Domains associated with
        the Network."""
        registry = self.owner("Registry")
        registry.users.create(email=SCIENTIST, password=self.password)
        for name in HOSPITALS:
            domain = self.owner(name)
            domain.users.create(email=SCIENTIST, password=self.password)
            domain.call(RequestAssociation(address=self.network.url))
        north = self.owner(HOSPITALS[0])
        north.users.create(email=OFFICER, password=self.password, role="Compliance Officer")
        north.users.create(email=MALLORY, password=self.password)
        for request in registry.call(ListAssociations(status="pending")).associations:
            registry.call(AcceptAssociation(association_id=request.association_id))

    def at_north(self, email: str) -> sy.DomainClient:
        """A client of the hosting Domain, logged in as ``email``."""
        client = sy.login(self.domains[0].url, email, self.password)
        assert isinstance(client, sy.DomainClient)
        return client

    def publish(self, study: Study) -> None:
        """Each hospital tells what it has: name, description, columns, tags, made-up rows. No real row."""
        for index, name in enumerate(HOSPITALS):
            part = study.site(index)
            domain = self.owner(name)
            domain.datasets.create(
                name=study.name,
                description=f"{study.description} {len(part)} rows.",
                tags=list(study.tags),
                mock=mock_of(study),
            )

    def send_workers(self, study: Study, host: str) -> list[NodeProcess]:
        """Four Workers: two of each hospital, each with its own file, which stays with it."""
        with ThreadPoolExecutor(2) as pool:
            crew = list(pool.map(lambda item: self._worker(study, host, *item), enumerate(study.parts)))
        self.workers += crew
        self._welcome(len(crew))
        return crew

    def _welcome(self, count: int) -> None:
        """The hosting Domain's owner accepts the Workers, as soon as they have asked to join."""
        owner = self.owner(HOSPITALS[0])
        deadline = time.monotonic() + 30
        while count and time.monotonic() < deadline:
            for request in owner.call(ListAssociations(status="pending")).associations:
                owner.call(AcceptAssociation(association_id=request.association_id))
                count -= 1
            time.sleep(0.05)
        if count:
            raise RuntimeError(f"{count} Workers did not ask to join:\n" + "\n".join(self.workers[-1].log))

    def _worker(self, study: Study, host: str, index: int, part: Part) -> NodeProcess:
        name = f"{HOSPITALS[index // 2]} {index % 2 + 1}"
        home = self.folder / f"worker-{study.name}-{index + 1}"
        home.mkdir(parents=True, exist_ok=True)
        data = write_part(study, part, home)
        arguments = ["--name", name, "--port", "0", "--domain", host, "--data", str(data)]
        return NodeProcess(
            "worker",
            home,
            # The same order of the data in every run: whoever repeats the demonstration sees the same model.
            [
                *arguments,
                *("--trainings", f"{study.name}/*", "--trust", "domain"),
                *("--shuffle-seed", str(index + 1)),
            ],
        )

    def dismiss_workers(self) -> None:
        """Send the Workers home: each finishes what it does."""
        for worker in self.workers:
            worker.process.terminate()
        for worker in self.workers:
            worker.stop()
        self.workers.clear()

    def close(self) -> None:
        """Stop everything that runs."""
        self.dismiss_workers()
        for node in (*self.domains, self.network):
            node.stop()

    def __enter__(self) -> Scene:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def owner_of(name: str) -> str:
    return f"owner@{name.lower()}.example"


def mock_of(study: Study) -> dict[str, object]:
    """Made-up rows with the shape of the real ones: features drawn evenly from the published ranges."""
    import torch

    random = torch.Generator().manual_seed(0)
    y = torch.randint(0, study.classes, (32,), generator=random)
    x = torch.rand((32, *study.test.x.shape[1:]), generator=random)
    if study.columns:
        low = torch.tensor([c[1] for c in study.columns])
        high = torch.tensor([c[2] for c in study.columns])
        x = low + x * (high - low)
    return {"x": x, "y": y}


def write_part(study: Study, part: Part, folder: Path) -> Path:
    """The file as its owner would have it: a CSV where there are columns, else an ``.npz``."""
    if not study.columns:
        path = folder / "data.npz"
        np.savez(path, x=part.x.numpy(), label=part.y.numpy())
        return path
    path = folder / "data.csv"
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*(column[0] for column in study.columns), "label"])
        rows: Sequence[Sequence[float]] = part.x.tolist()
        # With the digits that were measured, and not those that single precision adds: ranges are declared.
        writer.writerows(
            [*(f"{value:.7g}" for value in row), int(label)]
            for row, label in zip(rows, part.y.tolist(), strict=True)
        )
    return path
