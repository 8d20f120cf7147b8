"""What leaves a participant is within its owner's bounds: exactly, and however often it is asked."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
import torch

from grid.node import Node
from syft_ext import FLClient, FLJob
from syft_ext.errors import BadRequest, InvalidConfig, InvalidPlan, InvalidTensors, NotAgreed
from syft_ext.federated.bounds import BoundedReports
from syft_ext.federated.bounds.clipping import towards_zero
from syft_ext.messages.training_reviews import WorkerBounds
from syft_ext.messages.worker_bounds import describe_bounds
from syft_ext.plans import make_plan
from syft_ext.plans.training.parameters import Difference, Parameters
from tests.sdk.scripted import BrokenLine, Script, ScriptedService, scripted_node

X, Y = torch.randn(40, 2), torch.randn(40)
FLOATS = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
SECRET = b"s" * 32


def bounded(secret: bytes = SECRET, **bounds: Any) -> BoundedReports:
    return BoundedReports(WorkerBounds(**bounds), secret)


def difference(reports: BoundedReports, base: Any, trained: Any, *question: str) -> Difference:
    return reports.difference(Parameters(base), trained, *question)


def squares(found: Difference) -> Fraction:
    """The exact square of the L2 norm."""
    return sum(
        (Fraction(x) ** 2 for t in found.values() for x in t.double().reshape(-1).tolist()), Fraction(0)
    )


# -- clipping --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
@pytest.mark.parametrize("bound", [1e-6, 0.1, 1.0, 3.7, 1e4])
@pytest.mark.parametrize("size", [1e-3, 1.0, 60.0, 3e4])
def test_the_bound_holds_exactly_for_the_numbers_that_are_sent(
    dtype: torch.dtype, bound: float, size: float
) -> None:
    random = torch.Generator().manual_seed(3)
    shapes = [(31, 17), (1,), (64,), ()]
    base = [torch.randn(shape, generator=random).to(dtype) for shape in shapes]
    end = torch.finfo(dtype).max
    trained = [
        (b.double() + size * torch.randn(b.shape, generator=random)).clamp(-end, end).to(dtype) for b in base
    ]
    found = difference(bounded(clip_norm=bound), base, trained)
    exact = squares(found)
    assert exact <= Fraction(bound) ** 2
    whole = math.sqrt(
        sum(float(((b.double() - t.double()) ** 2).sum()) for b, t in zip(base, trained, strict=True))
    )
    smallest = torch.finfo(dtype).smallest_normal
    if min(whole, bound) > 1e4 * smallest:  # and no more is taken away than has to be
        assert math.sqrt(exact) >= min(whole, bound) * (1 - max(1e-12, 16 * torch.finfo(dtype).eps))
    assert [t.dtype for t in found.values()] == [dtype] * 4
    assert [t.shape for t in found.values()] == [b.shape for b in base]


@pytest.mark.parametrize("largest", [1e-300, 1e-160, 1e-20, 1e150, 1e200, 1.7e308])
def test_no_size_of_number_goes_around_the_bound(largest: float) -> None:
    base = [torch.zeros(1000, dtype=torch.float64)]
    trained = [torch.full((1000,), largest, dtype=torch.float64)]
    for bound in (1e-30, 1.0, 1e30):
        assert squares(difference(bounded(clip_norm=bound), base, trained)) <= Fraction(bound) ** 2


def test_the_bound_is_over_all_tensors_of_all_types_together() -> None:
    base = [torch.zeros(3, dtype=dtype) for dtype in FLOATS]
    found = difference(bounded(clip_norm=1.0), base, [t + 5 for t in base])
    assert Fraction(98, 100) < squares(found) <= 1


def test_what_is_within_the_bound_is_sent_as_it_is() -> None:
    base = [torch.randn(100, generator=torch.Generator().manual_seed(1))]
    trained = [torch.where(base[0] > 0, base[0] / 2, base[0])]  # the difference has no rounding
    found = difference(bounded(clip_norm=1e3), base, trained)
    assert torch.equal(found["0"], base[0] - trained[0])


def test_whole_numbers_are_no_way_around_it() -> None:
    base = [torch.zeros(4), torch.zeros(2, dtype=torch.int64)]
    trained = [torch.ones(4), torch.tensor([71, 4_000_000_000])]
    found = difference(bounded(clip_norm=1.0), base, trained)
    assert found["1"].tolist() == [0, 0]
    noisy = difference(bounded(clip_norm=1.0, noise_multiplier=1.0), base, trained)
    assert noisy["1"].tolist() == [0, 0]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("bounds", [{}, {"clip_norm": 1.0}], ids=str)
@pytest.mark.parametrize("where", [0, 1])
def test_what_is_not_finite_does_not_leave(bad: float, bounds: dict[str, float], where: int) -> None:
    base = [torch.zeros(5), torch.zeros(5, dtype=torch.bfloat16)]
    trained = [t.clone() for t in base]
    trained[where][3] = bad
    with pytest.raises(InvalidTensors, match="not finite"):
        difference(bounded(**bounds), base, trained)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("where", [0, 1])
def test_nor_is_it_told_under_noise_that_something_was_not_finite(bad: float, where: int) -> None:
    base = [torch.ones(5), torch.ones(5, dtype=torch.bfloat16)]
    trained = [t.clone() for t in base]
    trained[where][3] = bad
    noisy = bounded(clip_norm=1.0, noise_multiplier=1.0)
    assert squares(difference(noisy, base, trained)) == squares(difference(noisy, base, base))


def test_sums_that_pass_the_largest_float_do_not_make_finite_numbers_infinite() -> None:
    base = [torch.zeros(4, dtype=torch.float64)]
    found = difference(bounded(), base, [torch.full((4,), 1e308, dtype=torch.float64)])
    assert found["0"].tolist() == [-1e308] * 4


@pytest.mark.parametrize(
    "trained",
    [
        [torch.zeros(5), torch.zeros(2), torch.zeros(40, 4)],
        [torch.zeros(5)],
        [torch.zeros(5), torch.zeros(3)],
        [torch.zeros(5), torch.zeros(2, 1)],
        [torch.zeros(5), torch.zeros(2, dtype=torch.float64)],
    ],
    ids=["more", "fewer", "longer", "another shape", "another type"],
)
@pytest.mark.parametrize(
    "bounds", [{}, {"clip_norm": 1.0}, {"clip_norm": 1.0, "noise_multiplier": 1.0}], ids=str
)
def test_a_report_has_the_models_tensors_and_no_others(trained: list[Any], bounds: dict[str, float]) -> None:
    with pytest.raises(InvalidTensors):
        difference(bounded(**bounds), [torch.zeros(5), torch.zeros(2)], trained)


@pytest.mark.parametrize("dtype", FLOATS, ids=str)
def test_rounding_towards_zero_goes_no_further_and_to_the_nearest_there_is(dtype: torch.dtype) -> None:
    values = torch.cat([torch.randn(2000).double() * 10.0**e for e in (-50, -8, -5, 0, 3, 4, 5, 39)])
    rounded = towards_zero(values, dtype)
    assert rounded.dtype is dtype and bool(rounded.double().isfinite().all())
    assert bool((rounded.double().abs() <= values.abs()).all())
    assert bool((rounded.double() * values >= 0).all())
    inside = values[(values.abs() < torch.finfo(dtype).max) & (values.abs() > torch.finfo(dtype).tiny)]
    relative = (towards_zero(inside, dtype).double() - inside).abs() / inside.abs()
    assert float(relative.max()) <= torch.finfo(dtype).eps


# -- noise -----------------------------------------------------------------------------------------------


def test_noise_is_as_wide_as_it_says_and_around_what_was_clipped() -> None:
    base = [torch.zeros(200_000, dtype=torch.float64)]
    trained = [torch.full((200_000,), -1.0, dtype=torch.float64)]  # a difference of 1 each, norm 447
    found = difference(bounded(clip_norm=4.0, noise_multiplier=0.5), base, trained, "q")["0"]
    assert float(found.std()) == pytest.approx(2.0, rel=0.02)
    assert float(found.mean()) == pytest.approx(4.0 / math.sqrt(200_000), abs=5 * 2.0 / math.sqrt(200_000))


def test_what_is_sent_is_on_a_grid_whatever_the_difference_was() -> None:
    base = [torch.zeros(1000, dtype=torch.float64)]
    for size in (0.0, 1e-12, 1 / 3, math.pi * 1e6):
        found = difference(
            bounded(clip_norm=1.0, noise_multiplier=1.0),
            base,
            [base[0] + size * torch.rand(1000).double()],
            "q",
        )["0"]
        assert torch.equal(found * 2**30, torch.round(found * 2**30)), "multiples of one power of two"


def test_the_same_answer_has_the_same_noise_and_nothing_else_has() -> None:
    base, trained = [torch.zeros(50)], [torch.full((50,), 0.125)]
    report = bounded(clip_norm=1.0, noise_multiplier=1.0)
    first = difference(report, base, trained, "training", "1", "assignment")["0"]
    again = bounded(clip_norm=1.0, noise_multiplier=1.0)  # after a restart
    assert torch.equal(difference(again, base, trained, "training", "1", "assignment")["0"], first)
    others = [
        difference(report, base, trained, "training", "2", "assignment"),
        difference(report, base, trained, "training", "1", "another"),
        difference(report, base, trained, "training1", "", "assignment"),
        difference(report, base, [trained[0] + 2**-10], "training", "1", "assignment"),
        difference(report, [base[0] + 1], [trained[0] + 1], "training", "1", "assignment"),
        difference(
            bounded(b"t" * 32, clip_norm=1.0, noise_multiplier=1.0),
            base,
            trained,
            "training",
            "1",
            "assignment",
        ),
        difference(
            bounded(clip_norm=1.0, noise_multiplier=1.25), base, trained, "training", "1", "assignment"
        ),
    ]
    for other in others:
        assert int((other["0"] == first).sum()) <= 2, "no number of it is the other's"


def test_loss_and_accuracy_stay_where_the_rest_has_noise() -> None:
    plain, noisy = bounded(clip_norm=1.0), bounded(clip_norm=1.0, noise_multiplier=1.0)
    assert plain.metric(0.25) == 0.25
    assert noisy.metric(0.25) is None
    assert plain.metric(math.nan) is None


# -- bounds that make no sense -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds",
    [
        {"clip_norm": 0.0},
        {"clip_norm": -1.0},
        {"clip_norm": math.nan},
        {"clip_norm": math.inf},
        {"noise_multiplier": 1.0},
        {"clip_norm": 1.0, "noise_multiplier": 0.0},
        {"clip_norm": 1.0, "noise_multiplier": math.inf},
        {"min_rows": 0},
        {"max_samples": 0},
        {"max_reports": 0},
    ],
    ids=str,
)
def test_bounds_that_bound_nothing_are_refused(bounds: dict[str, Any]) -> None:
    with pytest.raises(InvalidConfig):
        bounded(**bounds)


def test_the_bounds_are_said_in_words() -> None:
    text = "\n".join(
        describe_bounds(
            WorkerBounds(clip_norm=2.0, noise_multiplier=0.5, min_rows=20, max_samples=500, max_reports=7)
        )
    )
    for shown in (
        "norm 2",
        "deviation 1",
        "2 zCDP",
        "14",
        "20 rows",
        "500",
        "7 reports",
        "loss and accuracy stay",
    ):
        assert shown in text
    assert "loss and accuracy, as the plan states" in "\n".join(describe_bounds(None))


# -- in a job ------------------------------------------------------------------------------------------------


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


MakeClient = Callable[..., FLClient]


@pytest.fixture
def make_client(running: Node, script: Script) -> MakeClient:
    def make(**bounds: Any) -> FLClient:
        line = BrokenLine(running, lambda envelope: None)
        return FLClient("http://scripted:1", transport=line, bounds=WorkerBounds(**bounds), say=len)

    return make


def test_the_domain_is_told_of_the_bounds(make_client: MakeClient, script: Script) -> None:
    make_client(clip_norm=0.5, max_samples=10).new_job("line", "1").run(data=(X, Y), max_cycles=1)
    assert script.authentications[0].bounds == WorkerBounds(clip_norm=0.5, max_samples=10)
    assert script.reports[0].samples == 10


def test_a_report_is_clipped_however_it_is_made(make_client: MakeClient, script: Script) -> None:
    job = make_client(clip_norm=0.5).new_job("line", "1")
    job.run(lambda job: [p + 1e6 for p in job.model], max_cycles=1)
    assert sum(float((t.double() ** 2).sum()) for t in script.model.values()) <= 0.25
    job.add_listener("accepted", lambda job: job.report([p - 1e6 for p in job.model]))
    script.model = {name: torch.zeros_like(t) for name, t in script.model.items()}
    job.start()
    assert sum(float((t.double() ** 2).sum()) for t in script.model.values()) <= 0.25


def test_no_claim_weighs_more_than_the_bound(make_client: MakeClient, script: Script) -> None:
    job = make_client(max_samples=64).new_job("line", "1")
    job.add_listener("accepted", lambda job: job.report(job.model, samples=10**9, loss=0.1))
    job.start()
    assert script.reports[0].samples == 64


def test_under_noise_nothing_of_the_plans_but_the_noisy_tensors_leaves(
    make_client: MakeClient, script: Script
) -> None:
    job = make_client(clip_norm=1.0, noise_multiplier=1.0).new_job("line", "1")
    job.run(data=(X, Y), max_cycles=1)
    job.add_listener("accepted", lambda job: job.report(job.model, loss=float(X[3, 0]), accuracy=0.5))
    job.start()
    assert [(each.loss, each.accuracy) for each in script.reports] == [(None, None)] * 2


@pytest.mark.parametrize(
    "config",
    [
        {"batch_size": 4, "max_updates": 1},
        {"batch_size": 1, "max_updates": 19},
        {"batch_size": 19, "epochs": 50, "max_updates": 1},
    ],
    ids=str,
)
def test_a_configuration_that_uses_few_rows_gets_no_report(
    make_client: MakeClient, script: Script, config: dict[str, Any]
) -> None:
    script.client_config = {**script.client_config, **config}
    with pytest.raises(BadRequest, match="at least 20 rows"):
        make_client(min_rows=20).new_job("line", "1").run(data=(X, Y))
    assert (script.reports, len(script.failures)) == ([], 1)


def test_the_same_few_rows_used_often_are_few(make_client: MakeClient, script: Script) -> None:
    script.client_config = {**script.client_config, "epochs": 1000}
    with pytest.raises(BadRequest, match="at least 20 rows"):
        make_client(min_rows=20).new_job("line", "1").run(data=(X[:5], Y[:5]))
    assert not script.reports
    assert make_client(min_rows=20).new_job("line", "1").run(data=(X[:20], Y[:20]), max_cycles=1).cycles == 1


def test_thirty_epochs_over_ten_rows_are_ten_rows(make_client: MakeClient, script: Script) -> None:
    """In a loop of one's own, too: it passed for 300."""
    script.client_config = {**script.client_config, "epochs": 30, "batch_size": 5}
    for run in ({"data": (X[:10], Y[:10])}, {"train": _loop}):
        with pytest.raises(BadRequest, match="at least 20 rows"):
            make_client(min_rows=20).new_job("line", "1").run(**run)  # type: ignore[arg-type]
        make_client(min_rows=10).new_job("line", "1").run(max_cycles=1, **run)  # type: ignore[arg-type]
    assert [report.samples for report in script.reports] == [10, 10]
    make_client(min_rows=20).new_job("line", "1").run(
        lambda job: job.report(_loop(job), samples=25), max_cycles=1
    )
    assert script.reports[-1].samples == 25, "whoever knows better says so"


