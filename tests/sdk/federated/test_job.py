"""A worker's job: events, one cycle, all cycles, and every way in which the line or the training fails."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from grid.node import Node
from syft_ext import FLClient, FLJob
from syft_ext.errors import Conflict, GridError, InvalidTensors, InvalidToken, NotFound, Unavailable
from syft_ext.federated import Progress, RunSummary, StepResult
from syft_ext.federated import participation as participation_module
from syft_ext.federated.job_client import load_checked
from syft_ext.messages.federated import CheckInReply
from syft_ext.transport.backoff import Backoff
from tests.sdk.scripted import OVER, BrokenLine, Fault, Script, ScriptedService, Times, scripted_node

X = torch.randn(64, 2, generator=torch.Generator().manual_seed(1))
Y = X @ torch.tensor([2.0, -1.0]) + 0.5

MakeClient = Callable[..., FLClient]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Retries without the waiting; that waits grow is tested on Backoff itself."""
    monkeypatch.setattr(Backoff, "next_delay", lambda self: _count(self))


def _count(backoff: Backoff) -> float:
    backoff.failures += 1
    return 0.001


@pytest.fixture
def script() -> Script:
    return Script()


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[Node]:
    node = scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())
    node.start()
    yield node
    node.stop()


@pytest.fixture
def node(running: Node, script: Script) -> Node:
    """The one node of this module, with this test's script."""
    running.service(ScriptedService).script = script
    return running


@pytest.fixture
def make_client(node: Node) -> MakeClient:
    def make(fault: Fault = lambda envelope: None, **options: Any) -> FLClient:
        return FLClient("http://scripted:1", transport=BrokenLine(node, fault), **options)

    return make


@pytest.fixture
def job(make_client: MakeClient) -> FLJob:
    return make_client().new_job("line", "1", load_plan=load_checked)


# -- one cycle, as in listings 7 and 8 -------------------------------------------------------------------


def test_listing_8_authenticates_by_hand(make_client: MakeClient, script: Script) -> None:
    client = make_client()
    answer = client.grid_worker.authenticate(client.auth_token, "line", "1")
    assert answer["data"] == {
        "status": "success",
        "worker_id": script.workers[0],
        "requires_speed_test": False,
    }
    client.worker_id = answer["data"]["worker_id"]
    job = client.new_job("line", "1", load_plan=load_checked)
    job.add_listener(job.EVENT_ACCEPTED, lambda job: job.report(job.model))
    job.start()
    assert len(script.workers) == 1
    assert len(script.reports) == 1


def test_an_accepted_job_has_what_it_needs_and_reports_the_difference(job: FLJob, script: Script) -> None:
    seen: list[Any] = []

    def on_accepted(job: FLJob) -> None:
        plan, params = job.plans["training_plan"], job.model
        seen.append((list(job.client_config), [tuple(p.shape) for p in params], job.cycle, job.num_cycles))
        for _ in range(2):
            (params,) = plan(x=X, y=Y, params=params)
        seen.append(params)
        job.report(params)

    job.add_listener(job.EVENT_CYCLE_STARTED, lambda job, cycle: seen.append(cycle))
    job.add_listener(job.EVENT_ACCEPTED, on_accepted)
    job.start()
    assert seen[:2] == [1, (["name", "version", "lr"], [(2,), (1,)], 1, 3)]
    torch.testing.assert_close(list(script.model.values()), seen[2])
    report = script.reports[0]
    assert report.kind == "diff"
    assert report.samples == 64, "each row once, however often the plan had it"
    assert report.loss is not None and report.loss > 0
    assert report.accuracy is not None


def test_what_is_said_with_the_report_wins_over_the_account(job: FLJob, script: Script) -> None:
    def on_accepted(job: FLJob) -> None:
        (params,) = job.plans["training_plan"](x=X, y=Y, params=job.model)
        job.report(params, samples=7, loss=torch.tensor(1.5), accuracy=0.25)

    job.add_listener("accepted", on_accepted)
    job.start()
    report = script.reports[0]
    assert (report.samples, report.loss, report.accuracy) == (7, 1.5, 0.25)


def test_metrics_stay_at_home_when_the_participant_says_so(make_client: MakeClient, script: Script) -> None:
    job = make_client(report_metrics=False).new_job("line", "1", load_plan=load_checked)
    job.run(data=(X, Y), max_cycles=1)
    report = script.reports[0]
    assert (report.samples, report.loss, report.accuracy) == (None, None, None)


