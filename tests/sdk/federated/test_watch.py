"""Following a training: silent without a terminal, live in one, a display that changes in a notebook."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterator
from typing import Any

import IPython.display
import msgspec
import pytest

import syft_ext.client.watch as watch_module
from apps.assembly import open_node
from grid.node import Context, Node, Principal, Service, handles
from grid.node.metadata import MetadataService
from syft_ext.client.metrics import Metrics
from syft_ext.client.trainings import Training
from syft_ext.errors import Conflict, InvalidToken, NotFound, Unavailable
from syft_ext.messages import federated as m
from syft_ext.nodes.domain import DomainClient
from syft_ext.profile.credentials import SavedLogin
from syft_ext.transport import Connection
from syft_ext.transport.backoff import Backoff
from tests.sdk.scripted import BrokenLine, Times

CYCLES = 3


class Feed(Service):
    """A training whose every watch shows one more finished cycle."""

    def __init__(self, node: Node) -> None:
        super().__init__(node)
        self.done = 0
        self.status: m.ProcessStatus = "running"
        self.waits: list[tuple[int, float]] = []
        self.stuck = False

    def principal_of_key(self, verify_key: str) -> Principal | None:
        return Principal("user", "1" * 32, verify_key, "ann@x.org", "User")

    def view(self) -> m.ProcessView:
        return m.ProcessView(
            process_id="0" * 32,
            name="mnist",
            version="1.0",
            status=self.status,
            owner="ann@x.org",
            created_at=1.7e9,
            num_cycles=CYCLES,
            cycles_completed=self.done,
            cycle=min(self.done + 1, CYCLES),
            cycle_status="collecting",
            admitted=4,
            reported=2,
            checkpoint=self.done + 1,
            model_size=1_250_000,
            plans={"training_plan": "1" * 32},
            protocols={},
            client_config={},
        )

    @handles(m.ListProcesses)
    def list(self, ctx: Context, message: m.ListProcesses) -> m.ProcessList:
        return m.ProcessList(processes=[self.view()] if message.name in ("", "mnist") else [])

    @handles(m.GetProcess)
    def get(self, ctx: Context, message: m.GetProcess) -> m.ProcessView:
        return self.view()

    @handles(m.WatchProcess)
    def watch(self, ctx: Context, message: m.WatchProcess) -> m.EventsReply:
        self.waits.append((message.after, message.timeout))
        if not self.stuck:
            self.done += 1
            self.status = "completed" if self.done >= CYCLES else self.status
        return m.EventsReply(events=[], last=self.done * 10, process=self.view())

    @handles(m.ProcessMetrics)
    def metrics(self, ctx: Context, message: m.ProcessMetrics) -> m.MetricsReply:
        return m.MetricsReply(
            cycles=[
                m.CycleMetrics(
                    cycle=number,
                    status="completed",
                    opened_at=100.0 * number,
                    closed_at=100.0 * number + 1.5,
                    checkpoint=number + 1,
                    admitted=4,
                    reported=4,
                    rejected=0,
                    samples=400,
                    loss=1 / number,
                    accuracy=None,
                    bytes_received=5_000_000,
                )
                for number in range(1, self.done + 1)
            ]
        )

    @handles(m.ProcessHistory)
    def history(self, ctx: Context, message: m.ProcessHistory) -> m.EventsReply:
        events = [
            m.Event(
                seq=n, at=1.7e9, entity="process", entity_id="0" * 32, cycle=0, before="", after="created"
            )
            for n in range(message.after + 1, 6)
        ]
        return m.EventsReply(events=events[:2], last=5, process=self.view())

    @handles(m.PauseProcess)
    def pause(self, ctx: Context, message: m.PauseProcess) -> m.ProcessView:
        self.status = "paused"
        return self.view()

    @handles(m.ResumeProcess)
    def resume(self, ctx: Context, message: m.ResumeProcess) -> m.ProcessView:
        self.status = "running"
        return self.view()

    @handles(m.CancelProcess)
    def cancel(self, ctx: Context, message: m.CancelProcess) -> m.ProcessView:
        if self.status == "cancelled":
            raise Conflict("a training that is cancelled cannot cancel")
        self.status = "cancelled"
        return self.view()


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[Node]:
    node = open_node(
        "domain",
        tmp_path_factory.mktemp("home"),
        "hospital",
        (MetadataService, Feed),
        database_url=sqlite_copy(),
    )
    node.start()
    yield node
    node.stop()


@pytest.fixture
def feed(node: Node) -> Feed:
    feed = node.service(Feed)
    feed.done, feed.status, feed.stuck, feed.waits = 0, "running", False, []
    return feed


def client_of(node: Node, fault: Any = lambda envelope: None) -> DomainClient:
    connection = Connection(BrokenLine(node, fault))
    return DomainClient(connection, connection.metadata(), None)


@pytest.fixture
def client(node: Node, feed: Feed) -> DomainClient:
    return client_of(node)


def test_without_a_terminal_watching_says_what_changes_and_returns_the_metrics(
    client: DomainClient, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    metrics = client.trainings["mnist"].watch()
    assert [cycle.loss for cycle in metrics] == [1.0, 0.5, 1 / 3]
    said, errors = capsys.readouterr()
    first, second, *_, last = said.splitlines()
    assert errors == ""
    assert first.startswith(
        "mnist 1.0: running, 0 of 3 cycles; cycle 1: 2 of 4 reported; waits for the reports of 2"
    )
    assert second.startswith("cycle 1, status completed, reports 4 of 4, samples 400, loss 1")
    assert last == "mnist 1.0: completed, 3 of 3 cycles"
    assert [after for after, _ in feed.waits] == [0, 10, 20]
    assert all(wait == watch_module.POLL for _, wait in feed.waits)


def test_an_ended_training_is_not_waited_for(client: DomainClient, feed: Feed) -> None:
    feed.status = "failed"
    assert client.trainings[0].watch() == []
    assert feed.waits == []


def test_watching_ends_with_its_time(client: DomainClient, feed: Feed) -> None:
    feed.stuck = True
    assert client.trainings[0].watch(timeout=0.05) == []
    assert feed.waits
    assert all(wait <= 0.05 for _, wait in feed.waits)


def test_watching_survives_a_domain_that_is_down(
    node: Node, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Backoff, "next_delay", lambda self: 0.001)
    for operation in ("federated.watch", "federated.metrics"):
        feed.done, feed.status = 0, "running"
        fault = Times(operation, 2, "before")
        assert len(client_of(node, fault).trainings["mnist"].watch()) == CYCLES
        assert fault.left == 0
    with pytest.raises(Unavailable):
        feed.done, feed.status = 0, "running"
        down = client_of(node, lambda envelope: "before" if envelope.operation != "node.metadata" else None)
        Training(down, feed.view()).watch(timeout=0.05)


class _Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_rounds_participants_and_loss(
    client: DomainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = _Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    client.trainings["mnist"].watch()
    for expected in ("mnist 1.0: completed, 3 of 3 cycles", "4 of 4", "0.3333", "5.0 MB", "accuracy"):
        assert expected in out.getvalue()


def test_a_notebook_shows_one_table_that_changes(
    client: DomainClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown: list[str] = []

    class Handle:
        def update(self, table: Any) -> None:
            shown.append(table._repr_html_())

    def display(table: Any, display_id: bool) -> Handle:
        assert display_id and not shown
        shown.append(table._repr_html_())
        return Handle()

    monkeypatch.setattr(watch_module, "surface", lambda: "notebook")
    monkeypatch.setattr(IPython.display, "display", display)
    client.trainings["mnist"].watch()
    assert "running, 0 of 3 cycles; cycle 1: 2 of 4 reported" in shown[0]
    assert "completed, 3 of 3 cycles" in shown[-1]
    assert "<script" not in "".join(shown)


def test_a_training_is_steered_by_its_owner(client: DomainClient, feed: Feed) -> None:
    training = client.trainings["mnist"]
    assert training.pause().view.status == "paused" == training.status
    assert client.trainings.resume(training.id).view.status == "running"
    assert client.trainings.cancel(training.id, "enough").view.status == "cancelled"
    with pytest.raises(Conflict):
        training.cancel()
    with pytest.raises(NotFound, match="hosts no training 'cifar'"):
        client.trainings.find("cifar")


def test_trainings_metrics_and_history_show_themselves(client: DomainClient, feed: Feed) -> None:
    feed.done = 2
    training = client.trainings[0]
    assert repr(training) == f"<Training 'mnist' '1.0' running, 2 of 3 cycles, id {'0' * 32}>"
    assert "training_plan" in training._repr_html_()
    assert "2 of 4" in repr(client.trainings)
    metrics = training.metrics()
    assert isinstance(metrics, Metrics)
    assert list(metrics.to_pandas()["samples"]) == [400, 400]
    assert "0.5" in metrics._repr_html_() and "1.5" in repr(metrics)
    history = training.history()
    assert [event.seq for event in history] == [1, 2, 3, 4, 5]
    assert "created" in history._repr_html_()
    assert "<table>" in history[:2]._repr_html_() and len(history[:2]) == 2  # a part is shown as the whole


def test_watching_outlives_the_session(
    client: DomainClient, feed: Feed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key goes on for whoever logged in; when that is no good either, a later login does."""
    monkeypatch.setattr(Backoff, "next_delay", lambda self: 0.001)
    address = "http://hospital:1"
    facts = {"email": "ann@x.org", "node_id": "0" * 32, "node_name": "hospital", "node_kind": "domain"}
    old = SavedLogin(address=address, token="old", expires_at=0.0, **facts)
    newer = SavedLogin(address=address, token="newer", expires_at=4e9, **facts)
    client.session, client.connection.token = old, "old"
    seen: list[str] = []
    real = client.connection.call

    def call(message: Any, *arguments: Any, **options: Any) -> Any:
        seen.append(client.connection.token)
        if client.connection.token == "old" or (client.connection.token == "" and len(seen) < 5):
            raise InvalidToken("the token has expired; log in again")
        return real(message, *arguments, **options)

    monkeypatch.setattr(client.connection, "call", call)
    said: list[str] = []
    feed.done = 0
    training = Training(client, feed.view())
    assert len(training.watch(say=said.append)) == CYCLES
    assert seen[:2] == ["old", ""] and any("Log in again" in line for line in said)
    seen.clear()
    feed.done, feed.status = 0, "running"
    client.connection.token = "old"
    monkeypatch.setattr(watch_module, "load", lambda address: newer)
    client.session = old
    assert len(Training(client, feed.view()).watch(say=said.append)) == CYCLES
    assert seen[:2] == ["old", "newer"]


