"""Differential privacy in PyDP's words: ``sy.dp.BoundedMean(epsilon=0.5).quick_result(asset, "age")``.

Knows clients and messages; must not know pointers (they say of themselves which column they stand for), rows, or
how a Domain makes noise.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from syft_ext.dp.queries import (
    BoundedMean,
    BoundedStandardDeviation,
    BoundedSum,
    BoundedVariance,
    Count,
    Max,
    Median,
    Min,
    Percentile,
    PrivateAnswer,
)
from syft_ext.dp.tensors import PrivateTensor, annotate, stack

if TYPE_CHECKING:
    from syft_ext.dp.learning import make_dp_sgd_plan

__all__ = [
    "BoundedMean",
    "BoundedStandardDeviation",
    "BoundedSum",
    "BoundedVariance",
    "Count",
    "Max",
    "Median",
    "Min",
    "Percentile",
    "PrivateAnswer",
    "PrivateTensor",
    "annotate",
    "make_dp_sgd_plan",
    "stack",
]


def __getattr__(name: str) -> Any:
    if name != "make_dp_sgd_plan":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from syft_ext.dp.learning import make_dp_sgd_plan  # loads torch

    return make_dp_sgd_plan
