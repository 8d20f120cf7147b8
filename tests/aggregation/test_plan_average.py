"""What an averaging plan must be like, and what it is given: the arithmetic done by numpy in this very process."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch

from grid.aggregation import plan_average
from grid.aggregation.base import Contribution
from grid.aggregation.plan_average import (
    BatchPlanAverage,
    IterativePlanAverage,
    Leaf,
    PlanShape,
    Raw,
    check_fits,
    check_signature,
)
from grid.aggregation.tensor_file import TensorFile
from syft_ext.errors import Conflict, InvalidPlan, TooLarge, Unsupported
from tests.aggregation.test_kinds import file_of
from tests.federated.models import encode

MODEL = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.ones(4, np.float32)}
A, B = Leaf("F32", (2, 3)), Leaf("F32", (4,))
NUMBER = Leaf("F32", (1,))
ITERATIVE = PlanShape((("avg", (A, B)), ("item", (A, B)), ("num", (NUMBER,))), (A, B))
STACKED = PlanShape((("items", (Leaf("F32", (None, 2, 3)), Leaf("F32", (None, 4)))),), (A, B))
LISTED = PlanShape((("first", (A, B)), ("second", (A, B))), (A, B))


def floats(raw: Raw) -> Any:
    dtype, shape, data = raw
    assert dtype == "F32"
    return np.asarray(data).view(np.float32).reshape(tuple(shape))


def raw(values: Any) -> Raw:
    return "F32", values.shape, np.ascontiguousarray(values, np.float32).reshape(-1).view(np.uint8)


class Arithmetic:
    """The three plans of this file, by their first byte."""

    def describe(self, plan: bytes) -> PlanShape:
        return {b"i": ITERATIVE, b"s": STACKED, b"l": LISTED}[plan]

    def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
        values = [floats(each) for each in inputs]
        if plan == b"s":
            return [raw(each.mean(0)) for each in values[:2]]
        return [raw((values[index] + values[index + 2]) / 2) for index in range(2)]

    def fold(
        self, plan: bytes, state: Sequence[Raw], steps: Sequence[Sequence[Raw | None]], *, reuse: bool
    ) -> list[Raw]:
        average = [floats(each) for each in state]
        for step in steps:
            given = [each for each in step if each is not None]
            (number,) = floats(given[2])
            average = [
                (a * number + floats(item)) / (number + 1) for a, item in zip(average, given, strict=False)
            ]
        return [raw(each) for each in average]


def contribution(seed: int) -> Contribution:
    random = np.random.default_rng(seed)
    model = {name: random.normal(size=value.shape).astype(np.float32) for name, value in MODEL.items()}
    return Contribution(TensorFile(encode(model)), 1.0)


def expected(count: int) -> Any:
    parts = [contribution(seed).file for seed in range(count)]
    return np.mean([np.concatenate([p.numbers(run, 0, 10) for run in p.runs]) for p in parts], axis=0)


@pytest.mark.parametrize(
    ("plan", "kind", "count"),
    [(b"i", IterativePlanAverage, 5), (b"s", BatchPlanAverage, 5), (b"l", BatchPlanAverage, 2)],
)
def test_each_way_of_averaging_gives_the_mean(plan: bytes, kind: Any, count: int) -> None:
    process = Arithmetic()
    average = kind(process, plan, process.describe(plan), TensorFile(encode(MODEL)))
    for seed in range(count):
        average.accumulate(contribution(seed))
    found = average.finish()
    np.testing.assert_allclose(np.concatenate(found.values), expected(count), rtol=1e-6)


def test_a_constant_that_a_report_leaves_out_is_a_difference_of_nothing() -> None:
    model = {name: torch.from_numpy(value.copy()) for name, value in MODEL.items()}
    average = IterativePlanAverage(Arithmetic(), b"i", ITERATIVE, file_of(model, {"b": "constant"}))
    for number in (1.0, 3.0):
        average.accumulate(Contribution(file_of({"a": torch.full((2, 3), number)}), 1.0))
    np.testing.assert_allclose(np.concatenate(average.finish().values), [2.0] * 6 + [0.0] * 4)


def test_arguments_under_other_names_are_taken_in_their_order() -> None:
    shape = PlanShape((("mean", (A, B)), ("new", (A, B)), ("so_far", (NUMBER,))), (A, B))
    check_signature(shape, iterative=True, weighted=False)
    average = IterativePlanAverage(Arithmetic(), b"i", shape, TensorFile(encode(MODEL)))
    for seed in range(4):
        average.accumulate(contribution(seed))
    np.testing.assert_allclose(np.concatenate(average.finish().values), expected(4), rtol=1e-6)


def test_plans_that_cannot_average_are_refused() -> None:
    uneven = PlanShape((("avg", (A, B)), ("item", (A,)), ("num", (NUMBER,))), (A, B))
    for shape, iterative, words in (
        (uneven, True, "takes 2 and 1, and gives 2"),
        (PlanShape((("x", (A,)),), (A,)), True, "avg, item, num"),
        (PlanShape((), (A, B)), False, "takes the reports"),
    ):
        with pytest.raises(InvalidPlan, match=words):
            check_signature(shape, iterative=iterative, weighted=False)
    with pytest.raises(InvalidPlan, match="no second argument"):
        check_signature(STACKED, iterative=False, weighted=True)


def test_plans_that_do_not_fit_the_model_are_refused() -> None:
    layout = TensorFile(encode(MODEL)).layout
    for shape, iterative, words in (
        (PlanShape(ITERATIVE.arguments, (A,)), True, "gives 1 tensors, the model has 2"),
        (PlanShape((("avg", (A, A)), *ITERATIVE.arguments[1:]), (A, B)), True, "takes as avg"),
        (PlanShape((("items", (A,)),), (A, B)), False, "neither stacked"),
    ):
        with pytest.raises(InvalidPlan, match=words):
            check_fits(shape, iterative, layout, None)
    check_fits(LISTED, False, layout, 2)
    with pytest.raises(InvalidPlan, match="takes 2 reports, and a cycle can hold 3"):
        check_fits(LISTED, False, layout, 3)
    with pytest.raises(TooLarge):
        check_fits(STACKED, False, layout, 1 << 40)


def test_a_plan_is_not_given_another_number_of_reports_than_it_takes() -> None:
    average = BatchPlanAverage(Arithmetic(), b"l", LISTED, TensorFile(encode(MODEL)))
    for seed in range(3):
        average.accumulate(contribution(seed))
    with pytest.raises(InvalidPlan, match="does not take 3 reports"):
        average.finish()


@pytest.mark.parametrize(("plan", "kind"), [(b"i", IterativePlanAverage), (b"s", BatchPlanAverage)])
def test_nothing_is_no_average_and_partial_ones_do_not_merge(plan: bytes, kind: Any) -> None:
    process = Arithmetic()
    average = kind(process, plan, process.describe(plan), TensorFile(encode(MODEL)))
    with pytest.raises(Conflict, match="nothing to average"):
        average.finish()
    with pytest.raises(Unsupported, match="cannot be merged"):
        average.merge(average)
    average.accumulate(contribution(0))
    average.settle()
    average.close()
    with pytest.raises(Conflict, match="nothing to average"):
        average.finish()


def test_reports_for_one_call_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    average = BatchPlanAverage(Arithmetic(), b"s", STACKED, TensorFile(encode(MODEL)))
    monkeypatch.setattr(plan_average, "MEMORY_LIMIT", 100)
    average.accumulate(contribution(0))
    average.accumulate(contribution(1))
    with pytest.raises(TooLarge, match="not iterative"):
        average.accumulate(contribution(2))


def test_an_average_of_another_form_is_refused() -> None:
    class Wrong(Arithmetic):
        def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
            return [raw(np.zeros((3, 2), np.float32)), raw(np.zeros(4, np.float32))]

    average = BatchPlanAverage(Wrong(), b"s", STACKED, TensorFile(encode(MODEL)))
    average.accumulate(contribution(0))
    with pytest.raises(InvalidPlan, match=r"gave F32 \[3, 2\] for 'a'"):
        average.finish()


@pytest.mark.parametrize("kind", ["diff", "params"])
def test_whole_numbers_are_exact_whatever_a_plan_makes_of_them(kind: Any) -> None:
    """A plan is given their differences, cut off where the dtype ends: 0 - 200 is no 56 to average."""
    seen: list[Any] = []

    class Watching(Arithmetic):
        def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
            seen.extend(np.asarray(data).tolist() for dtype, _, data in inputs if dtype == "U8")
            return [
                (dtype, shape[1:], np.asarray(data)[: len(data) // shape[0]]) for dtype, shape, data in inputs
            ]

    base = {"byte": np.array([0, 250], np.uint8), "w": np.ones(2, np.float32)}
    trained = [{"byte": np.array([n, 250 - n], np.uint8), "w": base["w"] - n} for n in (200, 201)]
    shape = PlanShape(
        (("items", (Leaf("U8", (None, 2)), Leaf("F32", (None, 2)))),), (Leaf("U8", (2,)), Leaf("F32", (2,)))
    )
    average = BatchPlanAverage(Watching(), b"s", shape, TensorFile(encode(base)))
    for each in trained:
        given = each if kind == "params" else {name: base[name] - each[name] for name in base}
        average.accumulate(Contribution(TensorFile(encode(given)), 1.0, kind))
    found = average.finish()
    assert seen == [[0, 200, 0, 201]]
    ((_, numbers),) = found.whole
    assert numbers.tolist() == [200, 50], "200.5 and 49.5, to the even one"
    np.testing.assert_array_equal(found.values[1], [200.0, 200.0])


def test_many_steps_run_together_and_weights_go_into_a_plan_that_takes_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan_average, "TOGETHER", 1)
    average = IterativePlanAverage(Arithmetic(), b"i", ITERATIVE, TensorFile(encode(MODEL)))
    for seed in range(3):
        average.accumulate(contribution(seed))
        assert average._steps == []
    np.testing.assert_allclose(np.concatenate(average.finish().values), expected(3), rtol=1e-6)

    class Weighted(Arithmetic):
        def call(self, plan: bytes, inputs: Sequence[Raw]) -> list[Raw]:
            *items, weights = [floats(each) for each in inputs]
            return [raw(np.average(each, axis=0, weights=weights)) for each in items]

    shape = PlanShape((*STACKED.arguments, ("weights", (Leaf("F32", (None,)),))), (A, B))
    check_signature(shape, iterative=False, weighted=True)
    batch = BatchPlanAverage(Weighted(), b"s", shape, TensorFile(encode(MODEL)))
    parts = [Contribution(contribution(seed).file, weight) for seed, weight in ((0, 1.0), (1, 3.0))]
    for part in parts:
        batch.accumulate(part)
    flat = [np.concatenate([p.file.numbers(run, 0, 10) for run in p.file.runs]) for p in parts]
    np.testing.assert_allclose(np.concatenate(batch.finish().values), (flat[0] + 3 * flat[1]) / 4, rtol=1e-5)


def test_an_iterative_plan_that_takes_what_the_model_has_fits_it() -> None:
    check_fits(ITERATIVE, True, TensorFile(encode(MODEL)).layout, None)