def _loop(job: FLJob) -> Any:
    params = job.model
    for _ in range(30):
        for start in (0, 5):
            (params,) = job.plans["training_plan"](
                x=X[start : start + 5], y=Y[start : start + 5], params=params
            )
    return params


def test_a_training_without_end_gets_as_many_reports_as_its_bound(
    make_client: MakeClient, script: Script, own_folder: Path
) -> None:
    script.cycles = 1000
    summary = make_client(max_reports=3).new_job("line", "1").run(data=(X, Y))
    assert (summary.cycles, summary.reason) == (3, "max-reports")
    # Neither a restart, nor a fresh key, nor another job of the same training begins anew.
    seen = len(script.check_ins)
    for _ in range(3):
        assert make_client(max_reports=3).new_job("line", "1").run(data=(X, Y)).reason == "max-reports"
    with pytest.raises(NotAgreed, match="3 reports"):
        make_client(max_reports=3).new_job("line", "1").start()
    assert len(script.check_ins) == seen, "it does not even ask for a slot"
    assert make_client(max_reports=5).new_job("line", "1").run(data=(X, Y)).cycles == 2
    assert len(script.reports) == 5


def test_a_run_that_failed_counts_because_the_plan_saw_the_data(
    make_client: MakeClient, script: Script
) -> None:
    script.cycles = 1000
    seen: list[int] = []

    def train(job: FLJob) -> Any:
        seen.append(job.cycle)
        raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            make_client(max_reports=2).new_job("line", "1").run(train)
    assert make_client(max_reports=2).new_job("line", "1").run(train).reason == "max-reports"
    assert (len(seen), script.reports) == (2, [])


