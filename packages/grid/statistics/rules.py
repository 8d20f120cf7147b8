"""What the site's policy says of statistics, and what makes no sense whatever it says."""

from __future__ import annotations

from grid.access.policy import check_operation
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin

__all__ = ["REGRESSIONS", "check_asked", "check_policy", "lets_ask"]

REGRESSIONS = frozenset({"covariance", "correlation", "linear_regression", "logistic_regression"})


def check_asked(message: Begin) -> None:
    """Raise :class:`BadRequest` for what makes no sense, whatever the table and the policy are."""
    asked = set(message.statistics)
    if asked & REGRESSIONS and message.by:
        raise BadRequest("covariances and regressions are not made per group; ask without by")
    if asked & {"linear_regression", "logistic_regression"}:
        if not message.target:
            raise BadRequest("a regression needs a target")
    elif message.target:
        raise BadRequest("only a regression has a target")
    if message.levels and not asked <= {"linear_regression", "logistic_regression"}:
        raise BadRequest("words become columns of 0 and 1 in regressions; ask for these by themselves")
    if not set(message.levels) <= {*message.columns, message.target}:
        raise BadRequest("levels of a column that is not among the columns")
    if message.histograms and "histogram" not in asked:
        raise BadRequest("bins without a histogram")
    if not {bins.column for bins in message.histograms} <= set(message.columns):
        raise BadRequest("bins of a column that is not among the columns")


def lets_ask(policy: SitePolicy, statistic: str) -> bool:
    """Whether the policy lets a statistic out."""
    try:
        check_operation(policy, f"statistics.{statistic}")
    except Forbidden:
        return False
    return True


def check_policy(policy: SitePolicy, message: Begin, *, guarded: bool) -> None:
    """Raise :class:`Forbidden` for a statistic that the policy does not let out.

    Where a table is guarded, its minimum and maximum are refused: they *are* values of single rows.
    """
    names = [*message.statistics, *(["group_by"] if message.by else [])]
    for name in names:
        check_operation(policy, f"statistics.{name}")
        if guarded and name in ("min", "max"):
            end = 0.01 if name == "min" else 0.99
            raise Forbidden(
                f"a {name}imum is the value of one row; by the site's policy ask quantile {end:g}",
                operation=f"statistics.{name}",
            )