def test_nobody_who_was_never_logged_in_is_waited_for(client: DomainClient, feed: Feed) -> None:
    def call(*arguments: Any, **options: Any) -> Any:
        raise InvalidToken("no")

    client.connection.call = call  # type: ignore[method-assign]
    with pytest.raises(InvalidToken):
        Training(client, feed.view()).watch()


@pytest.mark.parametrize(
    ("facts", "line"),
    [
        ({"status": "waiting"}, "waits for the Domain's reviewers (request )"),
        ({"admitted": 1, "reported": 0, "min_workers": 3}, "waits for 2 more participants: a cycle needs 3"),
        ({"admitted": 2, "reported": 0, "min_workers": 3}, "waits for 1 more participant: a cycle needs 3"),
        ({"admitted": 3, "reported": 2}, "waits for the reports of 1 of 3 participants"),
        ({"admitted": 3, "reported": 2, "missing": ["ward-3"]}, "waits for ward-3"),
        ({"admitted": 3, "reported": 3}, ""),
        ({"reported": 4, "waits_for": "its host, to open"}, "waits for its host, to open"),
        ({"status": "completed", "waits_for": "nothing any more"}, ""),
    ],
)
def test_who_is_waited_for(feed: Feed, facts: dict[str, Any], line: str) -> None:
    assert watch_module.waited_for(msgspec.structs.replace(feed.view(), **facts)) == line
