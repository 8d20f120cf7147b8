"""The same noisy numbers by OpenDP, for who wants its samplers and proofs. Its noise follows from no key: what was
drawn first is kept, and is what everybody is told."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np

from grid.statistics.guarded.vectors import Vector
from grid.statistics.private.engine import Engine, Whole, parts_of
from grid.statistics.private.questions import PrivateQuestion
from grid.statistics.private.sums import BoundedValues, shares_of
from syft_ext.errors import Unavailable
from syft_ext.messages.private_queries import QueryPart

__all__ = ["OpenDpEngine"]

_SHARE = {"centred": 1.0, "spread": 0.5}


class OpenDpEngine(Engine):
    name = "opendp"
    kinds = frozenset({"count", "sum", "mean", "variance"})

    def check(self) -> None:
        if importlib.util.find_spec("opendp") is None:
            raise Unavailable(
                'the engine "opendp" needs the extra opendp at this node: pip install "grid-platform[opendp]"',
                missing="opendp",
            )

    def vectors(self, question: PrivateQuestion) -> list[Vector]:
        return [BoundedValues(question.column.column, question.bounds)]

    def draw(self, question: PrivateQuestion, exact: Sequence[Whole], key: bytes) -> Whole:
        values = exact[0].view(np.float64)
        numbers = []
        for name, measurement, scale in self._measurements(question):
            numbers += [float(measurement(_taken(name, values, question).tolist())), scale]
        return np.array(numbers).view(np.int64)

    def parts(self, question: PrivateQuestion, numbers: Whole) -> list[QueryPart]:
        words = numbers.view(np.float64).tolist()
        # Noise on doubles is close to continuous: its half-width is that of steps that vanish beside it.
        return [
            QueryPart(name=name, value=value, scale=scale, step=1.0 if name == "count" else scale * 2.0**-30)
            for name, value, scale in zip(_names(question), words[::2], words[1::2], strict=True)
        ]

    def _measurements(self, question: PrivateQuestion) -> list[tuple[str, Any, float]]:
        made = []
        for name, epsilon in zip(_names(question), parts_of(question), strict=True):
            bound = question.bounds if name == "sum" else None
            if name in _SHARE:
                bound = (-_SHARE[name], _SHARE[name])
            measurement, scale = _measurement(bound, question.most, float(epsilon))
            made.append((name, measurement, scale))
        return made


def _names(question: PrivateQuestion) -> list[str]:
    if question.kind == "sum":
        return ["sum"]
    return ["count", "centred", "spread"][: len(parts_of(question))]


def _taken(name: str, values: Any, question: PrivateQuestion) -> Any:
    if name in ("count", "sum"):
        return values
    assert question.bounds is not None
    shares = shares_of(values, question.bounds)
    return shares if name == "centred" else shares * shares - 0.5


@lru_cache(maxsize=64)
def _measurement(bounds: tuple[float, float] | None, most: int, epsilon: float) -> tuple[Any, float]:
    """A sum (None: a count) of floats under Laplace noise, and the scale of that; found by the library's own
    accounting of floating-point sums, for datasets that differ in ``most`` rows."""
    import opendp.prelude as dp

    dp.enable_features("contrib")
    then_sum: Any = dp.t.then_sum  # which states no types
    space = dp.vector_domain(dp.atom_domain(T=float, nan=False)), dp.symmetric_distance()

    def made(scale: float) -> Any:
        if bounds is None:
            return space >> dp.t.then_count() >> dp.m.then_laplace(scale)
        return space >> dp.t.then_clamp(bounds) >> then_sum() >> dp.m.then_laplace(scale)

    scale = dp.binary_search_param(made, d_in=most, d_out=epsilon, T=float)
    return made(scale), float(scale)
