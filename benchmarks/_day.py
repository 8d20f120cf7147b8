"""A part of ``soak.py``: what people do at a Domain in a day, beside one training that never ends."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

import apps.domain.app
import apps.network.app
import syft_ext as sy
from apps.assembly import open_node
from benchmarks._harness import EMAIL, PASSWORD
from grid.accounts.bootstrap import bootstrap_owner
from grid.compute.service import ComputeService
from grid.config import DomainSettings, NetworkSettings
from grid.network.associations import AssociationService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.web.testing import ServedNode
from syft_ext.clock import Clock
from syft_ext.messages.compute import OpenComputeSession
from syft_ext.messages.network import RequestAssociation
from syft_ext.messages.objects import AbortUpload, AppendUpload, BeginUpload

__all__ = ["Day", "serve"]

SCIENTIST = "sue@soak.example"
NUMBERS = 64
"""Of a model of those trainings that are over in a round."""
ROWS = 16
EVERY = {
    "log_in": 6,
    "object": 6,
    "dataset": 4,
    "upload": 3,
    "statistics": 4,
    "private_query": 4,
    "session": 6,
    "relayed": 6,
    "plan": 6,
    "reviewed_training": 12,
    "encrypted_sum": 12,
    "shares": 12,
}
"""What is done in each round whose number is a multiple of this."""
LOOPBACK = ["127.0.0.0/8"]


def serve(home: Path, kind: str, settings: Any, clock: Clock) -> ServedNode:
    """A node as ``grid <kind> start`` makes it, but for its clock; it has an owner."""
    app: Any = {"domain": apps.domain.app, "network": apps.network.app}[kind]
    made = app.open_node
    app.open_node = lambda *arguments, **options: open_node(*arguments, clock=clock, **options)
    try:
        node = app.build(home, settings)
    finally:
        app.open_node = made
    assert bootstrap_owner(node, EMAIL, PASSWORD)
    return ServedNode(node)


@sy.make_plan
def change(xs: Any = torch.zeros(ROWS, 3)) -> Any:
    """The mean of each column."""
    return xs.mean(0)


@sy.make_plan
def product(xs: Any = torch.zeros(ROWS, 3), ys: Any = torch.zeros(ROWS, 1)) -> Any:
    """What columns and labels have in common; for shares."""
    return xs.t() @ ys / ROWS


@sy.make_plan
def less(params: Any = sy.Param([torch.zeros(NUMBERS)])) -> Any:
    """One step of a training that learns nothing."""
    return [param - 1.0 for param in params]


class Day:
    """A Domain, the Network that it keeps a line to, and two Domains that compute on shares with it.

    Attributes:
        domain: the node that is measured.
        done: how often each thing was done.
    """

    def __init__(self, home: Path, clock: Clock) -> None:
        own = DomainSettings(name="soak", keep_line=True, allow_addresses=LOOPBACK)
        # Their clock leaps by minutes, and heartbeats keep to the machine's.
        net = NetworkSettings(name="net", auto_accept=True, allow_addresses=LOOPBACK, offline_after=10_000.0)
        self.network = serve(home / "network", "network", net, clock)
        self.domain = serve(home / "domain", "domain", own, clock)
        self.others = [
            serve(home / name, "domain", DomainSettings(name=name), clock) for name in ("south", "registry")
        ]
        self.done = dict.fromkeys(EVERY, 0)
        self._keys = sy.EncryptionKeys.generate("add4096")
        self._known: dict[str, Any] = {}
        for served in (self.domain, *self.others):
            owner = self.owner(served)
            self._known[served.url] = owner.users.create(SCIENTIST, PASSWORD).id
        self.owner().policy.set(participation="open", statistics_total=1e5)
        assert self.owner().call(RequestAssociation(address=self.network.url)).status == "accepted"
        self._table()

    def _table(self) -> None:
        random = np.random.default_rng(0)
        owner, sue = self.owner(), self._known[self.domain.url]
        visits = {
            "age": random.normal(55, 12, 3000).clip(0, 120),
            "bmi": random.normal(27, 4, 3000).clip(10, 60),
        }
        schema = {"age": {"low": 0.0, "high": 120.0}, "bmi": {"low": 10.0, "high": 60.0}}
        owner.datasets.create("visits", {"table": visits}, schema=schema)
        self._xs = owner.store.put(torch.randn(ROWS, 3), finders=[sue]).id
        south = self.others[0]
        self._ys = self.owner(south).store.put(torch.randn(ROWS, 1), finders=[self._known[south.url]]).id

    @property
    def nodes(self) -> list[Node]:
        """All of them."""
        return [served.node for served in (self.network, self.domain, *self.others)]

    def owner(self, served: ServedNode | None = None) -> Any:
        """A new session of a node's owner."""
        return sy.login((served or self.domain).url, EMAIL, PASSWORD)

    def scientist(self, served: ServedNode | None = None) -> Any:
        """A new session of who asks for things."""
        return sy.login((served or self.domain).url, SCIENTIST, PASSWORD)

    def round(self, number: int) -> None:
        """What is due in this round, the first being 1."""
        for served in (self.domain, *self.others):  # nodes look twice a minute, by the machine's clock
            served.node.service(ComputeService).close_idle()
        for name, every in EVERY.items():
            if number % every == 0:
                what: Callable[[int], None] = getattr(self, name)
                what(number)
                self.done[name] += 1

    def sweep(self) -> None:
        """All nodes keep house, as they do every hour."""
        for node in self.nodes:
            node.service(HousekeepingService).sweep()

    def close(self) -> None:
        """Release everything."""
        for served in (self.domain, *self.others, self.network):
            served.close()

    # -- what people do -----------------------------------------------------------------------------

    def log_in(self, number: int) -> None:
        """Somebody looks at themselves, and logs out."""
        client = self.owner()
        assert client.me.email == EMAIL
        client.close()

    def object(self, number: int) -> None:
        """A tensor comes and goes."""
        client = self.owner()
        client.store.delete(client.store.put(torch.randn(1000)).id)
        client.close()

    def dataset(self, number: int) -> None:
        """A dataset comes, is found by its name, downloaded, and goes."""
        client = self.owner()
        dataset = client.datasets.create(f"set {number}", {"data": torch.randn(20_000)})
        assert client.datasets[dataset.name]["data"].data.shape == (20_000,)
        client.datasets.delete(dataset.id, objects=True)
        client.close()

    def upload(self, number: int) -> None:
        """An upload breaks off half-way: every other is given up, nobody ever comes back to the rest."""
        client = self.owner()
        upload = client.call(BeginUpload(size=200_000)).upload_id
        client.call(AppendUpload(upload_id=upload, offset=0), [os.urandom(100_000)])
        if number % (2 * EVERY["upload"]) == 0:
            client.call(AbortUpload(upload_id=upload))
        client.close()

    def statistics(self, number: int) -> None:
        """The guarded table is asked; what is asked again is answered from what was measured."""
        client = self.owner()
        table = client.datasets["visits"]["table"]
        client.analyze(table, ["count", "mean"], columns="age" if number % 8 else "bmi")
        client.close()

    def private_query(self, number: int) -> None:
        """Each with another ε, so that each is measured and charged."""
        client = self.owner()
        table = client.datasets["visits"]["table"]
        sy.dp.BoundedMean(0.01 + number * 1e-5).quick_result(table, "age")
        client.close()

    def session(self, number: int) -> None:
        """A session of remote computation is opened, and its client never heard of again."""
        client = self.owner()
        client.call(OpenComputeSession())

    def relayed(self, number: int) -> None:
        """Somebody comes by the line that the Domain keeps to the Network, and downloads."""
        lines = self.network.node.service(AssociationService).lines
        assert lines.line(self.domain.node.identity.verify_key) is not None
        network = sy.login(self.network.url, EMAIL, PASSWORD)
        client: Any = network.connect("soak", EMAIL, PASSWORD)
        assert client.datasets["visits"].name == "visits"
        client.close()
        network.close()

    def plan(self, number: int) -> None:
        """A plan is reviewed, approved and run on data."""
        sue, owner = self.scientist(), self.owner()
        asked = sue.requests.create_plan(change, {"xs": self._xs}, f"study {number}")
        owner.requests.get(asked.id).approve(uses=1)
        assert asked.run().shape == (3,)
        sue.close()
        owner.close()

    def reviewed_training(self, number: int) -> None:
        """A scientist's training waits for its review, runs, and gives back its room."""
        sue = self.scientist()
        training = self._host(f"study {number}", {"training_plan": less}, max_diffs=1, max_workers=1)
        assert training.status == "waiting", training.status
        owner = self.owner()
        owner.trainings.get(training.id).approve()
        with sy.FLClient(
            url=self.domain.url, identity=sy.Identity.generate(), device=f"study-{number}"
        ) as worker:
            job = worker.new_job(f"study {number}", "1", load_plan=lambda data: less)
            job.run(lambda job: job.report([p - 1.0 for p in job.model], samples=1), max_cycles=1)
        training = owner.trainings.get(training.id)
        training.watch(say=lambda text: None)
        assert training.refresh().status == "completed", training.status
        training.discard()
        owner.close()
        sue.close()

    def encrypted_sum(self, number: int) -> None:
        """Two participants report under the key of the training's host, who opens the sum."""
        owner = self.owner()
        training = self._host(
            f"sealed {number}", {}, encrypted=sy.EncryptedSums(keys=self._keys, clip=1.0),
            min_diffs=2, max_diffs=2, max_workers=2,
        )  # fmt: skip
        for place in range(2):
            with sy.FLClient(
                self.domain.url, identity=sy.Identity.generate(), device=f"sealed-{number}-{place}"
            ) as worker:
                job = worker.new_job(f"sealed {number}", "1")
                job.authenticate()
                job.take(job.session.check_in(f"sealed-{number}-{place}"))
                job.report([p + 0.5 for p in job.model], samples=1)
        training.open_sums(self._keys, timeout=600.0)
        training = owner.trainings.get(training.id)
        training.watch(say=lambda text: None)
        assert training.refresh().status == "completed", training.status
        training.discard()
        owner.close()

    def _host(self, name: str, plans: dict[str, Any], *, encrypted: Any = None, **server: Any) -> Any:
        """As whoever logged in last."""
        host = sy.ModelCentricFLClient(self.domain.url)
        host.connect()
        try:
            return host.host_federated_training(
                model=[torch.zeros(NUMBERS)],
                client_plans=plans,
                client_config={"name": name, "version": "1"},
                server_config={"num_cycles": 1, "cycle_length": 36_000, **server},
                encrypted=encrypted,
                wait=False,
                say=lambda text: None,
            )
        finally:
            host.close()

    def shares(self, number: int) -> None:
        """Two Domains compute on shares, and a third deals; their owners approve."""
        served = [self.domain, *self.others]
        north, south, registry = clients = [self.scientist(each) for each in served]
        session = sy.Session(parties=[north, south], dealer=registry)
        inputs = {"xs": (north, self._xs), "ys": (south, self._ys)}
        asked = session.request(product, inputs, bounds={"": 8.0}, sizes={"B": ROWS}, reason=str(number))
        for place, request in enumerate(asked.requests):
            owner = self.owner(served[place])
            owner.requests.get(request.id).approve(uses=1)
            owner.close()
        assert next(iter(asked.run().values())).shape == (3, 1)
        for client in clients:
            client.close()
