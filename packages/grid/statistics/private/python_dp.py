"""Order statistics by python-dp (Google's library for differential privacy): noisy trees of counts.

Of floats only: with whole numbers the library's percentile is always the same. Its noise follows from no key, so
that what was drawn first is kept, and is what everybody is told. The privacy unit of the library is a row; how
many rows of a person count is told it as contributions per partition.

The library takes values one at a time. What it makes of them is a count for each node of a tree, which it also
takes as a message (``BoundedQuantilesSummary`` of its protocol buffers): that is counted here, and read by it.
"""

from __future__ import annotations

import importlib.util
import os
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np

from grid.statistics.guarded.vectors import Vector
from grid.statistics.private.engine import Engine, Whole
from grid.statistics.private.questions import PrivateQuestion
from grid.statistics.private.sums import LeafCounts
from syft_ext.errors import Unavailable
from syft_ext.messages.private_queries import QueryPart

__all__ = ["PythonDpEngine"]

_HEIGHT, _BRANCHING = 4, 16
"""The library's own: 65,536 leaves between the bounds."""
CONFIDENCE = 0.95
_LEAVES = _BRANCHING**_HEIGHT
_TYPE = b"type.googleapis.com/differential_privacy.BoundedQuantilesSummary"


class PythonDpEngine(Engine):
    name = "python-dp"
    kinds = frozenset({"quantile"})

    def check(self) -> None:
        if importlib.util.find_spec("pydp") is None:
            raise Unavailable(
                'order statistics need the extra dp at this node: pip install "grid-platform[dp]"',
                missing="python-dp",
            )

    def vectors(self, question: PrivateQuestion) -> list[Vector]:
        assert question.bounds is not None
        return [LeafCounts(question.column.column, question.bounds, _LEAVES)]

    def draw(self, question: PrivateQuestion, exact: Sequence[Whole], key: bytes) -> Whole:
        from pydp.algorithms.quantile_tree import QuantileTree

        assert question.bounds is not None
        tree = QuantileTree(*question.bounds, _HEIGHT, _BRANCHING)
        tree.merge(_summary(tree_message(exact[0], question.bounds)))
        (found,) = tree.compute_quantiles_and_confidence_intervals(
            float(question.epsilon), 0.0, 1, question.most, [question.place], CONFIDENCE
        )
        low, high = found.lower_bound, found.upper_bound
        # The tree takes few values at either end for noise, and so does the library's interval: the largest
        # value is somewhere up to the bound, and the least one down to it.
        low = question.bounds[0] if question.place == 0 else low
        high = question.bounds[1] if question.place == 1 else high
        numbers = np.array([found.quantile, low, high])
        found_words: Whole = np.clip(numbers, *question.bounds).view(np.int64)
        return found_words

    def parts(self, question: PrivateQuestion, numbers: Whole) -> list[QueryPart]:
        value, low, high = numbers.view(np.float64).tolist()
        return [QueryPart(name="quantile", value=value, low=min(low, value), high=max(high, value))]


def tree_message(leaves: Whole, bounds: tuple[float, float]) -> bytes:
    """The library's message for a tree with so many values in each leaf.

    Nodes are numbered level by level from the root, 0, which is left out; so are those without values.
    """
    entries, level = [], leaves
    while len(level) > 1:
        first = (len(level) - 1) // (_BRANCHING - 1)
        for place in np.flatnonzero(level).tolist():
            entry = b"\x08" + _varint(first + place) + b"\x10" + _varint(int(level[place]))
            entries.append(b"\x0a" + _varint(len(entry)) + entry)
        level = level.reshape(-1, _BRANCHING).sum(axis=1)
    ends = b"\x29%s\x31%s" % tuple(struct.pack("<d", each) for each in bounds)
    value = b"".join([*entries, ends, b"\x48", _varint(_HEIGHT), b"\x50", _varint(_BRANCHING)])
    inner = b"\x0a" + _varint(len(_TYPE)) + _TYPE + b"\x12" + _varint(len(value)) + value
    return b"\x12" + _varint(len(inner)) + inner


def _varint(number: int) -> bytes:
    found = bytearray()
    while number > 127:
        found.append(number & 127 | 128)
        number >>= 7
    found.append(number)
    return bytes(found)


def _summary(message: bytes) -> Any:
    """The message as the library's object, which it reads from files alone: one in memory, for these are exact
    counts of rows."""
    from pydp._pydp import Summary

    summary = Summary()
    descriptor = os.memfd_create("tree", os.MFD_CLOEXEC)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(message)
        summary.load(f"/proc/self/fd/{descriptor}")
    finally:
        os.close(descriptor)
    return summary
