"""The federated messages on a real node: who may call what, and a whole training by messages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from apps.assembly import open_node
from grid.federated.service import SERVICES, FederatedService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node import ANONYMOUS, Context, Download, Node, Principal
from syft_ext.errors import BadRequest, Forbidden, InvalidToken, NotFound, TooLarge, Unauthenticated
from syft_ext.messages import Message
from syft_ext.messages import federated as m
from syft_ext.messages import participation as p
from syft_ext.transport import PayloadReader
from tests.federated.models import decode, encode, small_model
from tests.open_site import open_site

OWNER = Principal("user", id="1" * 32)
STRANGER = Principal("user", id="2" * 32)


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = open_node("domain", tmp_path / "home", "hospital", [*GOVERNANCE, *SERVICES])
    node.start()
    open_site(node.db)
    yield node
    node.stop()


def call(node: Node, principal: Principal, message: Message, body: bytes = b"") -> Any:
    return node.dispatch(Context(principal, PayloadReader.of(body)), message)


def content(answer: Download) -> bytes:
    return b"".join(bytes(piece) for piece in answer.chunks(0, answer.size))


def host(node: Node, **server_config: Any) -> m.ProcessView:
    view = call(
        node,
        OWNER,
        m.HostTraining(
            name="mnist",
            version="1.0",
            client_plans={},
            client_protocols={"sum": b"opaque"},
            client_config={"lr": 0.1},
            server_config={"num_cycles": 1, "max_diffs": 1, **server_config},
        ),
    )
    assert (view.status, view.cycle, view.checkpoint) == ("created", 0, 0)
    running: m.ProcessView = call(
        node, OWNER, m.UploadModel(process_id=view.process_id), encode(small_model())
    )
    assert (running.status, running.cycle_status, running.checkpoint) == ("running", "collecting", 1)
    return running


def join(node: Node, principal: Principal = ANONYMOUS) -> Principal:
    """A worker's identity, out of the token that the node gave it."""
    view = call(node, principal, m.AuthenticateWorker(model_name="mnist", model_version="1.0"))
    return node.principal_of_token(view.token)


def test_a_training_by_messages(node: Node) -> None:
    process = host(node)
    worker = join(node)
    assert (worker.kind, worker.claims["process"]) == ("worker", process.process_id)
    part = call(node, worker, m.CheckIn(idempotency_key="k"))
    assert (part.status, part.cycle, part.num_cycles, part.checkpoint) == ("accepted", 1, 1, 1)
    assert part.client_config == {"lr": 0.1, "name": "mnist", "version": "1.0"}
    key = {"assignment_id": part.assignment_id, "request_key": part.request_key}
    model = call(node, worker, m.GetModel(**key))
    assert (model.digest, model.size) == (part.model_digest, part.model_size)
    base = decode(content(model))
    protocol = call(node, worker, m.GetProtocol(protocol_id=part.protocols["sum"], **key))
    assert content(protocol) == b"opaque"
    with pytest.raises(NotFound):
        call(node, worker, m.GetPlan(plan_id=part.protocols["sum"], **key))
    trained = {name: values + 1 for name, values in base.items()}
    report = m.Report(**key, kind="params", samples=5, loss=0.5, accuracy=0.9)
    reply = call(node, worker, report, encode(trained))
    assert (reply.cycle, reply.reported, reply.cycle_status) == (1, 1, "aggregating")
    last = 0
    events: list[m.Event] = []
    while not events or events[-1].after != "completed" or events[-1].entity != "process":
        answer = call(node, STRANGER, m.WatchProcess(process_id=process.process_id, after=last, timeout=10.0))
        events, last = events + answer.events, answer.last
    latest = call(node, STRANGER, m.RetrieveModel(name="mnist", version="1.0"))
    assert latest.reply.number == 2
    np.testing.assert_array_equal(decode(content(latest))["weight"], trained["weight"])
    first = call(node, STRANGER, m.RetrieveModel(name="mnist", version="1.0", checkpoint="1"))
    np.testing.assert_array_equal(decode(content(first))["weight"], base["weight"])
    for missing in ("3", "newest", "-1"):
        with pytest.raises(NotFound):
            call(node, STRANGER, m.RetrieveModel(name="mnist", version="1.0", checkpoint=missing))
    (cycle,) = call(node, STRANGER, m.ProcessMetrics(process_id=process.process_id)).cycles
    assert (cycle.loss, cycle.accuracy, cycle.samples, cycle.reported) == (0.5, 0.9, 5, 1)
    assert call(node, worker, m.CheckIn()).reason == "over"


