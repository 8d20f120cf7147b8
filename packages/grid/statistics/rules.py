"""What the site's policy says of statistics."""

from __future__ import annotations

from grid.access.policy import check_operation, check_rows
from grid.statistics.private import MECHANISMS
from syft_ext.errors import BadRequest, Forbidden
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin

__all__ = ["REGRESSIONS", "ROW_REVEALING", "check_asked", "check_policy", "check_size"]

REGRESSIONS = frozenset({"covariance", "correlation", "linear_regression", "logistic_regression"})

#: Their answer is the value of a single row, whatever the number of rows is.
ROW_REVEALING = frozenset({"min", "max", "quantile"})


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
    if message.histograms and "histogram" not in asked:
        raise BadRequest("bins without a histogram")
    if not {bins.column for bins in message.histograms} <= set(message.columns):
        raise BadRequest("bins of a column that is not among the columns")


def check_policy(policy: SitePolicy, message: Begin) -> None:
    """Raise :class:`Forbidden` for a statistic that the policy does not let out.

    Minimum, maximum and quantiles *are* values of single rows: where aggregates must stand for several rows,
    they are refused. (A histogram over a given range says about where they are.)
    """
    names = [*message.statistics, *(["group_by"] if message.by else [])]
    for name in names:
        check_operation(policy, f"statistics.{name}")
        if policy.min_rows > 1 and name in ROW_REVEALING:
            raise Forbidden(
                f"the site's policy demands aggregates over at least {policy.min_rows} rows, and a {name} is "
                "the value of one; ask for a histogram over a given range",
                operation=f"statistics.{name}",
                min_rows=policy.min_rows,
            )
        if policy.statistics_epsilon is not None and name not in MECHANISMS | {"group_by"}:
            raise Forbidden(
                f"the site's policy demands noise on every number, and there is no mechanism for {name}",
                operation=f"statistics.{name}",
            )


def check_size(policy: SitePolicy, rows: int) -> None:
    """Raise :class:`Forbidden` for too few rows; an empty table is nobody's, where one row would do."""
    if policy.min_rows > 1:
        check_rows(policy, rows)
