"""Load, run, save: what a Domain and the owner may have a Worker do, in this process with a real sandbox."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch

import syft_ext as sy
from apps.assembly import open_node
from grid.config import WorkerSettings
from grid.network.associations import AssociationService
from grid.network.requester import RequesterService
from grid.node import Node, Principal, Service
from grid.node.metadata import MetadataService
from grid.node.operator import OperatorService
from grid.worker.daemon import TrainingService
from grid.worker.service import WorkerService
from syft_ext.errors import (
    BadRequest,
    DeadlineExceeded,
    GridError,
    InvalidPlan,
    InvalidTensors,
    NotFound,
    TooLarge,
    Unauthenticated,
)
from syft_ext.identity import Identity
from syft_ext.messages import worker as m
from syft_ext.tensors import decode_tensors, encode_tensors
from syft_ext.transport import Connection, LocalTransport

DOMAIN, OTHER = Identity.generate(), Identity.generate()


class _Domains(Service):
    """Two Domains that this Worker is associated with."""

    def principal_of_key(self, verify_key: str) -> Principal | None:
        for identity in (DOMAIN, OTHER):
            if identity.verify_key == verify_key:
                return Principal("node", identity.node_id, verify_key)
        return None


@pytest.fixture(scope="module")
def worker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    settings = WorkerSettings(object_limit=1 << 20, store_limit=4 << 20, plan_seconds=20.0)
    node = open_node(
        "worker",
        tmp_path_factory.mktemp("worker"),
        "w",
        [
            MetadataService,
            OperatorService,
            _Domains,
            partial(AssociationService, offline_after=10.0),
            partial(RequesterService, interval=5.0),
            partial(TrainingService, settings=settings),
            partial(WorkerService, settings=settings),
        ],
    )
    yield node
    node.stop()


@pytest.fixture
def domain(worker: Node) -> Connection:
    return Connection(LocalTransport(worker), DOMAIN)


def load(connection: Connection, data: bytes, kind: str = "tensor") -> str:
    reply: m.WorkerObject = connection.call(m.LoadObject(kind=kind), [data])  # type: ignore[arg-type]
    return reply.object_id


def tensor(connection: Connection, values: torch.Tensor) -> str:
    return load(connection, encode_tensors({"": values}))


def fetch(connection: Connection, object_id: str) -> torch.Tensor:
    _, data = connection.download(m.SaveObject(object_id=object_id))
    return decode_tensors(data)[""]


@sy.make_plan
def scaled(x: torch.Tensor = torch.ones(3), factor: torch.Tensor = torch.tensor(2.0)):  # type: ignore[no-untyped-def]
    return x * factor, (x * factor).sum()


def test_load_run_save(domain: Connection) -> None:
    plan = load(domain, scaled.dumps(), "plan")
    x = tensor(domain, torch.tensor([1.0, 2.0, 3.0]))
    names = [item.name for item in scaled.inputs]
    reply = domain.call(m.RunWorkerPlan(plan=plan, inputs={names[0]: m.RunInput(object_id=x)}), timeout=120)
    first, second = reply.outputs
    assert fetch(domain, first.object_id).tolist() == [2.0, 4.0, 6.0]
    assert fetch(domain, second.object_id).item() == 12.0
    assert reply.plan_id == scaled.id

    both = load(domain, encode_tensors({"a": torch.ones(3), "f": torch.tensor(5.0)}), "tensors")
    inputs = {
        names[0]: m.RunInput(object_id=first.object_id),  # a result is an object like any other
        names[1]: m.RunInput(object_id=both, tensor="f"),
    }
    again = domain.call(m.RunWorkerPlan(plan=plan, inputs=inputs), timeout=240)
    assert fetch(domain, again.outputs[0].object_id).tolist() == [10.0, 20.0, 30.0]
    status = domain.call(m.GetWorkerStatus())
    assert status.sandbox
    assert status.runs >= 2
    for each in domain.call(m.ListWorkerObjects()).objects:
        domain.call(m.DeleteWorkerObject(object_id=each.object_id))
    assert domain.call(m.GetWorkerStatus()).objects == 0


def test_strangers_may_do_nothing(worker: Node) -> None:
    stranger = Connection(LocalTransport(worker), Identity.generate())
    for message in (
        m.GetWorkerStatus(),
        m.ListWorkerObjects(),
        m.RunWorkerPlan(plan="0" * 32),
        m.SaveObject(object_id="0" * 32),
        m.DecideTraining(name="a", version="1", decision="approved"),
    ):
        with pytest.raises(Unauthenticated):
            stranger.call(message)
    with pytest.raises(Unauthenticated):
        stranger.call(m.LoadObject(), [b"x"])


def test_a_domain_cannot_decide_for_the_owner(domain: Connection) -> None:
    with pytest.raises(GridError) as caught:
        domain.call(m.DecideTraining(name="a", version="1", decision="approved"))
    assert caught.value.status == 403


def test_one_domain_does_not_see_the_objects_of_another(worker: Node, domain: Connection) -> None:
    mine = tensor(domain, torch.ones(2))
    plan = load(domain, scaled.dumps(), "plan")
    other = Connection(LocalTransport(worker), OTHER)
    for message in (
        m.DescribeWorkerObject(object_id=mine),
        m.SaveObject(object_id=mine),
        m.DeleteWorkerObject(object_id=mine),
        m.RunWorkerPlan(plan=plan),
    ):
        with pytest.raises(NotFound):
            other.call(message)
    assert other.call(m.ListWorkerObjects()).objects == []
    theirs = load(other, scaled.dumps(), "plan")
    with pytest.raises(NotFound):
        other.call(m.RunWorkerPlan(plan=theirs, inputs={"x": m.RunInput(object_id=mine)}))
    owner = Connection(LocalTransport(worker), worker.identity)
    assert {mine, plan, theirs} <= {o.object_id for o in owner.call(m.ListWorkerObjects()).objects}
    for object_id in (mine, plan, theirs):
        owner.call(m.DeleteWorkerObject(object_id=object_id))


def test_hostile_plans_are_refused_and_the_worker_goes_on(domain: Connection) -> None:
    good = scaled.dumps()
    for bad in (
        b"",
        b"\x80\x04\x95",  # the beginning of a pickle
        good[: len(good) // 2],
        good.replace(b"aten.mul.Tensor", b"aten.rm .Tensor"),
        bytes(byte ^ 0x5A for byte in good),
    ):
        plan = load(domain, bad, "plan")
        with pytest.raises((InvalidPlan, BadRequest)):
            domain.call(m.RunWorkerPlan(plan=plan), timeout=240)
        domain.call(m.DeleteWorkerObject(object_id=plan))
    with pytest.raises(BadRequest, match="not a plan"):
        domain.call(m.RunWorkerPlan(plan=load(domain, good, "bytes")))
    plan, x = load(domain, good, "plan"), tensor(domain, torch.ones(3))
    inputs = {scaled.inputs[0].name: m.RunInput(object_id=x)}
    assert domain.call(m.RunWorkerPlan(plan=plan, inputs=inputs), timeout=240).outputs
    with pytest.raises(BadRequest, match="missing"):
        domain.call(m.RunWorkerPlan(plan=plan), timeout=240)


def test_a_plan_that_asks_for_too_much_is_refused(domain: Connection) -> None:
    @sy.make_plan(symbols={"x": {0: "N"}})
    def outer(x: torch.Tensor = torch.ones(4)) -> torch.Tensor:
        return (x[:, None] * x[None, :]).sum() + (x[:, None] + x[None, :]).max()

    plan = load(domain, outer.dumps(), "plan")
    x = tensor(domain, torch.ones(200_000))
    with pytest.raises((InvalidPlan, DeadlineExceeded)):
        domain.call(
            m.RunWorkerPlan(plan=plan, inputs={outer.inputs[0].name: m.RunInput(object_id=x)}), timeout=90
        )


def test_wrong_inputs_are_named(domain: Connection) -> None:
    plan = load(domain, scaled.dumps(), "plan")
    x = tensor(domain, torch.ones(3))
    name = scaled.inputs[0].name
    with pytest.raises(BadRequest, match="no input 'nope'"):
        domain.call(m.RunWorkerPlan(plan=plan, inputs={"nope": m.RunInput(object_id=x)}), timeout=240)
    with pytest.raises(BadRequest, match="has no tensor 't'"):
        domain.call(
            m.RunWorkerPlan(plan=plan, inputs={name: m.RunInput(object_id=x, tensor="t")}), timeout=240
        )
    with pytest.raises(InvalidPlan):
        square = tensor(domain, torch.ones(2, 2))
        domain.call(m.RunWorkerPlan(plan=plan, inputs={name: m.RunInput(object_id=square)}), timeout=240)


def test_sizes_are_limited_and_nothing_half_stays(domain: Connection, worker: Node) -> None:
    before = domain.call(m.GetWorkerStatus()).bytes
    with pytest.raises(TooLarge):
        load(domain, bytes((1 << 20) + 1), "bytes")
    for garbage in (b"not tensors at all", b"\2\0\0\0\0\0\0\0[]", b""):
        with pytest.raises((InvalidTensors, TooLarge)):
            load(domain, garbage, "tensor")
    assert domain.call(m.GetWorkerStatus()).bytes == before
    kept = []
    with pytest.raises(TooLarge, match="full"):
        for _ in range(6):
            kept.append(load(domain, bytes(1 << 20), "bytes"))
    for object_id in kept:
        domain.call(m.DeleteWorkerObject(object_id=object_id))


def test_objects_outlive_the_process(tmp_path: Path) -> None:
    settings = WorkerSettings()

    def make() -> Node:
        makers = [
            MetadataService,
            _Domains,
            partial(AssociationService, offline_after=10.0),
            partial(RequesterService, interval=5.0),
            partial(TrainingService, settings=settings),
            partial(WorkerService, settings=settings),
        ]
        return open_node("worker", tmp_path, "w", makers)

    node = make()
    kept = tensor(Connection(LocalTransport(node), DOMAIN), torch.ones(2))
    node.stop()
    node = make()
    assert fetch(Connection(LocalTransport(node), DOMAIN), kept).tolist() == [1.0, 1.0]
    node.stop()
