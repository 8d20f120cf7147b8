"""The first step of a training, tried on made inputs before anybody's data meet the plan. No torch.

Parameters and buffers are those of the model that is hosted, options those of the configuration, an optimiser's
state what it begins with; rows are made as the plan's self-test makes them. What fails here fails at every
participant.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import InvalidPlan
from syft_ext.plans.checking.influence import Raw, raw_values
from syft_ext.plans.checking.made_inputs import made_values
from syft_ext.plans.checking.row_trial import const_raw
from syft_ext.plans.graph.document import Document, Input
from syft_ext.plans.training.agreement import batch_bounds, placed

__all__ = ["check_first_step", "first_inputs"]

_ROWS = 4
"""Rows of the step, where the plan takes as few."""
_FLOATS = {"f64": "<f8", "f32": "<f4", "f16": "<f2"}


def first_inputs(
    plan: Document, config: Mapping[str, Any], model: Sequence[Raw], rows: int | None = None
) -> list[Raw]:
    """Flat inputs of the first step: see the module. ``rows``: how many, within what the plan takes."""
    sizes = dict(plan.selftest.symbols)
    bounds = batch_bounds(plan)
    for name, (low, high) in plan.symbols.items():
        sizes[name] = min(max(sizes[name], low), high)
    if bounds is not None:
        wanted = min(max(rows or _ROWS, bounds[0]), bounds[1])
        sizes |= dict.fromkeys(_batch_symbol(plan), wanted)
    made = made_values(plan, sizes)
    places = dict(zip(placed(plan, len(model)), model, strict=True))
    return [
        places.get(index) or _given(item, values, config)
        for index, (item, values) in enumerate(zip(plan.inputs, made, strict=True))
    ]


def _batch_symbol(plan: Document) -> list[str]:
    for item in plan.inputs:
        if item.role == "data" and item.shape and type(item.shape[0]) is list and item.shape[0][0] == "sym":
            return [item.shape[0][1]]
    return []


def _given(item: Input, values: NDArray[Any] | None, config: Mapping[str, Any]) -> Raw:
    if item.role in ("hyper", "count") and item.name in config and all(size == 1 for size in item.shape):
        return raw_values(np.full(item.shape, config[item.name], np.float64), item.dtype)
    if item.default is not None:
        return const_raw(item.default)
    if item.role == "state" and all(type(size) is int for size in item.shape):
        return raw_values(np.zeros(item.shape), item.dtype)
    assert values is not None  # without a default the self-test makes them: proved by validate
    return raw_values(values, item.dtype)


def check_first_step(
    name: str,
    plan: Document,
    config: Mapping[str, Any],
    model: Sequence[Raw],
    run: Callable[[list[Raw]], Sequence[Raw]],
) -> None:
    """Raise :class:`InvalidPlan` unless the first step runs and gives finite numbers.

    Args:
        model: its tensors, in order.
        run: runs the plan on flat inputs.
    """
    try:
        results = run(first_inputs(plan, config, model))
    except InvalidPlan as error:
        raise InvalidPlan(
            f"plan {name!r} fails in its first step, on made rows, the model that is hosted and the options of "
            f"client_config: {error.detail}",
            plan=name,
        ) from error
    for output, (dtype, _, raw) in zip(plan.outputs, results, strict=True):
        if output.role != "result" and not _finite(dtype, raw):
            raise InvalidPlan(
                f"plan {name!r} gives {output.name} ({output.role}) that is not finite in its first step, on made "
                "rows, the model that is hosted and the options of client_config. Instead: a smaller learning "
                "rate, an epsilon under roots, logarithms and quotients, or example rows like the real ones",
                plan=name,
                output=output.name,
            )


def _finite(dtype: str, raw: NDArray[np.uint8]) -> bool:
    if dtype == "bf16":  # numpy has none: all bits of the exponent are set in what is not finite
        return bool((raw.view("<u2") & 0x7F80 != 0x7F80).all())
    return dtype not in _FLOATS or bool(np.isfinite(raw.view(_FLOATS[dtype])).all())
