"""Hosted plans are tried on mock rows of the reviewer's, or as their own self-test makes them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import syft_ext as sy
from syft_ext.errors import BadRequest
from syft_ext.messages.plan_facts import TrialOfRows
from syft_ext.plans import Plan, make_plan
from syft_ext.plans.checking.row_trial import check_effort, row_inputs, try_rows
from syft_ext.plans.graph.limits import Cost
from syft_ext.plans.sandbox.process import SandboxProcess


@make_plan
def step(
    x: Any = torch.randn(16, 4),
    y: Any = torch.randint(0, 3, (16,)),
    lr: Any = torch.tensor(0.1),
    params: Any = sy.List([torch.zeros(3, 4)]),
) -> Any:
    w = params[0].detach().requires_grad_()
    loss = torch.nn.functional.cross_entropy(x @ w.T, y)
    loss.backward()
    return loss, w - lr * w.grad


@make_plan
def average(item: Any = torch.zeros(3), avg: Any = torch.zeros(3), num: Any = torch.tensor(1.0)) -> Any:
    return (avg * num + item) / (num + 1)


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


def tried(box: SandboxProcess, plan: Plan, batch: int = 32, given: Any = None) -> TrialOfRows | None:
    content = plan.dumps()
    return try_rows(
        plan.document,
        lambda inputs: box.run_raw(content, inputs),
        lambda shapes: box.price(content, shapes)[2],
        batch,
        given,
    )


def test_as_many_rows_as_the_batch_where_the_plan_takes_any_number(box: SandboxProcess) -> None:
    for batch in (8, 24):
        trial = tried(box, step, batch)
        assert trial is not None and (trial.rows, trial.made, trial.problem) == (batch, "self-test", "")
        assert trial.inputs == row_inputs(step.document) == ["x", "y"]
        assert {each.verdict for each in trial.results} <= {"mixes", "determines"}


def test_the_reviewers_own_mock_rows_where_they_fit(box: SandboxProcess) -> None:
    own = {"x": np.random.default_rng(0).normal(size=(40, 4)) * 50, "y": np.arange(40) % 3}
    trial = tried(box, step, 32, own)
    assert trial is not None and (trial.rows, trial.made) == (32, "data") and "form of the data" in str(trial)
    wide = tried(box, step, 32, {**own, "x": np.zeros((40, 5))})
    assert wide is not None and wide.made == "self-test" and "self-test makes them" in str(wide)


def test_a_plan_without_rows_is_not_tried(box: SandboxProcess) -> None:
    assert row_inputs(average.document) == [] and tried(box, average) is None


def test_what_fails_is_a_problem_and_no_error(box: SandboxProcess) -> None:
    bad = {"x": np.zeros((40, 4)), "y": np.full(40, 7)}  # no such class
    trial = tried(box, step, 32, bad)
    assert trial is not None and trial.problem and not trial.results
    assert "not possible" in str(trial)


def test_what_takes_too_long_is_not_tried() -> None:
    def cost(flops: int, peak_bytes: int) -> Cost:
        return Cost(ops=10, peak_bytes=peak_bytes, largest=1, flops=flops, output_bytes=8)

    check_effort(cost(1 << 20, 1 << 20))
    for flops, peak_bytes in ((1 << 40, 1 << 20), (1 << 20, 1 << 40)):
        with pytest.raises(BadRequest, match="takes too long"):
            check_effort(cost(flops, peak_bytes))
