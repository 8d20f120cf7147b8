"""The regressions' plans on shares of both parties, against the pooled fit of scikit-learn and least squares."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression as PooledLogistic

from syft_ext.errors import BadRequest, OutOfRange
from syft_ext.mpc.engine import ShareEngine, Steps
from syft_ext.mpc.interpreter import interpret
from syft_ext.plans.ir import Plan
from syft_ext.vertical.plans import Scale, linear_plan, logistic_plan, scale_of
from tests.mpc.parties import Ran, run

ROWS = 150


def on_shares(plan: Plan, *inputs: torch.Tensor, bound: list[float]) -> Ran:
    def program(engine: ShareEngine, *shares: Any) -> Steps[Any]:
        found = yield from interpret(engine, plan.document, list(shares), plan.document.selftest.symbols)
        return found[0]

    return run(program, *inputs, bound=bound)


def answer(found: Ran) -> np.ndarray[Any, Any]:
    """Coefficients, where the plan says that they are some."""
    *coefficients, settled = found.value.numpy().ravel()
    assert settled == 1
    return np.array(coefficients)


def rounding(design: np.ndarray[Any, Any], coefficients: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """How far each coefficient of a logistic regression may be off: the gradient of the last Newton step is off by
    a step of 2^-16 for its products and one for what is in them, in any direction, which the inverse Hessian takes
    to the coefficients."""
    whole = np.concatenate([design, np.ones((len(design), 1))], axis=1)
    p = 1 / (1 + np.exp(-whole @ coefficients))
    inverse = np.linalg.inv(whole.T @ (whole * (p * (1 - p))[:, None]) / len(design))
    return np.asarray(2 * 2**-16 * np.abs(inverse).sum(axis=1))


def tables() -> tuple[torch.Tensor, torch.Tensor, tuple[Scale, Scale], np.ndarray[Any, Any]]:
    made = torch.Generator().manual_seed(11)
    left = torch.rand(ROWS, 2, generator=made) * torch.tensor([60.0, 20.0]) + torch.tensor([20.0, 15.0])
    right = torch.randn(ROWS, 2, generator=made).clamp(-3, 3)
    scales = scale_of([(20, 80), (15, 35)]), scale_of([(-3, 3), (-3, 3)])
    design = torch.cat([scales[0](left), scales[1](right)], dim=1).double().numpy()
    return left, right, scales, design


def test_linear_regression_is_the_pooled_fit() -> None:
    left, right, scales, design = tables()
    made = torch.Generator().manual_seed(12)
    y = 0.05 * left[:, :1] + right[:, 1:] + 0.3 * torch.randn(ROWS, 1, generator=made)
    target = scale_of([(-5.0, 10.0)])
    plan = linear_plan(ROWS, scales, target, 0.0, (2, 2))
    found = on_shares(plan, left, right, y, bound=[128.0, 4.0, 16.0])
    whole = np.concatenate([design, np.ones((ROWS, 1))], axis=1)
    pooled = np.linalg.lstsq(whole, target(y).double().numpy(), rcond=None)[0]
    assert np.abs(answer(found) - pooled.ravel()).max() < 1e-3
    assert found.expected.rounds < 125


def test_logistic_regression_is_the_pooled_fit() -> None:
    left, right, scales, design = tables()
    made = torch.Generator().manual_seed(13)
    odds = 0.06 * (left[:, :1] - 50) + right[:, :1]
    y = (torch.rand(ROWS, 1, generator=made) < torch.sigmoid(odds)).float()
    plan = logistic_plan(ROWS, scales, 7, 0.0, (2, 2))
    found = answer(on_shares(plan, left, right, y, bound=[128.0, 4.0, 1.0]))
    pooled = PooledLogistic(C=np.inf, tol=1e-10, max_iter=1000).fit(design, y.numpy().ravel())
    right_one = np.append(pooled.coef_.ravel(), pooled.intercept_)
    assert (np.abs(found - right_one) < rounding(design, right_one)).all()


def test_a_ridge_is_that_of_the_pooled_fit() -> None:
    left, right, scales, design = tables()
    y = right[:, :1]
    target = scale_of([(-3.0, 3.0)])
    found = on_shares(linear_plan(ROWS, scales, target, 0.1, (2, 2)), left, right, y, bound=[128.0, 4.0, 4.0])
    whole = np.concatenate([design, np.ones((ROWS, 1))], axis=1)
    gram = whole.T @ whole / ROWS + 0.1 * np.eye(5)
    pooled = np.linalg.solve(gram, whole.T @ target(y).double().numpy() / ROWS)
    assert np.abs(answer(found) - pooled.ravel()).max() < 1e-3


def made_of(left: torch.Tensor, right: torch.Tensor, what: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Columns of which one says nothing beside the others."""
    right = right.clone()
    right[:, 1] = {
        "constant": torch.full_like(right[:, 1], 1.5),
        "repeated": right[:, 0],
        "nearly": right[:, 0] + 0.1 * right[:, 1],
        "of both tables": (left[:, 0] - 50) / 10,
    }[what]
    return left, right.clamp(-4, 4)


@pytest.mark.parametrize("what", ["constant", "repeated", "nearly", "of both tables"])
def test_columns_without_one_answer_open_nothing_else(what: str) -> None:
    left, right, scales, _ = tables()
    left, right = made_of(left, right, what)
    y = 0.05 * left[:, :1] + right[:, 1:]
    plan = linear_plan(ROWS, scales, scale_of([(-5.0, 10.0)]), 0.0, (2, 2))
    assert not on_shares(plan, left, right, y, bound=[128.0, 4.0, 16.0]).value.any()
    ridged = linear_plan(ROWS, scales, scale_of([(-5.0, 10.0)]), 0.01, (2, 2))
    answer(on_shares(ridged, left, right, y, bound=[128.0, 4.0, 16.0]))


@pytest.mark.parametrize(("steps", "apart"), [(2, False), (6, True), (12, True)])
def test_classes_that_are_told_apart_and_too_few_steps_have_no_answer(steps: int, apart: bool) -> None:
    """Newton's method gives some numbers after any number of steps, of which none is an answer; of many steps, its
    matrices leave the range."""
    left, right, scales, _ = tables()
    made = torch.Generator().manual_seed(13)
    odds = 0.06 * (left[:, :1] - 50) + right[:, :1]
    drawn = (torch.rand(ROWS, 1, generator=made) < torch.sigmoid(odds)).float()
    plan = logistic_plan(ROWS, scales, steps, 0.0, (2, 2))
    try:
        found = on_shares(plan, left, right, (odds > 0).float() if apart else drawn, bound=[128.0, 4.0, 1.0])
    except OutOfRange:
        assert apart
    else:
        assert not found.value.any()


def test_bounds_have_an_inside() -> None:
    with pytest.raises(BadRequest):
        scale_of([(1.0, 1.0)])