def test_only_the_host_changes_a_training(node: Node) -> None:
    process_id = host(node).process_id
    for message in (
        m.PauseProcess(process_id=process_id),
        m.ResumeProcess(process_id=process_id),
        m.CancelProcess(process_id=process_id),
        m.UploadModel(process_id=process_id),
    ):
        with pytest.raises(Forbidden):
            call(node, STRANGER, message)
    assert call(node, OWNER, m.PauseProcess(process_id=process_id)).status == "paused"
    assert call(node, OWNER, m.ResumeProcess(process_id=process_id)).status == "running"
    assert call(node, OWNER, m.CancelProcess(process_id=process_id, reason="done")).reason == "done"


def test_names_must_agree_and_given_up_names_are_free(node: Node) -> None:
    message = m.HostTraining(name="a", version="1", client_plans={}, client_config={"name": "b"})
    with pytest.raises(BadRequest):
        call(node, OWNER, message)
    message = m.HostTraining(name="a", version="1", client_plans={})
    given_up = call(node, OWNER, message)
    call(node, OWNER, m.CancelProcess(process_id=given_up.process_id))
    again = call(node, OWNER, message)
    assert again.process_id != given_up.process_id
    assert len(call(node, OWNER, m.ListProcesses()).processes) == 1


def test_workers_are_known_by_their_key_and_only_by_their_token(node: Node) -> None:
    host(node)
    key = Principal("key", verify_key="ab" * 32)
    assert join(node, key).id == join(node, key).id
    assert join(node).id != join(node).id
    for principal in (ANONYMOUS, OWNER):
        with pytest.raises((Unauthenticated, Forbidden)):
            call(node, principal, m.CheckIn())
    worker, other = join(node), join(node)
    part = call(node, worker, m.CheckIn())
    for thief, request_key in ((other, part.request_key), (worker, "0" * 64)):
        with pytest.raises(InvalidToken):
            call(node, thief, m.GetModel(assignment_id=part.assignment_id, request_key=request_key))
    call(
        node,
        worker,
        p.ReportFailure(assignment_id=part.assignment_id, request_key=part.request_key, reason="asleep"),
    )


def test_authentication_of_workers(node: Node) -> None:
    host(node, authentication={"secret": "a secret of thirty-two characters"})
    with pytest.raises(InvalidToken):
        join(node)
    view = call(node, OWNER, m.ListProcesses()).processes[0]
    assert "secret" not in repr(view)


def test_speed_test(node: Node) -> None:
    host(node, minimum_upload_speed=10)
    view = call(node, ANONYMOUS, m.AuthenticateWorker(model_name="mnist", model_version="1.0"))
    assert view.requires_speed_test
    worker = node.principal_of_token(view.token)
    sample = call(node, worker, m.SpeedSample(size=3_000_000))
    assert len(content(sample)) == 3_000_000
    assert bytes(b"".join(sample.chunks(1_048_000, 1_049_000))) == content(sample)[1_048_000:1_049_000]
    with pytest.raises(BadRequest):
        call(node, worker, m.SpeedSample(size=1 << 30))
    call(node, worker, m.SpeedUpload(), bytes(1 << 20))
    with pytest.raises(TooLarge):
        call(node, worker, m.SpeedUpload(), bytes((64 << 20) + 1))
    assert call(node, worker, m.CheckIn(upload=9.0)).reason == "too-slow"


def test_the_server_process_stays_without_torch() -> None:
    import subprocess
    import sys

    code = "import sys, grid.federated.service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_the_service_is_found_by_type(node: Node) -> None:
    assert isinstance(node.service(FederatedService), FederatedService)
