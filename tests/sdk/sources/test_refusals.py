"""What cannot be kept exactly is refused with its row and column, all columns at once, in every format alike."""

from __future__ import annotations

import datetime
import math
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
from syft_ext.messages.vocabulary import TableOptions
from syft_ext.sources.content import PartsContent
from syft_ext.sources.frames import content_of
from syft_ext.sources.opening import open_source
from syft_ext.tensors import described, read_layout
from tests.sdk.sources.formats import FORMATS, UTC, Column, polars


def read(source: Any, said: Any = None, **options: Any) -> PartsContent:
    if isinstance(source, Path):
        return open_source(source, said or {}, spool=None, **options)
    return content_of(source, said or {}, "d/t", **options)


def of_text(folder: Path, text: str | bytes, said: Any = None, **told: Any) -> PartsContent:
    path = folder / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read(path, said, options=TableOptions(**told))


def first(content: PartsContent) -> list[Any]:
    return list(next(iter(content.arrays().values())).tolist())


#: what it is → values, types, what the schema says, what the error says beside row 2 and the column.
CASES: dict[str, tuple[Column, dict[str, Any], str]] = {
    "an identifier beyond int64": (
        Column([1, (1 << 63) + 1], pyarrow.uint64(), polars.UInt64), {},
        "int64 does not hold 9223372036854775809 exactly",
    ),
    "a whole number beside a gap": (
        Column([None, (1 << 53) + 1], pyarrow.int64(), polars.Int64, "Int64"), {},
        "float64 does not hold 9007199254740993 exactly .as values are missing",
    ),
    "digits that no float has": (
        Column([Decimal("0.5"), Decimal("0.12345678901234567890")],
               pyarrow.decimal128(30, 20), polars.Decimal(30, 20)), {},
        "float64 does not hold 0.12345678901234567890 exactly",
    ),
    "text without categories": (
        Column([None, "x"], pyarrow.string(), polars.String, "string"), {}, "'x' is not numbers",
    ),
    "another word": (
        Column(["f", "x"], pyarrow.string(), polars.String, "string"), {"categories": ["f", "m"]},
        "'x' is not among its categories",
    ),
    "a number beyond the categories": (
        Column([1, 2], pyarrow.int64(), polars.Int64, "Int64"), {"categories": ["1", "3"]},
        "'2' is not among its categories",
    ),
    "below the range": (
        Column([0.5, -0.25], pyarrow.float64(), polars.Float64, "Float64"), {"low": 0, "high": 1},
        "-0.25 is outside of its range, 0 to 1",
    ),
    "above the range": (
        Column([1, 121], pyarrow.int16(), polars.Int16, "Int16"), {"low": 0, "high": 120},
        "121 is outside of its range, 0 to 120",
    ),
    "a day outside of its range": (
        Column([None, datetime.date(2026, 1, 1)], pyarrow.date32(), polars.Date),
        {"low": "1900-01-01", "high": "2025-12-31"}, "a time is outside of its range",
    ),
    "half a second": (
        Column([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, 0, 0, 0, 500_000)],
               pyarrow.timestamp("us"), polars.Datetime("us"), "datetime64[us]"),
        {"unit": "s"}, "a time that is no whole number of s",
    ),
    "an hour that was twice": (
        Column([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 10, 27, 2, 30)],
               pyarrow.timestamp("us"), polars.Datetime("us"), "datetime64[us]"),
        {"timezone": "Europe/Berlin"}, "was shown twice, or never, by the clocks of Europe/Berlin",
    ),
    "an hour that was not": (
        Column([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 3, 31, 2, 30)],
               pyarrow.timestamp("us"), polars.Datetime("us"), "datetime64[us]"),
        {"timezone": "Europe/Berlin"}, "was shown twice, or never, by the clocks of Europe/Berlin",
    ),
    "too large for its type": (
        Column([1, 300], pyarrow.int64(), polars.Int64, "Int64"), {"dtype": "int8"}, "300 does not fit into int8",
    ),
    "a fraction for a whole type": (
        Column([1.0, 1.5], pyarrow.float64(), polars.Float64, "Float64"), {"dtype": "int32"},
        "1.5 does not fit into int32",
    ),
    "a gap for a whole type": (
        Column([1, None], pyarrow.int64(), polars.Int64, "Int64"), {"dtype": "int32"},
        "a missing value does not fit into int32",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", list(CASES))
def test_refused_alike_with_row_and_column(case: str, tmp_path: Path) -> None:
    column, said, words = CASES[case]
    table = {"good": Column([1, 2], pyarrow.int64(), polars.Int64), "bad": column}
    for name, make in FORMATS.items():
        with pytest.raises(BadRequest, match=rf"column 'bad', row 2( \(line 3\))?: .*{words}") as refused:
            read(make(table, tmp_path), {"bad": said})
        assert [(each["column"], each["row"]) for each in refused.value.extra["problems"]] == [("bad", 2)], (
            name
        )


def test_all_columns_in_one_answer(tmp_path: Path) -> None:
    table = {
        "a": Column([1, 2, 300], pyarrow.int64(), polars.Int64),
        "b": Column(["f", "x", "m"], pyarrow.string(), polars.String),
        "fine": Column([1.5, 2.5, 3.5], pyarrow.float64(), polars.Float64),
        "c": Column([(1 << 63), 0, 0], pyarrow.uint64(), polars.UInt64),
    }
    said = {"a": {"low": 0, "high": 120}, "b": {"categories": ["f", "m"]}}
    for name, make in FORMATS.items():
        with pytest.raises(BadRequest, match="3 problems") as refused:
            read(make(table, tmp_path), said)
        found = {each["column"]: each["row"] for each in refused.value.extra["problems"]}
        assert found == {"a": 3, "b": 2, "c": 1}, name


NAMED_TWICE = "2 columns have this name .columns 1, 2."


def test_names_that_are_none_or_twice(tmp_path: Path) -> None:
    """A Parquet file with a name twice had truncated values of one column, and not the other."""
    arrays = [pyarrow.array([1, 2]), pyarrow.array([0.5, 1.5])]
    pyarrow.parquet.write_table(pyarrow.table(arrays, names=["x", "x"]), tmp_path / "t.parquet")
    frame = pandas.DataFrame([[1, 0.5]], columns=["x", "x"])
    (tmp_path / "t.csv").write_text("x, x\n1,0.5\n")
    sources = (tmp_path / "t.parquet", tmp_path / "t.csv", frame, pyarrow.table(arrays, names=["x", " x"]))
    for source in sources:
        with pytest.raises(BadRequest, match=f"column 'x': {NAMED_TWICE}"):
            read(source)
    (tmp_path / "t.csv").write_text(",y\n0,1\n")
    for source in (
        tmp_path / "t.csv",
        pandas.DataFrame({"": [0], "y": [1]}),
        pyarrow.table(arrays, names=[" ", "y"]),
    ):
        with pytest.raises(BadRequest, match="column 1 has no name"):
            read(source)
        assert [part.name for part in read(source, columns=["y"]).parts] == ["y"], "the others are not needed"
    with pytest.raises(BadRequest, match="several levels"):
        read(pandas.DataFrame([[1, 2]], columns=pandas.MultiIndex.from_tuples([("a", 1), ("a", 2)])))


def test_an_index_is_kept_or_named_as_left_out(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"x": [1, 2]})
    cases: list[tuple[Any, list[str], list[str]]] = [
        (frame, ["x"], []),
        (frame.set_index(pandas.Index([7, 9], name="patient")), ["patient", "x"], []),
        (frame.set_index(pandas.Index([7, 9])), ["x"], ["the index, which has no name, is left out"]),
        (frame.set_index(pandas.RangeIndex(5, 7)), ["x"], ["the index, which has no name, is left out"]),
        (frame.set_index(pandas.RangeIndex(2, name="n")), ["n", "x"], []),
        (
            frame.set_index(pandas.MultiIndex.from_tuples([(1, 2), (3, 4)], names=["site", None])),
            ["site", "x"], ["the index, which has no name, is left out"],
        ),
    ]  # fmt: skip
    for each, names, notes in cases:
        each.to_parquet(tmp_path / "i.parquet")
        for source in (each, tmp_path / "i.parquet", pyarrow.Table.from_pandas(each)):
            content = read(source)
            assert [part.name for part in content.parts] == names, type(source)
            assert content.notes == notes, type(source)
            header = next(content.pieces())
            assert described(read_layout(bytes(header)).metadata)[1] == notes, (
                "whoever gets the content knows it"
            )


