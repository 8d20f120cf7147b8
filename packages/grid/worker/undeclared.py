"""Trainings that declare nothing of their data: the owner's settings take the declaration's place.

What a file has names for (columns, classes) is used only in the order that the owner has said; plain
arrays have no names that could be mistaken.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from syft_ext.errors import BadRequest, DataMismatch, InvalidConfig
from syft_ext.federated.inputs import Rows, SiteArrays, SiteData, SiteFolder, SiteTable, match
from syft_ext.federated.inputs.columns import single, standard_scores, subtracted
from syft_ext.federated.inputs.names import not_there
from syft_ext.federated.inputs.sites import columns_of
from syft_ext.messages.training_inputs import (
    ArrayInputs,
    CategoryColumn,
    InputColumn,
    NumberColumn,
    TableInputs,
)

__all__ = ["OwnersWord", "undeclared"]

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class OwnersWord:
    """Attributes:
    target: the column, or array, of the labels.
    classes: words of labels, or folders, in the order of the model.
    columns: those that the model takes, in its order.
    standardise: "none", "local" (own mean and deviation) or "file" (``statistics``: JSON with the lists
        ``mean`` and ``std``, so that several Workers scale alike).
    """

    target: str = ""
    classes: Sequence[str] = ()
    columns: Sequence[str] = ()
    standardise: str = "none"
    statistics: Path | None = None


def undeclared(site: SiteData, word: OwnersWord) -> Rows:
    """The rows for a training that declares nothing. Raises :class:`DataMismatch`, with what there is to
    say, where their order, or numbers, would have to be guessed."""
    if isinstance(site, SiteTable):
        return _table(site, word)
    if isinstance(site, SiteFolder):
        return _folder(site, word)
    assert isinstance(site, SiteArrays)
    return _arrays(site, word)


def _table(site: SiteTable, word: OwnersWord) -> Rows:
    missing = [name for name in ("columns", "target") if not getattr(word, name)]
    if missing:
        raise DataMismatch(
            f"{site.title}: the training declares no inputs, and the order of the columns would be a"
            f" guess. Its host can"
            f" declare them; or say with {' and '.join(f'--{name}' for name in missing)} which it"
            f" takes, in which order",
            form="has named columns, and nothing is declared to compare them with",
        )
    features: list[InputColumn] = [NumberColumn(name=name) for name in word.columns]
    if word.standardise == "local":
        features = [NumberColumn(name=name, scaling="by-site") for name in word.columns]
    elif word.standardise == "file":
        mean, std = _statistics(word.statistics, len(features))
        features = [
            NumberColumn(name=name, centre=float(centre), scale=float(scale) or 1.0)
            for name, centre, scale in zip(word.columns, mean, std, strict=True)
        ]
    return match(TableInputs(columns=features, label=_label(site, word)), site)


def _label(site: SiteTable, word: OwnersWord) -> InputColumn:
    if word.classes:
        return CategoryColumn(name=word.target, categories=list(word.classes))
    if word.target not in site.names:
        raise DataMismatch(f"{site.title}: {not_there(word.target, site.names)}", form="has no such label")
    try:
        values = site.read({word.target: ()})[word.target]
    except BadRequest as error:
        raise DataMismatch(
            f"{error.detail}: of labels that are words, name the classes with --classes, in the order"
            f" of the model (two"
            " Workers must not number them differently)",
            form="has labels that are words, and no classes are declared",
        ) from error
    return NumberColumn(name=word.target, whole=_are_classes(values))


def _folder(site: SiteFolder, word: OwnersWord) -> Rows:
    if not word.classes:
        raise DataMismatch(
            f"{site.title}: the training declares no classes, and the numbers of its folders would be a"
            f" guess. Its host"
            " can declare them; or name all classes with --classes, in the order of the model",
            form="has folders of classes, and no classes are declared",
        )
    x, _ = site.read()
    inputs = ArrayInputs(
        shape=list(x.shape[1:]),
        picture=x.dtype.kind in "ui",
        bits=16 if x.itemsize > 1 and x.dtype.kind in "ui" else 8,
        label=CategoryColumn(name="class", categories=list(word.classes)),
    )
    rows = match(inputs, site)
    return Rows(_standardised(rows.x, word), rows.y, rows.notes)


def _arrays(site: SiteArrays, word: OwnersWord) -> Rows:
    """Samples and labels among arrays: ``target`` (or label, or y), and the one other (or x)."""
    name = word.target or next((each for each in ("label", "y") if each in site.arrays), "")
    others = [each for each in site.arrays if each != name]
    if name not in site.arrays or ("x" not in others and len(others) != 1):
        raise BadRequest(
            f"{site.title}: an array of labels is needed (--target, or 'label') and one of samples (or 'x');"
            f" there are: {', '.join(site.arrays)}"
        )
    x, y = site.arrays["x" if "x" in others else others[0]], site.arrays[name]
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or not len(x):
        raise BadRequest(f"{site.title}: samples {x.shape} and labels {y.shape} do not belong together")
    for what, array in (("samples", x), ("labels", y)):
        if array.dtype.kind not in ("fiub" if what == "samples" else "fiubUS"):
            raise BadRequest(f"{site.title}: the {what} are no numbers ({array.dtype})")
        if array.dtype.kind == "f" and not np.isfinite(array).all():
            place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
            raise BadRequest(f"{site.title}: the {what} hold a value that is not finite, at {place}")
    return Rows(_standardised(x, word), _classes(site, name, y, word))


def _classes(site: SiteArrays, name: str, y: Array, word: OwnersWord) -> Array:
    if y.dtype.kind not in "US" and not (word.classes and y.ndim == 1):
        return y.astype(np.int64 if y.ndim == 1 and _are_classes(y) else np.float32)
    if not word.classes:
        raise DataMismatch(
            f"{site.title}: the labels are words: name the classes with --classes, in the order of the"
            f" model (two Workers"
            " must not number them differently)",
            form="has labels that are words, and no classes are declared",
        )
    label = CategoryColumn(name=name, categories=list(word.classes))
    said = {} if y.dtype.kind in "US" else {name: {"categories": list(word.classes)}}
    table = columns_of(site.title, {"x": np.zeros(len(y)), name: y}, said)
    return match(TableInputs(columns=[NumberColumn(name="x")], label=label), table).y


def _are_classes(values: Array) -> bool:
    """Whether these are numbers of classes: whole, and none below zero."""
    finite = values.dtype.kind != "f" or bool(np.isfinite(values).all())
    return finite and bool((values == np.floor(values)).all()) and bool((values >= 0).all())


def _standardised(x: Array, word: OwnersWord) -> Array:
    """Features (columns, or channels of pictures) stand at axis 1."""
    if word.standardise == "none":
        return (
            single(np.ascontiguousarray(x, dtype=np.float64), "the samples") if x.dtype != np.float32 else x
        )
    if word.standardise == "local":
        return standard_scores(x, (0, *range(2, x.ndim))).astype(np.float32)
    mean, std = _statistics(word.statistics, x.shape[1])
    shape = (1, -1, *[1] * (x.ndim - 2))
    wide = subtracted(x, 0.0) - mean.reshape(shape)
    return single(wide / np.where(std > 0, std, 1.0).reshape(shape), "the samples")


def _statistics(path: Path | None, features: int) -> tuple[Array, Array]:
    if path is None:
        raise InvalidConfig("standardise = file needs statistics", key="statistics")
    try:
        table = json.loads(path.read_text())
        mean, std = (np.asarray(table[name], dtype=np.float64) for name in ("mean", "std"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidConfig(f"{path}: needs the lists mean and std ({type(error).__name__})") from error
    if mean.shape != (features,) or std.shape != mean.shape:
        raise InvalidConfig(f"{path}: mean and std need {features} numbers each, one per feature")
    if not (np.isfinite(mean).all() and np.isfinite(std).all() and (std >= 0).all()):
        raise InvalidConfig(f"{path}: mean and std are finite numbers, and no deviation is below zero")
    return mean, std
