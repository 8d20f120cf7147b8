"""Linear and logistic regression over rows that two Domains have in common: only coefficients are opened.

matched = sy.intersect([north, south], kind="integer", minimum=50).run()
asked = sy.vertical.LogisticRegression(session).request(matched, bounds={"age": (0, 120), "crp": (0, 400)})
asked.run().coefficients
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from syft_ext.errors import BadRequest, OperationFailed, OutOfRange
from syft_ext.readable import readable
from syft_ext.vertical.plans import Scale, linear_plan, logistic_plan, scale_of

if TYPE_CHECKING:
    from syft_ext.nodes.intersection import MatchedTables
    from syft_ext.nodes.shared_session import Session, SharedRequest
    from syft_ext.plans.ir import Plan

__all__ = ["FittedRegression", "LinearRegression", "LogisticRegression", "RegressionRequest"]

NO_ANSWER = (
    "there is no one answer: columns nearly repeat one another or hardly vary within their bounds, or, of a "
    "logistic regression, classes are told apart without an error; ask with a penalty (ridge=0.01), closer "
    "bounds, fewer columns or more steps"
)
Bounds = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class FittedRegression:
    """Coefficients in the columns' own units, of so many ``rows``; y is explained by what they add up to (of a
    logistic regression, its log odds)."""

    coefficients: dict[str, float]
    intercept: float
    rows: int


class RegressionRequest:
    """A regression that was asked of both Domains: ``requests`` wait for their owners."""

    def __init__(
        self, asked: SharedRequest, names: list[str], scale: Scale, target: Scale | None, rows: int
    ) -> None:
        self.asked, self._names, self._scale = asked, names, scale
        self._target, self._rows = target, rows

    def __repr__(self) -> str:
        return (
            f"<Regression on {', '.join(map(readable, self._names))}; when the owners have approved: .run()>"
        )

    @property
    def requests(self) -> Any:
        """One for each Domain, in the order of the session's parties."""
        return self.asked.requests

    def run(self) -> FittedRegression:
        """Compute on shares, and open the coefficients. Raises as :meth:`SharedRequest.run`, and
        :class:`OperationFailed` where there is no one answer: then only that is opened, and not why."""
        try:
            (found,) = self.asked.run().values()
        except OutOfRange as left:
            raise OutOfRange(f"{left.detail}: a value is beyond its bounds, or {NO_ANSWER}") from left
        *scaled, settled = found.flatten().double()
        if abs(float(settled) - 1) > 0.5:
            raise OperationFailed(NO_ANSWER)
        half = 1.0 if self._target is None else float(self._target.half)
        middle = 0.0 if self._target is None else float(self._target.middle)
        slopes = torch.stack(scaled[:-1]) * half / self._scale.half.double()
        intercept = float(scaled[-1]) * half + middle - float((slopes * self._scale.middle.double()).sum())
        return FittedRegression(dict(zip(self._names, slopes.tolist(), strict=True)), intercept, self._rows)


class _Regression(ABC):
    """Args: ``session``: with the two Domains as parties, in the order of the intersection, and a dealer.
    ``ridge``: the penalty on squared scaled coefficients, for each row; it keeps columns that nearly repeat one
    another apart."""

    def __init__(self, session: Session, *, ridge: float = 0.0) -> None:
        if not ridge >= 0:
            raise BadRequest("a penalty is not negative")
        self.session, self.ridge = session, ridge

    def request(self, matched: MatchedTables, bounds: Bounds, reason: str = "") -> RegressionRequest:
        """Ask both Domains; nothing runs before the owners of both tables approved plan, parties and precision.

        Args:
            matched: with a tensor "x" at both, and "y" (one column) at one of them.
            bounds: of every column, as its owner's schema has them; a value beyond ends the run.
        """
        parties = [each.verify_key for each in self.session.parties]
        if parties != [each.verify_key for each in matched.clients]:
            raise BadRequest("the session's parties are not those of the intersection, in its order")
        columns = [list(rows.get("x", ())) for rows in matched.rows]
        labels = [place for place, rows in enumerate(matched.rows) if "y" in rows]
        if not all(columns) or len(labels) != 1 or len(matched.rows[labels[0]]["y"]) != 1:
            raise BadRequest('a regression takes a tensor "x" of both tables, and "y", one column, of one')
        y = matched.rows[labels[0]]["y"][0]
        missing = {*columns[0], *columns[1], y} - bounds.keys()
        if missing:
            raise BadRequest(f"say between what bounds {min(missing)!r} lies")
        names = [*columns[0], *columns[1]]
        if len(set(names)) != len(names):
            names = [f"{place}.{name}" for place, own in enumerate(columns) for name in own]
        scales = [scale_of([bounds[name] for name in own]) for own in columns]
        target = self._target(bounds[y])
        plan = self._plan(matched.size, (scales[0], scales[1]), target)
        given = {
            "left": (self.session.parties[0], matched.tensor(0, "x")[1]),
            "right": (self.session.parties[1], matched.tensor(1, "x")[1]),
            "y": (self.session.parties[labels[0]], matched.tensor(labels[0], "y")[1]),
        }
        most = {
            "left": _largest(bounds, columns[0]),
            "right": _largest(bounds, columns[1]),
            "y": _largest(bounds, [y]),
        }
        asked = self.session.request(plan, given, bounds=most, reason=reason)
        scale = Scale(*(torch.cat([getattr(each, part) for each in scales]) for part in ("middle", "half")))
        return RegressionRequest(asked, names, scale, target, matched.size)

    @abstractmethod
    def _target(self, bounds: tuple[float, float]) -> Scale | None:
        """How y is scaled."""

    @abstractmethod
    def _plan(self, rows: int, scales: tuple[Scale, Scale], target: Scale | None) -> Plan:
        """What runs."""


class LinearRegression(_Regression):
    """Least squares (``ridge`` 0), in one run of the plan."""

    def _target(self, bounds: tuple[float, float]) -> Scale:
        return scale_of([bounds])

    def _plan(self, rows: int, scales: tuple[Scale, Scale], target: Scale | None) -> Plan:
        assert target is not None
        return linear_plan(rows, scales, target, self.ridge, _widths(scales))


class LogisticRegression(_Regression):
    """Logistic regression of a column of 0 and 1. ``steps``: of Newton's method."""

    def __init__(self, session: Session, *, ridge: float = 0.0, steps: int = 7) -> None:
        super().__init__(session, ridge=ridge)
        if not 1 <= steps <= 30:
            raise BadRequest("Newton's method takes 1 to 30 steps")
        self.steps = steps

    def _target(self, bounds: tuple[float, float]) -> None:
        if tuple(bounds) != (0, 1):
            raise BadRequest(
                "the column that a logistic regression explains is 0 or 1: its bounds are (0, 1)"
            )

    def _plan(self, rows: int, scales: tuple[Scale, Scale], target: Scale | None) -> Plan:
        return logistic_plan(rows, scales, self.steps, self.ridge, _widths(scales))


def _widths(scales: tuple[Scale, Scale]) -> tuple[int, int]:
    return len(scales[0].half), len(scales[1].half)


def _largest(bounds: Bounds, columns: list[str]) -> float:
    """The largest size of a number in these columns."""
    return max(max(abs(low), abs(high)) for low, high in (bounds[name] for name in columns))