def test_categoricals_bring_their_words_in_their_order(tmp_path: Path) -> None:
    words = ["low", "high", "never"]
    frame = pandas.DataFrame({"risk": pandas.Categorical(["high", "low", "high"], words, ordered=True)})
    frame.to_parquet(tmp_path / "c.parquet")
    enum = polars.DataFrame({"risk": polars.Series(["high", "low", "high"], dtype=polars.Enum(words))})
    sources = [frame, tmp_path / "c.parquet", pyarrow.Table.from_pandas(frame), enum, {"risk": frame["risk"]}]
    for source in sources:
        content = read(source)
        assert first(content) == [1, 0, 1]
        assert content.columns[0].categories == words
        assert described(read_layout(bytes(next(content.pieces()))).metadata)[0] == {
            "risk": {"categories": words}
        }
        told = read(source, {"risk": {"categories": ["high", "low"]}})
        assert first(told) == [0, 1, 0], "the schema's order, where it has one"
        with pytest.raises(BadRequest, match="column 'risk', row 1: 'high' is not among"):
            read(source, {"risk": {"categories": ["low", "never"]}})
    numbers = pandas.DataFrame({"n": pandas.Categorical([3, 1, 3], [1, 2, 3])})
    assert first(read(numbers)) == [3, 1, 3], "a categorical of numbers is these numbers"
    # Each row group numbers by itself: nobody declared an order.
    chunks = [pyarrow.array([word]).dictionary_encode() for word in ("a", "b")]
    with pytest.raises(BadRequest, match="column 'x', row 1: 'a' is not numbers"):
        read(pyarrow.table({"x": pyarrow.chunked_array(chunks)}))


