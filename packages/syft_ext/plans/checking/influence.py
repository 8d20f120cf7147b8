"""Which results of a plan carry single rows back: an aid for the person who reviews it, and no proof.

The plan is run on mock rows; then single rows are changed, a few of their numbers at a time, and what the results
answer is compared. Three things are looked at:

- *alone*: whether numbers of a result answer to one row and to no other. A result that repeats rows, sorts them
  or picks one has such numbers; a mean has none.
- *resolution*: with J the answers to all changes, the diagonal of the resolution matrix J⁺J says how far a
  change of one row follows from the result (Menke, Geophysical Data Analysis, 4th ed., section 4.3): 1 where they
  can be computed back, 1/n where n rows were averaged. Singular values count from a little above the rounding of
  the result's own numbers on, so that rows in the last digits of large numbers show, too.
- *told apart*: the same, with all rows that are changed equal to begin with. What treats rows alike, as a sum of
  gradients does, cannot tell equal rows apart; what encodes each row in a place of its own can.

What it cannot see: a plan that behaves otherwise on mock rows than on real ones, and what follows from several
runs.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.plan_facts import RowInfluence, Verdict
from syft_ext.plans.graph.document import Document

__all__ = ["MOST_RUNS", "Raw", "raw_values", "row_influence"]

Raw = tuple[str, Sequence[int], NDArray[np.uint8]]
"""A tensor as bytes: dtype ("f32"), shape, and its flat little-endian bytes."""
Floats = NDArray[np.float64]

_WHOLE, _ROWS, _GROUPS = 64, 8, 11
"""How many rows are changed as a whole, in how many of them groups of numbers, and how many groups at most."""
MOST_RUNS = _WHOLE + 2 * _ROWS * 2 * _GROUPS + 4
"""Groups of whole numbers and of others are apart."""
_SEEN = 4096
"""Numbers of one result that are looked at; of larger ones so many, spread evenly."""
_DTYPES = {
    "f64": "<f8",
    "f32": "<f4",
    "f16": "<f2",
    "i64": "<i8",
    "i32": "<i4",
    "i16": "<i2",
    "i8": "i1",
    "u8": "u1",
    "b": "?",
}
_EPS = {"f64": 2.0**-52, "f32": 2.0**-23, "f16": 2.0**-10, "bf16": 2.0**-7}
_ABOVE_ROUNDING, _CLEAR = 4.0, 8.0
_FOLLOWS = 0.9


def row_influence(
    document: Document,
    run: Callable[[list[Raw]], Sequence[Raw]],
    inputs: Sequence[Raw],
    rows: Collection[str],
    *,
    seed: int = 0,
) -> list[RowInfluence]:
    """What each result answers when single rows change; one entry per output, in the plan's order, and where there
    are several a last one, without a name, for all of them together.

    Args:
        document: the plan.
        run: runs it on flat inputs, in its order: at most ``MOST_RUNS`` times.
        inputs: mock values for all inputs.
        rows: names of the inputs that hold the owner's rows along their first dimension; all have as many.
        seed: of which numbers are changed together, and in which direction.

    Raises :class:`BadRequest` for inputs without rows, and what ``run`` raises.
    """
    values = [_numbers(raw) for raw in inputs]
    varied = [index for index, item in enumerate(document.inputs) if item.name in rows]
    counts = {values[index].shape[0] if values[index].ndim else 0 for index in varied}
    if len(counts) != 1 or 0 in counts:
        raise BadRequest("the inputs that hold rows must all have the same number of them, and at least one")
    trial = _Trial(run, inputs, values, varied, counts.pop(), np.random.default_rng(seed))
    distinct, equal = trial.answers(equal=False), trial.answers(equal=True)
    found = [
        _judge(output.name, output.role, trial, first, second)
        for output, first, second in zip(document.outputs, distinct, equal, strict=True)
    ]
    if len(found) > 1:
        found.append(_judge("", "", trial, _together(distinct), _together(equal)))
    return found


@dataclass(frozen=True, slots=True)
class _Answers:
    """Of one result. ``rounding``: of each of its numbers, relative; ``groups``: [row, group of numbers, number of
    the result]; ``whole``: to a change of a whole row; ``others``: to one of all rows that are not tried alone."""

    rounding: Floats
    start: Floats
    groups: Floats
    whole: Floats
    others: Floats


class _Trial:
    """The runs of one plan. ``rows``: those that are changed; ``width``: how many numbers each has."""

    def __init__(
        self,
        run: Callable[[list[Raw]], Sequence[Raw]],
        inputs: Sequence[Raw],
        values: Sequence[Floats],
        varied: Sequence[int],
        count: int,
        random: np.random.Generator,
    ) -> None:
        self._run, self._inputs = run, inputs
        self._values = {index: values[index] for index in varied}
        self.rows = _spread(count, _WHOLE)
        self._some = self.rows[_spread(len(self.rows), _ROWS)]
        self.width = sum(values[0].size for values in self._values.values())
        self._others = np.setdiff1d(np.arange(count), self.rows)
        self._steps = {index: self._step(index, random) for index in varied}
        self._groups = list(self._group(random))
        self._dtypes: list[str] = []

    def _step(self, index: int, random: np.random.Generator) -> Floats:
        """How far each number of a row is moved, the same in every row: a quarter of its spread, up or down; for
        whole numbers from the least that occurs to the next, since nothing else is known to be valid."""
        values = self._values[index]
        if self._inputs[index][0] not in _EPS:
            known = np.unique(values)
            return np.full(values.shape[1:], known[1] - known[0] if len(known) > 1 else 0.0)
        spread = values.std(axis=0)
        spread = np.where(spread > 0, spread, values.std() or np.abs(values).max() or 1.0)
        return np.asarray(0.25 * spread * random.choice([-1.0, 1.0], values.shape[1:]))

    def _group(self, random: np.random.Generator) -> Iterator[dict[int, Floats]]:
        """The steps, divided into groups that are taken one at a time; of whole numbers and others apart."""
        for exact in (True, False):
            places = [
                (index, place)
                for index, step in self._steps.items()
                for place in np.flatnonzero(step)
                if (self._inputs[index][0] in _EPS) is exact
            ]
            for chosen in np.array_split(random.permutation(len(places)), min(len(places), _GROUPS) or 1):
                group: dict[int, Floats] = {}
                for index, place in (places[number] for number in chosen):
                    step = group.setdefault(index, np.zeros_like(self._steps[index]))
                    step.reshape(-1)[place] = self._steps[index].reshape(-1)[place]
                if group:
                    yield group

    def answers(self, *, equal: bool) -> list[_Answers]:
        """Of each result. ``equal``: with the rows whose groups are changed all equal to the first of them; the
        answers to whole rows are left out then."""
        base = {index: values.copy() for index, values in self._values.items()}
        for index, values in base.items():
            if self._inputs[index][0] not in _EPS:
                values[self._some] = values.min()
            elif equal:
                values[self._some] = values[self._some[0]]
        start = self._results(base)

        def change(rows: NDArray[np.int64], steps: Mapping[int, Floats]) -> list[Floats]:
            changed = dict(base)
            for index, step in steps.items():
                changed[index] = base[index].copy()
                changed[index][rows] = self._moved(index, changed[index][rows], step)
            return [
                _difference(now, before) for now, before in zip(self._results(changed), start, strict=True)
            ]

        groups = [[change(row, group) for group in self._groups] for row in self._some[:, None]]
        nothing = [np.zeros_like(each) for each in start]
        whole = [nothing if equal else change(row, self._steps) for row in self.rows[:, None]]
        others = change(self._others, self._steps) if len(self._others) and not equal else nothing
        return [
            _Answers(
                np.full(len(start[output]), _EPS.get(self._dtypes[output], 0.0)),
                start[output],
                np.array([[answer[output] for answer in row] for row in groups]),
                np.array([row[output] for row in whole]),
                others[output],
            )
            for output in range(len(start))
        ]

    def _moved(self, index: int, values: Floats, step: Floats) -> Floats:
        if self._inputs[index][0] in _EPS:
            return values + step
        least = self._values[index].min()  # and what is more goes there: what lies above it may not be valid
        return np.where(step == 0, values, np.where(values == least, least + step, least))

    def _results(self, values: Mapping[int, Floats]) -> list[Floats]:
        inputs = [raw_values(values[i], raw[0]) if i in values else raw for i, raw in enumerate(self._inputs)]
        results = self._run(inputs)
        self._dtypes = [dtype for dtype, _, _ in results]
        return [_seen(raw) for raw in results]


def _together(answers: Sequence[_Answers]) -> _Answers:
    """All results as one."""
    parts = (
        [getattr(each, name) for each in answers]
        for name in ("rounding", "start", "groups", "whole", "others")
    )
    return _Answers(*(np.concatenate(part, axis=-1) for part in parts))


def _judge(name: str, role: str, trial: _Trial, distinct: _Answers, equal: _Answers) -> RowInfluence:
    touched = distinct.whole != 0
    single = (touched.sum(axis=0) == 1) & (distinct.others == 0)
    # An answer within the rounding may hide those of other rows: a few of these say nothing, one for every second
    # number of the row does.
    clear = np.abs(distinct.whole) > _CLEAR * distinct.rounding * np.abs(distinct.start)
    faint = np.count_nonzero(touched & single, axis=1)
    alone = int((np.any(touched & single & clear, axis=1) | (faint >= max(2, trial.width // 2))).sum())
    rank, diagonal = _resolution(distinct)
    resolution = float(diagonal.mean(axis=1).max())
    told_apart = float(_resolution(equal)[1].max())
    size = float(np.linalg.norm(distinct.start))
    largest = float(np.linalg.norm(distinct.whole, axis=1).max())
    verdict: Verdict
    if not (touched.any() or distinct.groups.any() or distinct.others.any()):
        verdict = "nothing"
    elif alone or (told_apart >= _FOLLOWS and len(trial.rows) > 1):
        verdict = "copies"
    else:
        verdict = "determines" if resolution >= _FOLLOWS else "mixes"
    return RowInfluence(
        output=name,
        role=role,
        verdict=verdict,
        rows=len(trial.rows),
        alone=alone,
        changes=distinct.groups.shape[0] * distinct.groups.shape[1],
        rank=rank,
        resolution=resolution,
        told_apart=told_apart,
        magnitude=largest / size if size else float(largest > 0),
    )


def _resolution(answers: _Answers) -> tuple[int, Floats]:
    """Rank of the answers, and the resolution of each [row, group]."""
    rows, groups, size = answers.groups.shape
    changes = answers.groups.reshape(rows * groups, size)
    live = np.any(changes != 0, axis=0)
    if not live.any():
        return 0, np.zeros((rows, groups))
    changes, start, rounding = changes[:, live], answers.start[live], answers.rounding[live]
    reached = np.maximum(np.abs(start), np.abs(changes).max(axis=0))
    # Whole numbers are exact: half of one is what they cannot be off by.
    changes = changes / np.where(rounding > 0, rounding * reached, 0.5)
    least = (
        _ABOVE_ROUNDING * (np.sqrt(changes.shape[0]) + np.sqrt(changes.shape[1])) if rounding.any() else 1.0
    )
    left, singular, _ = np.linalg.svd(changes, full_matrices=False)
    kept = singular > max(least, float(singular[0]) * max(changes.shape) * np.finfo(np.float64).eps)
    diagonal = np.minimum((left[:, kept] ** 2).sum(axis=1), 1.0)
    return int(kept.sum()), diagonal.reshape(rows, groups)


def _difference(now: Floats, before: Floats) -> Floats:
    if now.shape != before.shape:
        raise BadRequest("the sizes of the plan's results follow from the values: it cannot be tried")
    with np.errstate(invalid="ignore", over="ignore"):
        difference = now - before
    same = (now == before) | (np.isnan(now) & np.isnan(before))
    difference[same] = 0.0
    difference[~np.isfinite(difference)] = 1.0  # what turned into NaN or infinity has answered
    return difference


def _spread(count: int, most: int) -> NDArray[np.int64]:
    """At most ``most`` of the numbers below ``count``, evenly."""
    return np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))


def _seen(raw: Raw) -> Floats:
    """The numbers of a result that are looked at."""
    flat = _numbers(raw).reshape(-1)
    return flat if len(flat) <= _SEEN else flat[_spread(len(flat), _SEEN)]


def _numbers(raw: Raw) -> Floats:
    dtype, shape, data = raw
    flat = np.ascontiguousarray(data).view(np.uint8)
    if dtype == "bf16":  # the upper half of a float32
        wide = (flat.view("<u2").astype(np.uint32) << 16).view(np.float32)
    else:
        wide = flat.view(_DTYPES[dtype])
    return wide.astype(np.float64).reshape(tuple(shape))


def raw_values(values: NDArray[Any], dtype: str) -> Raw:
    """A tensor of a plan's ``dtype`` with these numbers."""
    if dtype == "bf16":
        data: NDArray[Any] = (values.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
    else:
        data = values.astype(_DTYPES[dtype])
    return dtype, values.shape, np.ascontiguousarray(data).reshape(-1).view(np.uint8)
