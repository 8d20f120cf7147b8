"""How a training's inputs are declared: from a mock, a frame, a file of one's own, or the schema of a dataset."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from syft_ext.errors import BadRequest, GridError, InvalidConfig
from syft_ext.federated.inputs.names import not_there
from syft_ext.federated.inputs.sites import SiteArrays, SiteTable, site_data
from syft_ext.messages.datasets import Column
from syft_ext.messages.misfits import misfit_in_words
from syft_ext.messages.training_inputs import CategoryColumn, InputColumn, NumberColumn, TableInputs
from syft_ext.messages.vocabulary import ColumnMetadata

__all__ = ["declare_inputs"]

_NUMBER = tuple(NumberColumn.__struct_fields__)
_CATEGORY = tuple(CategoryColumn.__struct_fields__)


def declare_inputs(
    source: Any,
    label: str,
    *,
    columns: Sequence[str] | None = None,
    schema: ColumnMetadata | None = None,
    standardise: bool = False,
) -> TableInputs:
    """What a training takes of tables that look like ``source``: for ``host_federated_training(inputs=…)``.

    Args:
        source: a mock or its asset, of which the published schema is taken (a mock's numbers are made up, and do
            not tell the scale of the real ones; ``dict(mock)`` has them looked at); a frame of pandas, Polars
            or Arrow, a mapping of columns, or a path. None of its rows is in the declaration.
        label: the column that is learned.
        columns: those that are learned from, in the order of the model; by default all others, as they
            stand there.
        schema: column → what to declare of it: ``unit``, ``low``, ``high``, ``whole``, ``centre``, ``scale``,
            ``scaling``, ``outside``, ``missing``; of words ``categories``, ``one_hot``, ``missing``.
        standardise: declare a centre and a scale for each column of numbers but the label that has none: mean and
            deviation of ``source``, to three digits; of a schema without rows, from the range.

    Raises:
        InvalidConfig: a column is not there, has words whose order nobody names, or is declared in a way
            that it cannot.
    """
    source = getattr(source, "view", source)  # an asset of a dataset
    said = {name: dict(about) for name, about in (schema or {}).items()}
    table: SiteTable | None = None
    if _is_schema(source):
        listed = list(getattr(source, "columns", source))
        names = [column.name for column in listed]
        for column in listed:
            said[column.name] = {**_said_of(column), **said.get(column.name, {})}
    else:
        units = {name: {"unit": about["unit"]} for name, about in said.items() if about.get("unit")}
        found = site_data(source, units, "the source")
        table = found.table() if isinstance(found, SiteArrays) and found.named else found  # type: ignore[assignment]
        if not isinstance(table, SiteTable):
            raise InvalidConfig(
                "inputs: name columns: arrays and pictures are declared with sy.ArrayInputs", field="inputs"
            )
        names = table.names
    chosen = list(columns) if columns is not None else [name for name in names if name != label]
    for name in (*chosen, label, *(schema or {})):
        if name not in names:
            raise InvalidConfig(f"inputs: {not_there(name, names)}", field="inputs")
    made = [_column(name, said.get(name, {}), table, standardise=standardise) for name in chosen]
    return TableInputs(columns=made, label=_column(label, said.get(label, {}), table, standardise=False))


def _is_schema(source: Any) -> bool:
    columns = getattr(source, "columns", source)
    return (
        isinstance(columns, list | tuple)
        and bool(columns)
        and all(isinstance(each, Column) for each in columns)
    )


def _said_of(column: Column) -> dict[str, Any]:
    """What an owner says of a column of a dataset, as far as it is declared."""
    if column.shape:
        raise InvalidConfig(f"inputs: {column.name!r} has several numbers in each row", field="inputs")
    if column.categories:
        return {"categories": list(column.categories)}
    found: dict[str, Any] = {"unit": column.unit} if column.unit else {}
    return found | ({} if column.low is None else {"low": column.low, "high": column.high})


def _column(
    name: str, about: Mapping[str, Any], table: SiteTable | None, *, standardise: bool
) -> InputColumn:
    words = about.get("categories")
    if not words and table is not None:
        words = _words_of(name, table)
    try:
        if words:
            return _made(
                CategoryColumn, {**about, "categories": [str(word) for word in words]}, name, _CATEGORY
            )
        if standardise and not {"centre", "scale", "scaling"} & set(about):
            about = {**about, **_scale(name, about, table)}
        if table is not None and (unit := table.units.get(name)):
            about = {**about, "unit": unit}  # of times, which every site's are held against
        return _made(NumberColumn, about, name, _NUMBER)
    except msgspec.ValidationError as error:
        kind = CategoryColumn if words else NumberColumn
        raise InvalidConfig(f"inputs: {name!r}: {misfit_in_words(error, kind)}", field="inputs") from error


def _made(kind: Any, about: Mapping[str, Any], name: str, known: Iterable[str]) -> InputColumn:
    # An owner's schema has these too, and may say a unit of what the numbers of words are in.
    rest = {key: value for key, value in about.items() if key not in ("dtype", "shape", "rows_per_person")}
    if kind is CategoryColumn:
        rest = {key: value for key, value in rest.items() if key not in ("unit", "low", "high")}
    unknown = set(rest) - set(known)
    if unknown:
        raise InvalidConfig(
            f"inputs: {name!r}: {min(unknown)!r} cannot be declared of it; that can: {', '.join(known[1:])}",  # type: ignore[index]
            field="inputs",
        )
    return msgspec.convert({"kind": kind.__struct_config__.tag, **rest, "name": name}, InputColumn)  # type: ignore[no-any-return]


def _words_of(name: str, table: SiteTable) -> list[str]:
    """The words of a categorical column in their order; none of one that has numbers. Raises
    :class:`InvalidConfig`."""
    column = table.column(name)
    categories = getattr(getattr(column, "dtype", None), "categories", None)
    if categories is not None:
        return [str(word) for word in categories]
    try:
        table.read({name: ()})
    except GridError as error:
        if not isinstance(error, BadRequest):
            raise
        raise InvalidConfig(
            f"inputs: {error.detail}. Of words, say which there are, in the model's order:"
            f' schema={{"{name}": {{"categories": [first, second, …]}}}}',
            field="inputs",
        ) from error
    return []


def _scale(name: str, about: Mapping[str, Any], table: SiteTable | None) -> dict[str, float]:
    """Centre and scale, to three digits: nobody's row can be read off them."""
    if table is None:
        if about.get("low") is None or about.get("high") is None:
            raise InvalidConfig(
                f"inputs: {name!r} has no range to take a centre and a scale of; say it, or them:"
                f' schema={{"{name}": {{"low": …, "high": …}}}} or {{"centre": …, "scale": …}}',
                field="inputs",
            )
        low, high = float(about["low"]), float(about["high"])
        return {
            "centre": _short((low + high) / 2, high - low),
            "scale": _short((high - low) / 4, high - low) or 1.0,
        }
    values = table.read({name: ()})[name].astype(np.float64)
    values = values[np.isfinite(values)]
    if not len(values) or values.max() == values.min():
        return {"centre": float(values[0]) if len(values) else 0.0}
    deviation = float((values - values[0]).std())
    return {"centre": _short(float(values.mean()), deviation), "scale": _short(deviation, deviation)}


def _short(value: float, deviation: float) -> float:
    """To a thousandth of the deviation."""
    step = 10.0 ** (math.floor(math.log10(deviation)) - 3)
    return float(f"{round(value / step) * step:.12g}")
