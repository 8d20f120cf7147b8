"""Private tensors as data: steps over rows of tables, with what one row can do to a result at most.

A value is ``BoundedRows`` (for each row of one table, some numbers within bounds) or ``Total`` (a sum over rows,
of one table or several, plus a public constant). Everything after a sum is linear, so that what a person
contributes to a total is the sum of what their rows do, and its largest size follows from the bounds. Bounds are
interval arithmetic: they may be too wide, and never too narrow (``tests/privacy/test_expressions.py``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.privacy.steps import MAX_STEPS, Step

__all__ = ["BoundedRows", "Term", "Total", "Value", "contributions", "propagate"]

Doubles = NDArray[np.float64]
_MOST_WIDE = 256
_LARGEST = 1e100


@dataclass(frozen=True, slots=True)
class BoundedRows:
    """Per row of ``table``, as many numbers as there are bounds."""

    table: int
    low: Doubles
    high: Doubles


@dataclass(frozen=True, slots=True)
class Term:
    """The sum over all rows of what step ``rows`` is, times ``matrix``."""

    table: int
    rows: int
    matrix: Doubles
    largest: Doubles
    """Per number of the total: what one row moves it by at most, in absolute value."""


@dataclass(frozen=True, slots=True)
class Total:
    terms: tuple[Term, ...]
    constant: Doubles


Value = BoundedRows | Total


def propagate(steps: Sequence[Step], bounds: Mapping[int, tuple[float, float]]) -> list[Value]:
    """What each step is, with its bounds. Raises :class:`BadRequest` for what makes no sense.

    Args:
        bounds: of each "column", by its position among the steps.
    """
    if not 0 < len(steps) <= MAX_STEPS:
        raise BadRequest(f"a private tensor has 1 to {MAX_STEPS} steps")
    found: list[Value] = []
    for place, step in enumerate(steps):
        if not all(0 <= each < place for each in step.of):
            raise BadRequest("a step refers to earlier steps only", step=place)
        operands = [found[each] for each in step.of]
        with np.errstate(all="ignore"):
            value = _value(step, place, operands, bounds)
        _check_finite(value, place)
        found.append(value)
    return found


def _value(step: Step, place: int, operands: list[Value], bounds: Mapping[int, tuple[float, float]]) -> Value:
    if step.op in ("column", "ones"):
        _arity(step, operands, 0, place)
        low, high = bounds[place] if step.op == "column" else (1.0, 1.0)
        return BoundedRows(step.table, np.array([low]), np.array([high]))
    if step.op == "stack":
        rows = [each for each in operands if isinstance(each, BoundedRows)]
        if not rows or len(rows) != len(operands) or len({each.table for each in rows}) != 1:
            raise BadRequest("only rows of one table stand side by side", step=place)
        return BoundedRows(
            rows[0].table,
            np.concatenate([each.low for each in rows]),
            np.concatenate([each.high for each in rows]),
        )
    if step.op in ("add", "subtract") and not step.public:
        _arity(step, operands, 2, place)
        return _both(step, operands[0], operands[1], place)
    _arity(step, operands, 1, place)
    value = operands[0]
    if step.op == "sum":
        if isinstance(value, Total):
            raise BadRequest("this is summed over its rows already", step=place)
        largest = np.maximum(np.abs(value.low), np.abs(value.high))
        size = len(largest)
        return Total((Term(value.table, step.of[0], np.eye(size), largest),), np.zeros(size))
    if step.op == "clip":
        if isinstance(value, Total) or step.low is None or step.high is None or not step.low < step.high:
            raise BadRequest(
                "rows are clipped before they are summed, to a lower end and a higher one", step=place
            )
        return BoundedRows(
            value.table, np.clip(value.low, step.low, step.high), np.clip(value.high, step.low, step.high)
        )
    return _linear(step, value, place)


def _both(step: Step, left: Value, right: Value, place: int) -> Value:
    sign = 1.0 if step.op == "add" else -1.0
    if isinstance(left, BoundedRows) and isinstance(right, BoundedRows):
        if left.table != right.table or len(left.low) != len(right.low):
            raise BadRequest(
                "rows are added to rows of the same table, as many numbers to as many; of several tables add sums",
                step=place,
            )
        ends = (right.low, right.high) if sign > 0 else (-right.high, -right.low)
        return BoundedRows(left.table, left.low + ends[0], left.high + ends[1])
    if isinstance(left, Total) and isinstance(right, Total) and len(left.constant) == len(right.constant):
        signed = tuple(Term(t.table, t.rows, sign * t.matrix, t.largest) for t in right.terms)
        return Total((*left.terms, *signed), left.constant + sign * right.constant)
    raise BadRequest("rows are added to rows, and sums to sums of as many numbers", step=place)


def _linear(step: Step, value: Value, place: int) -> Value:
    """What a row or total becomes by public numbers."""
    size = len(value.low if isinstance(value, BoundedRows) else value.constant)
    if step.op == "matmul":
        if step.columns < 1 or len(step.public) != size * step.columns or step.columns > _MOST_WIDE:
            raise BadRequest(
                f"the matrix must have {size} rows, and at most {_MOST_WIDE} columns", step=place
            )
        matrix = np.array(step.public).reshape(size, step.columns)
        return _times(value, matrix)
    if step.op == "negate":
        return _times(value, -np.eye(size))
    if len(step.public) not in (1, size):
        raise BadRequest(f"{size} numbers, or one, are needed here", step=place)
    numbers = np.broadcast_to(np.array(step.public, dtype=np.float64), size)
    if step.op == "multiply":
        return _times(value, np.diag(numbers))
    shift = numbers if step.op == "add" else -numbers
    if isinstance(value, BoundedRows):
        return BoundedRows(value.table, value.low + shift, value.high + shift)
    return Total(value.terms, value.constant + shift)


def _times(value: Value, matrix: Doubles) -> Value:
    positive, negative = np.maximum(matrix, 0.0), np.minimum(matrix, 0.0)
    if isinstance(value, BoundedRows):
        return BoundedRows(
            value.table,
            value.low @ positive + value.high @ negative,
            value.high @ positive + value.low @ negative,
        )
    terms = tuple(
        Term(term.table, term.rows, term.matrix @ matrix, term.largest @ np.abs(matrix))
        for term in value.terms
    )
    return Total(terms, value.constant @ matrix)


def _arity(step: Step, operands: list[Value], many: int, place: int) -> None:
    if len(operands) != many:
        raise BadRequest(f"{step.op} takes {many} of the earlier steps here", step=place)


def _check_finite(value: Value, place: int) -> None:
    if isinstance(value, BoundedRows):
        numbers: list[Doubles] = [value.low, value.high]
    else:
        numbers = [value.constant, *(term.largest for term in value.terms)]
        numbers += [term.matrix.ravel() for term in value.terms]
    if any(not (np.abs(each) < _LARGEST).all() for each in numbers):
        raise BadRequest("a bound is not finite, or so large that no noise hides it", step=place)
    if len(numbers[0]) > _MOST_WIDE:
        raise BadRequest(f"a private tensor has at most {_MOST_WIDE} numbers in a row", step=place)


def contributions(
    steps: Sequence[Step], term: Term, values: Sequence[Value], leaves: Mapping[int, Doubles], rows: int
) -> Doubles:
    """What each row adds to a total by one of its terms: rows × numbers, within ±``term.largest``.

    Args:
        leaves: of each "column" of the term's table, by its position: the values of the rows, none missing.
    """
    found: dict[int, Doubles] = {}
    for place in _needed(steps, term.rows):
        step, value = steps[place], values[place]
        assert isinstance(value, BoundedRows)
        operands = [found[each] for each in step.of]
        # Cut off at its bounds at every step: rounding must not lead beyond what noise was made for.
        found[place] = np.clip(_computed(step, operands, leaves.get(place), rows), value.low, value.high)
    added: Any = found[term.rows] @ term.matrix
    bounded: Doubles = np.clip(added, -term.largest, term.largest)
    return bounded


def _needed(steps: Sequence[Step], last: int) -> list[int]:
    needed, waiting = set[int](), [last]
    while waiting:
        place = waiting.pop()
        if place not in needed:
            needed.add(place)
            waiting += steps[place].of
    return sorted(needed)


def _computed(step: Step, operands: list[Doubles], leaf: Doubles | None, rows: int) -> Doubles:
    if step.op == "column":
        assert leaf is not None
        return leaf.reshape(rows, 1)
    if step.op == "ones":
        ones: Doubles = np.ones((rows, 1))
        return ones
    if step.op == "stack":
        return np.concatenate(operands, axis=1)
    value = operands[0]
    if step.op == "matmul":
        product: Doubles = value @ np.array(step.public).reshape(value.shape[1], step.columns)
        return product
    if step.op == "clip":
        return value
    if step.op == "negate":
        return -value
    other = operands[1] if len(operands) > 1 else np.array(step.public)
    if step.op == "multiply":
        return value * other
    return value + other if step.op == "add" else value - other
