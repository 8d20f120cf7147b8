"""What libraries change without a word, and readers must not: masks, rounded lists, times that run over."""

from __future__ import annotations

import datetime
import struct
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pyarrow
import pyarrow.parquet
import pytest
import torch

from syft_ext.errors import BadRequest
from tests.sdk.sources.test_refusals import first, of_text, read

HIDDEN = np.ma.array([1, 999], mask=[0, 1])


@pytest.mark.parametrize("dtype", ["int8", "int64", "uint64", "float32", "M8[s]", "object"])
def test_what_a_mask_hides_is_missing(dtype: str) -> None:
    (_, hidden) = first(read({"a": HIDDEN.astype(dtype)}))
    assert np.isnan(hidden)


def test_what_a_mask_hides_in_an_array_is_refused() -> None:
    masked = np.ma.array(np.arange(6.0).reshape(3, 2), mask=[[0, 0], [0, 0], [0, 1]])
    with pytest.raises(BadRequest, match="row 3: a value is masked"):
        read(masked)
    assert first(read(np.ma.array([[1.0, 2.0]]))) == [[1.0, 2.0]]


@pytest.mark.parametrize(
    "rows",
    [
        [[2**53 + 1, 0.5], [1, 2]],
        [[2**63 + 1, -1], [1, 2]],
        [[True, 2], [1, 2]],
        [[True, 2.5], [1, 2]],
        [np.array([1, 2]), np.array([0.5, 1])],
    ],
)
def test_lists_in_lists_are_not_rounded(rows: Any) -> None:
    with pytest.raises(BadRequest):
        read(rows)
    with pytest.raises(BadRequest):
        read({"a": rows})


@pytest.mark.parametrize(
    "rows", [[[1, 2.5]], [[2**53, 0.5]], [[True], [False]], [np.array([1]), np.array([2])]]
)
def test_lists_in_lists_that_one_type_holds_are_kept(rows: Any) -> None:
    assert first(read(rows)) == [[*each] for each in rows]


@pytest.mark.parametrize("gone", [np.datetime64("NaT", "ns"), np.datetime64("NaT"), None])
def test_no_time_among_objects_is_missing(gone: Any) -> None:
    (_, missing) = first(read({"a": [np.datetime64("2020-01-01", "ns"), gone]}, {"a": {"unit": "ns"}}))
    assert np.isnan(missing)
    found, missing = first(read({"a": [np.timedelta64(1, "s"), np.timedelta64("NaT", "s")]}))
    assert found == 10**6 and np.isnan(missing), "numpy's spans are whole numbers, too, of any unit"


def test_blanks_do_not_make_two_categories_one() -> None:
    same = pandas.Categorical(["a ", "a"], categories=["a", "a "])
    with pytest.raises(BadRequest, match="a category is named twice"):
        read(pandas.DataFrame({"a": same}))
    assert first(read(pandas.DataFrame({"a": pandas.Categorical(["b", " a"], categories=[" a", "b"])}))) == [
        1,
        0,
    ]


@pytest.mark.parametrize("words", [["1", "2", "3"], ["1", "0"]])
def test_numbers_that_could_be_words_or_places_are_taken_for_neither(words: list[str]) -> None:
    said = {"a": {"categories": words}}
    with pytest.raises(BadRequest, match="categories are numbers that stand at other places"):
        read({"a": torch.tensor([1, 0])}, said)
    with pytest.raises(BadRequest, match="not among its categories"):
        read({"a": np.array([1, 7])}, said)
    assert first(read({"a": np.array([1, int(words[1])])}, said)) == [0, 1]
    assert first(read({"a": torch.tensor([1, 0])}, {"a": {"categories": ["0", "1"]}})) == [1, 0]


@pytest.mark.parametrize("schema", [True, False])
def test_times_of_96_bits_do_not_run_over(tmp_path: Path, schema: bool) -> None:
    times = [datetime.datetime(9999, 12, 31), datetime.datetime(1, 1, 1), None]
    table = pyarrow.table({"t": pyarrow.array(times, type=pyarrow.timestamp("us"))})
    path = tmp_path / "t.parquet"
    old = {"use_deprecated_int96_timestamps": True, "store_schema": schema}
    pyarrow.parquet.write_table(table, path, **old)
    late, early, gone = first(read(path))
    assert (late, early, np.isnan(gone)) == (253402214400000000, -62135596800000000, True)
    fine = pyarrow.table({"t": pyarrow.array([1, 10**18 + 1], type=pyarrow.timestamp("ns"))})
    pyarrow.parquet.write_table(fine, path, **old)
    with pytest.raises(BadRequest, match="no whole number of µs"):
        read(path)
    assert first(read(path, {"t": {"unit": "ns"}})) == [1, 10**18 + 1]


