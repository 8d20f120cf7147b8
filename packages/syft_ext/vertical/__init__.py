"""Learning from columns that two owners have of the same people: regressions as plans on shares, split networks.

Knows plans, sessions and what intersections left; must not know a protocol.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_ext.messages.split_terms import Crossing
    from syft_ext.vertical.regression import FittedRegression, LinearRegression, LogisticRegression
    from syft_ext.vertical.split import Boundary, SplitNetwork, SplitPredictions, TrainedSplit

__all__ = [
    "Boundary",
    "Crossing",
    "FittedRegression",
    "LinearRegression",
    "LogisticRegression",
    "SplitNetwork",
    "SplitPredictions",
    "TrainedSplit",
]
_SPLIT = frozenset({"Boundary", "SplitNetwork", "SplitPredictions", "TrainedSplit"})


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    where = "vertical.split" if name in _SPLIT else "vertical.regression"
    return getattr(import_module(f"syft_ext.{'messages.split_terms' if name == 'Crossing' else where}"), name)
