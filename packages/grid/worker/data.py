"""The data that a Worker's owner gave it, read once, checked, and never sent anywhere.

CSV with a header, ``.npz``, ``.safetensors``, or a folder with one folder per class that holds ``.npy``
files or images. Everything must be finite numbers; what is not, is named with its place. Pickled arrays are
refused.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from syft_ext.errors import BadRequest, InvalidConfig, NotFound

__all__ = ["LocalData", "load_data", "standardise"]

Array = npt.NDArray[Any]
IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".pgm"}


@dataclass(frozen=True, slots=True)
class LocalData:
    """Samples ``x`` (float32, shape ``[N, …]``) and targets ``y`` (int64 classes, or float32 values)."""

    x: Array
    y: Array

    def __len__(self) -> int:
        return len(self.x)


def load_data(path: Path, target: str = "", classes: Sequence[str] = ()) -> LocalData:
    """Read the owner's data.

    Args:
        path: the file or folder.
        target: the CSV column, or the array of the file, that holds the labels; by default "label" or "y"
            of a file with arrays, and the last column of a CSV.
        classes: the labels, in the order that the model numbers them, where they are words.

    Raises :class:`NotFound` when nothing is there, :class:`BadRequest` naming the place of what is wrong.
    """
    if path.is_dir():
        return _checked(*_folder(path, classes), path)
    if not path.exists():
        raise NotFound(f"there is no data at {path}")
    readers = {".csv": _csv, ".npz": _npz, ".safetensors": _safetensors}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BadRequest(f"{path.name}: data are .csv, .npz, .safetensors, or a folder with one per class")
    return _checked(*reader(path, target, classes), path)


def standardise(data: LocalData, how: str, statistics: Path | None = None) -> LocalData:
    """Scale every feature (column, or channel of images) to mean 0 and variance 1.

    ``how`` is "none", "local" (this data's own mean and deviation) or "file" (``statistics``: JSON with the
    lists ``mean`` and ``std``, so that several Workers scale alike).
    """
    if how == "none":
        return data
    x = data.x
    if how == "local":
        axes = (0, *range(2, x.ndim))  # features, or channels, stand at axis 1
        mean, std = x.mean(axes, keepdims=True), x.std(axes, keepdims=True)
    else:
        mean, std = _statistics(statistics, x)
    return LocalData(((x - mean) / np.where(std > 0, std, 1.0)).astype(np.float32), data.y)


def _statistics(path: Path | None, x: Array) -> tuple[Array, Array]:
    if path is None:
        raise InvalidConfig("standardise = file needs statistics", key="statistics")
    try:
        table = json.loads(path.read_text())
        mean, std = (np.asarray(table[name], dtype=np.float32) for name in ("mean", "std"))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidConfig(f"{path}: needs the lists mean and std ({type(error).__name__})") from error
    if mean.shape != (x.shape[1],) or std.shape != mean.shape:
        raise InvalidConfig(f"{path}: mean and std need {x.shape[1]} numbers each, one per feature")
    shape = (1, -1, *[1] * (x.ndim - 2))
    return mean.reshape(shape), std.reshape(shape)


def _csv(path: Path, target: str, classes: Sequence[str]) -> tuple[Array, Array]:
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.reader(file)
        header = [name.strip() for name in next(reader, [])]
        column = _column(path, header, target)
        samples: list[list[float]] = []
        labels: list[str] = []
        for row in reader:
            if not row:
                continue
            if len(row) != len(header):
                raise BadRequest(f"{path.name}, line {reader.line_num}: {len(row)} of {len(header)} columns")
            labels.append(row.pop(column).strip())
            samples.append(_numbers(path, reader.line_num, header, column, row))
    return np.array(samples, dtype=np.float32), _labels(labels, classes, path)


def _column(path: Path, header: list[str], target: str) -> int:
    if len(header) < 2 or len(set(header)) != len(header):
        raise BadRequest(f"{path.name}: the first line must name two or more different columns")
    if not target:
        return len(header) - 1
    if target not in header:
        raise BadRequest(f"{path.name} has no column {target!r}; there are: {', '.join(header[:20])}")
    return header.index(target)


def _numbers(path: Path, line: int, header: list[str], skipped: int, row: list[str]) -> list[float]:
    try:
        return [float(cell) for cell in row]
    except ValueError:
        names = [name for index, name in enumerate(header) if index != skipped]
        bad = next(name for name, cell in zip(names, row, strict=True) if not _is_number(cell))
        raise BadRequest(f"{path.name}, line {line}: column {bad!r} holds no number") from None


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _labels(labels: Sequence[str], classes: Sequence[str], path: Path) -> Array:
    """Numbers for labels: by ``classes`` where they are words, else what they say."""
    if classes:
        order = {name: index for index, name in enumerate(classes)}
        unknown = next((label for label in labels if label not in order), None)
        if unknown is not None:
            raise BadRequest(f"{path.name}: the label {unknown!r} is not among the classes")
        return np.array([order[label] for label in labels], dtype=np.int64)
    if not all(map(_is_number, labels)):
        raise BadRequest(
            f"{path.name}: the labels are words: name them in the model's order with classes "
            "(two Workers must not number them differently)"
        )
    return np.array([float(label) for label in labels])


def _npz(path: Path, target: str, classes: Sequence[str]) -> tuple[Array, Array]:
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
    except (ValueError, OSError, KeyError) as error:
        raise BadRequest(f"{path.name} is no archive of plain arrays: {error}") from error
    return _pair(path, arrays, target, classes)


def _safetensors(path: Path, target: str, classes: Sequence[str]) -> tuple[Array, Array]:
    from syft_ext.tensors import decode_tensors

    arrays = {name: tensor.numpy() for name, tensor in decode_tensors(path.read_bytes()).items()}
    return _pair(path, arrays, target, classes)


def _pair(path: Path, arrays: dict[str, Array], target: str, classes: Sequence[str]) -> tuple[Array, Array]:
    """Samples and labels among named arrays: ``target`` (or label, or y), and the one other (or x)."""
    name = target or next((each for each in ("label", "y") if each in arrays), "")
    if name not in arrays:
        raise BadRequest(f"{path.name} has no array {name or 'label'!r}; there are: {', '.join(arrays)}")
    others = [each for each in arrays if each != name]
    if "x" not in others and len(others) != 1:
        raise BadRequest(f"{path.name}: beside {name!r} one array of samples is needed, or one called 'x'")
    labels = arrays[name]
    if labels.dtype.kind in "US":
        labels = _labels([str(label) for label in labels.tolist()], classes, path)
    return arrays["x" if "x" in others else others[0]], labels


def _folder(path: Path, classes: Sequence[str]) -> tuple[Array, Array]:
    found = sorted(child.name for child in path.iterdir() if child.is_dir() and child.name[0] != ".")
    names = list(classes) or found
    if not found or set(found) - set(names):
        raise BadRequest(f"{path.name}: one folder per class is needed (found: {', '.join(found) or 'none'})")
    samples: list[Array] = []
    labels: list[int] = []
    for number, name in enumerate(names):
        for file in sorted((path / name).iterdir()) if (path / name).is_dir() else ():
            if file.is_file() and file.name[0] != ".":
                samples.append(_sample(file))
                labels.append(number)
    shapes = {sample.shape for sample in samples}
    if len(shapes) != 1:
        raise BadRequest(f"{path.name}: the samples have different shapes: {sorted(shapes)[:4]}")
    return np.stack(samples), np.array(labels, dtype=np.int64)


def _sample(file: Path) -> Array:
    if file.suffix.lower() == ".npy":
        try:
            array: Array = np.load(file, allow_pickle=False)
        except (ValueError, OSError) as error:
            raise BadRequest(f"{file.name} is no plain array: {error}") from error
        return array
    if file.suffix.lower() not in IMAGES:
        raise BadRequest(f"{file.name}: samples are .npy files or images ({', '.join(sorted(IMAGES))})")
    return _image(file)


def _image(file: Path) -> Array:
    """An image as ``[channels, height, width]``, 0 to 1."""
    try:
        from PIL import Image
    except ImportError as error:
        raise BadRequest("reading images needs Pillow: pip install pillow") from error
    with Image.open(file) as image:
        pixels = np.asarray(image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB"))
    channels = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return channels.astype(np.float32) / 255.0


def _checked(x: Array, y: Array, path: Path) -> LocalData:
    for name, array in (("samples", x), ("labels", y)):
        if array.dtype.kind not in "fiub":
            raise BadRequest(f"{path.name}: the {name} are no numbers ({array.dtype})")
        if not np.isfinite(array).all():
            place = tuple(int(index) for index in np.argwhere(~np.isfinite(array))[0])
            raise BadRequest(f"{path.name}: the {name} hold a value that is not finite, at {place}")
    if x.ndim < 2 or y.ndim not in (1, 2) or len(x) != len(y) or not len(x):
        raise BadRequest(f"{path.name}: samples {x.shape} and labels {y.shape} do not belong together")
    whole = y.ndim == 1 and bool((y == np.floor(y)).all()) and bool((y >= 0).all())
    return LocalData(np.ascontiguousarray(x, dtype=np.float32), y.astype(np.int64 if whole else np.float32))
