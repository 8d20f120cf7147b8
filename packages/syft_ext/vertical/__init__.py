"""Learning from columns that two owners have of the same people: regressions as plans on shares.

Knows plans, sessions and what intersections left; must not know a protocol.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from syft_ext.vertical.regression import FittedRegression, LinearRegression, LogisticRegression

__all__ = ["FittedRegression", "LinearRegression", "LogisticRegression"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from syft_ext.vertical import regression

    return getattr(regression, name)
