"""Pictures are kept exactly, or refused by name; a folder's classes come with their words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from syft_ext.errors import BadRequest
from syft_ext.sources.content import PartsContent
from syft_ext.sources.opening import open_source

image = pytest.importorskip("PIL.Image")


def read(folder: Path, said: Any = None) -> PartsContent:
    return open_source(folder, said or {}, spool=None)


def saved(path: Path, pixels: Any, mode: str = "", **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = pixels if hasattr(pixels, "save") else image.fromarray(np.asarray(pixels))
    (picture.convert(mode) if mode else picture).save(path, **options)
    return path


GREY = np.arange(12, dtype=np.uint8).reshape(3, 4) * 20
DEEP = np.arange(12, dtype=np.uint16).reshape(3, 4) * 5000
COLOUR = np.arange(36, dtype=np.uint8).reshape(3, 4, 3) * 7
ALPHA = np.arange(48, dtype=np.uint8).reshape(3, 4, 4) * 5


@pytest.mark.parametrize(
    ("name", "pixels", "dtype"),
    [
        ("a.png", GREY, "uint8"),
        ("a.png", DEEP, "int32"),
        ("a.tif", DEEP, "int32"),
        ("a.tif", GREY.astype(np.float32) / 3, "float32"),
        ("a.tif", GREY.astype(np.int32) * -70_000, "int32"),
        ("a.pgm", GREY, "uint8"),
        ("a.png", COLOUR, "uint8"),
        ("a.bmp", COLOUR, "uint8"),
        ("a.png", ALPHA, "uint8"),
        ("a.png", ALPHA[..., :2], "uint8"),
    ],
)
def test_pixels_are_exact(tmp_path: Path, name: str, pixels: Any, dtype: str) -> None:
    saved(tmp_path / "p" / name, pixels)
    found = read(tmp_path / "p").arrays()["image"]
    expected = pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    assert str(found.dtype) == dtype
    assert found[0].tolist() == expected.tolist()


def test_palettes_and_bits_are_what_they_show(tmp_path: Path) -> None:
    few = image.fromarray(COLOUR // 64 * 64).quantize(8)
    shown = np.asarray(few.convert("RGB"))
    saved(tmp_path / "p" / "a.png", few)
    assert read(tmp_path / "p").arrays()["image"][0].tolist() == np.moveaxis(shown, -1, 0).tolist()
    saved(tmp_path / "q" / "a.png", image.fromarray(GREY > 100))
    assert set(np.unique(read(tmp_path / "q").arrays()["image"])) == {0, 255}


def _colour_of_16_bits(path: Path) -> None:
    """Pillow reads its upper bytes only, and does not say so; it cannot write one either."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    rows = b"".join(b"\0" + bytes(range(2 * 3 * 2)) for _ in range(2))
    head = struct.pack(">IIBBBBB", 2, 2, 16, 2, 0, 0, 0)
    path.write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def test_what_would_lose_something_is_refused_all_files_at_once(tmp_path: Path) -> None:
    folder = tmp_path / "p"
    saved(folder / "a.png", GREY)
    _colour_of_16_bits(folder / "deep.png")
    saved(folder / "cmyk.tif", COLOUR, "CMYK")
    saved(folder / "key.png", GREY, transparency=0)
    image.fromarray(GREY).save(folder / "two.tif", save_all=True, append_images=[image.fromarray(GREY)])
    (folder / "twelve.pgm").write_bytes(b"P5 4 3 4095\n" + DEEP.astype(">u2").tobytes())
    (folder / "cut.png").write_bytes(b"\x89PNG\r\n\x1a\n damaged")
    saved(folder / "small.png", GREY[:2])
    with pytest.raises(BadRequest, match="7 problems") as refused:
        read(folder)
    for name, why in {
        "deep.png": "16 bits a channel",
        "cmyk.tif": "of the kind CMYK",
        "key.png": "transparent colour",
        "two.tif": "2 pictures in one file",
        "twelve.pgm": "counts to 4095",
        "cut.png": "cannot be read as an image",
        "small.png": "is 4 × 2, 8 bits; a.png is 4 × 3, 8 bits",
    }.items():
        assert f"{name} " in str(refused.value) and why in str(refused.value), name
    saved(tmp_path / "q" / "a.png", GREY)
    saved(tmp_path / "q" / "b.png", ALPHA)
    with pytest.raises(BadRequest, match=r"b\.png is 4 × 3, RGBA; a\.png is 4 × 3, 8 bits"):
        read(tmp_path / "q")


def test_a_cut_picture_is_named(tmp_path: Path) -> None:
    path = saved(
        tmp_path / "p" / "a.png", np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    )
    path.write_bytes(path.read_bytes()[:2000])
    with pytest.raises(BadRequest, match=r"a\.png is damaged"):
        b"".join(map(bytes, read(tmp_path / "p").pieces()))


CLASSES = ["benign", "insitu", "malignant"]


@pytest.mark.parametrize("kind", ["png", "npy"])
def test_a_site_without_a_class_does_not_shift_the_others(tmp_path: Path, kind: str) -> None:
    """One site has a folder for it that is empty, the other no folder: by the schema's words both say the same."""
    for site, folders in (("a", CLASSES), ("b", ["benign", "malignant"])):
        for name in folders:
            (tmp_path / site / name).mkdir(parents=True)
        place = tmp_path / site / "malignant" / f"0.{kind}"
        saved(place, GREY) if kind == "png" else np.save(place, GREY[None])
    for site in "ab":
        told = read(tmp_path / site, {"label": {"categories": CLASSES}})
        assert told.arrays()["label"].tolist() == [2]
        assert told.columns[1].categories == CLASSES
    alone = read(tmp_path / "b")
    assert (alone.arrays()["label"].tolist(), alone.columns[1].categories) == ([1], ["benign", "malignant"])
    assert alone.parts[1].found == {"categories": ["benign", "malignant"]}, (
        "its words go where its numbers go"
    )
    with pytest.raises(BadRequest, match="insitu is no class that the schema names: benign, malignant"):
        read(tmp_path / "a", {"label": {"categories": ["benign", "malignant"]}})


def test_a_folder_that_holds_other_things(tmp_path: Path) -> None:
    (tmp_path / "p" / "a").mkdir(parents=True)
    with pytest.raises(BadRequest, match="no images in any of its folders"):
        read(tmp_path / "p")
    (tmp_path / "p" / "a" / "Thumbs.db").write_bytes(b"x")
    (tmp_path / "p" / "notes.txt").write_bytes(b"x")
    with pytest.raises(BadRequest, match=r"notes\.txt beside folders.*a/Thumbs\.db is no image"):
        read(tmp_path / "p")
    np.save(saved(tmp_path / "q" / "a.png", GREY).with_name("b.npy"), GREY)
    with pytest.raises(BadRequest, match=r"a\.png is an image, b\.npy an array"):
        read(tmp_path / "q")
    for name, array in (("a", GREY), ("b", GREY[:1]), ("c", np.array(["x"]))):
        (tmp_path / "r").mkdir(exist_ok=True)
        np.save(tmp_path / "r" / f"{name}.npy", array)
    with pytest.raises(
        BadRequest, match=r"c\.npy is not numbers.*b\.npy is uint8 \[1, 4\]; a\.npy is uint8 \[3, 4\]"
    ):
        read(tmp_path / "r")
