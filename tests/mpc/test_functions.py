"""Functions on shares against torch, at the ends of their stated ranges and outside of them."""

from __future__ import annotations

import math

import pytest
import torch

from syft_ext.errors import OutOfRange
from syft_ext.mpc import functions
from tests.mpc.parties import STEP, Runner, stepped

_TOP = 2.0**15
POSITIVE = stepped(
    torch.cat(
        [
            torch.tensor([STEP, 2 * STEP, 3 * STEP, 0.5, 1 - STEP, 1.0, 1 + STEP, 2.0, _TOP - STEP]).double(),
            torch.logspace(-4.5, 4.5, 300, dtype=torch.float64),
        ]
    )
).clamp(STEP, _TOP - STEP)
_LARGEST_EXPONENT = math.floor(15 * math.log(2) / STEP) * STEP
ANY = stepped(
    torch.cat(
        [
            torch.tensor([0.0, STEP, -STEP, 1.0, -1.0, -11.0, -11.1, -500.0, -_TOP]).double(),
            torch.linspace(-12, 10, 200, dtype=torch.float64),
        ]
    )
)


@pytest.mark.parametrize(
    ("function", "torchs", "steps"),
    [
        (functions.reciprocal, torch.reciprocal, 1),
        (functions.sqrt, torch.sqrt, 2),
        (functions.rsqrt, torch.rsqrt, 2),
        (functions.log, torch.log, 2),
    ],
)
def test_functions_of_positive_numbers(run: Runner, function: object, torchs: object, steps: int) -> None:
    expected = torchs(POSITIVE)  # type: ignore[operator]
    found = run(function, POSITIVE).value  # type: ignore[arg-type]
    assert ((found - expected).abs() <= steps * STEP + 2.0**-24 * expected.abs()).all()


@pytest.mark.parametrize("function", [functions.reciprocal, functions.sqrt, functions.rsqrt, functions.log])
@pytest.mark.parametrize("bad", [0.0, -STEP, -1.0, _TOP, 2 * _TOP])
def test_what_has_no_result_ends_the_run(run: Runner, function: object, bad: float) -> None:
    with pytest.raises(OutOfRange):
        run(function, torch.tensor([1.0, bad]), bound=2.0**17)  # type: ignore[arg-type]


def test_exponentials(run: Runner) -> None:
    x = torch.cat([ANY, torch.tensor([_LARGEST_EXPONENT], dtype=torch.float64)])
    expected = x.exp()
    found = run(functions.exp, x).value
    assert ((found - expected).abs() <= 2 * STEP + 2.0**-15 * expected).all()
    with pytest.raises(OutOfRange):
        run(functions.exp, torch.tensor([_LARGEST_EXPONENT + 2 * STEP]))


def test_sigmoid_and_tanh(run: Runner) -> None:
    assert ((run(functions.sigmoid, ANY).value - ANY.sigmoid()).abs() <= 3 * STEP).all()
    assert ((run(functions.tanh, ANY).value - ANY.tanh()).abs() <= 6 * STEP).all()


@pytest.mark.parametrize("columns", [2, 3, 10])
def test_softmax_and_its_logarithm(run: Runner, columns: int) -> None:
    torch.manual_seed(columns)
    x = stepped(torch.randn(20, columns) * 5)
    x[0] = 0.0
    x[1, 0] = 300.0
    found = run(lambda e, a: functions.softmax(e, a, 1), x).value
    assert ((found - x.softmax(1)).abs() <= 4 * STEP).all()
    found = run(lambda e, a: functions.log_softmax(e, a, 1), x).value
    assert ((found - x.log_softmax(1)).abs() <= 6 * STEP).all()
