"""A participant's data against a declaration: every problem in one answer, or the rows as the model gets them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import DataMismatch, GridError
from syft_ext.federated.inputs.arrays import matched_samples
from syft_ext.federated.inputs.columns import (
    Values,
    check_exact,
    checked_numbers,
    single,
    standard_scores,
    subtracted,
)
from syft_ext.federated.inputs.names import not_there
from syft_ext.federated.inputs.sites import SiteArrays, SiteData, SiteFolder, SiteTable, columns_of
from syft_ext.federated.inputs.words import read_words, readable_words
from syft_ext.messages.training_inputs import (
    ArrayInputs,
    CategoryColumn,
    InputColumn,
    TableInputs,
    TrainingInputs,
)
from syft_ext.sources.rule.times import part_of

__all__ = ["Rows", "match"]

Array = NDArray[Any]
_SHOWN = 30


@dataclass(frozen=True, slots=True)
class Rows:
    """What the model gets: ``x`` (float32, or int64 of declared whole arrays) and ``y`` (int64 classes and whole
    numbers, else float32), ``[N, …]``; ``notes``: what could not be compared, and what was left out."""

    x: Array
    y: Array
    notes: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.x)


def match(inputs: TrainingInputs, site: SiteData) -> Rows:
    """The rows of ``site`` as a training takes them. Nothing is guessed: names, classes and units are compared.

    Raises :class:`DataMismatch` with all that does not match.
    """
    if isinstance(inputs, TableInputs):
        table, notes = _table(inputs, site)
        return _rows(inputs, table, notes)
    return _samples(inputs, site)


# -- tables --------------------------------------------------------------------------------------------


def _table(inputs: TableInputs, site: SiteData) -> tuple[SiteTable, list[str]]:
    if isinstance(site, SiteTable):
        return site, []
    if isinstance(site, SiteFolder):
        raise _mismatch(site, [("a folder with one for each class, where a table is wanted", "is no table")])
    assert isinstance(site, SiteArrays)
    names = [column.name for column in (*inputs.columns, inputs.label)]
    if site.named and not ("x" in site.arrays and "x" not in names):
        return site.table(), []
    return _by_place(inputs, site)


def _by_place(inputs: TableInputs, site: SiteArrays) -> tuple[SiteTable, list[str]]:
    """A matrix has no names: its columns are those declared, in their order, and that is said."""
    x, label = site.arrays["x"], inputs.label
    y = site.arrays.get(label.name if site.named else "y")
    count = len(inputs.columns)
    if y is None:
        raise _mismatch(
            site, [(not_there(label.name, list(site.arrays), "array"), "has no label of that name")]
        )
    if x.ndim != 2 or x.shape[1] != count:
        raise _mismatch(
            site,
            [
                (
                    f"samples have the shape {list(x.shape[1:])}, and the training takes {count} columns:"
                    f" {', '.join(repr(column.name) for column in inputs.columns[:_SHOWN])}",
                    f"has samples of another shape than {count} columns",
                )
            ],
        )
    columns = {column.name: x[:, place] for place, column in enumerate(inputs.columns)}
    columns[label.name] = y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y
    said = {column.name: _numbered(column, site) for column in (*inputs.columns, label)}
    note = (
        f"{site.title}: plain arrays have no names, which cannot be compared: columns are taken to be"
        f" {', '.join(repr(column.name) for column in inputs.columns[:_SHOWN])}, unscaled, in the declared units"
    )
    return columns_of(site.title, columns, said), [note]


def _numbered(column: InputColumn, site: SiteArrays) -> Mapping[str, Any]:
    """Of what has numbers only: those of its own words, if it says them, else of the declared ones."""
    about = dict(site.metadata.get(column.name, {}))
    if isinstance(column, CategoryColumn) and not about.get("categories"):
        about["categories"] = list(column.categories)
    return about


def _rows(inputs: TableInputs, table: SiteTable, notes: list[str]) -> Rows:
    columns = [*inputs.columns, inputs.label]
    notes = [*notes, *_compare(columns, table)]
    found = _values(columns, table)
    notes += _compare_times(columns, table)
    lengths = {len(values.kept) for values in found}
    if len(lengths) != 1:
        raise _mismatch(table, [("its columns have different lengths", "has columns of different lengths")])
    kept = np.logical_and.reduce([values.kept for values in found])
    notes += _left_out(columns, found, kept)
    if not kept.any():
        raise _mismatch(table, [("no row is left", "has no row that fits")], values=True)
    problems: list[GridError] = []
    parts: list[Array] = []
    for column, values in zip(columns, found, strict=True):
        try:
            parts.append(_as_taken(column, values.numbers, kept, _where(table, column)))
        except DataMismatch as error:
            problems.append(error)
    _raise(table, problems)
    *features, y = parts
    x = np.concatenate([part.reshape(len(part), -1) for part in features], axis=1)
    return Rows(np.ascontiguousarray(x, dtype=np.float32), y, notes)


def _compare(columns: Sequence[InputColumn], table: SiteTable) -> list[str]:
    """Names and units; what one side only says of units is a note."""
    problems: list[tuple[str, str]] = []
    notes = []
    for column in columns:
        if column.name not in table.names:
            problems.append((not_there(column.name, table.names), f"has no column {column.name!r}"))
            continue
        unit = "" if isinstance(column, CategoryColumn) else column.unit.strip()
        own = str(table.about(column.name).get("unit") or "").strip()
        if " since " in unit and " since " not in own and part_of(own) is not None:
            continue  # a time, whose unit is known when it is read
        if unit and own and unit != own:
            problems.append(
                (
                    f"column {column.name!r} is in {own!r}, and the training takes {unit!r}: convert it",
                    f"has {column.name!r} in another unit than {unit!r}",
                )
            )
        elif unit != own:
            said, silent = ("the training", "here") if unit else ("your schema", "by the training")
            notes.append(
                f"{table.title}, column {column.name!r}: {said} says {unit or own!r}, and {silent} no unit is said"
            )
    if problems:
        raise _mismatch(table, problems)
    return notes


def _compare_times(columns: Sequence[InputColumn], table: SiteTable) -> list[str]:
    """Units of times, which the values tell themselves: microseconds are no days, nor UTC the local time."""
    problems: list[tuple[str, str]] = []
    notes = []
    for column in columns:
        own = table.units.get(column.name, "")
        if isinstance(column, CategoryColumn) or own == column.unit.strip():
            continue
        if not own:
            if " since " in column.unit:
                problems.append(
                    (
                        f"column {column.name!r} holds no times, and the training takes {column.unit!r}",
                        f"has no times as {column.name!r}",
                    )
                )
        elif column.unit.strip():
            problems.append(
                (
                    f"the times of column {column.name!r} are in {own!r}, and the training takes"
                    f" {column.unit!r}: say the unit, and the timezone, in your schema",
                    f"has {column.name!r} in another unit than {column.unit!r}",
                )
            )
        elif not table.about(column.name).get("unit"):
            notes.append(
                f"{table.title}, column {column.name!r}: its times are in {own!r}, and by the training no"
                " unit is said"
            )
    if problems:
        raise _mismatch(table, problems)
    return notes


def _values(columns: Sequence[InputColumn], table: SiteTable) -> list[Values]:
    """All columns, read at once; where that fails, one by one, so that all that is wrong is said."""
    wanted = {
        column.name: readable_words(table, column) if isinstance(column, CategoryColumn) else ()
        for column in columns
    }
    read = _read(table, wanted)
    problems: list[GridError] = []
    found = []
    for column in columns:
        try:
            values = read[column.name]
            if isinstance(column, CategoryColumn):
                found.append(read_words(table, column, _where(table, column), values))
                continue
            if isinstance(values, GridError):
                raise values
            found.append(checked_numbers(values, column, _where(table, column)))
        except GridError as error:
            form = error.extra.get("form") or "holds what is not as declared"
            problems.append(
                type(error)(error.detail, **{**error.extra, "form": f"{form} in {column.name!r}"})
            )
    _raise(table, problems)
    return found


def _read(table: SiteTable, wanted: Mapping[str, Sequence[str]]) -> Mapping[str, Array | GridError]:
    try:
        return table.read(wanted)
    except GridError:
        found: dict[str, Array | GridError] = {}
        for name, words in wanted.items():
            try:
                found[name] = table.read({name: words})[name]
            except GridError as error:
                found[name] = error
        return found


def _as_taken(column: InputColumn, numbers: Array, kept: NDArray[np.bool_], where: str) -> Array:
    """The numbers that the model gets of a column: of a label, as whole numbers where they are."""
    values, rows = numbers[kept], np.flatnonzero(kept)
    if isinstance(column, CategoryColumn):
        places = values.astype(np.int64)
        return np.eye(len(column.categories), dtype=np.float32)[places] if column.one_hot else places
    if column.scaling == "by-site":
        return single(standard_scores(values), where, rows)
    scaled = (column.centre, column.scale) != (0.0, 1.0)
    if not scaled and column.whole:
        whole = values.astype(np.int64)
        check_exact(whole, where, rows)
        return whole
    return single(subtracted(values, column.centre) / column.scale, where, rows)


def _left_out(columns: Sequence[InputColumn], found: Sequence[Values], kept: NDArray[np.bool_]) -> list[str]:
    count = int((~kept).sum())
    if not count:
        return []
    parts = [
        f"{values.outside} with {c.name!r} out of range"
        for c, values in zip(columns, found, strict=True)
        if values.outside
    ]
    parts += [
        f"{values.missing} without {c.name!r}"
        for c, values in zip(columns, found, strict=True)
        if values.missing
    ]
    return [f"{count} of {len(kept)} rows are left out, as is declared: {', '.join(parts)}"]


# -- arrays and pictures -------------------------------------------------------------------------------


def _samples(inputs: ArrayInputs, site: SiteData) -> Rows:
    if isinstance(site, SiteTable):
        text = f"a table, where one array of the shape {inputs.shape} is wanted for each sample"
        raise _mismatch(site, [(text, f"has no arrays of the shape {inputs.shape}")])
    x, labels, notes = matched_samples(inputs, site)
    table = columns_of(site.title, {inputs.label.name: labels.values}, {inputs.label.name: labels.said})
    notes = [*notes, *_compare([inputs.label], table)]
    (values,) = _values([inputs.label], table)
    if len(values.kept) != len(x):
        raise _mismatch(
            site, [(f"{len(x)} samples and {len(values.kept)} labels", "has not a label for each sample")]
        )
    notes += _left_out([inputs.label], [values], values.kept)
    if not values.kept.any():
        raise _mismatch(site, [("no sample is left", "has no sample that fits")], values=True)
    y = _as_taken(inputs.label, values.numbers, values.kept, _where(table, inputs.label))
    return Rows(np.ascontiguousarray(x[values.kept]), y, notes)


# -- what is said --------------------------------------------------------------------------------------


def _where(table: SiteData, column: InputColumn) -> str:
    return f"{table.title}, column {column.name!r}"


def _mismatch(site: SiteData, problems: Sequence[tuple[str, str]], *, values: bool = False) -> DataMismatch:
    texts = "; ".join(text for text, _ in problems[:_SHOWN])
    forms = "; ".join(form for _, form in problems[:_SHOWN])
    return DataMismatch(f"{site.title}: {texts}", form=forms, values=values)


def _raise(site: SiteData, problems: Sequence[GridError]) -> None:
    """One error for all; each says its place already."""
    if problems:
        forms = [str(error.extra.get("form", "cannot be read")) for error in problems]
        texts = [
            error.detail if site.title in error.detail else f"{site.title}: {error.detail}"
            for error in problems
        ]
        raise DataMismatch("; ".join(texts[:_SHOWN]), form="; ".join(forms[:_SHOWN]), values=True)
