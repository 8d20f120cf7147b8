"""Learning from columns that two owners have of the same people: regressions as plans on shares, split networks.

Knows plans, sessions and what intersections left; must not know a protocol.
"""

from __future__ import annotations

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
    """Import what is asked for: a session without networks does without theirs."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    if name == "Crossing":
        from syft_ext.messages import split_terms as found
    elif name in _SPLIT:
        from syft_ext.vertical import split as found  # type: ignore[no-redef]
    else:
        from syft_ext.vertical import regression as found  # type: ignore[no-redef]
    return getattr(found, name)
