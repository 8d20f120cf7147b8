"""The weighted mean: right, independent of how it is fed, and the same to the last bit when repeated."""

from __future__ import annotations

import itertools
import os
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from grid.aggregation.base import Aggregate, Contribution
from grid.aggregation.mean import GROUP, WeightedMean
from grid.aggregation.numbers import all_finite, narrow, widen
from grid.aggregation.parallel import WORTH_A_THREAD, over_elements
from grid.aggregation.tensor_file import TensorFile
from syft_ext.errors import Conflict, InvalidTensors
from tests.federated.models import encode

Model = dict[str, NDArray[Any]]


def _model(seed: int, dtype: str = "float32") -> Model:
    random = np.random.default_rng(seed)
    return {
        "a": random.normal(size=(7, 3)).astype(dtype),
        "b": random.normal(size=(5,)).astype(dtype),
        "steps": random.integers(0, 1000, size=(2,)),
        "empty": np.zeros((0, 4), dtype),
        "c": random.normal(size=()).astype(dtype),
    }


def _mean(base: Model, parts: list[tuple[Model, float, Any]]) -> Aggregate:
    mean = WeightedMean(TensorFile(encode(base)))
    for model, weight, kind in parts:
        mean.accumulate(Contribution(TensorFile(encode(model)), weight, kind))
    return mean.finish()


def _flat(aggregate: Aggregate) -> NDArray[Any]:
    return np.concatenate([values.astype(np.float64) * aggregate.scale for values in aggregate.values])


def _expected(base: Model, parts: list[tuple[Model, float, Any]]) -> NDArray[Any]:
    total = sum(weight for _, weight, _ in parts)
    columns = []
    for name, value in base.items():
        mean = sum(
            weight / total * (model[name] if kind == "diff" else value.astype(np.float64) - model[name])
            for model, weight, kind in parts
        )
        columns.append(np.asarray(mean, np.float64).reshape(-1))
    return np.concatenate(columns)


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.tuples(st.floats(0.5, 1000), st.sampled_from(["diff", "params"])), min_size=1, max_size=11),
    st.sampled_from(["float32", "float64"]),
)
def test_mean_of_differences_and_parameters(choices: list[tuple[float, str]], dtype: str) -> None:
    base = _model(0, dtype)
    parts = [(_model(1 + i, dtype), weight, kind) for i, (weight, kind) in enumerate(choices)]
    found = _mean(base, parts)
    assert found.count == len(parts)
    np.testing.assert_allclose(_flat(found), _expected(base, parts), rtol=2e-5, atol=2e-5)


def test_repeated_in_the_same_order_it_is_the_same_to_the_last_bit() -> None:
    parts = [(_model(i), 1.0 + i, "diff") for i in range(1, 12)]
    first, second = _mean(_model(0), parts), _mean(_model(0), parts)
    for one, other in zip(first.values, second.values, strict=True):
        np.testing.assert_array_equal(one, other)


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 12), st.integers(0, 12))
def test_merging_partial_sums_is_the_sum(count: int, cut: int) -> None:
    base = TensorFile(encode(_model(0)))
    parts = [Contribution(TensorFile(encode(_model(i))), float(i), "diff") for i in range(1, count + 1)]
    whole, left, right = WeightedMean(base), WeightedMean(base), WeightedMean(base)
    for index, part in enumerate(parts):
        whole.accumulate(part)
        (left if index < cut else right).accumulate(part)
    left.merge(right)
    np.testing.assert_allclose(_flat(left.finish()), _flat(whole.finish()), rtol=1e-5, atol=1e-6)


def test_tensors_in_another_order_are_added_by_name() -> None:
    base, report = _model(0), _model(1)
    shuffled = {name: report[name] for name in ("steps", "c", "b", "empty", "a")}
    one = _mean(base, [(report, 2.0, "diff"), (report, 3.0, "params")])
    other = _mean(base, [(shuffled, 2.0, "diff"), (shuffled, 3.0, "params")])
    np.testing.assert_allclose(_flat(one), _flat(other), rtol=1e-6)