def test_a_damaged_count_lets_nothing_out(make_client: MakeClient, script: Script, own_folder: Path) -> None:
    make_client(max_reports=3).new_job("line", "1").run(data=(X, Y), max_cycles=1)
    (path,) = own_folder.rglob("reports.json")
    path.write_text("{")
    with pytest.raises(BadRequest, match="damaged"):
        make_client(max_reports=3).new_job("line", "1").run(data=(X, Y))
    assert len(script.reports) == 1


@make_plan
def betraying(
    x: Any = torch.randn(4, 2),
    y: Any = torch.randn(4),
    params: Any = (torch.zeros(2), torch.zeros(1)),
) -> Any:
    """Fails if, and only if, somebody's value is above 50."""
    found = (x.max() > 50).long().reshape(1)
    weight = params[0] + 0 * params[0].index_select(0, found * 1000)
    return y.mean(), y.mean(), weight, params[1]


@make_plan
def overflowing(
    x: Any = torch.randn(4, 2),
    y: Any = torch.randn(4),
    params: Any = (torch.zeros(2), torch.zeros(1)),
) -> Any:
    """Infinite, or not a number, if, and only if, somebody's value is above 50."""
    return y.mean(), y.mean(), params[0] * torch.exp((x.max() - 50) * 1e9), params[1]


