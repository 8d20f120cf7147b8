"""Both sides of a training against a real Domain, over real sockets: host, take part, watch, fetch."""

from __future__ import annotations

import shutil
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jwt
import pytest
import torch

import syft_ext as sy
from grid.web.testing import ServedNode
from syft_ext.errors import (
    Conflict,
    Forbidden,
    InvalidConfig,
    InvalidPlan,
    InvalidToken,
    NotFound,
    NotLoggedIn,
    Unavailable,
)
from syft_ext.federated import RunSummary
from syft_ext.messages.federated import CancelProcess
from syft_ext.transport import Transport, WebSocketTransport
from tests.privacy.dp_sgd_canary import audited_plan, stated
from tests.sdk.live import EMAIL, PASSWORD, log_in, serve
from tests.sdk.scripted import least_squares
from tests.sdk.tls import TLSProxy

W, B = torch.tensor([2.0, -1.0]), 0.5
X = torch.randn(200, 2, generator=torch.Generator().manual_seed(1))
Y = X @ W + B


@pytest.fixture(scope="module")
def domain(tmp_path_factory: pytest.TempPathFactory, sqlite_template: Path) -> Iterator[ServedNode]:
    root = tmp_path_factory.mktemp("live")
    shutil.copyfile(sqlite_template, root / "node.db")
    patch = pytest.MonkeyPatch()
    with serve(root / "home", f"sqlite:///{root / 'node.db'}", patch) as served:
        yield served
    patch.undo()


@pytest.fixture
def owner(domain: ServedNode) -> sy.DomainClient:
    return log_in(domain.url)


def host(domain: ServedNode, name: str, **server_config: Any) -> Any:
    client = sy.ModelCentricFLClient(address=domain.url.removeprefix("http://"), secure=False)
    client.connect()
    return client.host_federated_training(
        model=[torch.zeros(2), torch.zeros(1)],
        client_plans={"training_plan": least_squares()},
        client_config={"name": name, "version": "1.0", "batch_size": 20, "lr": 0.1},
        server_config={"num_cycles": 3, "max_diffs": 1, "cycle_length": 3600, **server_config},
    )


def work(url: str, name: str, rows: slice = slice(None), **options: Any) -> RunSummary:
    with sy.FLClient(url, options.pop("auth_token", ""), **options) as client:
        return client.new_job(name, "1.0").run(data=(X[rows], Y[rows]), seed=0)


@pytest.mark.parametrize("scheme", ["", "http://", "ws://"])
def test_a_model_learns_over_every_kind_of_address(
    domain: ServedNode, owner: sy.DomainClient, scheme: str
) -> None:
    name = f"line-{scheme.rstrip(':/') or 'plain'}"
    training = host(domain, name)
    assert training.view.status == "running"
    summary = work(scheme + domain.url.removeprefix("http://"), name)
    assert (summary.cycles, summary.missed, summary.failures, summary.reason) == (3, 0, 0, "over")
    metrics = training.watch(timeout=30)
    assert [cycle.status for cycle in metrics] == ["completed"] * 3
    assert [cycle.samples for cycle in metrics] == [200] * 3
    losses = [cycle.loss for cycle in metrics]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.01
    client = sy.ModelCentricFLClient(domain.url)
    first, latest = client.retrieve_model(name, "1.0", 1), client.retrieve_model(name, "1.0")
    assert [tensor.abs().sum().item() for tensor in first] == [0, 0]
    assert (first.checkpoint, latest.checkpoint) == (1, 4)
    torch.testing.assert_close(latest[0], W, atol=0.01, rtol=0)
    module = latest.load_into(torch.nn.ParameterDict({"0": torch.zeros(2), "1": torch.zeros(1)}))
    torch.testing.assert_close(module["0"].detach(), latest[0])
    assert training.status == "completed"
    assert training.history()[-1].after == "completed"
    assert owner.trainings[name].model().digest == latest.digest