def test_missing_words_are_nan_or_a_category_of_their_own(tmp_path: Path) -> None:
    frame = pandas.DataFrame({"sex": ["f", None, "m"]})
    (tmp_path / "t.csv").write_text("sex\nf\nNA\nm\n")
    for source in (frame, tmp_path / "t.csv", polars.DataFrame({"sex": ["f", None, "m"]})):
        gone = first(read(source, {"sex": {"categories": ["f", "m"]}}))
        assert gone[0] == 0 and math.isnan(gone[1]) and gone[2] == 1
        assert first(read(source, {"sex": {"categories": ["f", "", "m"]}})) == [0, 1, 2]
    (tmp_path / "t.csv").write_text("sex\nf\nNA\nm\n")
    assert first(read(tmp_path / "t.csv", {"sex": {"categories": ["f", "NA", "m"]}})) == [0, 1, 2], "Namibia"


def test_numbers_are_places_of_categories_in_arrays_only(tmp_path: Path) -> None:
    """Whether a table's 1 is the first word or the second is not guessed; an array has no words."""
    said = {"sex": {"categories": ["f", "m"]}}
    assert first(read({"sex": np.array([1, 0], np.int8)}, said)) == [1, 0]
    assert first(read({"sex": torch.tensor([1, 0])}, said)) == [1, 0]
    for values in (np.array([1, 2]), torch.tensor([1, 2])):
        with pytest.raises(BadRequest, match=r"column 'sex', row 2: '?2'? is (no place|not) among its"):
            read({"sex": values}, said)
    table = {"sex": Column([0, 1], pyarrow.int64(), polars.Int64)}
    for name, make in FORMATS.items():
        with pytest.raises(BadRequest, match=r"column 'sex', row 1.*'0' is not among its categories"):
            read(make(table, tmp_path), said)
        found = first(read(make(table, tmp_path), {"sex": {"categories": ["1", "0"]}}))
        assert found == [1, 0], f"{name}: words that are numbers"


