"""The participant of a Worker, at a Domain that lies: it runs what its owner approved, reads what it is asked
to, and counts what it has sent."""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import torch

import syft_ext as sy
from grid.web.testing import ServedNode
from grid.worker.participant import Participant
from grid.worker.protocol import ParticipantCommand, ParticipantEvent, ParticipantSetup, decode_event
from syft_ext.messages.training_reviews import WorkerBounds, definition_digest
from tests.sdk.federated.test_consent import SWAPS, swap_plan, thief
from tests.sdk.scripted import Script, ScriptedService, scripted_node

ROWS = 40


class Heard(io.RawIOBase):
    """What the participant tells its node."""

    def __init__(self) -> None:
        self.events: list[ParticipantEvent] = []
        self._changed = threading.Condition()

    def write(self, line: Any) -> int:
        with self._changed:
            self.events.append(decode_event(bytes(line)))
            self._changed.notify_all()
        return len(line)

    def until(self, event: str, seconds: float = 60.0) -> ParticipantEvent:
        """The first event of that kind; what came before is forgotten."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while True:
                for index, each in enumerate(self.events):
                    if each.event == event:
                        del self.events[: index + 1]
                        return each
                    assert each.event != "failed" or event == "failed", each.text
                assert self._changed.wait(deadline - time.monotonic()), f"no {event}: {self.events}"


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[ServedNode]:
    with ServedNode(scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())) as served:
        yield served


@pytest.fixture
def script(served: ServedNode) -> Script:
    served.node.service(ScriptedService).script = script = Script()
    script.node_key = served.node.identity.verify_key
    return script


@pytest.fixture
def heard() -> Heard:
    return Heard()


Start = Callable[..., Participant]


@pytest.fixture
def start(
    served: ServedNode, script: Script, heard: Heard, tmp_path: Path, own_folder: Path
) -> Iterator[Start]:
    random = torch.Generator().manual_seed(5)
    rows = torch.randn(ROWS, 3, generator=random) * torch.tensor([1.0, 250.0, 4.0]) + 3
    lines = [",".join(map(str, row)) for row in rows.tolist()]
    (tmp_path / "rows.csv").write_text("\n".join(["a,b,value", *lines]) + "\n")
    running: list[Participant] = []

    def start(**bounds: Any) -> Participant:
        setup = ParticipantSetup(
            domain=served.url,
            node_key_file=str(tmp_path / "node.key"),
            ca_file="",
            token="",
            data=str(tmp_path / "rows.csv"),
            target="value",
            classes=[],
            columns=["a", "b"],
            schema="",
            standardise="local",
            statistics="",
            shuffle_seed=1,
            plan_seconds=60.0,
            log_format="text",
            log_level="info",
            plan_memory=4 << 30,
            bounds=WorkerBounds(**bounds),
        )
        participant = Participant(setup, heard)  # type: ignore[arg-type]
        running.append(participant)
        return participant

    yield start
    for participant in running:
        participant.close()
        participant.client.close()


def command(script: Script, action: str = "join", **more: Any) -> ParticipantCommand:
    digest = more.pop("digest", definition_digest(script.definition()))
    return ParticipantCommand(
        action=action, name="line", version="1", digest=digest, domain_key=script.node_key, **more
    )


def test_it_runs_what_was_approved_and_says_what_that_was(start: Start, script: Script, heard: Heard) -> None:
    start().obey(command(script))
    agreed = heard.until("agreed")
    assert agreed.digest == definition_digest(script.definition())
    assert agreed.shown is not None and "returns:" in agreed.shown["plan training_plan"]
    assert heard.until("reported").samples == ROWS
    assert heard.until("over").digest == agreed.digest
    assert len(script.reports) == 3


def test_each_training_runs_in_a_sandbox_of_its_own(
    start: Start, script: Script, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    participant = start()
    taken: list[Any] = []
    take = participant._unused_plans

    def noted() -> Any:
        taken.append(take())
        return taken[-1]

    monkeypatch.setattr(participant, "_unused_plans", noted)
    participant.obey(command(script))
    participant.obey(command(script, digest="f" * 64))
    heard.until("failed")
    first, other = taken
    assert first is not other and participant._spare is None
    participant.obey(command(script))
    if not script.reports:
        heard.until("reported")
    participant.obey(command(script, "leave"))
    deadline = time.monotonic() + 60
    while first.warm and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not first.warm and not other.warm, "a training that is over leaves no sandbox behind"


def test_it_takes_no_part_in_what_has_another_digest(start: Start, script: Script, heard: Heard) -> None:
    start().obey(command(script, digest="f" * 64))
    failed = heard.until("failed")
    assert "not what was agreed to" in failed.text and failed.digest == "f" * 64
    assert (script.check_ins, script.downloads) == ([], [])


def test_a_definition_that_changed_since_it_was_read_is_not_run(
    start: Start, script: Script, heard: Heard
) -> None:
    participant, approved = start(), command(script)
    script.shown, script.plan = None, thief()
    participant.obey(approved)
    assert "not what was agreed to" in heard.until("failed").text
    assert not script.check_ins


@pytest.mark.parametrize("swap", SWAPS, ids=lambda swap: swap.__name__)
def test_what_a_domain_swaps_after_the_look_is_given_back(
    start: Start, script: Script, heard: Heard, swap: Callable[[Script], None]
) -> None:
    participant, approved = start(), command(script)
    if swap is swap_plan:
        original = script.plan
        participant.obey(command(script, "look", ticket="t"))
        assert heard.until("looked").look is not None
        assert script.plan == original
    swap(script)
    participant.obey(approved)
    assert "agreed" in heard.until("failed").text
    assert script.reports == []
    if swap is not swap_plan:  # which it sees before it asks for a slot
        assert ["agreed" in failure.reason for failure in script.failures] == [True]


def test_what_it_is_asked_to_read_it_reads_and_tries_on_made_up_rows(
    start: Start, script: Script, heard: Heard
) -> None:
    participant = start(clip_norm=0.125)
    participant.obey(command(script, "look", ticket="t", trial=True))
    looked = heard.until("looked")
    assert (looked.ticket, looked.text) == ("t", "")
    look = looked.look
    assert look is not None and look.trial is not None
    assert definition_digest(look.definition) == definition_digest(script.definition())
    assert [plan.name for plan in look.plans] == ["training_plan"]
    assert "param" in look.plans[0].text and "operations" in look.plans[0].cost
    assert look.trial.problem == "" and look.trial.rows == ROWS and look.trial.steps >= 1
    assert look.trial.loss is not None and look.trial.norm > 0.125
    assert look.trial.bounded == pytest.approx(0.125, rel=1e-3)
    (tried,) = look.trial.influence.values()
    assert tried.made == "data" and tried.rows == 32 and tried.results[-1].verdict != "copies"
    assert (script.check_ins, script.reports) == ([], []), "nothing is asked for, and nothing leaves"


def test_a_plan_that_does_not_fit_the_data_says_so_in_its_trial(
    start: Start, script: Script, heard: Heard
) -> None:
    script.client_config = {"name": "line", "version": "1", "lr": 0.1, "batch_size": -4}
    start().obey(command(script, "look", ticket="t", trial=True))
    look = heard.until("looked").look
    assert look is not None and look.trial is not None
    assert "batch_size" in look.trial.problem


def test_what_is_not_what_was_to_be_read_is_not_shown(start: Start, script: Script, heard: Heard) -> None:
    start().obey(command(script, "look", digest="f" * 64, ticket="t"))
    looked = heard.until("looked")
    assert looked.look is None and "not what was agreed to" in looked.text


def test_a_training_without_end_is_left_when_it_has_had_its_reports(
    start: Start, script: Script, heard: Heard
) -> None:
    script.cycles = 1000
    start(max_reports=2).obey(command(script))
    assert heard.until("spent").digest == definition_digest(script.definition())
    assert len(script.reports) == 2
    start(max_reports=2).obey(command(script))  # a restart
    heard.until("spent")
    assert len(script.reports) == 2


def test_too_few_rows_take_no_part_at_all(start: Start, script: Script, heard: Heard) -> None:
    start(min_rows=ROWS + 1).obey(command(script))
    assert f"at least {ROWS + 1} rows" in heard.until("failed").text
    assert not script.check_ins


def test_what_a_domain_is_told_of_an_error_holds_nothing_of_the_data(
    start: Start, script: Script, heard: Heard
) -> None:
    """Not even that there are fewer rows than their owner wants behind a report."""
    script.client_config = {**script.client_config, "batch_size": 7, "max_updates": 1}
    start(min_rows=20).obey(command(script))
    heard.until("failed")
    assert {failure.reason for failure in script.failures} == {"the worker failed"}


def test_a_withdrawal_during_a_step_keeps_what_it_learned_here(
    start: Start, script: Script, heard: Heard
) -> None:
    participant = start()
    participant.withdrawn.add(definition_digest(script.definition()))
    job = participant.client.new_job("line", "1", digest=definition_digest(script.definition()))
    participant._jobs[job.consent.digest] = job
    participant._run(job, participant._new_plans(), script.node_key)
    heard.until("left")
    assert script.reports == []


def test_the_domain_is_told_of_the_owners_bounds(start: Start, script: Script, heard: Heard) -> None:
    start(clip_norm=2.0, max_samples=9).obey(command(script))
    heard.until("over")
    assert msgspec.structs.asdict(script.authentications[-1].bounds)["clip_norm"] == 2.0  # type: ignore[arg-type]
    assert {report.samples for report in script.reports} == {9}


DECLARED = sy.TableInputs(
    columns=[sy.NumberColumn(name="b"), sy.NumberColumn(name="a", unit="kg")],
    label=sy.NumberColumn(name="value", missing="drop"),
)


def test_data_that_are_not_what_is_declared_wait_to_be_mended(
    start: Start, script: Script, heard: Heard, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    whole = path.read_text()
    participant = start()
    script.inputs = DECLARED
    participant.obey(command(script, "look", ticket="t", trial=True))
    look = heard.until("looked").look
    assert look is not None and look.trial is not None and not look.trial.problem
    assert look.data[0] == f"your data match: {ROWS} rows"
    assert "'a': the training says 'kg'" in look.data[1]
    path.write_text(whole.replace("a,b,value", "A,b,value"))
    participant.obey(command(script, "look", ticket="t", trial=True))
    look = heard.until("looked").look
    assert look is not None and look.trial is not None
    assert "no column 'a'; nearly equal: 'A'" in look.data[0] and "no column 'a'" in look.trial.problem
    participant.obey(command(script))
    unfit = heard.until("unfit")
    assert "rows.csv" in unfit.text and "no column 'a'; nearly equal: 'A'" in unfit.text
    assert script.check_ins == []
    path.write_text(whole)
    heard.until("fits")
    assert heard.until("reported").samples == ROWS
    assert script.aside == ["its data: has no column 'a'", ""]


def test_a_damaged_file_is_said_at_the_start_and_read_again_when_it_is_mended(
    start: Start, heard: Heard, tmp_path: Path
) -> None:
    path = tmp_path / "rows.csv"
    participant = start()
    path.write_text("a,b,value\n1,2\n")
    threading.Thread(target=participant.look_at_data, daemon=True).start()
    assert "rows.csv" in heard.until("unusable").text
    path.write_text("a,b,value\n1,,2\n")
    ready = heard.until("ready")
    assert (ready.samples, len(ready.notes)) == (1, 1)
    assert "column 'b', row 1 has no number" in ready.notes[0]


def test_who_is_left_while_it_waits_takes_no_part(
    start: Start, script: Script, heard: Heard, tmp_path: Path
) -> None:
    participant = start()
    (tmp_path / "rows.csv").unlink()
    participant.obey(command(script))
    assert "rows.csv" in heard.until("unfit").text
    participant.obey(command(script, "leave"))
    assert heard.until("left").text == "stopped"
    assert script.check_ins == []
