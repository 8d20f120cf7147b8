"""Products, sums and comparisons against torch: at 0, one step to either side, at the ends of the range."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.errors import BadRequest, OutOfRange, ProtocolAborted
from syft_ext.mpc import functions
from syft_ext.mpc.fixed import decode, encode, public_scale, raw_bound
from tests.mpc.parties import PRECISION, STEP, Runner, run, stepped

ENDS = torch.tensor(
    [0.0, STEP, -STEP, 1.0, -1.0, 1 - STEP, 2.0**15 - STEP, -(2.0**15) + STEP, 2.0**15, -(2.0**15)],
    dtype=torch.float64,
)


def _pairs(values: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    one, two = torch.meshgrid(values, values, indexing="ij")
    return one.reshape(-1), two.reshape(-1)


def test_product_at_the_ends_of_the_range(run: Runner) -> None:
    x, y = _pairs(ENDS)
    y = y.clamp(-(2.0**14), 2.0**14)
    found = run(lambda e, a, b: e.multiply(a, b), x, y, bound=[2.0**15, 2.0**14]).value
    assert ((found - x * y).abs() <= STEP).all()


def test_operands_of_no_stated_size_may_be_up_to_two_to_the_14(run: Runner) -> None:
    x = torch.tensor([2.0**14 - STEP, -(2.0**14)], dtype=torch.float64)
    found = run(lambda e, a, b: e.multiply(a, b), x, x, bound=2.0**30).value
    assert ((found - x * x).abs() <= STEP).all()
    with pytest.raises(OutOfRange):
        run(lambda e, a, b: e.multiply(a, b), x + 1, x, bound=2.0**30)


def test_a_product_that_would_wrap_around_is_refused(run: Runner) -> None:
    big = torch.tensor([2.0**16], dtype=torch.float64)
    with pytest.raises(OutOfRange):
        run(lambda e, a, b: e.multiply(a, b), big, big, bound=2.0**17)


def test_a_sum_of_products_that_would_wrap_around_is_refused(run: Runner) -> None:
    x = torch.full((1, 64), 2.0**14, dtype=torch.float64)
    with pytest.raises(OutOfRange):
        run(lambda e, a, b: e.multiply(a, b, "matmul"), x, x.T.contiguous(), bound=2.0**15)


def test_comparisons_are_exact_at_equality_and_one_step_away(run: Runner) -> None:
    x, y = _pairs(ENDS)
    less = run(lambda e, a, b: functions.negative(e, e.sub(a, b)), x, y).value
    assert torch.equal(less, (x < y).double())
    above = run(functions.positive, ENDS).value
    assert torch.equal(above, (ENDS > 0).double())
    assert torch.equal(run(functions.relu, ENDS).value, ENDS.relu())
    assert torch.equal(run(functions.absolute, ENDS).value, ENDS.abs())


@pytest.mark.parametrize("columns", [1, 2, 3, 7, 8])
def test_greatest_of_rows_with_ties(run: Runner, columns: int) -> None:
    torch.manual_seed(columns)
    x = stepped(torch.randint(-3, 3, (6, columns)).double())
    found = run(lambda e, a: functions.greatest(e, a, 1), x).value
    assert torch.equal(found, x.amax(1, keepdim=True))


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(-(2**30), 2**30), min_size=1, max_size=30), st.integers(-(2**28), 2**28))
def test_truncation_is_off_by_less_than_a_step(run: Runner, raws: list[int], factor: int) -> None:
    x = decode(torch.tensor(raws), PRECISION)
    y = decode(torch.full((len(raws),), factor), PRECISION)
    found = run(lambda e, a, b: e.multiply(a, b), x, y, bound=[2.0**14, 2.0**12]).value
    assert ((found - x * y).abs() < STEP).all()


def test_truncation_is_unbiased_and_has_no_gross_errors(passive: Runner) -> None:
    x = torch.full((200_000,), 30_000.0, dtype=torch.float64)
    y = torch.full((200_000,), STEP * 7, dtype=torch.float64) + 1
    y = stepped(y)
    found = passive(lambda e, a, b: e.multiply(a, b), x, y, bound=[2.0**15, 2.0]).value
    assert float((found - x * y).abs().max()) < STEP


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1, 1, 1), (3, 5, 2), (4, 64, 3), (2, 0, 2)])
def test_matrix_products(run: Runner, rows: int, inner: int, columns: int) -> None:
    torch.manual_seed(inner)
    a, b = stepped(torch.randn(rows, inner)), stepped(torch.randn(inner, columns))
    found = run(lambda e, x, y: e.multiply(x, y, "matmul"), a, b, bound=16.0).value
    assert ((found - a @ b).abs() <= STEP).all()


@pytest.mark.parametrize("factor", [0.0, 1.0, -1.0, 3.0, 0.5, 1 / 1000, -1e-6, 123.456, 1e5])
def test_public_factors_are_not_rounded_to_steps(run: Runner, factor: float) -> None:
    x = stepped(torch.tensor([0.0, STEP, -STEP, 1.0, -250.0, 250.0], dtype=torch.float64))
    found = run(lambda e, a: e.multiply_public(a, factor), x, bound=256.0).value
    assert ((found - x * factor).abs() <= STEP + 2.0**-23 * (x * factor).abs()).all()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), 9.0, -8.0 - STEP])
def test_inputs_outside_of_the_stated_range_are_refused(bad: float) -> None:
    with pytest.raises(OutOfRange):
        encode(torch.tensor([0.0, bad], dtype=torch.float64), PRECISION, 8.0)


def test_a_stated_range_must_be_one_that_can_be_held() -> None:
    for bound in (0.0, -1.0, float("nan"), float("inf"), 2.0**60):
        with pytest.raises(BadRequest):
            raw_bound(bound, PRECISION)
    assert public_scale(torch.tensor([3.0, -7.0]))[1:] == (0, 7)


def test_a_dealer_that_sends_too_little_or_too_much_is_noticed() -> None:
    x = stepped(torch.randn(5))
    with pytest.raises(ProtocolAborted, match="less"):
        run(lambda e, a: e.multiply(a, a), x, bound=8.0, mutate=lambda sent: sent.pop())
