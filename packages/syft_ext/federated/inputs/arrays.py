"""Samples that are arrays or pictures: their shape, type, range and scaling, and where their labels' words
come from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import DataMismatch
from syft_ext.federated.inputs.columns import single, subtracted
from syft_ext.federated.inputs.names import nearly, not_there
from syft_ext.federated.inputs.sites import SiteArrays, SiteData, SiteFolder
from syft_ext.messages.training_inputs import ArrayInputs, CategoryColumn
from syft_ext.sources.rule.bounds import beyond

__all__ = ["Labels", "as_picture", "matched_samples"]

Array = NDArray[Any]


@dataclass(frozen=True, slots=True)
class Labels:
    """``values``: words or numbers; ``said``: what is known of them, as of a column."""

    values: Array
    said: Mapping[str, Any]


def matched_samples(inputs: ArrayInputs, site: SiteData) -> tuple[Array, Labels, list[str]]:
    """All samples as the model gets them, their labels as they stand there, and notes. Raises
    :class:`DataMismatch`."""
    x, labels, notes = _of_folder(inputs, site) if isinstance(site, SiteFolder) else _of_arrays(inputs, site)
    where = f"{site.title}, samples"
    if list(x.shape[1:]) != list(inputs.shape):
        raise DataMismatch(
            f"{where} have the shape {list(x.shape[1:])}, and the training takes {inputs.shape}",
            form=f"has samples of another shape than {inputs.shape}",
        )
    own = str(site.metadata.get(inputs.name, {}).get("unit") or "").strip()
    if inputs.unit.strip() and own and inputs.unit.strip() != own:
        raise DataMismatch(
            f"{where} are in {own!r}, and the training takes {inputs.unit!r}: convert them",
            form=f"has samples in another unit than {inputs.unit!r}",
        )
    _check_type(inputs, x, where)
    values = as_picture(x, inputs.bits, where) if inputs.picture else x
    _check_range(inputs, values, where)
    return _scaled(inputs, values, where), labels, notes


def _of_folder(inputs: ArrayInputs, site: SiteFolder) -> tuple[Array, Labels, list[str]]:
    label = inputs.label
    if not isinstance(label, CategoryColumn):
        raise DataMismatch(
            f"{site.title}: the names of folders are classes, and the training takes numbers as {label.name!r}",
            form=f"has no numbers as {label.name!r}",
        )
    for name in site.files:
        if name not in label.categories:
            likely = nearly(name, label.categories)
            hint = f"; nearly equal: {', '.join(map(repr, likely))}" if likely else ""
            raise DataMismatch(
                f"{site.title}: the folder {name!r} is no class of the training; declared are"
                f" {', '.join(map(repr, label.categories[:20]))}{hint}",
                form="has a folder that is no declared class",
            )
    absent = [name for name in label.categories if not site.files.get(name)]
    notes = [
        f"{site.title}: no sample of {', '.join(map(repr, absent[:20]))}; the other classes keep their numbers"
    ]
    x, classes = site.read()
    return x, Labels(np.array(classes, dtype=str), {}), notes if absent else []


def _of_arrays(inputs: ArrayInputs, site: SiteData) -> tuple[Array, Labels, list[str]]:
    assert isinstance(site, SiteArrays)
    names = (inputs.name, inputs.label.name) if site.named else ("x", "y")
    for name in names:
        if name not in site.arrays:
            raise DataMismatch(
                f"{site.title}: {not_there(name, list(site.arrays), 'array')}", form=f"has no array {name!r}"
            )
    x, y = (site.arrays[name] for name in names)
    if len(x) != len(y) or not len(x):
        raise DataMismatch(
            f"{site.title}: {len(x)} samples and {len(y)} labels", form="has not a label for each sample"
        )
    said = dict(site.metadata.get(inputs.label.name, {}))
    notes = (
        [] if site.named else [f"{site.title}: plain arrays have no names: which is which cannot be compared"]
    )
    if isinstance(inputs.label, CategoryColumn) and y.dtype.kind not in "OUS" and not said.get("categories"):
        said["categories"] = list(site.classes or inputs.label.categories)
        if not site.classes:
            notes.append(
                f"{site.title}: labels are numbers without words: they are taken to be the places of"
                f" {', '.join(map(repr, inputs.label.categories[:20]))}"
            )
    return x, Labels(y.reshape(len(y)) if y.ndim == 2 and y.shape[1] == 1 else y, said), notes


def _check_type(inputs: ArrayInputs, x: Array, where: str) -> None:
    if x.dtype.kind not in "fiub":
        raise DataMismatch(f"{where} are {x.dtype}, no numbers", form="has samples that are no numbers")
    if inputs.whole and x.dtype.kind == "f":
        raise DataMismatch(
            f"{where} are {x.dtype}, and the training takes whole numbers",
            form="has samples that are not whole numbers",
        )


def as_picture(x: Array, bits: int, where: str) -> Array:
    """Pixels as 0 to 1 of what ``bits`` can hold; of fractions, those themselves. Raises :class:`DataMismatch`."""
    depth = {("u", 1): 8, ("u", 2): 16, ("i", 4): 16}.get((x.dtype.kind, x.itemsize))
    if x.dtype.kind == "f":
        return x
    if depth != bits:
        raise DataMismatch(
            f"{where} are {x.dtype} ({depth or 'no'} bits of picture), and the training takes {bits} bits",
            form=f"has pictures of another depth than {bits} bits",
        )
    scaled: Array = (x.astype(np.float64) / (2**bits - 1)).astype(np.float32)
    return scaled


def _check_range(inputs: ArrayInputs, x: Array, where: str) -> None:
    low, high = (0.0, 1.0) if inputs.picture else (inputs.low, inputs.high)
    wrong = ~np.isfinite(x) if x.dtype.kind == "f" else np.zeros(x.shape, bool)
    what = "a number that is not finite"
    if not wrong.any():
        ends = ["any" if end is None else f"{end:.15g}" for end in (low, high)]
        what = f"a number that is not from {ends[0]} to {ends[1]}"
        wrong = beyond(x, low, high)
    if wrong.any():
        place = tuple(int(each) for each in np.argwhere(wrong)[0])
        raise DataMismatch(
            f"{where}: row {place[0] + 1} has {what}, at {list(place[1:])}",
            form="has samples out of range",
            values=True,
        )


def _scaled(inputs: ArrayInputs, x: Array, where: str) -> Array:
    if not inputs.centre and not inputs.scale:
        if inputs.whole:
            return x.astype(np.int64)
        return x if x.dtype == np.float32 else single(x.astype(np.float64), where)
    shape = (1, -1, *[1] * (x.ndim - 2))
    centre = np.asarray(inputs.centre or [0.0], dtype=np.float64).reshape(shape)
    scale = np.asarray(inputs.scale or [1.0], dtype=np.float64).reshape(shape)
    wide = subtracted(x, float(centre.item())) if centre.size == 1 else x.astype(np.float64) - centre
    return single(wide / scale, where)
