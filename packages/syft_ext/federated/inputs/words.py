"""A column of words as the places of the declared categories, whatever numbers its owner has for them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import DataMismatch, GridError
from syft_ext.federated.inputs.columns import Values
from syft_ext.federated.inputs.names import nearly
from syft_ext.federated.inputs.sites import SiteTable
from syft_ext.messages.training_inputs import CategoryColumn
from syft_ext.sources.rule.columns import ambiguous_places

__all__ = ["read_words", "readable_words"]

_SHOWN = 20
_UNKNOWN, _MISSING = -1, -2


def readable_words(table: SiteTable, column: CategoryColumn) -> list[str]:
    """The words that a column is read by: its owner's, where their schema names them, else the declared ones; and
    "" for rows without one."""
    words = _words(table, column)
    return words if "" in words else [*words, ""]


def _words(table: SiteTable, column: CategoryColumn) -> list[str]:
    return [str(word) for word in table.about(column.name).get("categories") or column.categories]


def read_words(
    table: SiteTable, column: CategoryColumn, where: str, found: NDArray[Any] | GridError
) -> Values:
    """The place of each row's word among ``column.categories``; ``found``: what reading the column by
    :func:`readable_words` gave.

    Where the owner's schema has categories for the column, its words are those, and its numbers stand for
    them; else its text is. Raises :class:`DataMismatch` with row and word of what is not among the declared ones.
    """
    words = _words(table, column)
    places = _places(table, column, words, where, found)
    declared = {word: place for place, word in enumerate(column.categories)}
    known = [declared.get(word, _MISSING if word == "" else _UNKNOWN) for word in [*words, ""]]
    taken = np.array(known, dtype=np.int64)[places]
    unknown = taken == _UNKNOWN
    if unknown.any():
        row = int(unknown.argmax())
        raise _not_declared(column, where, row, words[places[row]])
    missing = taken == _MISSING
    if missing.any() and column.missing == "refuse":
        raise DataMismatch(f"{where}: row {int(missing.argmax()) + 1} has no word", form="has gaps")
    return Values(taken, ~missing, 0, int(missing.sum()))


def _places(
    table: SiteTable,
    column: CategoryColumn,
    words: Sequence[str],
    where: str,
    found: NDArray[Any] | GridError,
) -> NDArray[np.int64]:
    """Of each row, the place among ``words``, and behind the last of them for a row without one."""
    if isinstance(found, GridError):
        if table.about(column.name).get("categories"):
            return _numbers(table, column, words, where, found)
        raise DataMismatch(
            f"{found.detail}; declared are {_listed(column.categories)}",
            form="holds words that are not declared",
        ) from found
    return found.astype(np.int64).reshape(len(found))


def _numbers(
    table: SiteTable, column: CategoryColumn, words: Sequence[str], where: str, as_words: GridError
) -> NDArray[np.int64]:
    """Numbers that stand for the owner's words."""
    try:
        values: NDArray[Any] = table.read({column.name: ()})[column.name]
    except GridError:
        raise DataMismatch(
            f"{as_words.detail}; the categories here are {_listed(words)}", form="holds words of no category"
        ) from as_words
    if values.ndim != 1:
        raise DataMismatch(
            f"{where}: {list(values.shape[1:])} numbers in each row, where one category is wanted"
            " (of one-hot labels, give the place of the 1: argmax)",
            form="has another shape",
        )
    if ambiguous_places(words):
        raise DataMismatch(
            f"{as_words.detail}; the categories here are {_listed(words)}: numbers themselves, so that others"
            " cannot be their places",
            form="holds numbers of no category",
        ) from as_words
    values = values.astype(np.int64) if values.dtype.kind == "b" else values
    gaps = np.isnan(values) if values.dtype.kind == "f" else np.zeros(len(values), bool)
    whole = np.where(gaps, len(words), values)
    wrong = ~gaps & ((whole != np.floor(whole)) | (whole < 0) | (whole >= len(words)))
    if wrong.any():
        row = int(wrong.argmax())
        raise DataMismatch(
            f"{where}: row {row + 1}: {values[row]!s} is the number of no category ({_listed(words)})",
            form="holds numbers of no category",
        )
    return whole.astype(np.int64)


def _not_declared(column: CategoryColumn, where: str, row: int, word: str) -> DataMismatch:
    likely = nearly(word, column.categories)
    hint = f"; nearly equal: {', '.join(map(repr, likely))}" if likely else ""
    return DataMismatch(
        f"{where}: row {row + 1}: {word[:80]!r} is not declared (declared are {_listed(column.categories)}){hint}",
        form="holds words that are not declared",
    )


def _listed(words: Sequence[str]) -> str:
    more = f" and {len(words) - _SHOWN} more" if len(words) > _SHOWN else ""
    return ", ".join(map(repr, words[:_SHOWN])) + more
