"""A folder of images, or of arrays: one tensor of all samples, and the labels where there is one folder per class.

Needs the extra ``data`` (Pillow) for images. They are decoded when their bytes are sent, a few at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.held import HeldColumn, held_content
from syft_ext.sources.parts import Part, metadata_of
from syft_ext.sources.pixels import SUFFIXES, Picture, opened_picture, pixels_of, require_pillow
from syft_ext.sources.rule.columns import code_of_array
from syft_ext.sources.rule.exact import outside_int64
from syft_ext.sources.rule.problems import Problems
from syft_ext.tensors import DTYPES

__all__ = ["SUFFIXES", "read_images"]


def read_images(folder: Path, metadata: ColumnMetadata) -> PartsContent:
    """``image`` of shape [N, channels, height, width] (of .npy files, [N] and their shape), and int64 ``label``.

    Pixels are exact: uint8; of 16 bits, int32; of floats, float32. Grey is one channel, colour three, with alpha
    one more. The categories of ``label`` are the folders' names in alphabetical order, or the words of the schema
    in its order, whether or not there is a folder for each of them. Raises :class:`BadRequest`, naming the files,
    unless all samples have one form.
    """
    problems = Problems(folder.name, "file")
    files, counts, classes = _files(folder, metadata_of(metadata, "label").get("categories"), problems)
    if all(file.suffix.lower() != ".npy" for file in files):
        require_pillow()
    problems.refuse()
    held: list[HeldColumn | Part] = [_samples(folder, files, problems)]
    if classes:
        labels = np.repeat(np.arange(len(classes), dtype=np.int64), counts)
        found = {"categories": classes}
        held.append(Part("label", "I64", (len(files),), lambda i, j: labels[i:j], found, found))
    return held_content("tensors", folder.name, held, metadata, name=folder.name)


def _files(
    folder: Path, named: Sequence[str] | None, problems: Problems
) -> tuple[list[Path], list[int], list[str]]:
    """All files, class by class; how many each class has; the classes."""
    children = sorted(child for child in folder.iterdir() if child.name[0] != ".")
    folders = {child.name: child for child in children if child.is_dir()}
    if not folders:
        return _samples_in(children, folder, problems), [], []
    classes = list(named or folders)
    for child in children:
        if child.name not in folders:
            problems.add(
                child.name, "beside folders, where each is a class: one folder per class and nothing else"
            )
        elif child.name not in classes:
            problems.add(child.name, f"is no class that the schema names: {', '.join(classes)[:200]}")
    files: list[Path] = []
    counts = []
    for name in classes:
        mine = (
            _samples_in(sorted(folders[name].iterdir()), folder, problems, empty=True)
            if name in folders
            else []
        )
        files += mine
        counts.append(len(mine))
    if not files:
        problems.add("", "there are no images in any of its folders")
    return files, counts, classes


def _samples_in(
    children: Sequence[Path], root: Path, problems: Problems, *, empty: bool = False
) -> list[Path]:
    files = [child for child in children if child.name[0] != "."]
    for file in files:
        if file.suffix.lower() not in SUFFIXES | {".npy"} or not file.is_file():
            problems.add(_called(file, root), f"is no image ({', '.join(sorted(SUFFIXES))}) and no .npy file")
    if not files and not empty:
        problems.add("", "there are no images")
    return files


def _called(file: Path, root: Path) -> str:
    return str(file.relative_to(root))


def _samples(folder: Path, files: Sequence[Path], problems: Problems) -> Part:
    arrays = [file for file in files if file.suffix.lower() == ".npy"]
    if arrays and len(arrays) != len(files):
        other = next(file for file in files if file.suffix.lower() != ".npy")
        raise BadRequest(
            f"{folder.name}: {_called(other, folder)} is an image, {_called(arrays[0], folder)} an array"
        )
    return _arrays(folder, files, problems) if arrays else _images(folder, files, problems)


# -- arrays --------------------------------------------------------------------------------------------


def _arrays(folder: Path, files: Sequence[Path], problems: Problems) -> Part:
    forms: dict[tuple[str, tuple[int, ...]], Path] = {}
    for file in files:
        try:
            array = _array(file)
        except BadRequest as error:
            problems.add(_called(file, folder), error.detail)
        else:
            forms.setdefault((code_of_array(array.dtype), array.shape), file)
    _one_form(folder, forms, lambda form: f"{DTYPES[form[0]][0]} {list(form[1])}", problems)
    ((code, shape),) = forms

    def rows(first: int, stop: int) -> NDArray[Any]:
        return np.stack([_array(file) for file in files[first:stop]])

    return Part("image", code, (len(files), *shape), rows)


def _array(file: Path) -> NDArray[Any]:
    """A .npy file of numbers, whole. Raises :class:`BadRequest`."""
    try:
        array: NDArray[Any] = np.load(file, allow_pickle=False)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise BadRequest(f"is no plain array: {error}") from error
    if not isinstance(array, np.ndarray) or not code_of_array(array.dtype):
        raise BadRequest(f"is not numbers that can be kept ({getattr(array, 'dtype', 'an archive')})")
    if outside_int64(array.reshape(-1)) is not None:
        raise BadRequest("holds a number that int64 does not hold")
    return array


def _one_form(folder: Path, forms: dict[Any, Path], shown: Callable[[Any], str], problems: Problems) -> None:
    """Note all files that are unlike the first, one of each form, and refuse if anything was noted."""
    for number, (form, file) in enumerate(forms.items()):
        if number:
            like = next(iter(forms.items()))
            problems.add(
                _called(file, folder), f"is {shown(form)}; {_called(like[1], folder)} is {shown(like[0])}: "
                "all images must have one size and kind",
            )  # fmt: skip
    problems.refuse()


# -- images --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    width: int
    height: int
    mode: str

    def __str__(self) -> str:
        return f"{self.width} × {self.height}, {self.mode}"


def _images(folder: Path, files: Sequence[Path], problems: Problems) -> Part:
    forms: dict[_Form, Path] = {}
    modes: dict[str, Path] = {}
    for file in files:
        try:
            picture = opened_picture(file)
        except BadRequest as error:
            problems.add(_called(file, folder), error.detail)
            continue
        modes.setdefault(picture.mode, file)
        forms.setdefault(_Form(picture.width, picture.height, _family(picture.mode)), file)
    _one_form(folder, forms, str, problems)
    ((form, _),) = forms.items()
    mode = "RGB" if "RGB" in modes else next(iter(modes))  # grey among colour: three times the same
    channels, code = Picture.FORMS[mode]

    def rows(first: int, stop: int) -> NDArray[Any]:
        return np.stack([pixels_of(file, mode, _called(file, folder)) for file in files[first:stop]])

    return Part("image", code, (len(files), channels, form.height, form.width), rows)


def _family(mode: str) -> str:
    """Grey and colour of 8 bits may be mixed; nothing else."""
    return "8 bits" if mode in ("L", "RGB") else mode