def test_several_workers_share_each_cycle_and_are_told_of_the_next_one(
    domain: ServedNode, owner: sy.DomainClient
) -> None:
    training = host(domain, "together", num_cycles=5, max_diffs=4, min_workers=4, max_workers=4)
    summaries: list[RunSummary] = []

    def one(index: int) -> None:
        summaries.append(work(domain.url, "together", slice(index * 50, index * 50 + 50)))

    threads = [threading.Thread(target=one, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    metrics = training.watch(timeout=240)
    for thread in threads:
        thread.join(30)
    assert [summary.cycles for summary in summaries] == [5] * 4
    assert [(cycle.admitted, cycle.reported, cycle.samples) for cycle in metrics] == [(4, 4, 200)] * 5
    # Pushed, not polled: a cycle takes a fraction of the seconds after which a poll would ask again. In the first
    # one, four sandboxes start.
    assert min(cycle.closed_at - cycle.opened_at for cycle in metrics[1:] if cycle.closed_at) < 5


def test_hosting_without_a_login_says_how_to_log_in(domain: ServedNode) -> None:
    client = sy.ModelCentricFLClient(domain.url)
    client.connect()
    with pytest.raises(NotLoggedIn, match="grid login"):
        client.retrieve_model("line", "1.0")
    with pytest.raises(NotLoggedIn, match=r"sy\.login"):
        host(domain, "nobody")


def test_what_cannot_be_hosted_says_what_is_wrong(domain: ServedNode, owner: sy.DomainClient) -> None:
    client = sy.ModelCentricFLClient(domain.url)
    good: dict[str, Any] = {
        "model": [torch.zeros(2), torch.zeros(1)],
        "client_plans": {"training_plan": least_squares()},
        "client_config": {"name": "bad", "version": "1.0"},
        "server_config": {"num_cycles": 1},
    }
    with pytest.raises(InvalidConfig, match="version"):
        client.host_federated_training(**{**good, "client_config": {"name": "bad"}})
    with pytest.raises(InvalidConfig, match="max_difs"):
        client.host_federated_training(**{**good, "server_config": {"max_difs": 1}})
    with pytest.raises(InvalidPlan, match="@make_plan"):
        client.host_federated_training(**{**good, "client_plans": {"p": lambda x: x}})
    with pytest.raises(InvalidPlan):
        client.host_federated_training(**{**good, "client_plans": {"p": b"no plan"}})
    client.host_federated_training(**good)
    with pytest.raises(Conflict):
        client.host_federated_training(**good)
    with pytest.raises(NotFound):
        client.retrieve_model("bad", "1.0", 99)
    with pytest.raises(NotFound):
        client.training("unknown", "1.0")


def test_a_worker_shows_the_token_that_the_host_asked_for(domain: ServedNode, owner: sy.DomainClient) -> None:
    host(domain, "guarded", num_cycles=1, authentication={"type": "jwt", "secret": "s" * 32})
    with pytest.raises(InvalidToken):
        work(domain.url, "guarded")
    token = jwt.encode({"sub": "ward 7"}, "s" * 32, algorithm="HS256")
    assert work(domain.url, "guarded", auth_token=token).cycles == 1


def test_minimum_speeds_are_measured(domain: ServedNode, owner: sy.DomainClient) -> None:
    host(domain, "quick", num_cycles=1, minimum_upload_speed=1, minimum_download_speed=1)
    client = sy.FLClient(domain.url)
    answer = client.grid_worker.authenticate("", "quick", "1.0")["data"]
    assert answer["requires_speed_test"] is True
    assert client.new_job("quick", "1.0").run(data=(X, Y)).cycles == 1
    speeds = client.session("quick", "1.0").speeds
    assert speeds is not None and min(speeds.ping, speeds.download, speeds.upload) > 0


def test_a_slot_that_was_given_back_goes_to_the_next_worker(
    domain: ServedNode, owner: sy.DomainClient
) -> None:
    host(domain, "given-back", num_cycles=1, max_workers=1)
    with pytest.raises(ZeroDivisionError):
        sy.FLClient(domain.url).new_job("given-back", "1.0").run(lambda job: 1 / 0)
    assert work(domain.url, "given-back").cycles == 1


def test_a_full_cycle_rejects_with_seconds_to_wait(domain: ServedNode, owner: sy.DomainClient) -> None:
    training = host(domain, "full", num_cycles=1, max_workers=1)
    holder = sy.FLClient(domain.url).new_job("full", "1.0")
    holder.add_listener("accepted", lambda job: None)
    holder.start()
    timeouts: list[float | None] = []
    late = sy.FLClient(domain.url).new_job("full", "1.0")
    late.add_listener("rejected", lambda job, timeout: timeouts.append(timeout))
    late.start()
    holder.report(holder.model)
    training.watch(timeout=30)
    late.start()
    assert timeouts[0] is not None and timeouts[0] > 0
    assert timeouts[1:] == [None]


def test_only_its_owner_steers_a_training(
    domain: ServedNode, owner: sy.DomainClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    training = host(domain, "mine", num_cycles=1)
    owner.users.create("ann@lab.org", "another horse")
    monkeypatch.setenv("GRID_USER_HOME", str(tmp_path / "ann"))
    ann = sy.login(domain.url, "ann@lab.org", "another horse")
    assert isinstance(ann, sy.DomainClient)
    for cancel in (
        lambda: ann.trainings["mine"].cancel(),
        lambda: ann.call(CancelProcess(process_id=training.id)),
    ):
        with pytest.raises((NotFound, Forbidden)):
            cancel()
    assert training.refresh().view.status == "running"
    assert training.cancel("enough").view.status == "cancelled"
    assert work(domain.url, "mine").reason == "over"


def test_a_waiting_worker_hears_of_a_pause_that_ends(domain: ServedNode, owner: sy.DomainClient) -> None:
    training = host(domain, "paused", num_cycles=2)
    training.pause()
    summaries: list[RunSummary] = []
    job = sy.FLClient(domain.url).new_job("paused", "1.0")
    thread = threading.Thread(target=lambda: summaries.append(job.run(data=(X, Y))))
    thread.start()
    thread.join(0.5)
    assert thread.is_alive() and not summaries
    training.resume()
    thread.join(90)
    assert [summary.cycles for summary in summaries] == [2]


def test_stop_ends_a_wait_at_once(domain: ServedNode, owner: sy.DomainClient) -> None:
    host(domain, "waiting", num_cycles=1, min_workers=2, max_workers=2, max_diffs=2)
    summaries: list[RunSummary] = []
    job = sy.FLClient(domain.url).new_job("waiting", "1.0")
    thread = threading.Thread(target=lambda: summaries.append(job.run(data=(X, Y))))
    thread.start()
    thread.join(1.0)
    job.stop()
    thread.join(60)
    assert [summary.reason for summary in summaries] == ["stopped"]


def test_where_no_websocket_gets_through_the_wait_is_a_long_poll(
    domain: ServedNode, owner: sy.DomainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Blocked(Transport):
        def __init__(self, address: str, *, ca_file: str | None = None) -> None:
            self.address = address

        def exchange(self, envelope: Any, payload: Any = (), *, timeout: float | None = None) -> Any:
            raise Unavailable("a proxy lets no WebSocket through")

    monkeypatch.setattr("syft_ext.federated.session.WebSocketTransport", Blocked)
    host(domain, "proxied")
    assert work(domain.url, "proxied").cycles == 3


def test_secure_means_tls_and_a_private_authority_must_be_named(domain: ServedNode, tmp_path: Path) -> None:
    with TLSProxy(domain.url.removeprefix("http://"), tmp_path) as proxy:
        address, ca_file = proxy.netloc, proxy.ca_file
        with pytest.raises(Unavailable):
            sy.login(f"https://{address}", EMAIL, PASSWORD)
        owner = sy.login(f"https://{address}", EMAIL, PASSWORD, ca_file=ca_file)
        assert owner.me.email == EMAIL
        client = sy.ModelCentricFLClient(address, secure=True, ca_file=ca_file)
        client.host_federated_training(
            model=[torch.zeros(2), torch.zeros(1)],
            client_plans={"training_plan": least_squares()},
            client_config={"name": "tls", "version": "1.0"},
            server_config={"num_cycles": 2},
        )
        worker = sy.FLClient(address, secure=True, ca_file=ca_file)
        assert worker.new_job("tls", "1.0").run(data=(X, Y), max_cycles=1).cycles == 1
        assert isinstance(worker._transports._push, WebSocketTransport)
        assert (
            sy.FLClient(f"wss://{address}", ca_file=ca_file).new_job("tls", "1.0").run(data=(X, Y)).cycles
            == 1
        )
        sy.logout(f"https://{address}")  # a session remembers the authority that it was opened with
        with pytest.raises(Unavailable):
            sy.FLClient(f"wss://{address}").new_job("tls", "1.0").start()
        owner.close()


def test_private_training_draws_its_noise_where_the_rows_are(
    domain: ServedNode, owner: sy.DomainClient
) -> None:
    client = sy.ModelCentricFLClient(address=domain.url.removeprefix("http://"), secure=False)
    client.connect()
    client.host_federated_training(
        model=[torch.zeros(2, 4), torch.zeros(2)],
        client_plans={"training_plan": audited_plan()},
        client_config={"name": "private", "version": "1.0", "batch_size": 50, "epochs": 2, "lr": 0.5,
                       "noise_multiplier": 0.5},
        server_config={"num_cycles": 2, "max_diffs": 1, "cycle_length": 3600},
    )  # fmt: skip
    xs = torch.randn(200, 4, generator=torch.Generator().manual_seed(2))
    with sy.FLClient(domain.url) as taking_part:
        job = taking_part.new_job("private", "1.0")
        summary = job.run(data=(xs, (xs[:, 0] > 0).long()), seed=0)
    assert (summary.cycles, summary.failures) == (2, 0)
    assert job.account.privacy is not None
    assert job.account.privacy.steps == {0.5: 4}, "two epochs of two cycles"
    assert job.account.privacy.epsilon(1e-6) == pytest.approx(stated(0.5, 4, 1e-6))
    trained = client.retrieve_model("private", "1.0")
    assert any(bool(each.any()) for each in trained)
