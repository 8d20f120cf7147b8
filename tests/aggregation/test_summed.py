"""What is summed of a model where nobody sees a report: parameters alone, each at its own place."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from grid.aggregation.summed import moved_parameters, summed_length, summed_tensors
from grid.aggregation.tensor_file import TensorFile
from syft_ext.tensors import encode_tensors, kinds_metadata

BASE = {
    "a.weight": torch.arange(6.0).reshape(2, 3),
    "b.steps": torch.tensor([7]),
    "c.mean": torch.tensor([1.5, 2.5]),
    "d.half": torch.tensor([1.0, 2.0], dtype=torch.float16),
    "e.bias": torch.tensor([-1.0, -2.0]),
}


def test_each_parameter_moves_by_its_own_mean_and_nothing_else_moves() -> None:
    base = TensorFile(encode_tensors(BASE, kinds_metadata({"b.steps": "counter", "c.mean": "statistic"})))
    order = [spec.name for spec in summed_tensors(base.layout)]
    assert sorted(order) == ["a.weight", "d.half", "e.bias"]
    length = summed_length(base.layout)
    assert length == 10
    means = np.arange(1.0, 11.0)

    def part(where: slice) -> NDArray[Any]:
        return means[where]

    aggregate = moved_parameters(base, length, part, count=3, weight=3.0)
    assert (aggregate.scale, aggregate.count, aggregate.weight) == (1.0, 3, 3.0)
    assert aggregate.runs == base.runs
    expected, at = {}, 0
    for spec in summed_tensors(base.layout):
        expected[spec.name], at = means[at : at + spec.numel], at + spec.numel
    for run, values in zip(aggregate.runs, aggregate.values, strict=True):
        inside = [spec for spec in base.layout.specs if run[1] <= spec.start < run[2]]
        wanted = [expected.get(spec.name, np.zeros(spec.numel)) for spec in inside]
        np.testing.assert_array_equal(np.asarray(values, dtype=np.float64), np.concatenate(wanted))
