"""CONTRIBUTING.md's "How to add …", done by a package outside the tree: nodes use what it adds by its name alone.

``distribution/`` is installed as pip would, its files and metadata in a folder on the path, and no file of Grid
knows of it.
"""

from __future__ import annotations

import configparser
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch

import demo.processes
import syft_ext as sy
import tests.nodes
from syft_ext.errors import Forbidden
from syft_ext.federated.formats.registry import ENCODERS
from syft_ext.messages.envelope import Envelope, frame_head
from syft_ext.transport import HTTPTransport, PayloadReader
from tests.transport.suite.unix import UnixServer
from tests.user_folder import fresh_user

EMAIL, PASSWORD = "owner@plugins.example", "correct horse battery staple"
ROOT = Path(__file__).resolve().parents[2]
DISTRIBUTION = Path(__file__).parent / "distribution"
PACKAGE = "grid_example_plugins"
TINY = "tiny threads=1 memory=268435456 cpu_seconds=3600 seconds=3600"
OWNER = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}


def declared() -> configparser.ConfigParser:
    config = configparser.ConfigParser()
    assert config.read(DISTRIBUTION / "setup.cfg")
    return config


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of installed packages with ours in it."""
    site = tmp_path_factory.mktemp("site")
    shutil.copytree(DISTRIBUTION / PACKAGE, site / PACKAGE, ignore=shutil.ignore_patterns("__pycache__"))
    config = declared()
    name, version = config["metadata"]["name"], config["metadata"]["version"]
    info = site / f"{PACKAGE}-{version}.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    groups = config["options.entry_points"].items()
    (info / "entry_points.txt").write_text("".join(f"[{group}]{lines}\n" for group, lines in groups))
    return site


@dataclass(frozen=True)
class Place:
    """A running Domain: its process, its home, its owner, the bucket that keeps its contents, and the socket that
    it may call."""

    node: demo.processes.NodeProcess
    home: Path
    bucket: Path
    owner: sy.DomainClient
    socket: Path


@pytest.fixture(scope="module")
def place(site: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    """Its settings name the store and the provider; the rest is named by messages."""
    folder = tmp_path_factory.mktemp("place")
    socket = Path(os.path.relpath(folder / "s"))
    environment = {
        **OWNER,
        "GRID_ALLOW_ADDRESSES": f"example-unix://{socket.absolute()}",  # not on the web: only if it is listed
        "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)]),
        "GRID_CONTENTS": f"example-bucket://{folder}/bucket",
        "GRID_ENVIRONMENT_PROVIDER": "example-folder",
        "GRID_ENVIRONMENT_TYPES": TINY,
    }
    node = demo.processes.NodeProcess("domain", folder / "home", ["--port", "0"], environment=environment)
    with fresh_user(folder / "user"):
        owner = sy.login(node.url, EMAIL, PASSWORD)
        assert isinstance(owner, sy.DomainClient)
        yield Place(node, folder / "home", folder / "bucket", owner, socket)
    assert node.stop() == 0


def test_the_guide_marks_what_this_package_adds() -> None:
    guide = (ROOT / "CONTRIBUTING.md").read_text().partition("## How to add …")[2]
    entries = re.split(r"\n\n(?=\*\*)", guide)
    marked = "".join(entry for entry in entries if "(*)" in entry.partition(":")[0])
    groups = set(re.findall(r"`((?:grid|syft_ext)\.[a-z]+_[a-z]+|grid\.(?:commands|transports))`", marked))
    assert groups == set(declared()["options.entry_points"])


@pytest.mark.slow
def test_contents_are_where_the_url_says(place: Place) -> None:
    owner = place.owner
    owner.datasets.create("readings", {"x": torch.arange(6.0)}, description="six numbers")
    assert owner.datasets["readings"]["x"].data.tolist() == [0, 1, 2, 3, 4, 5]
    assert any((place.bucket / "contents").iterdir()) and not (place.home / "blobs").exists()


class Relay:
    """Takes frames from a socket to a node's HTTP address, and counts them."""

    def __init__(self, url: str) -> None:
        self._http, self.frames = HTTPTransport(url), 0

    def receive(self, envelope: Envelope, payload: PayloadReader) -> Iterable[bytes | memoryview]:
        self.frames += 1
        answer = self._http.exchange(envelope, [payload.read_all()], timeout=30)
        return [frame_head(answer.envelope), answer.payload.read_all()]


@pytest.mark.slow
def test_a_domain_reaches_a_network_over_the_transport(place: Place, tmp_path: Path) -> None:
    with tests.nodes.NodeProcess(
        "network", tmp_path / "network", ["--port", "0"], environment=OWNER
    ) as network:
        relay = Relay(network.url)
        address = f"example-unix://{place.socket.absolute()}"
        with UnixServer(relay, place.socket):  # type: ignore[arg-type]  # a node, as far as frames go
            with pytest.raises(Forbidden, match="allow_addresses"):
                place.owner.associations.request(f"{address}2")
            view = place.owner.associations.request(address, note="over a socket")
            assert view.status == "pending" and relay.frames
            hub = sy.login(network.url, EMAIL, PASSWORD)
            assert [each.note for each in hub.associations] == ["over a socket"]


@pytest.fixture
def installed_here(site: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In this process too, as long as the test runs."""
    monkeypatch.syspath_prepend(str(site))
    monkeypatch.setattr(ENCODERS, "_made", {})
    yield
    for module in [name for name in sys.modules if name.partition(".")[0] == PACKAGE]:
        del sys.modules[module]


@pytest.mark.slow
def test_a_training_has_the_report_format_and_the_strategy(place: Place, installed_here: None) -> None:
    client = sy.ModelCentricFLClient(place.node.url)
    client.host_federated_training(
        model={"w": torch.zeros(3), "b": torch.ones(2, 2)},
        client_plans={},
        client_config={"name": "halves", "version": "1"},
        server_config={
            "num_cycles": 1,
            "max_diffs": 2,
            "cycle_length": 60,
            "report_format": "example-half",
            "aggregator": {"name": "example-share", "parameters": {"share": 0.5}},
        },
    )

    def take_part(step: float) -> None:
        with sy.FLClient(place.node.url) as worker:
            worker.new_job("halves", "1").run(lambda job: [value + step for value in job.model])

    threads = [threading.Thread(target=take_part, args=(step,)) for step in (0.5, 1.5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    client.watch("halves", "1")
    w, b = client.retrieve_model("halves", "1")
    assert w.tolist() == [0.5] * 3 and b.tolist() == [[1.5] * 2] * 2
    client.close()


@pytest.mark.slow
def test_an_environment_is_of_the_provider(place: Place) -> None:
    worker = place.owner.workers.create()
    worker.wait(120)
    assert (place.home / "example-environments" / worker.id).is_dir()
    doubled = torch.tensor([1.0, 2.0]).send(worker) * 2
    assert doubled.get().tolist() == [2.0, 4.0]
    worker.destroy()


@pytest.mark.slow
def test_a_command_of_grid(place: Place, site: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(site), str(ROOT)])}

    def grid(*arguments: str) -> str:
        command = [sys.executable, "-m", "apps.cli", *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    assert re.search(r"example-ping +Say who answers at an address", grid("--help"))
    assert grid("example-ping", place.node.url) == f"{place.owner.name}: domain\n"
