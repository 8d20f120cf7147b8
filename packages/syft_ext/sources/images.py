"""A folder of images: one tensor of pixels, and the labels where there is one folder per class.

Needs the extra ``data`` (Pillow). Images are decoded when their bytes are sent, a few at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, Unsupported
from syft_ext.messages.vocabulary import ColumnMetadata
from syft_ext.sources.content import PartsContent
from syft_ext.sources.parts import Part, metadata_of

__all__ = ["SUFFIXES", "read_images"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})
_GRAY, _DEEP = {"1", "L"}, {"I;16", "I;16L", "I;16B", "I"}


def read_images(folder: Path, metadata: ColumnMetadata) -> PartsContent:
    """``image`` of shape [N, channels, height, width], uint8 (int32 for 16-bit images), and int64 ``label``.

    The categories of ``label`` are the folders' names in alphabetical order, or in the order that the schema
    names them. Raises :class:`BadRequest`, naming the file, unless all images have one size.
    """
    image = _pillow()
    files, labels, classes = _files(folder, metadata_of(metadata, "label").get("categories"))
    sizes, modes = set(), set()
    for file in files:
        with _opened(image, file) as opened:
            sizes.add(opened.size)
            modes.add(opened.mode)
        if len(sizes) > 1:
            raise BadRequest(
                f"{file.name} is {opened.size}: all images must have one size, as {files[0].name}"
            )
    if modes & _DEEP and not modes <= _DEEP:
        raise BadRequest(f"{folder.name}: images of 16 bits and of 8 bits are mixed")
    ((width, height),) = sizes
    mode = "I" if modes & _DEEP else "L" if modes <= _GRAY else "RGB"
    channels = 3 if mode == "RGB" else 1

    def rows(first: int, stop: int) -> NDArray[Any]:
        return np.stack([_pixels(image, file, mode) for file in files[first:stop]])

    code = "I32" if mode == "I" else "U8"
    parts = [Part("image", code, (len(files), channels, height, width), rows, metadata_of(metadata, "image"))]
    if labels is not None:
        about = {**metadata_of(metadata, "label"), "categories": classes}
        parts.append(Part("label", "I64", (len(files),), lambda i, j: labels[i:j], about))
    return PartsContent("tensors", parts, folder.name)


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError as error:
        raise Unsupported('reading images needs Pillow: pip install "grid-platform[data]"') from error
    return Image


def _files(
    folder: Path, named: Sequence[str] | None
) -> tuple[list[Path], NDArray[np.int64] | None, list[str]]:
    children = sorted(child for child in folder.iterdir() if child.name[0] != ".")
    folders = [child for child in children if child.is_dir()]
    if not folders:
        return _images(children, folder), None, []
    found = {child.name: child for child in folders}
    classes = list(named or found)
    if len(folders) != len(children) or not set(found) <= set(classes):
        raise BadRequest(f"{folder.name}: one folder per class and nothing else, or images only")
    files: list[Path] = []
    counts = []
    for name in classes:
        mine = _images(sorted(found[name].iterdir()), found[name]) if name in found else []
        files += mine
        counts.append(len(mine))
    return files, np.repeat(np.arange(len(classes), dtype=np.int64), counts), classes


def _images(children: Sequence[Path], folder: Path) -> list[Path]:
    files = [child for child in children if child.name[0] != "."]
    for file in files:
        if file.suffix.lower() not in SUFFIXES:
            raise BadRequest(f"{folder.name}/{file.name} is no image ({', '.join(sorted(SUFFIXES))})")
    if not files:
        raise BadRequest(f"{folder.name}: there are no images")
    return files


def _opened(image: Any, file: Path) -> Any:
    try:
        return image.open(file)
    except OSError as error:  # which Pillow's own errors are
        raise BadRequest(f"{file.name} cannot be read as an image: {error}") from error


def _pixels(image: Any, file: Path, mode: str) -> NDArray[Any]:
    with _opened(image, file) as opened:
        try:
            pixels = np.asarray(opened.convert(mode))
        except OSError as error:
            raise BadRequest(f"{file.name} is damaged: {error}") from error
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
