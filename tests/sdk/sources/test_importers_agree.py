"""The same values give the same stored tensors and the same schema, whichever format carries them."""

from __future__ import annotations

import datetime
import math
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

import hypothesis.strategies as st
import pyarrow
import pytest
from hypothesis import HealthCheck, given, settings

from syft_ext.sources.content import PartsContent
from syft_ext.sources.frames import content_of
from syft_ext.sources.opening import open_source
from tests.sdk.sources.formats import FORMATS, UTC, Column, expected, polars

WORDS = ["f", "m", "not said", 'ä,\n"x"']
HELD = 1 << 53


def _read(source: Any, said: Any) -> PartsContent:
    return (
        open_source(source, said, spool=None) if isinstance(source, Path) else content_of(source, said, "d/t")
    )


DAY = (datetime.datetime(1800, 1, 1), datetime.datetime(2200, 1, 1))
#: name → (one value, Arrow's type, Polars' type, pandas' type with gaps)
KINDS: dict[str, tuple[st.SearchStrategy[Any], Any, Any, str]] = {
    **{
        f"{sign}int{bits}": (
            st.integers(-(1 << (bits - 1)) if not sign else 0, (1 << min(bits - (not sign), 62)) - 1),
            getattr(pyarrow, f"{sign}int{bits}")(),
            getattr(polars, f"{sign.upper()}Int{bits}"),
            f"{sign.upper()}Int{bits}",
        )
        for sign in ("", "u")
        for bits in (8, 16, 32, 64)
    },
    "float64": (st.floats(allow_nan=False), pyarrow.float64(), polars.Float64, "Float64"),
    "float32": (st.floats(allow_nan=False, width=32), pyarrow.float32(), polars.Float32, "Float32"),
    "truth": (st.booleans(), pyarrow.bool_(), polars.Boolean, "boolean"),
    "words": (st.sampled_from(WORDS), pyarrow.string(), polars.String, "string"),
    "times": (st.datetimes(*DAY), pyarrow.timestamp("us"), polars.Datetime("us"), "datetime64[us]"),
    "zoned": (
        st.datetimes(*DAY, timezones=st.just(UTC)),
        pyarrow.timestamp("us", "UTC"),
        polars.Datetime("us", "UTC"),
        "datetime64[us, UTC]",
    ),
    "dates": (st.dates(DAY[0].date(), DAY[1].date()), pyarrow.date32(), polars.Date, ""),
    "decimals": (
        st.integers(-(10**12), 10**12).map(lambda value: Decimal(value).scaleb(-3)),
        pyarrow.decimal128(20, 3),
        polars.Decimal(20, 3),
        "",
    ),
    "whole decimals": (
        st.integers(-(10**12), 10**12).map(Decimal), pyarrow.decimal128(20, 0), polars.Decimal(20, 0), "",
    ),
}  # fmt: skip


@st.composite
def tables(draw: st.DrawFn) -> dict[str, Column]:
    rows = draw(st.integers(1, 7))
    chosen = draw(st.lists(st.sampled_from(list(KINDS)), min_size=1, max_size=4, unique=True))
    table = {}
    for name in chosen:
        value, arrow, polar, nullable = KINDS[name]
        if draw(st.booleans()):
            small = value.filter(lambda each: not isinstance(each, int) or abs(each) <= HELD)
            values = draw(st.lists(st.none() | small, min_size=rows, max_size=rows))
        else:
            values = draw(st.lists(value, min_size=rows, max_size=rows))
        table[name] = Column(values, arrow, polar, nullable)
    return table


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
@given(table=tables(), empty_word=st.booleans())
def test_importers_agree(table: dict[str, Column], empty_word: bool) -> None:
    words = [*WORDS, ""] if empty_word else WORDS
    said = {"words": {"categories": words}}
    found = {}
    with tempfile.TemporaryDirectory() as folder:
        for name, make in FORMATS.items():
            content = _read(make(table, Path(folder)), said)
            data = b"".join(map(bytes, content.pieces()))
            found[name] = (data, content.columns, content.rows)
            for column, values in content.arrays().items():
                dtype, numbers = expected(table[column].values, words if column == "words" else ())
                assert str(values.dtype) == dtype, (name, column)
                for have, want in zip(values.tolist(), numbers, strict=True):
                    same = math.isnan(have) if want is None else have == want
                    assert same, (name, column, have, want)
    # Where all are missing, nothing tells what they would have been, and an untyped format has no unit to say.
    typed = [name for name in found if name in ("arrow", "parquet", "polars", "pandas on arrow")]
    if any(all(value is None for value in column.values) for column in table.values()):
        found = {name: found[name] for name in typed}
    first = next(iter(found.values()))
    for name, other in found.items():
        assert other == first, name


@pytest.mark.parametrize("kind", list(KINDS))
def test_every_kind_is_told_in_the_schema(kind: str, tmp_path: Path) -> None:
    _, arrow, polar, nullable = KINDS[kind]
    example: dict[str, Any] = {
        "truth": True, "words": "m", "times": datetime.datetime(2024, 5, 1, 12),
        "dates": datetime.date(2024, 5, 1),
        "zoned": datetime.datetime(2024, 5, 1, 12, tzinfo=UTC), "decimals": Decimal("1.250"),
        "whole decimals": Decimal(3),
        "float64": 0.1, "float32": 0.5,
    }  # fmt: skip
    table = {kind: Column([example.get(kind, 7), None], arrow, polar, nullable)}
    for name, make in FORMATS.items():
        content = _read(make(table, tmp_path), {"words": {"categories": WORDS}})
        (column,) = content.columns
        units = {
            "times": "µs since 1970-01-01 00:00 (no time zone)",
            "dates": "µs since 1970-01-01 00:00 (no time zone)",
            "zoned": "µs since 1970-01-01 00:00 UTC",
        }
        assert column.unit == units.get(kind, ""), name
        assert column.categories == (WORDS if kind == "words" else []), name
        assert column.dtype == "float64", name
