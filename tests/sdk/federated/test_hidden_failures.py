"""Under noise nobody hears that a plan failed on what the data hold: whoever demands the noise, whoever trains."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch

from grid.node import Node
from syft_ext.errors import BadRequest, InvalidPlan, InvalidTensors, NotAgreed
from syft_ext.federated import FLClient
from syft_ext.federated.job import FLJob
from syft_ext.messages.policy import CyclePolicy
from syft_ext.messages.training_reviews import TrainingReview, WorkerBounds
from syft_ext.plans import make_plan
from tests.sdk.federated.test_bounds import X, Y, betraying, overflowing
from tests.sdk.scripted import BrokenLine, Script, ScriptedService, scripted_node

NOISY = CyclePolicy(clip_norm=1.0, noise_multiplier=1.0)
PLANS = pytest.mark.parametrize("plan", [betraying, overflowing], ids=lambda plan: plan.name)
VALUES = (1.0, 99.0)
"""Of one person: at the second the plans fail."""


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory, sqlite_copy: Callable[[], str]) -> Iterator[Node]:
    node = scripted_node(tmp_path_factory.mktemp("home"), sqlite_copy(), Script())
    node.start()
    yield node
    node.stop()


@pytest.fixture
def script(running: Node) -> Script:
    running.service(ScriptedService).script = script = Script()
    script.client_config = {"name": "line", "version": "1", "batch_size": 10}
    script.cycles = 100
    return script


@pytest.fixture
def client(running: Node, script: Script) -> Callable[..., FLClient]:
    def make(**bounds: Any) -> FLClient:
        line = BrokenLine(running, lambda envelope: None)
        return FLClient("http://scripted:1", transport=line, bounds=WorkerBounds(**bounds), say=len)

    return make


def prepare(script: Script, plan: Any) -> None:
    script.plan, script.shown = plan.dumps(), None
    script.model = {"w": torch.zeros(2), "b": torch.zeros(1)}


def rows(value: float) -> tuple[torch.Tensor, torch.Tensor]:
    return torch.where(torch.arange(40).reshape(40, 1) == 7, value, X.clamp(-1, 1)), Y


def told(script: Script) -> list[tuple[Any, ...]]:
    """What the Domain sees of each report, but for its tensors."""
    return [(each.kind, each.samples, each.loss, each.accuracy) for each in script.reports]


@PLANS
def test_a_worker_without_bounds_tells_nothing_where_the_site_demands_noise(
    client: Callable[..., FLClient], script: Script, plan: Any
) -> None:
    script.policy = NOISY
    for value in VALUES:
        prepare(script, plan)
        summary = client().new_job("line", "1").run(data=rows(value), max_cycles=1)
        assert (summary.cycles, summary.failures, script.failures) == (1, 0, [])
    first, second = told(script)
    assert first == second
    assert all(bool(tensor.isfinite().all()) for tensor in script.model.values())


def test_without_noise_it_fails_and_says_so(client: Callable[..., FLClient], script: Script) -> None:
    """Or the tests here show nothing."""
    script.policy = CyclePolicy(clip_norm=1.0)
    for plan, error in ((betraying, InvalidPlan), (overflowing, InvalidTensors)):
        prepare(script, plan)
        with pytest.raises(error):
            client().new_job("line", "1").run(data=rows(VALUES[1]))
    assert ([each.reason for each in script.failures], script.reports) == (
        ["InvalidPlan", "InvalidTensors"],
        [],
    )


def own_loop(value: float) -> Callable[[FLJob], Any]:
    x, y = rows(value)

    def train(job: FLJob) -> Any:
        plan, params = job.plans["training_plan"], job.model
        for start in range(0, 40, 10):
            (params,) = plan(x=x[start : start + 10], y=y[start : start + 10], params=params)
        return params

    return train


@PLANS
@pytest.mark.parametrize("whose", ["site", "owner"])
def test_nor_does_a_loop_of_ones_own(
    client: Callable[..., FLClient], script: Script, plan: Any, whose: str
) -> None:
    bounds = {} if whose == "site" else {"clip_norm": 1.0, "noise_multiplier": 1.0}
    script.policy = NOISY if whose == "site" else None
    prepare(script, plan)
    job = client(**bounds).new_job("line", "1")
    for value in VALUES:
        script.model = {"w": torch.zeros(2), "b": torch.zeros(1)}
        summary = job.run(own_loop(value), max_cycles=1)
        assert (summary.cycles, summary.failures, script.failures) == (1, 0, [])
    first, second = told(script)
    assert first == second


@PLANS
def test_nor_does_a_listener(client: Callable[..., FLClient], script: Script, plan: Any) -> None:
    script.policy = NOISY
    prepare(script, plan)
    for value in VALUES:
        script.model = {"w": torch.zeros(2), "b": torch.zeros(1)}
        job, train = client().new_job("line", "1"), own_loop(value)
        job.add_listener("accepted", lambda job, train=train: job.report(train(job)))
        job.start()
        assert job.reported
    assert (len(script.reports), script.failures) == (2, [])


def test_the_sites_fewest_rows_do_not_give_it_away_either(
    client: Callable[..., FLClient], script: Script
) -> None:
    """A loop that broke off has counted few samples, and the Domain refuses reports of few."""
    script.policy = CyclePolicy(clip_norm=1.0, noise_multiplier=1.0, min_rows=30)
    prepare(script, betraying)
    client(min_rows=30).new_job("line", "1").run(own_loop(VALUES[1]), max_cycles=1)
    assert [each.samples for each in script.reports] == [30] and not script.failures


@pytest.mark.parametrize("whose", ["site", "owner"])
def test_nor_that_there_are_too_few_rows(client: Callable[..., FLClient], script: Script, whose: str) -> None:
    """Fewer than their owner wants behind a report: nothing was learned, and nobody hears why."""
    bounds = {} if whose == "site" else {"clip_norm": 1.0, "noise_multiplier": 1.0}
    script.policy = NOISY if whose == "site" else None
    prepare(script, betraying)
    x, y = rows(VALUES[0])
    summary = client(min_rows=30, **bounds).new_job("line", "1").run(data=(x[:5], y[:5]), max_cycles=1)
    assert (summary.cycles, summary.failures, script.failures) == (1, 0, [])
    assert [each.samples for each in script.reports] == [30]


def test_without_noise_no_more_is_told_of_it_than_of_any_failure(
    client: Callable[..., FLClient], script: Script
) -> None:
    prepare(script, betraying)
    x, y = rows(VALUES[0])
    with pytest.raises(BadRequest, match="at least 30 rows"):
        client(min_rows=30).new_job("line", "1").run(data=(x[:5], y[:5]))
    assert {each.reason for each in script.failures} <= {"the worker failed"} and not script.reports


def test_what_is_no_failure_on_values_is_told_as_before(
    client: Callable[..., FLClient], script: Script
) -> None:
    script.policy = NOISY

    def broken(job: FLJob) -> Any:
        raise ZeroDivisionError("row 7 is 0")

    with pytest.raises(ZeroDivisionError):
        client().new_job("line", "1").run(broken)
    assert [each.reason for each in script.failures] == ["the worker failed"], "and not of what kind"


@pytest.mark.parametrize("whose", ["site", "owner"])
def test_little_is_left_of_a_metric_where_reports_are_clipped(
    client: Callable[..., FLClient], script: Script, whose: str
) -> None:
    """53 bits of a row a report otherwise, beside tensors that are bounded."""
    script.policy = CyclePolicy(clip_norm=1.0) if whose == "site" else None
    bounds = {} if whose == "site" else {"clip_norm": 1.0}
    prepare(script, betraying)
    secrets = (0.123456789, -98765.4321, 1.7e308, -math.inf, 3e-200, math.nan)
    for secret in secrets:
        job = client(**bounds).new_job("line", "1")
        job.add_listener(
            "accepted", lambda job, secret=secret: job.report(job.model, samples=4, loss=secret, accuracy=0.5)
        )
        job.start()
    assert [each.loss for each in script.reports] == [0.1235, -98770.0, 1e6, -1e6, 0.0, None]
    assert {each.accuracy for each in script.reports} == {0.5}


@make_plan
def few_classes(
    x: Any = torch.randn(4, 2),
    y: Any = torch.zeros(4, 3),
    params: Any = (torch.zeros(2), torch.zeros(1)),
) -> Any:
    """Takes three classes, and so fails if, and only if, somebody has another one."""
    return y.mean(), y.mean(), params[0] + 0 * x.sum(), params[1] + 0 * y.sum()


def test_how_many_classes_a_plan_takes_asks_nothing_of_the_targets(
    client: Callable[..., FLClient], script: Script
) -> None:
    script.policy = NOISY
    for label in (2, 7):
        prepare(script, few_classes)
        data = (X, torch.where(torch.arange(40) == 7, label, 0))
        summary = client().new_job("line", "1").run(data=data, max_cycles=1)
        assert (summary.cycles, summary.failures, script.failures) == (1, 0, [])
    first, second = told(script)
    assert first == second
    script.policy = None
    with pytest.raises(InvalidPlan, match="from 0 to 2"):
        client().new_job("line", "1").run(data=data)


def test_who_is_not_told_the_names_of_reviewers_may_take_part(
    client: Callable[..., FLClient], script: Script
) -> None:
    script.review = TrainingReview(state="approved", reviewer_count=2)
    assert client().new_job("line", "1").run(data=rows(1.0), max_cycles=1).cycles == 1
    script.review, script.shown = TrainingReview(state="approved"), None
    with pytest.raises(NotAgreed, match="nobody"):
        client().new_job("line", "1").run(data=rows(1.0), max_cycles=1)
