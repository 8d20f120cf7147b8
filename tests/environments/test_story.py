"""Environments at a Domain as deployed: the command, REST and the SDK over sockets; kill -9 in between."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from syft_ext.errors import Forbidden, NotFound
from syft_ext.messages.compute import Call, KeepValues, ListComputeSessions, Load
from syft_ext.nodes.environments import Environment
from tests.apps.conftest import grid
from tests.nodes import NodeProcess

from .bench import ComputeClient, process_in

OWNER, PASSWORD = "owner@hospital.org", "correct horse battery staple"
TINY = "tiny threads=1 memory=268435456 cpu_seconds=3600 seconds=3600"
OTHER = "other threads=2 memory=536870912 cpu_seconds=7200 seconds=7200"


class Site:
    """A Domain in a process of its own, and its people."""

    def __init__(self, home: Path, database_url: str) -> None:
        self.home, self.database_url = home, database_url
        self.port = 0
        self.start()

    def start(self) -> None:
        arguments = ["--port", str(self.port), "--environment-interval", "0.5", "--environment-types", TINY]
        environment = {
            "GRID_OWNER_EMAIL": OWNER,
            "GRID_OWNER_PASSWORD": PASSWORD,
            "GRID_DATABASE_URL": self.database_url,
        }
        self.node = NodeProcess(
            "domain", self.home, [*arguments, "--environment-types", OTHER], environment=environment
        )
        self.port = int(self.node.url.rsplit(":", 1)[1])

    def log_in(self, email: str = OWNER, *, save: bool = False) -> sy.DomainClient:
        client = sy.login(self.node.url, email, PASSWORD, save=save)
        assert isinstance(client, sy.DomainClient)
        return client

    def add(self, email: str) -> sy.DomainClient:
        with self.log_in() as owner:
            owner.users.create(email, PASSWORD)
        return self.log_in(email)


@pytest.fixture
def site(tmp_path: Path, database_url: str, own_folder: Path, no_process_is_left: None) -> Iterator[Site]:
    site = Site(tmp_path / "home", database_url)
    yield site
    site.node.kill()


def test_from_creating_to_destroying(site: Site) -> None:
    owner, eve, mallory = site.log_in(save=True), site.add("eve@x.org"), site.add("mallory@x.org")
    eve_id = owner.users["eve@x.org"].id
    ages = owner.store.put(torch.tensor([40.0, 50.0]), description="ages").update(programmers=[eve_id])
    worker = owner.workers.create("eve@x.org")
    assert (worker.state, worker.view.user) == ("running", "eve@x.org")
    check_tables(owner, eve, worker)

    # objects move Domain → environment → Domain, by permission
    compute = ComputeClient.open(eve.connection, eve.workers[0].id)
    double = Call([2], "aten.mul.Tensor", [["r", 1], 2], {})
    assert compute.run([Load(1, ages.id), double]).failures == []
    with pytest.raises(Forbidden):
        compute.fetch(2)
    kept = eve.call(
        KeepValues(session_id=compute.id, values=[2], after=2, description="doubled", searchable=True)
    )
    assert owner.store.get(kept.id).tolist() == [80.0, 100.0]
    with pytest.raises(Forbidden):
        eve.store.get(kept.id)
    check_others_are_kept_out(worker, mallory)

    # kill -9, while another one is being made
    half = owner.workers.create("eve@x.org", wait=False)
    process = process_in(site.home, worker.id)
    site.node.kill()
    site.start()
    owner, eve = site.log_in(save=True), site.log_in("eve@x.org")
    half = owner.workers.get(half.id).refresh(30)
    assert (half.state, half.reason) == ("failed", "the node stopped while it was being made")
    assert process_in(site.home, half.id) is None
    assert process_in(site.home, worker.id) == process is not None
    assert [each.session_id for each in eve.call(ListComputeSessions()).sessions] == [compute.id]
    compute.who = eve.connection
    assert compute.run([Call([3], "aten.add.Tensor", [["r", 2], ["r", 1]], {})]).failures == []
    again = eve.call(
        KeepValues(session_id=compute.id, values=[3], after=3, description="tripled", searchable=True)
    )
    assert owner.store.get(again.id).tolist() == [120.0, 150.0]
    ages.client = owner
    ages.update(programmers=[])
    (refused,) = compute.run([Call([4], "aten.neg.default", [["r", 3]], {})]).failures
    assert refused.code in ("forbidden", "not-found")  # also there, what is revoked stops the next operation

    assert owner.dashboard().view.environments == {"failed": 1, "running": 1}
    check_command_line(site, worker.id, half.id)
    gone = owner.workers.destroy(worker.id)
    assert gone.state == "destroyed" and process_in(site.home, worker.id) is None
    assert len(owner.workers.find(include_all=True)) == 0
    log = owner.audit.all()
    assert {"environments.create", "environments.destroy", "environments.failed"} <= {
        entry.operation for entry in log
    }


def check_tables(owner: sy.DomainClient, eve: sy.DomainClient, worker: Environment) -> None:
    tiny, other = owner.workers.instances()
    assert (tiny.name, tiny.threads, tiny.memory) == ("tiny", 1, 256 << 20)
    assert (other.name, other.cpu_seconds, other.seconds) == ("other", 7200, 7200.0)
    assert len(owner.workers) == 0 and [each.id for each in owner.workers.find(include_all=True)] == [
        worker.id
    ]
    workers = eve.workers
    assert workers[0].id == workers[worker.id].id == workers["eve@x.org"].id == worker.id
    table = workers.all(pandas=True)
    assert table["state"].tolist() == ["running"] and table["for"].tolist() == ["eve@x.org"]
    assert "eve@x.org" in workers._repr_html_() and "running" in repr(workers)
    shown = repr(workers.get(worker.id).table())
    assert "of 268.4 MB" in shown and "running" in worker._repr_html_()


def check_others_are_kept_out(worker: Environment, mallory: sy.DomainClient) -> None:
    assert len(mallory.workers) == 0
    for call in (mallory.workers.get, mallory.workers.destroy):
        with pytest.raises(NotFound):
            call(worker.id)
    with pytest.raises(Forbidden):
        mallory.workers.create()
    with pytest.raises(NotFound):  # also while its user's connection is open
        ComputeClient.open(mallory.connection, worker.id)


def check_command_line(site: Site, running: str, failed: str) -> None:
    url = ("--url", site.node.url)
    types = grid("environments", "types", "--format", "json", *url).json
    assert [each["name"] for each in types] == ["tiny", "other"]
    listed = grid("environments", "list", "--all", "--failed", *url)
    assert running in listed.out and failed in listed.out and "eve@x.org" in listed.out
    shown = grid("environments", "show", running, "--format", "json", *url).json
    assert shown["sessions"] == 1 and shown["cpu_used"] > 0 and shown["history"][0] == "creating"
    assert grid("environments", "create", "--user", "nobody@x.org", *url).code == 4
    assert grid("environments", "destroy", failed, *url).out == "destroyed\n"