def test_training_in_place_does_not_spoil_the_difference(job: FLJob, script: Script) -> None:
    def on_accepted(job: FLJob) -> None:
        with torch.no_grad():
            for parameter in job.model:
                parameter.add_(3.0)
        job.report(job.model)

    job.add_listener("accepted", on_accepted)
    job.start()
    assert script.model["w"].tolist() == [3.0, 3.0]


def test_a_step_shows_metrics_and_unpacks_as_listing_7_does(job: FLJob) -> None:
    job.add_listener("accepted", lambda job: None)
    job.start()
    result = job.plans["training_plan"](x=X, y=Y, params=job.model)
    assert isinstance(result, StepResult)
    (params,) = result
    assert params is result.params
    assert set(result.metrics) == {"loss", "accuracy"}
    assert result.loss == pytest.approx(float((Y**2).mean()))
    loss, accuracy, *flat = result.outputs
    assert float(loss) == result.loss
    assert float(accuracy) == result.accuracy
    assert len(flat) == 2


@pytest.mark.parametrize("retry_after", [4.5, None])
def test_a_rejection_says_when_to_ask_again(job: FLJob, script: Script, retry_after: float | None) -> None:
    script.refusals = [CheckInReply(status="rejected", reason="full", retry_after=retry_after)]
    timeouts: list[float | None] = []
    job.add_listener(job.EVENT_REJECTED, lambda job, timeout: timeouts.append(timeout))
    job.start()
    assert timeouts == [retry_after]
    assert not script.reports


def test_an_error_in_a_listener_goes_to_on_error_and_frees_the_slot(job: FLJob, script: Script) -> None:
    errors: list[Exception] = []
    job.add_listener("accepted", lambda job: 1 / 0)
    job.add_listener("error", lambda job, error: errors.append(error))
    job.start()
    assert isinstance(errors[0], ZeroDivisionError)
    assert "ZeroDivisionError" in script.failures[0].reason