# -- text ----------------------------------------------------------------------------------------------


def test_encodings_are_told(tmp_path: Path) -> None:
    text = "größe,y\n1,2\n"
    for encoding in ("latin-1", "cp1252", "utf-16", "utf-16-le"):
        content = of_text(tmp_path, text.encode(encoding), encoding=encoding)
        assert [part.name for part in content.parts] == ["größe", "y"]
    assert [part.name for part in of_text(tmp_path, text.encode("utf-8-sig")).parts] == ["größe", "y"]
    with pytest.raises(
        BadRequest, match=r"line 1 \(byte 3, 0xf6\): it is no text in utf-8: .*encoding \"latin-1\""
    ):
        of_text(tmp_path, text.encode("latin-1"))
    long = "x\n" + "1\n" * 5000 + "ä\n" + "1\n" * 5000
    with pytest.raises(BadRequest, match="line 5002"):
        of_text(tmp_path, long.encode("latin-1"))
    with pytest.raises(BadRequest, match="utf-8"):
        of_text(tmp_path, text.encode("utf-16"))
    with pytest.raises(BadRequest, match="no encoding 'klingon'"):
        of_text(tmp_path, text, encoding="klingon")


@pytest.mark.parametrize(
    ("told", "cells", "values"),
    [
        ({"decimal": ","}, ["1,5", "-2,25", "3"], [1.5, -2.25, 3.0]),
        ({"thousands": ",", "delimiter": ";"}, ["1,234", "12,345,678", "5"], [1234, 12345678, 5]),
        ({"thousands": ".", "decimal": ","}, ["1.234,5", "999", "1.000.000"], [1234.5, 999.0, 1e6]),
        ({"thousands": " "}, ["1 234", "1\u202f234", "1234"], [1234, 1234, 1234]),
        ({"missing": ["-9", "."]}, ["1", "-9", "."], [1.0, None, None]),
    ],
)
def test_how_numbers_are_written_is_told(
    tmp_path: Path, told: Any, cells: list[str], values: list[Any]
) -> None:
    text = "x;y\n" + "".join(f"{cell};0\n" for cell in cells)
    found = first(of_text(tmp_path, text, **told))
    assert [None if math.isnan(each) else each for each in found] == values
    usual = [cell for cell in cells if not cell.lstrip("-").isdigit() and cell != "."]
    for cell in usual:
        with pytest.raises(BadRequest, match=r"column 'x', row 1 \(line 2\): .*is not numbers"):
            of_text(tmp_path, f"x;y\n{cell};0\n")


@pytest.mark.parametrize(
    ("told", "cell"),
    [
        ({"decimal": ","}, "1.5"),
        ({"thousands": ",", "delimiter": ";"}, "1,23"),
        ({"thousands": ",", "delimiter": ";"}, "1234,567"),
        ({"thousands": ".", "decimal": ","}, "1.5"),
        ({}, "1_000"),
        ({}, "12/31/2024"),
        ({}, "31.12.2024"),
        ({}, "2024-02-30"),
        ({}, "yes"),
    ],
)
def test_nothing_is_guessed(tmp_path: Path, told: Any, cell: str) -> None:
    with pytest.raises(BadRequest, match=rf"column 'x', row 2 \(line 3\): '{cell}' is not numbers"):
        of_text(tmp_path, f"x;y\n1;0\n{cell};0\n", **told)


