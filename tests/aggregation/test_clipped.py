"""The policy's mean: clipped as differences, in any order, without wrapping around; what is not finite tells
nothing."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from grid.aggregation import clipped
from grid.aggregation.base import Aggregate, Contribution, Kind
from grid.aggregation.clipped import ClippedMean
from grid.aggregation.tensor_file import TensorFile
from grid.privacy.mechanisms.registry import choose_mechanism, vector_mechanism
from syft_ext.errors import Conflict, InvalidTensors, Unsupported
from syft_ext.tensors import encode_tensors

BASE = {"a": torch.tensor([1.0, 2.0]), "b": torch.zeros(2, dtype=torch.float64), "c": torch.ones(1)}


def report(tensors: dict[str, torch.Tensor], kind: Kind = "diff") -> Contribution:
    return Contribution(TensorFile(encode_tensors(tensors)), 1.0, kind)


def mean_of(noise: float | None = None) -> ClippedMean:
    base, mechanism = TensorFile(encode_tensors(BASE)), vector_mechanism(1.0, noise)
    return ClippedMean(base, mechanism, None if noise is None else lambda content: content[:32])


def numbers(aggregate: Aggregate) -> list[float]:
    return [float(n) for values in aggregate.values for n in values]


def test_parameters_count_as_differences_and_tensors_by_their_names() -> None:
    moved = {name: tensor - 0.25 for name, tensor in BASE.items()}
    shuffled = {name: moved[name] for name in ("c", "b", "a")}
    steps = {name: torch.full_like(tensor, 0.25) for name, tensor in BASE.items()}
    for each in (report(moved, "params"), report(shuffled, "params"), report(steps)):
        mean = mean_of()
        mean.accumulate(each)
        mean.settle()
        np.testing.assert_allclose(numbers(mean.finish()), [0.25] * 5, atol=1e-7)


def test_what_is_not_like_the_model_is_refused() -> None:
    with pytest.raises(InvalidTensors, match="'c' is not as in the model"):
        mean_of().accumulate(report({"b": BASE["b"], "a": BASE["a"]}))


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e308])
def test_what_is_not_finite_is_refused_or_under_noise_counts_as_nothing(value: float) -> None:
    wrong = report({**BASE, "b": torch.tensor([value, -value], dtype=torch.float64)}, "params")
    if value < float("inf"):  # its squares overflow, it does not
        mean = mean_of()
        mean.accumulate(wrong)
        np.testing.assert_allclose(np.abs(numbers(mean.finish())), [0, 0, 0.5**0.5, 0.5**0.5, 0], atol=1e-7)
        return
    with pytest.raises(InvalidTensors, match="not finite"):
        mean_of().accumulate(wrong)
    hidden, nothing = mean_of(1e-6), mean_of(1e-6)
    hidden.accumulate(wrong)
    nothing.accumulate(report(BASE, "params"))
    np.testing.assert_allclose(numbers(hidden.finish()), numbers(nothing.finish()), atol=1e-4)


def test_partial_sums_add_up() -> None:
    parts = [report({name: torch.full_like(t, 0.1 * n) for name, t in BASE.items()}) for n in (1, 2, 3)]
    whole, left, right, empty = mean_of(1e-6), mean_of(1e-6), mean_of(1e-6), mean_of(1e-6)
    for part in parts:
        whole.accumulate(part)
    left.accumulate(parts[0])
    right.accumulate(parts[1])
    right.accumulate(parts[2])
    left.merge(right)
    left.merge(mean_of(1e-6))
    empty.merge(left)
    found = empty.finish()
    assert found.count == 3 and numbers(found) == numbers(whole.finish()), "the same sum has the same noise"
    with pytest.raises(Conflict, match="nothing to average"):
        empty.finish()


def test_a_sum_that_would_wrap_around_is_refused_before(monkeypatch: pytest.MonkeyPatch) -> None:
    mean, other = mean_of(1.0), mean_of(1.0)
    mean.accumulate(report(BASE))
    other.accumulate(report(BASE))
    monkeypatch.setattr(clipped, "_LARGEST_SUM", int(vector_mechanism(1.0, 1.0).bound()))
    with pytest.raises(Conflict, match="64 bits"):
        mean.accumulate(report(BASE))
    with pytest.raises(Conflict, match="64 bits"):
        mean.merge(other)


def test_a_mechanism_for_single_numbers_is_not_for_models() -> None:
    with pytest.raises(Unsupported, match="not for vectors"):
        laplace = choose_mechanism("discrete_laplace", sensitivity=1, epsilon=1.0)
        ClippedMean(TensorFile(encode_tensors(BASE)), laplace)