def test_other_tensors_are_refused() -> None:
    report = _model(1)
    del report["b"]
    with pytest.raises(InvalidTensors):
        _mean(_model(0), [(report, 1.0, "diff")])


def test_nothing_has_no_mean() -> None:
    with pytest.raises(Conflict):
        _mean(_model(0), [])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_halves_round_as_torch_does(dtype: torch.dtype) -> None:
    code = "F16" if dtype is torch.float16 else "BF16"
    values = torch.randn(5000, generator=torch.Generator().manual_seed(3)) * 100
    raw = values.to(dtype).view(torch.uint8).numpy()
    np.testing.assert_array_equal(widen(raw, code), values.to(dtype).float().numpy())
    found = narrow(values.numpy().copy(), code)
    assert found.tobytes() == raw.tobytes()


def test_integers_are_rounded_and_clipped() -> None:
    values = np.array([-1.5, 0.4, 2.6, 1e30, -1e30, 2.0**63])
    assert narrow(values, "U8").tolist() == [0, 0, 3, 255, 0, 255]
    high, low = 2**63 - 1, -(2**63)
    assert narrow(values, "I64").tolist() == [-2, 0, 3, high, low, high]


@pytest.mark.parametrize("code", ["F16", "BF16", "F32", "F64"])
def test_what_is_not_finite_is_found(code: str) -> None:
    dtype = {"F16": torch.float16, "BF16": torch.bfloat16, "F32": torch.float32, "F64": torch.float64}[code]
    fine = torch.full((999,), torch.finfo(dtype).max, dtype=dtype)
    assert all_finite(fine.view(torch.uint8).numpy(), code), "large, but finite, also where their sum is not"
    for bad in (float("nan"), float("inf"), float("-inf")):
        values = fine.clone()
        values[500] = bad
        assert not all_finite(values.view(torch.uint8).numpy(), code)


def test_work_is_split_without_gaps_and_errors_come_back() -> None:
    seen = np.zeros(10_000_000, np.uint8)

    def work(start: int, stop: int) -> None:
        seen[start:stop] += 1

    over_elements(work, len(seen))
    assert (seen == 1).all()

    def fail(start: int, stop: int) -> None:
        raise InvalidTensors("no")

    with pytest.raises(InvalidTensors):
        over_elements(fail, len(seen))


def test_large_reports_are_added_as_they_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """They are not put off until the end: what waits is held in memory."""
    monkeypatch.setattr("grid.aggregation.mean.WORTH_RELEASING", 1)
    base, parts = _model(0), [(_model(i), 1.0, "diff") for i in range(1, GROUP + 2)]
    mean = WeightedMean(TensorFile(encode(base)))
    for model, weight, kind in parts:
        mean.accumulate(Contribution(TensorFile(encode(model)), weight, kind))  # type: ignore[arg-type]
    assert len(mean._pending) == 1, "all but the last were added"
    np.testing.assert_allclose(_flat(mean.finish()), _expected(base, parts), rtol=2e-5, atol=2e-5)


def test_work_is_divided_over_the_cores_and_an_error_in_any_part_is_raised(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(3)))
    done: list[tuple[int, int]] = []
    over_elements(lambda start, stop: done.append((start, stop)), 4 * WORTH_A_THREAD)
    parts = sorted(done)
    assert parts[0][0] == 0 and parts[-1][1] == 4 * WORTH_A_THREAD
    assert all(first[1] == second[0] for first, second in itertools.pairwise(parts))
    assert len(parts) == 3

    def fail(start: int, stop: int) -> None:
        if start:
            raise ValueError(f"from {start}")

    with pytest.raises(ValueError, match="from"):
        over_elements(fail, 4 * WORTH_A_THREAD)