@pytest.mark.parametrize("plan", [betraying, overflowing], ids=lambda plan: plan.name)
def test_a_plan_that_fails_on_a_value_tells_nothing_of_it_where_there_is_noise(
    make_client: MakeClient, script: Script, plan: Any
) -> None:
    """One bit a report otherwise, at any noise: that there is none."""
    for value in (1.0, 99.0):
        script.plan, script.shown, script.cycles = plan.dumps(), None, 100
        script.model = {"w": torch.zeros(2), "b": torch.zeros(1)}
        data = (torch.where(torch.arange(40).reshape(40, 1) == 7, value, X.clamp(-1, 1)), Y)
        script.client_config = {"name": "line", "version": "1", "batch_size": 10}
        summary = (
            make_client(clip_norm=1.0, noise_multiplier=2.0).new_job("line", "1").run(data=data, max_cycles=1)
        )
        assert (summary.cycles, summary.failures, script.failures) == (1, 0, [])
    first, second = script.reports
    assert (first.samples, first.loss) == (second.samples, second.loss) == (40, None)


def test_where_there_is_none_it_fails_and_says_so(make_client: MakeClient, script: Script) -> None:
    script.plan, script.shown = betraying.dumps(), None
    script.client_config = {"name": "line", "version": "1", "batch_size": 10}
    with pytest.raises(InvalidPlan, match="failed on these values"):
        make_client(clip_norm=1.0).new_job("line", "1").run(data=(X + 99, Y))
    assert not script.reports and script.failures