@pytest.mark.parametrize(
    ("form", "cell", "said"),
    [
        ("%Y-%m-%d %H:%M %Z", "2024-01-01 12:00 GMT", "forgets it"),
        ("%Y-%m-%d %I:%M", "2024-01-01 12:30", "morning or the afternoon"),
        ("%d.%m.%y", "01.02.45", "century open"),
        ("%d.%m. %H:%M", "01.02. 10:00", "days and no year"),
    ],
)
def test_formats_that_leave_a_time_open_are_refused(tmp_path: Path, form: str, cell: str, said: str) -> None:
    with pytest.raises(BadRequest, match=said):
        of_text(tmp_path, f"t\n{cell}\n", {"t": {"format": form}})


def test_formats_that_tell_a_time(tmp_path: Path) -> None:
    found = of_text(tmp_path, "t\n8:30\n", {"t": {"format": "%H:%M"}})
    assert (first(found), found.columns[0].unit) == ([(8 * 60 + 30) * 60 * 10**6], "µs since midnight")
    said = {"format": "%d.%m.%y", "low": "1920-01-01", "high": "2019-12-31"}
    assert first(of_text(tmp_path, "t\n01.02.99\n", {"t": said})) == [917827200000000]
    with pytest.raises(BadRequest, match="outside of its range"):
        of_text(tmp_path, "t\n01.02.45\n", {"t": said})


def test_a_number_that_stands_for_missing_does_however_it_is_written(tmp_path: Path) -> None:
    found = first(of_text(tmp_path, "a,b\n-9.0,1\n-9,1\n5,1\n", missing=("-9",)))
    assert [np.isnan(each) for each in found] == [True, True, False]


@pytest.mark.parametrize("cell", ["sNaN", "NaN12", "-nan1"])
def test_what_python_takes_for_no_number_is_text(tmp_path: Path, cell: str) -> None:
    with pytest.raises(BadRequest, match="not numbers"):
        of_text(tmp_path, f"a\n{cell}\n1\n")
    assert np.isnan(first(read({"a": [Decimal("sNaN"), Decimal(1)]}))[0])


def tiff(path: Path, pixels: Any, form: int, photometric: int = 1, orientation: int = 1) -> Path:
    """An image that Pillow does not write, without compression."""
    height, width = pixels.shape
    entries = [
        (256, width),
        (257, height),
        (258, 8 * pixels.itemsize),
        (259, 1),
        (262, photometric),
        (273, 8),
    ]
    entries += [(274, orientation), (277, 1), (278, height), (279, pixels.nbytes), (339, form)]
    directory = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    body = pixels.tobytes() + b"\0" * (pixels.nbytes % 2)
    header, count = struct.pack("<2sHI", b"II", 42, 8 + len(body)), struct.pack("<H", len(entries))
    path.write_bytes(header + body + count + directory + bytes(4))
    return path


def test_pictures_that_pillow_reads_as_others_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "p" / "a.tif"
    path.parent.mkdir()
    tiff(path, np.array([[-1, 2]], np.int8), 2)
    with pytest.raises(BadRequest, match="signed numbers of 8 bits"):
        read(path.parent)
    tiff(path, np.array([[1, 2]], np.uint16), 1, photometric=0)
    with pytest.raises(BadRequest, match="counts from white on"):
        read(path.parent)
    tiff(path, np.array([[1, 2]], np.uint8), 1, orientation=6)
    with pytest.raises(BadRequest, match="kept on its side"):
        read(path.parent)
    tiff(path, np.array([[-1, 2]], np.int16), 2)
    assert first(read(path.parent)) == [[[[-1, 2]]]]


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.webp"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_pictures_are_turned_as_they_are_seen(tmp_path: Path, name: str, orientation: int) -> None:
    from PIL import Image, ImageOps

    pixels = np.kron(np.array([[0, 255], [255, 0], [0, 0]], np.uint8), np.ones((8, 16), np.uint8))
    exif = Image.Exif()
    exif[274] = orientation
    (tmp_path / "p").mkdir()
    kept = {"quality": 100} if name == "a.jpg" else {"lossless": True}
    Image.fromarray(pixels).save(tmp_path / "p" / name, exif=exif, **kept)
    with Image.open(tmp_path / "p" / name) as image:
        seen = np.asarray(ImageOps.exif_transpose(image).convert("L"))
    found = read(tmp_path / "p").arrays()["image"][0, 0]
    assert found.shape == seen.shape
    np.testing.assert_array_equal(found, seen)


@pytest.mark.parametrize("dtype", ["int64", "uint8", "bool"])
@pytest.mark.parametrize("rows", [[None] * 3, [*[1] * 70_000, *[None] * 70_000]])
def test_a_type_without_gaps_has_none_however_many_are_missing(dtype: str, rows: list[Any]) -> None:
    for given in ({"a": rows}, pandas.DataFrame({"a": pandas.array(rows, dtype="Int64")})):
        with pytest.raises(BadRequest, match="a missing value does not fit into"):
            read(given, {"a": {"dtype": dtype}})
    assert first(read({"a": rows}, {"a": {"dtype": dtype, "categories": ["", "1"]}}))[-1] == 0
