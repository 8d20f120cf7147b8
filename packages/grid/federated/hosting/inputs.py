"""What a training declares of its participants' data, held against the plans that are to learn from them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from syft_ext.errors import InvalidConfig
from syft_ext.messages.training_inputs import CategoryColumn, InputColumn, TableInputs, TrainingInputs
from syft_ext.plans.graph.document import Document, Input, decode

__all__ = ["check_inputs", "stored_inputs"]

MAX_BYTES = 256 << 10


def stored_inputs(document: Mapping[str, Any] | None) -> TrainingInputs | None:
    """What was declared, as the database has it."""
    return None if document is None else msgspec.convert(document, TrainingInputs)


def check_inputs(inputs: TrainingInputs | None, plans: Mapping[str, bytes]) -> dict[str, Any] | None:
    """What to store of a declaration; raises :class:`InvalidConfig` where a plan that trains
    takes something else."""
    if inputs is None:
        return None
    document: dict[str, Any] = msgspec.to_builtins(inputs)
    if len(msgspec.json.encode(document)) > MAX_BYTES:
        raise InvalidConfig(f"inputs: more than {MAX_BYTES} bytes", field="inputs")
    if isinstance(inputs, TableInputs):
        _check_names([*inputs.columns, inputs.label])
    for name, data in plans.items():
        plan = decode(data)
        if any(output.role == "param" for output in plan.outputs):
            _check_plan(inputs, name, plan)
    return document


def _check_names(columns: Sequence[InputColumn]) -> None:
    """A label that is learned from itself is a mistake, and so is a column that stands twice."""
    seen: set[str] = set()
    for column in columns:
        if column.name in seen:
            raise InvalidConfig(f"inputs: the column {column.name!r} is named twice", field="inputs")
        seen.add(column.name)


def _check_plan(inputs: TrainingInputs, name: str, plan: Document) -> None:
    for item in plan.inputs:
        if item.role == "data" and not _fits(item.shape[1:], inputs.sample_shape):
            raise InvalidConfig(
                f"inputs: a sample has the shape {inputs.sample_shape} as declared, and plan {name!r} takes"
                f" {item.shape[1:]} as {item.name!r}",
                field="inputs",
            )
        if item.role == "target":
            _check_label(inputs, name, item)


def _check_label(inputs: TrainingInputs, name: str, item: Input) -> None:
    """Of classes in columns there are as many as are declared."""
    label = inputs.label
    columns = item.shape[1] if len(item.shape) == 2 else None
    if (
        isinstance(label, CategoryColumn)
        and isinstance(columns, int)
        and columns not in (1, len(label.categories))
    ):
        raise InvalidConfig(
            f"inputs: {label.name!r} has {len(label.categories)} classes as declared, and plan {name!r} takes"
            f" {columns} columns as {item.name!r}",
            field="inputs",
        )


def _fits(taken: list[Any], declared: list[int]) -> bool:
    """Whether the plan takes samples of this shape; sizes that it leaves open are any."""
    return len(taken) == len(declared) and all(
        size == wanted for size, wanted in zip(taken, declared, strict=True) if isinstance(size, int)
    )
