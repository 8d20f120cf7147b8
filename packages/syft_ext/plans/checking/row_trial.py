"""A hosted plan, tried on mock rows by whoever reviews it: which of its results carry single rows back.

Torch is not needed: a node's server tries plans, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, GridError
from syft_ext.messages.plan_facts import TrialOfRows
from syft_ext.plans.checking.influence import MOST_RUNS, Raw, raw_values, row_influence
from syft_ext.plans.checking.made_inputs import made_values
from syft_ext.plans.graph.document import Const, Document
from syft_ext.plans.graph.limits import Cost

__all__ = ["check_effort", "const_raw", "row_inputs", "try_rows"]

_ROLES = ("data", "target")
_MOST_FLOPS, _MOST_BYTES = 1 << 32, 256 << 20
"""Of one run; there are up to :data:`~syft_ext.plans.checking.influence.MOST_RUNS`."""


def row_inputs(document: Document) -> list[str]:
    """The inputs that a participant's rows go into: samples and targets, by their roles."""
    return [item.name for item in document.inputs if item.role in _ROLES]


def check_effort(cost: Cost) -> None:
    """Raise :class:`BadRequest` for a plan that is too large to be run that often for an aid."""
    if cost.flops > _MOST_FLOPS or cost.peak_bytes > _MOST_BYTES:
        raise BadRequest(
            f"one run takes too long for trying it up to {MOST_RUNS} times: load it, and try it yourself"
        )


def try_rows(
    document: Document,
    run: Callable[[list[Raw]], Sequence[Raw]],
    price: Callable[[list[tuple[str, Sequence[int]]]], Cost],
    batch: int,
    given: Mapping[str, NDArray[Any]] | None = None,
) -> TrialOfRows | None:
    """Try the plan with ``batch`` rows, or as near to it as its sizes allow; None for one that takes no rows.

    Args:
        run: runs it on flat inputs; price: says what such a run costs.
        given: mock rows by input, at least ``batch`` of them; where they do not fit the plan, and for all other
            inputs, what its self-test makes is taken, and the trial says so.

    What goes wrong is the trial's ``problem``: nothing is raised for a plan that fails.
    """
    names = row_inputs(document)
    if not names:
        return None
    sizes = {name: min(max(batch, low), high) for name, (low, high) in document.symbols.items()}
    trial = TrialOfRows(inputs=names, rows=0, made="self-test")
    try:
        made = made_values(document, sizes)
        shapes = [
            values.shape
            for values, item in zip(made, document.inputs, strict=True)
            if item.name in names and values is not None
        ]
        trial.rows = shapes[0][0] if shapes and shapes[0] else 0
        own = {name: rows[: trial.rows] for name, rows in (given or {}).items()}
        wanted = dict(zip((item.name for item in document.inputs), made, strict=True))
        if own and all(name in own and _fits(own[name], wanted[name]) for name in names):
            trial.made = "data"
        inputs = []
        for item, values in zip(document.inputs, made, strict=True):
            if trial.made == "data" and item.name in names:
                inputs.append(raw_values(own[item.name], item.dtype))
            elif values is not None:
                inputs.append(raw_values(values, item.dtype))
            else:
                assert item.default is not None  # proved by validate
                inputs.append(const_raw(item.default))
        check_effort(price([(dtype, shape) for dtype, shape, _ in inputs]))
        trial.results = row_influence(document, run, inputs, names)
    except GridError as error:
        trial.problem = error.detail
    return trial


def _fits(rows: NDArray[Any], wanted: NDArray[Any] | None) -> bool:
    return wanted is not None and rows.shape == wanted.shape


def const_raw(const: Const) -> Raw:
    """A plan's own value."""
    return const.dtype, const.shape, np.frombuffer(const.raw, np.uint8)