def test_an_error_without_a_listener_is_raised(job: FLJob, script: Script) -> None:
    job.add_listener("accepted", lambda job: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        job.start()
    assert len(script.failures) == 1


def test_a_domain_that_is_down_is_an_error_of_start(make_client: MakeClient) -> None:
    job = make_client(lambda envelope: "before").new_job("line", "1", load_plan=load_checked)
    errors: list[Exception] = []
    job.add_listener("error", lambda job, error: errors.append(error))
    job.start()
    assert isinstance(errors[0], Unavailable)


def test_ctrl_c_gives_the_assignment_back(job: FLJob, script: Script) -> None:
    def interrupt(job: FLJob) -> None:
        raise KeyboardInterrupt

    job.add_listener("accepted", interrupt)
    with pytest.raises(KeyboardInterrupt):
        job.start()
    assert [failure.reason for failure in script.failures] == ["interrupted"]


def test_parameters_of_another_shape_are_refused_before_they_are_sent(job: FLJob, script: Script) -> None:
    job.add_listener("accepted", lambda job: job.report([torch.zeros(3), torch.zeros(1)]))
    with pytest.raises(InvalidTensors, match=r"'w': .*\[3\]"):
        job.start()
    assert not script.reports


def test_reporting_without_an_assignment_or_twice_is_a_conflict(job: FLJob) -> None:
    with pytest.raises(Conflict):
        job.report([torch.zeros(2)])

    def twice(job: FLJob) -> None:
        job.report(job.model)
        job.report(job.model)

    job.add_listener("accepted", twice)
    with pytest.raises(Conflict):
        job.start()


def test_an_unknown_event_is_refused(job: FLJob) -> None:
    with pytest.raises(GridError, match="cycle_started"):
        job.add_listener("accept", print)


@pytest.mark.parametrize(("name", "token", "kind"), [("none", "", NotFound), ("line", "wrong", InvalidToken)])
def test_no_such_training_and_a_refused_token_are_errors(
    make_client: MakeClient, name: str, token: str, kind: type[Exception]
) -> None:
    with pytest.raises(kind):
        make_client(auth_token=token).new_job(name, "1").start()
    with pytest.raises(kind):
        make_client(auth_token=token).new_job(name, "1").run(data=(X, Y))


def test_the_speed_is_measured_once_and_only_when_asked_for(make_client: MakeClient, script: Script) -> None:
    make_client().new_job("line", "1", load_plan=load_checked).run(data=(X, Y), max_cycles=1)
    assert script.check_ins[0].ping is None
    script.requires_speed_test = True
    make_client().new_job("line", "1", load_plan=load_checked).run(data=(X, Y), max_cycles=2)
    assert script.check_ins[1].ping is not None
    assert script.check_ins[1].download == script.check_ins[2].download


def test_two_clients_are_two_workers_and_one_key_is_one(make_client: MakeClient, script: Script) -> None:
    first = make_client()
    for client in (first, make_client(), make_client(identity=first.identity)):
        client.new_job("line", "1", load_plan=load_checked).run(data=(X, Y), max_cycles=1)
    a, b, c = script.workers
    assert a == c != b


# -- all cycles ------------------------------------------------------------------------------------------


def test_run_takes_part_until_the_training_ends(job: FLJob, script: Script) -> None:
    script.cycles = 30
    events: list[str] = []
    progress: list[Progress] = []
    finished: list[RunSummary] = []
    job.add_listener("cycle_started", lambda job, cycle: events.append(f"cycle {cycle}"))
    job.add_listener("progress", lambda job, p: progress.append(p))
    job.add_listener("rejected", lambda job, timeout: events.append(f"rejected {timeout}"))
    job.add_listener("finished", lambda job, summary: finished.append(summary))
    summary = job.run(data=(X, Y))
    assert events == [*(f"cycle {i}" for i in range(1, 31)), "rejected None"]
    assert (summary.cycles, summary.reason, summary.samples) == (30, "over", 30 * 64)
    assert finished == [summary]
    assert progress[0].loss is not None and summary.loss is not None and summary.loss < progress[0].loss / 50
    torch.testing.assert_close(script.model["w"], torch.tensor([2.0, -1.0]), atol=0.1, rtol=0)
    assert all(message.wait > 0 for message in script.check_ins)


def test_run_with_a_function_or_with_listeners(make_client: MakeClient, script: Script) -> None:
    job = make_client().new_job("line", "1", load_plan=load_checked)
    assert job.run(lambda job: [p + 1 for p in job.model], max_cycles=1).reason == "max-cycles"
    job = make_client().new_job("line", "1", load_plan=load_checked)
    job.add_listener("accepted", lambda job: job.report([p + 1 for p in job.model]))
    job.run()
    assert script.model["w"].tolist() == [3.0, 3.0]


def test_each_cycle_has_its_own_idempotency_key(job: FLJob, script: Script) -> None:
    job.run(data=(X, Y))
    assert len({message.idempotency_key for message in script.check_ins}) == len(script.check_ins) == 4


@pytest.mark.parametrize("where", ["before", "after"])
@pytest.mark.parametrize(
    "operation",
    [
        "node.metadata",
        "federated.authenticate",
        "federated.check_in",
        "federated.get_plan",
        "federated.get_model",
        "federated.report",
    ],
)
def test_a_broken_line_costs_no_cycle_and_counts_none_twice(
    make_client: MakeClient, script: Script, operation: str, where: str
) -> None:
    fault = Times(operation, 3, where)
    summary = make_client(fault).new_job("line", "1", load_plan=load_checked).run(data=(X, Y))
    assert fault.left == 0
    assert (summary.cycles, summary.missed, summary.failures) == (3, 0, 0)
    assert len(script.reports) == len(script.assignments) == 3
    assert not script.failures


def test_a_lost_answer_to_a_check_in_finds_the_same_assignment(
    make_client: MakeClient, script: Script
) -> None:
    make_client(Times("federated.check_in", 2, "after")).new_job("line", "1", load_plan=load_checked).run(
        data=(X, Y), max_cycles=1
    )
    assert len({message.idempotency_key for message in script.check_ins}) == 1
    assert len(script.check_ins) == 3


def test_a_forgotten_token_is_renewed_for_the_same_worker(job: FLJob, script: Script) -> None:
    def forget(job: FLJob) -> Any:
        script.known_tokens = False
        return job.model

    summary = job.run(forget)
    assert summary.cycles == 3
    assert len(script.workers) == 4
    assert len(set(script.workers)) == 1


def test_a_worker_that_the_domain_forgot_joins_again(job: FLJob, script: Script) -> None:
    script.forgotten_worker = True
    assert job.run(data=(X, Y)).cycles == 3
    assert len(script.workers) == 2


def test_a_late_report_is_missed_and_the_next_cycle_is_another_chance(job: FLJob, script: Script) -> None:
    script.report_error = Conflict("the cycle closed before this report came", reason="late", status="late")
    summary = job.run(data=(X, Y))
    assert (summary.cycles, summary.missed) == (3, 1)


def test_a_failing_training_is_raised_and_its_slot_is_free(job: FLJob, script: Script) -> None:
    with pytest.raises(ZeroDivisionError):
        job.run(lambda job: 1 / 0)
    assert len(script.failures) == 1


def test_with_a_listener_the_third_failure_in_a_row_ends_the_run(job: FLJob, script: Script) -> None:
    errors: list[Exception] = []
    job.add_listener("error", lambda job, error: errors.append(error))
    with pytest.raises(ZeroDivisionError):
        job.run(lambda job: 1 / 0)
    assert len(errors) == len(script.failures) == 3


def test_a_training_without_a_report_is_a_failure(job: FLJob, script: Script) -> None:
    with pytest.raises(GridError, match="without a report"):
        job.run(lambda job: None)
    assert len(script.failures) == 1


def test_rejected_for_now_asks_again(job: FLJob, script: Script) -> None:
    script.refusals = [CheckInReply(status="rejected", reason="full", retry_after=0.01)] * 3
    timeouts: list[float | None] = []
    job.add_listener("rejected", lambda job, timeout: timeouts.append(timeout))
    assert job.run(data=(X, Y)).cycles == 3
    assert timeouts == [0.01, 0.01, 0.01, None]


def test_a_terminal_shows_how_many_cycles_are_done(
    job: FLJob, monkeypatch: pytest.MonkeyPatch, make_client: MakeClient
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    out = Terminal()
    monkeypatch.setattr(sys, "stdout", out)
    monkeypatch.setenv("TERM", "xterm")
    inner: list[RunSummary] = []

    def train(job: FLJob) -> Any:
        if job.cycle == 2:  # a second display at the same time is silent, not an error
            inner.append(
                make_client().new_job("line", "1", load_plan=load_checked).run(data=(X, Y), max_cycles=1)
            )
        return job.model

    job.run(train)
    assert len(inner) == 1
    assert "line 1" in out.getvalue()
    assert "2/3" in out.getvalue() or "3/3" in out.getvalue()


def test_stop_ends_a_run_that_waits(make_client: MakeClient, script: Script) -> None:
    script.refusals = [CheckInReply(status="rejected", reason="resting", retry_after=300.0)]
    job = make_client().new_job("line", "1", load_plan=load_checked)
    summaries: list[RunSummary] = []
    waiting = threading.Event()
    job.add_listener("rejected", lambda job, timeout: waiting.set())
    thread = threading.Thread(target=lambda: summaries.append(job.run(data=(X, Y))))
    thread.start()
    assert waiting.wait(60)
    job.stop()
    thread.join(60)
    assert [summary.reason for summary in summaries] == ["stopped"]


def test_what_was_learned_before_the_stop_is_reported(job: FLJob, script: Script) -> None:
    def train(job: FLJob) -> Any:
        job.stop()
        return job.model

    summary = job.run(train)
    assert (summary.cycles, summary.reason) == (1, "stopped")
    assert len(script.reports) == 1
    assert "cycles reported" in summary._repr_html_()
    assert job.run(train) == RunSummary(reason="stopped")  # a stopped job stays stopped


def test_ctrl_c_in_a_run_gives_the_assignment_back(job: FLJob, script: Script) -> None:
    def interrupt(job: FLJob) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        job.run(interrupt)
    assert len(script.failures) == 1


def test_train_and_data_exclude_each_other(job: FLJob) -> None:
    with pytest.raises(GridError):
        job.run(lambda job: job.model, data=(X, Y))


def test_plans_are_downloaded_once(make_client: MakeClient, script: Script) -> None:
    seen: list[str] = []

    def note(envelope: Any) -> None:
        seen.append(envelope.operation)

    make_client(note).new_job("line", "1", load_plan=load_checked).run(data=(X, Y))
    assert seen.count("federated.get_plan") == 1
    assert seen.count("federated.get_model") == 3
    assert seen.count("federated.authenticate") == 1


def test_a_run_over_says_so_at_once(job: FLJob, script: Script) -> None:
    script.refusals = [OVER]
    assert job.run(data=(X, Y)) == RunSummary(reason="over")


def test_the_wait_is_shorter_than_idle_timeouts_of_proxies() -> None:
    assert participation_module.WAIT < 30
