"""One call: what will run is shown, agreed to by whose word counts, and run until the training ends."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import syft_ext as sy
from grid.node import Node
from syft_ext.errors import BadRequest, NotAgreed
from syft_ext.federated import joining
from syft_ext.federated.events import Progress, RunSummary, Sent
from syft_ext.federated.job import FLJob
from syft_ext.messages.training_reviews import TrainingReview, definition_digest
from syft_ext.transport.base import Path
from tests.sdk.scripted import BrokenLine, Script, ScriptedService, scripted_node

_EVENTS = {name: getattr(FLJob, name) for name in dir(FLJob) if name.startswith("EVENT_")}
X, Y = torch.randn(16, 2), torch.randn(16)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[Node]:
    node = scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())
    node.start()
    yield node
    node.stop()


@pytest.fixture
def script(running: Node) -> Script:
    running.service(ScriptedService).script = script = Script()
    return script


@pytest.fixture
def join(running: Node, script: Script) -> Callable[..., Any]:
    def call(training: str, *arguments: Any, said: list[str] | None = None, **options: Any) -> Any:
        line = BrokenLine(running, lambda envelope: None)
        lines = [] if said is None else said
        return sy.join("http://scripted:1", training, *arguments, transport=line, say=lines.append, **options)

    return call


def test_what_will_run_is_shown_before_and_every_cycle_as_it_goes(
    join: Callable[..., Any], script: Script
) -> None:
    said: list[str] = []
    joined = join("line/1", (X, Y), said=said)
    assert (joined.summary.cycles, joined.summary.reason) == (3, "over")
    assert joined.digest == definition_digest(script.definition())
    text = "\n".join(said)
    shown, _, told = text.partition("waits for a cycle")
    assert f"definition {joined.digest}" in shown
    assert "--- plan training_plan" in shown, "the plan, as a reviewer reads it"
    assert "officer@hospital.org" in shown, "whose word it runs on"
    assert all(f"cycle {cycle}, status reported" in told for cycle in (1, 2, 3))
    assert "reached by: direct" in shown
    assert "ended: over" in told
    assert "cycles reported" in repr(joined)


def test_a_cycle_that_goes_on_without_this_report_is_called_missed() -> None:
    listeners, tables = dict[str, Callable[..., None]](), list[Any]()
    job: Any = SimpleNamespace(add_listener=listeners.__setitem__, **_EVENTS)
    view = joining._View("line 1", print)
    view.follow(job, SimpleNamespace(show=tables.append))
    for cycle in (1, 2, 3):
        listeners["cycle_started"](job, cycle)
        listeners["progress"](job, Progress(cycle, 1, 1, 16, 0.5, None))
        if cycle != 2:
            listeners["reported"](job, Sent(cycle, 16, 0.5, None))
    listeners["finished"](job, RunSummary(cycles=2, missed=1, reason="over"))
    assert [row[1] for row in view.table().rows] == ["reported", "missed", "reported"]
    assert [row[1] for row in tables[-3].rows] == ["reported", "missed", "open"]


@pytest.mark.parametrize(
    ("path", "lines"),
    [
        (
            Path(taken="relay", failed={"direct": "no \x1b[31maddress", "webrtc": "no session"}),
            ["reached by: relay", "  not by direct: no \\x1b[31maddress", "  not by webrtc: no session"],
        ),
        (Path(taken="", failed={}), []),
    ],
)
def test_how_the_domain_is_reached_is_told(path: Path, lines: list[str]) -> None:
    """What a Network says of the others is shown, and does not act."""
    assert joining._told(path) == lines


def test_what_nobody_approved_is_shown_and_does_not_run(join: Callable[..., Any], script: Script) -> None:
    script.review = TrainingReview(state="open")
    said: list[str] = []
    with pytest.raises(NotAgreed) as caught:
        join("line/1", (X, Y), said=said)
    assert caught.value.extra["reason"] == "review"
    assert "--- plan training_plan" in "\n".join(said)
    assert (script.check_ins, script.reports) == ([], [])


def test_a_digest_agrees_to_exactly_that(join: Callable[..., Any], script: Script) -> None:
    script.review = TrainingReview(state="open")
    digest = definition_digest(script.definition())
    assert join("line/1", (X, Y), digest=digest, max_cycles=1).summary.cycles == 1
    with pytest.raises(NotAgreed, match="is not what was agreed to"):
        join("line/1", (X, Y), digest="0" * 64)
    assert len(script.reports) == 1


@pytest.mark.parametrize(("answer", "runs"), [("yes", True), (" YES\n", True), ("y", False), ("", False)])
def test_who_is_asked_agrees_by_a_word(
    join: Callable[..., Any], script: Script, monkeypatch: pytest.MonkeyPatch, answer: str, runs: bool
) -> None:
    script.review = TrainingReview(state="open")
    asked: list[str] = []

    def typed(question: str) -> str:
        asked.append(question)
        return answer

    monkeypatch.setattr("syft_ext.display.prompt._answers", lambda: True)
    monkeypatch.setattr("builtins.input", typed)
    if runs:
        assert join("line/1", (X, Y), max_cycles=1).summary.cycles == 1
    else:
        with pytest.raises(NotAgreed):
            join("line/1", (X, Y), max_cycles=1)
        assert not script.check_ins
    assert definition_digest(script.definition()) in asked[0]


def test_without_data_it_is_shown_and_nothing_runs(join: Callable[..., Any], script: Script) -> None:
    said: list[str] = []
    with pytest.raises(BadRequest, match="data="):
        join("line/1", said=said)
    assert "--- plan training_plan" in "\n".join(said)
    assert not script.check_ins


@pytest.mark.parametrize("training", ["line", "/1", "line/"])
def test_a_training_is_named_with_its_version(join: Callable[..., Any], training: str) -> None:
    with pytest.raises(BadRequest, match="name/version"):
        join(training, (X, Y))