def test_numbers_of_text_are_exact_or_refused(tmp_path: Path) -> None:
    assert first(of_text(tmp_path, "x\n0.1\n1e3\n-0.0\n1e-300\ninf\n")) == [
        0.1,
        1000.0,
        -0.0,
        1e-300,
        math.inf,
    ]
    assert first(of_text(tmp_path, "x\n0.10000000000000001\n0.1000000000000000055511\n")) == [0.1, 0.1]
    for cell in ("1e400", "1e-400", "1.23e-323", "0.12345678901234567890", "9007199254740993"):
        with pytest.raises(BadRequest, match=r"row 2 .line 3.: float64 does not hold"):
            of_text(tmp_path, f"x\n0.5\n{cell}\n")
        if cell != "1e400":
            found = first(of_text(tmp_path, f"x\n0.5\n{cell}\n", {"x": {"dtype": "float64"}}))
            assert found[1] == float(cell), "rounded on its owner's word"
    assert first(of_text(tmp_path, f"x\n{(1 << 63) - 1}\n{-(1 << 63)}\n")) == [(1 << 63) - 1, -(1 << 63)]


def test_truths_times_and_lines(tmp_path: Path) -> None:
    assert first(of_text(tmp_path, "x\nTrue\nFALSE\ntrue\n")) == [True, False, True]
    with pytest.raises(BadRequest, match=r"row 2 \(line 3\): '1' is not numbers"):
        of_text(tmp_path, "x\nTrue\n1\n")
    mixed = "x\n2024-03-31T12:00+02:00\n2024-01-01 12:00:00Z\n2024-01-01T12:00:00.000001+0100\n"
    content = of_text(tmp_path, mixed)
    assert content.columns[0].unit == "µs since 1970-01-01 00:00 UTC"
    moments = [
        datetime.datetime(2024, 3, 31, 10, tzinfo=UTC), datetime.datetime(2024, 1, 1, 12, tzinfo=UTC),
        datetime.datetime(2024, 1, 1, 11, 0, 0, 1, tzinfo=UTC),
    ]  # fmt: skip
    epoch, micro = datetime.datetime(1970, 1, 1, tzinfo=UTC), datetime.timedelta(microseconds=1)
    assert first(content) == [(each - epoch) // micro for each in moments]
    with pytest.raises(BadRequest, match=r"row 2 \(line 3\): '2024-01-01' is of kind time"):
        of_text(tmp_path, "x\n2024-03-31T12:00+02:00\n2024-01-01\n")
    german = of_text(tmp_path, "x\n31.12.2024\n", {"x": {"format": "%d.%m.%Y", "unit": "d"}})
    assert (first(german), german.columns[0].unit) == ([20088], "d since 1970-01-01 00:00 (no time zone)")
    berlin = of_text(tmp_path, "x\n2024-07-01 12:00\n", {"x": {"timezone": "Europe/Berlin", "unit": "s"}})
    assert (first(berlin), berlin.columns[0].unit) == ([1719828000], "s since 1970-01-01 00:00 UTC")
    again = of_text(
        tmp_path,
        "x\n2024-07-01 12:00\n",
        {"x": {"timezone": "Europe/Berlin", "unit": berlin.columns[0].unit}},
    )
    assert first(again) == first(berlin), "a new version is told in the unit of the old one"
    clock = of_text(tmp_path, "x\n12:30\n00:00:01\n")
    assert (first(clock), clock.columns[0].unit) == ([45_000_000_000, 1_000_000], "µs since midnight")
    with pytest.raises(BadRequest, match="its unit 'years' is none of time"):
        of_text(tmp_path, "x\n2024-07-01\n", {"x": {"unit": "years"}})
    with pytest.raises(BadRequest, match="no time zone 'Mars/Base'"):
        of_text(tmp_path, "x\n2024-07-01\n", {"x": {"timezone": "Mars/Base"}})
    lines = 'x,y\r\n1,"a\nb"\r\n\r\n2,"a\nb"\r\nz,"a\nb"\r\n'
    with pytest.raises(BadRequest, match=r"column 'x', row 3 \(line 8\): 'z'"):
        of_text(tmp_path, lines, {"y": {"categories": ["a\nb"]}})
    with pytest.raises(BadRequest, match=r"row 2 \(line 3\): 1 of 2 columns"):
        of_text(tmp_path, "x,y\n1,2\n3\n4,5,6\n")
    for empty in ("", "\n", "\ufeff"):
        with pytest.raises(BadRequest, match="must name the columns"):
            of_text(tmp_path, empty)
    assert of_text(tmp_path, "x,y\n").rows == 0


# -- objects and tensors -------------------------------------------------------------------------------


def test_mixed_objects_are_named(tmp_path: Path) -> None:
    for values, words in (
        ([1, "a"], "'a' is of kind text, what stands above it of kind whole"),
        ([True, 2], "2 is of kind whole, what stands above it of kind truth"),
        ([1, {}], "a dict is not numbers"),
        ([datetime.datetime(2024, 1, 1), datetime.datetime(2024, 1, 1, tzinfo=UTC)], "kind zoned time"),
        ([0.5, (1 << 53) + 1], "float64 does not hold 9007199254740993 exactly"),
    ):
        for source in (pandas.DataFrame({"x": pandas.Series(values, dtype=object)}), {"x": values}):
            with pytest.raises(BadRequest, match=f"column 'x', row 2: .*{words}"):
                read(source)
    for kind in (pandas.period_range("2024-01", periods=2, freq="M"), pandas.interval_range(0, 2)):
        with pytest.raises(BadRequest, match=r"column 'x', row 1: a (Period|Interval) is not numbers"):
            read(pandas.DataFrame({"x": kind}))
    assert first(read({"x": np.array(["2024-01-01", "NaT"], "M8[D]")}))[0] == 1704067200000000
    spans = read(pandas.DataFrame({"x": pandas.to_timedelta(["1h", "2h"])}), {"x": {"unit": "min"}})
    assert (first(spans), spans.columns[0].unit) == ([60, 120], "min")


def test_tensors_are_held_against_their_schema() -> None:
    for values in (
        torch.tensor([0.5, 1.5]),
        torch.tensor([0.5, 1.5]).to(torch.bfloat16),
        np.array([0.5, 1.5], np.float32),
    ):
        with pytest.raises(BadRequest, match=r"column 'x', row 2: 1.5 is outside of its range, 0 to 1"):
            read({"x": values}, {"x": {"low": 0, "high": 1}})
    with pytest.raises(BadRequest, match="it is float32, its schema says float64"):
        read({"x": torch.zeros(2, 2)}, {"x": {"dtype": "float64"}})
    with pytest.raises(BadRequest, match="row 2: int64 does not hold"):
        read({"x": np.array([1, 1 << 63], np.uint64)})
    kept = read({"x": np.array([1, 2], np.float16), "y": torch.zeros(2, dtype=torch.int8)})
    assert [column.dtype for column in kept.columns] == ["float16", "int8"], "arrays keep their type"


def test_the_same_values_are_the_same_content_whatever_is_said() -> None:
    """Budgets of tables go by their content: a new word in the schema is no new table."""
    values = {"x": [1.5, 2.5], "sex": ["f", "m"]}
    plain = read(values, {"sex": {"categories": ["f", "m"]}})
    said = read(
        values, {"sex": {"categories": ["f", "m"], "description": "as recorded"}, "x": {"unit": "kg"}}
    )
    assert plain.digest() == said.digest()


def test_a_number_of_another_country_is_told_how_to_be_read(tmp_path: Path) -> None:
    """Not that it is text, which categories were good for."""
    for text, told in (("a;b\n27;0\n26,9;0\n", {}), ("a;b\n27;0\n26.9;0\n", {"decimal": ","})):
        with pytest.raises(BadRequest, match=r"row 2 .*decimal \",\" \(or \"\.\"\)") as refused:
            of_text(tmp_path, text, **told)
        assert "categories" not in str(refused.value)
    with pytest.raises(BadRequest, match="categories"):
        of_text(tmp_path, "a;b\n27;0\n26,9 kg;0\n")
