"""What a reviewer is told of plans that copy rows, by whatever way, and of plans that do not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from syft_ext.errors import BadRequest
from syft_ext.messages.plan_facts import RowInfluence
from syft_ext.plans import Plan, make_plan
from syft_ext.plans.checking.influence import Raw, row_influence
from syft_ext.plans.sandbox.process import SandboxProcess

ROWS, WIDTH = 24, 5
ROTATION = torch.linalg.qr(torch.randn(ROWS, ROWS, generator=torch.Generator().manual_seed(1)))[0]


@pytest.fixture(scope="module")
def box() -> Iterator[SandboxProcess]:
    with SandboxProcess() as process:
        yield process


def raws(*tensors: torch.Tensor) -> list[Raw]:
    names = {torch.float32: "f32", torch.float16: "f16", torch.int64: "i64", torch.bool: "b"}
    return [
        (names[t.dtype], list(t.shape), np.frombuffer(t.contiguous().numpy().tobytes(), np.uint8))
        for t in tensors
    ]


def tried(
    box: SandboxProcess, function: Callable[..., Any], *given: torch.Tensor, rows: tuple[str, ...] = ("x",)
) -> list[RowInfluence]:
    """``function`` as a plan whose inputs are ``given``."""
    plan = trace(function, given)
    content = plan.dumps()
    return row_influence(plan.document, lambda inputs: box.run_raw(content, inputs), raws(*given), rows)


def trace(function: Callable[..., Any], given: tuple[torch.Tensor, ...]) -> Plan:
    function.__defaults__ = given  # type: ignore[attr-defined]
    return make_plan(function)


def table(seed: int = 0) -> torch.Tensor:
    return torch.randn(ROWS, WIDTH, generator=torch.Generator().manual_seed(seed))


def repeated(x: Any) -> Any:
    return x * 1.0


def tiny(x: Any) -> Any:
    return x * 1e-12


def curved(x: Any) -> Any:
    return torch.tanh(x).reshape(-1)


def reordered(x: Any) -> Any:
    return x.flip(0).T


def ordered(x: Any) -> Any:
    return x.sort(0)[0]


def extreme(x: Any) -> Any:
    return x.max()


def one_row(x: Any) -> Any:
    return x[3] * 1.0


def one_row_in_a_mean(x: Any) -> Any:
    return x.mean(0) + x[0]


def rotated(x: Any) -> Any:
    return ROTATION @ x


def halves(x: Any) -> Any:
    mixed = ROTATION @ x
    return mixed[:10], mixed[10:]


def single_numbers(x: Any) -> Any:
    mixed = ROTATION @ x[:, :1]
    return [mixed[i] for i in range(ROWS)]


@pytest.mark.parametrize(
    "function",
    [
        repeated,
        tiny,
        curved,
        reordered,
        ordered,
        extreme,
        one_row,
        one_row_in_a_mean,
        rotated,
        halves,
        single_numbers,
    ],
)
def test_copies_are_seen(box: SandboxProcess, function: Callable[..., Any]) -> None:
    assert tried(box, function, table())[-1].verdict == "copies"


def test_copies_among_parameters_are_seen(box: SandboxProcess) -> None:
    def beside(x: Any, w: Any) -> Any:
        return x.mean(), w + 1e-6 * x.reshape(-1)

    loss, weights, together = tried(box, beside, table(), torch.ones(ROWS * WIDTH))
    assert (loss.verdict, weights.verdict, together.verdict) == ("mixes", "copies", "copies")
    assert weights.alone == weights.rows == ROWS and weights.magnitude < 1e-6
    assert together.output == "" and "all results together" in str(together)


def mean(x: Any) -> Any:
    return x.mean(0)


def total(x: Any) -> Any:
    return (x * 3 + 1).sum()


def spread(x: Any) -> Any:
    return x.mean(0), x.std(0)


@pytest.mark.parametrize("function", [mean, total, spread])
def test_aggregates_mix(box: SandboxProcess, function: Callable[..., Any]) -> None:
    for result in tried(box, function, table()):
        assert result.verdict == "mixes" and result.alone == 0 and result.told_apart < 0.5


@given(st.integers(0, 1000), st.integers(9, 60), st.integers(1, 40), st.floats(-1e4, 1e4))
@settings(
    max_examples=15,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
def test_no_mean_of_anything_is_called_a_copy(
    box: SandboxProcess, seed: int, rows: int, width: int, offset: float
) -> None:
    def mean_of(x: Any) -> Any:
        return x.mean(0)

    made = torch.randn(rows, width, generator=torch.Generator().manual_seed(seed)) + offset
    (result,) = tried(box, mean_of, made)
    assert result.verdict == "mixes", str(result)


def test_counts_of_labels_mix_and_labels_themselves_do_not(box: SandboxProcess) -> None:
    labels = torch.arange(ROWS) % 3

    def counts(x: Any) -> Any:
        return torch.nn.functional.one_hot(x, 3).sum(0)

    def labels_again(x: Any) -> Any:
        return x + 0

    (counted,), (copied,) = tried(box, counts, labels), tried(box, labels_again, labels)
    assert (counted.verdict, copied.verdict) == ("mixes", "copies")


def test_gradients_are_no_copies_and_not_harmless(box: SandboxProcess) -> None:
    def step(x: Any, y: Any, w: Any, v: Any) -> Any:
        w, v = w.clone().requires_grad_(), v.clone().requires_grad_()
        loss = torch.nn.functional.cross_entropy(torch.tanh(x @ w.T) @ v.T, y)
        first, second = torch.autograd.grad(loss, (w, v))
        return loss, w - 0.1 * first, v - 0.1 * second

    given = (
        table(),
        torch.arange(ROWS) % 3,
        table(1)[:20, :].repeat(2, 1),
        torch.linspace(-1, 1, 120).reshape(3, 40),
    )
    results = tried(box, step, *given, rows=("x", "y"))
    assert results[0].verdict == "mixes", str(results[0])
    assert results[-1].verdict == "determines" and results[-1].told_apart < 0.5


def test_what_answers_nothing_is_said_to(box: SandboxProcess) -> None:
    def constant(x: Any) -> Any:
        return x.mean(0) * 0 + 1, torch.ones(2)

    assert {each.verdict for each in tried(box, constant, table())} == {"nothing"}


def test_rows_are_needed(box: SandboxProcess) -> None:
    plan = trace(mean, (table(),))
    for rows in ((), ("y",)):
        with pytest.raises(BadRequest, match="rows"):
            row_influence(plan.document, lambda inputs: inputs, raws(table()), rows)
