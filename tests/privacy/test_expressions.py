"""Bounds of private tensors: of random expressions no row ever does more than is claimed, found by brute force."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from grid.statistics.private.publication import covered_by
from syft_ext.errors import BadRequest
from syft_ext.privacy.expressions import BoundedRows, Total, contributions, propagate
from syft_ext.privacy.steps import Step

NUMBERS = st.sampled_from([-3.0, -1.0, -0.25, 0.0, 0.5, 1.0, 2.0, 7.0])


@st.composite
def expressions(draw: st.DrawFn) -> list[Step]:
    """Two columns of one table, one of another; rows that are computed, sums of them, and sums of these."""
    steps = [Step(op="column", table=0), Step(op="column", table=0), Step(op="ones", table=0),
             Step(op="column", table=1), Step(op="stack", of=[0, 1, 2])]  # fmt: skip
    wide, narrow = [4], [0, 1, 2]
    for _ in range(draw(st.integers(0, 6))):
        of_wide = draw(st.booleans())
        here, size = (wide, 3) if of_wide else (narrow, 1)
        one = draw(st.sampled_from(here))
        op = draw(st.sampled_from(["add", "subtract", "multiply", "negate", "clip", "both", "matmul"]))
        if op == "both":
            steps.append(
                Step(op=draw(st.sampled_from(["add", "subtract"])), of=[one, draw(st.sampled_from(here))])
            )
        elif op == "clip":
            low = draw(NUMBERS)
            steps.append(Step(op="clip", of=[one], low=low, high=low + draw(st.sampled_from([0.5, 4.0]))))
        elif op == "negate":
            steps.append(Step(op="negate", of=[one]))
        elif op == "matmul":
            matrix = draw(st.lists(NUMBERS, min_size=size * size, max_size=size * size))
            steps.append(Step(op="matmul", of=[one], public=matrix, columns=size))
        else:
            many = draw(st.sampled_from([1, size]))
            public = draw(st.lists(NUMBERS, min_size=many, max_size=many))
            steps.append(Step(op=op, of=[one], public=public))  # type: ignore[arg-type]
        here.append(len(steps) - 1)
    rows = len(steps)
    steps += [Step(op="sum", of=[draw(st.sampled_from(narrow))]), Step(op="sum", of=[3]),
              Step(op="add", of=[rows, rows + 1]),
              Step(op="matmul", of=[rows + 2], public=draw(st.lists(NUMBERS, min_size=2, max_size=2)), columns=2),
              Step(op="sum", of=[draw(st.sampled_from(wide))]),
              Step(op="matmul", of=[rows + 4], public=draw(st.lists(NUMBERS, min_size=6, max_size=6)), columns=2),
              Step(op="subtract", of=[rows + 3, rows + 5]),
              Step(op="add", of=[rows + 6], public=[3.0])]  # fmt: skip
    return steps


BOUNDS = {0: (-2.0, 3.0), 1: (0.0, 1.0), 3: (10.0, 30.0)}
MOST = {0: 2, 1: 3}


@given(expressions(), st.integers(0, 1 << 30))
@settings(max_examples=60, deadline=None)
def test_no_person_does_more_than_is_claimed(steps: list[Step], seed: int) -> None:
    values = propagate(steps, BOUNDS)
    total = values[-1]
    assert isinstance(total, Total)
    random = np.random.default_rng(seed)
    # The ends and the middle of all bounds, and what lies between: 200 rows of each table.
    leaves = {}
    for place, (low, high) in BOUNDS.items():
        drawn = random.uniform(low, high, 200)
        ends = random.random(200)
        leaves[place] = np.where(ends < 0.4, low, np.where(ends < 0.8, high, drawn))
    added = []
    for term in total.terms:
        mine = {place: each for place, each in leaves.items() if steps[place].table == term.table}
        raw = _recomputed(steps, term.rows, leaves) @ term.matrix
        bounded = contributions(steps, term, values, mine, 200)
        assert np.allclose(raw, bounded, rtol=1e-9, atol=1e-9), "what is cut off to hold is rounding alone"
        rows = values[term.rows]
        assert isinstance(rows, BoundedRows)
        inner = _recomputed(steps, term.rows, leaves)
        assert (inner >= rows.low - 1e-9).all() and (inner <= rows.high + 1e-9).all()
        added.append((term.table, bounded))
    try:
        covered = covered_by(total, MOST, 1.0)
    except BadRequest:
        assert all(not each.any() for _, each in added), "and nothing is nothing"
        return
    claimed = covered.variance * 2 * covered.cost / 10**12
    for _ in range(50):
        person = np.zeros(2, dtype=np.int64)
        for table, rows_of in MOST.items():
            chosen = random.integers(0, 200, rows_of)
            for index, (where, each) in enumerate(added):
                if where == table:
                    steps_of = np.rint(each[chosen] * 2.0**-covered.exponent)
                    person += (
                        np.clip(steps_of, -covered.most[index], covered.most[index])
                        .sum(axis=0)
                        .astype(np.int64)
                    )
        assert sum(int(number) ** 2 for number in person) <= claimed


def _recomputed(steps: list[Step], last: int, leaves: dict[int, np.ndarray]) -> np.ndarray:  # type: ignore[type-arg]
    """By another hand, and without any bound."""
    step = steps[last]
    of = [_recomputed(steps, each, leaves) for each in step.of]
    public = np.array(step.public)
    match step.op:
        case "column":
            return leaves[last][:, None]
        case "ones":
            return np.ones((200, 1))
        case "stack":
            return np.hstack(of)
        case "add":
            return of[0] + (of[1] if len(of) == 2 else public)
        case "subtract":
            return of[0] - (of[1] if len(of) == 2 else public)
        case "multiply":
            return of[0] * public
        case "negate":
            return -of[0]
        case "matmul":
            return of[0] @ public.reshape(-1, step.columns)  # type: ignore[no-any-return]
        case _:
            assert step.op == "clip"
            return np.clip(of[0], step.low, step.high)  # type: ignore[no-any-return]


@pytest.mark.parametrize(
    ("steps", "message"),
    [
        ([], "1 to 256 steps"),
        ([Step(op="negate", of=[0])], "earlier steps"),
        ([Step(op="column"), Step(op="sum", of=[0]), Step(op="sum", of=[1])], "summed over its rows already"),
        ([Step(op="column"), Step(op="sum", of=[0]), Step(op="clip", of=[1], low=0.0, high=1.0)], "before they"),
        ([Step(op="column"), Step(op="column", table=1), Step(op="add", of=[0, 1])], "of several tables add sums"),
        ([Step(op="column"), Step(op="sum", of=[0]), Step(op="add", of=[0, 1])], "sums to sums"),
        ([Step(op="column"), Step(op="multiply", of=[0], public=[1.0, 2.0])], "1 numbers, or one"),
        ([Step(op="column"), Step(op="matmul", of=[0], public=[1.0, 2.0], columns=3)], "must have 1 rows"),
        ([Step(op="column"), Step(op="multiply", of=[0], public=[1e200])], "not finite, or so large"),
        ([Step(op="column"), Step(op="multiply", of=[0], public=[float("nan")])], "not finite, or so large"),
        ([Step(op="column"), Step(op="clip", of=[0], low=2.0, high=1.0)], "a lower end and a higher one"),
        ([Step(op="column"), Step(op="stack", of=[])], "side by side"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused(steps: list[Step], message: str) -> None:
    with pytest.raises(BadRequest, match=message):
        propagate(steps, dict.fromkeys(range(len(steps)), (0.0, 1.0)))
