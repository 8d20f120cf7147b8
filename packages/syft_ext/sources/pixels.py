"""Pixels exactly as an image's file has them, or a refusal: Pillow gives up bits and alpha without a word."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from syft_ext.errors import BadRequest, Unsupported

__all__ = ["SUFFIXES", "Picture", "opened_picture", "pixels_of", "require_pillow"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".bmp", ".pgm", ".ppm", ".tif", ".tiff", ".webp"})
_DEEP = frozenset({"I;16", "I;16L", "I;16B", "I;16N", "I"})
_BITS, _SAMPLE_FORMAT = 258, 339  # tags of TIFF
_PHOTOMETRIC, _ORIENTATION = 262, 274
_UNSIGNED, _SIGNED = 1, 2
_SIDEWAYS = (5, 6, 7, 8)


@dataclass(frozen=True, slots=True)
class Picture:
    """Attributes:
    mode: one of :attr:`FORMS`: what its pixels are kept as.
    """

    width: int
    height: int
    mode: str

    #: mode → channels, and the type of the tensor file.
    FORMS: ClassVar[dict[str, tuple[int, str]]] = {
        "L": (1, "U8"),
        "LA": (2, "U8"),
        "RGB": (3, "U8"),
        "RGBA": (4, "U8"),
        "I": (1, "I32"),
        "F": (1, "F32"),
    }


def opened_picture(file: Path) -> Picture:
    """What an image holds, without decoding it. Raises :class:`BadRequest` for what would not be read exactly."""
    with _opened(file) as image:
        mode, turned = _mode(image, file), _is_turned(image)
        size = (image.height, image.width) if turned else (image.width, image.height)
        return Picture(*size, mode)


def pixels_of(file: Path, mode: str, where: str) -> NDArray[Any]:
    """[channels, height, width]."""
    with _opened(file) as image:
        try:
            before = _orientation(image)
            image.load()
            if _orientation(image, loaded=True) != before and image.format != "TIFF":
                raise BadRequest(
                    f"{where} says behind its pixels that it is turned; save it as it is to be seen"
                )
            # Turned as every viewer shows it; Pillow does so of TIFF only.
            shown = _operations().exif_transpose(image)
            # A palette's colours, and grey three times, lose nothing; 16 bits are not asked to be another mode.
            pixels = np.asarray(shown if shown.mode in _DEEP else shown.convert(mode))
        except (OSError, ValueError, SyntaxError, EOFError) as error:
            raise BadRequest(f"{where} is damaged: {error}") from error
        if image.mode == "I" and _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _UNSIGNED and (pixels < 0).any():
            raise BadRequest(f"{where}: int32 does not hold its pixels")
    if mode == "I":
        pixels = pixels.astype(np.int32)
    return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)


def require_pillow() -> Any:
    """Pillow's ``Image``; raises :class:`Unsupported`, naming the extra."""
    try:
        from PIL import Image
    except ImportError as error:
        raise Unsupported('reading images needs Pillow: pip install "grid-platform[data]"') from error
    return Image


def _operations() -> Any:
    """Pillow's ``ImageOps``."""
    require_pillow()
    from PIL import ImageOps

    return ImageOps


def _is_turned(image: Any) -> bool:
    """Whether it is shown on its side."""
    return _orientation(image) in _SIDEWAYS


def _orientation(image: Any, *, loaded: bool = False) -> int:
    """How it is turned to be seen, as of EXIF: 1 as it is. Of a PNG, what stands before its pixels."""
    if image.format == "PNG" and not loaded and not {"exif", "Raw profile type exif"} & set(image.info):
        return 1
    return int(image.getexif().get(_ORIENTATION, 1))


def _opened(file: Path) -> Any:
    pillow = require_pillow()
    try:
        return pillow.open(file)
    except pillow.DecompressionBombError as error:
        raise BadRequest(f"has more pixels than may be: {error}") from error
    except (OSError, ValueError, SyntaxError) as error:  # which Pillow's own errors are
        raise BadRequest(f"cannot be read as an image: {error}") from error


def _mode(image: Any, file: Path) -> str:
    mode = image.mode
    if getattr(image, "n_frames", 1) > 1:
        raise BadRequest(f"has {image.n_frames} pictures in one file; save each by itself")
    if mode in ("1", "L", "P", "RGB") and "transparency" in image.info:
        raise BadRequest("has a transparent colour; save it with an alpha channel (RGBA), or without")
    bits = _bits(image, file)
    if bits > 8 and mode not in _DEEP | {"F"}:
        raise BadRequest(
            f"has {bits} bits a channel and more than one channel, of which only 8 bits would be read"
        )
    if image.format == "PPM" and (most := _ppm_maximum(file)) not in (255, 65535, None):
        raise BadRequest(f"counts to {most}, which would be scaled; save it as a PNG of 16 bits")
    if image.format == "TIFF":
        _check_tiff(image, bits)
    if mode in _DEEP:
        return "I"
    if mode == "1":
        return "L"
    if mode == "P":
        kind = image.palette.mode if image.palette is not None else "RGB"
        if kind != "RGB":
            raise BadRequest(f"has a palette of {kind}; save it as RGB or RGBA")
        return "RGB"
    if mode not in Picture.FORMS:
        raise BadRequest(f"is of the kind {mode}, which is not read exactly; save it as grey, RGB or RGBA")
    return str(mode)


def _check_tiff(image: Any, bits: int) -> None:
    """Raise :class:`BadRequest` for what Pillow reads as other numbers."""
    if bits <= 8 and _tag(image, _SAMPLE_FORMAT, _UNSIGNED) == _SIGNED:
        raise BadRequest(
            "has signed numbers of 8 bits, which would be read as 0 to 255; save it with 16 bits"
        )
    if (
        _tag(image, _ORIENTATION, 1) in _SIDEWAYS
    ):  # of those that are not compressed it takes rows for columns
        raise BadRequest("is kept on its side; save it as it is to be seen")
    if bits > 8 and _tag(image, _PHOTOMETRIC, 1) == 0:
        raise BadRequest("counts from white on, which would not be turned round; save it with 0 as black")


def _bits(image: Any, file: Path) -> int:
    if image.format == "PNG":
        with file.open("rb") as stream:
            return stream.read(25)[24]  # of the header, which comes first
    if image.format == "TIFF":
        return int(_tag(image, _BITS, 8))
    return 16 if image.format == "PPM" and (_ppm_maximum(file) or 0) > 255 else 8


def _tag(image: Any, tag: int, default: int) -> int:
    found = getattr(image, "tag_v2", {}).get(tag, default)
    return max(found) if isinstance(found, tuple) else int(found)


def _ppm_maximum(file: Path) -> int | None:
    """The largest value that the header of a PGM or PPM names; None of a bitmap, which has none."""
    tokens: list[bytes] = []
    with file.open("rb") as stream:
        for line in stream.read(4096).split(b"\n"):
            tokens += line.partition(b"#")[0].split()
            if len(tokens) >= 4:
                break
    return int(tokens[3]) if len(tokens) >= 4 and tokens[0] in (b"P2", b"P3", b"P5", b"P6") else None
