"""What sites mean is compared before it is combined: words, units, kinds, names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import syft_ext as sy
from syft_ext.errors import BadRequest
from syft_ext.messages.policy import SitePolicy
from syft_ext.statistics.agreement import alike
from tests.statistics.local_domain import LocalDomain, local_domains

Schema = dict[str, dict[str, Any]]
X = np.arange(6.0)


def two(folder: Path, a: Schema, b: Schema, rows: Any = None, other: Any = None) -> list[LocalDomain]:
    rows = rows or {"x": X, "sex": np.array([0, 0, 0, 1, 1, 1])}
    return local_domains(folder, [rows, other or rows], schemas=[a, b])


def words(*categories: str) -> Schema:
    return {"sex": {"categories": list(categories)}}


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.permutations(["f", "m", "x", "not told"]), st.integers(2, 4), st.integers(1, 30)),
        min_size=1,
        max_size=4,
    ),
    st.integers(0, 1 << 20),
)
def test_words_are_joined_whatever_their_numbers(
    tmp_path_factory: Any, sites: list[tuple[list[str], int, int]], seed: int
) -> None:
    """Property: group-bys, counts of words and cross tables are those of the pooled words."""
    random = np.random.default_rng(seed)
    parts, schemas, frames = [], [], []
    for order, many, rows in sites:
        known = order[:many]
        part = {
            "x": random.normal(size=rows),
            "sex": random.integers(0, many, rows),
            "ward": random.integers(0, 2, rows),
        }
        parts.append(part)
        schemas.append({"sex": {"categories": known}, "ward": {"categories": ["a", "b"]}})
        ward = np.array(["a", "b"])[part["ward"]]
        frames.append(pd.DataFrame({**part, "sex": np.array(known)[part["sex"]], "ward": ward}))
    pooled = pd.concat(frames)
    tables = local_domains(tmp_path_factory.getbasetemp() / "words", parts, schemas=schemas)
    for by in (["sex"], ["sex", "ward"], ["ward", "sex"]):
        result = sy.analyze(tables, ["count", "mean"], columns="x", by=by)
        wanted = pooled.groupby(by)["x"]
        key = by if len(by) > 1 else by[0]
        assert result["count", "x"] == pooled.groupby(key)["x"].count().to_dict()
        assert result["mean", "x"] == pytest.approx(pooled.groupby(key)["x"].mean().to_dict())
        assert not result.notes or all("ddof" not in note for note in result.notes)
        assert len(result.groups) == wanted.ngroups
    counts = sy.analyze(tables, "histogram", columns="sex")["histogram", "sex"]
    assert counts.to_pandas()[lambda count: count > 0].to_dict() == pooled["sex"].value_counts().to_dict()
    assert counts["f"] == (pooled["sex"] == "f").sum() if "f" in counts.words else True


def test_words_stand_in_text_pandas_and_value(tmp_path: Path) -> None:
    tables = two(tmp_path, words("f", "m"), words("m", "f"))
    result = sy.analyze(tables, ["count", "mean", "histogram"], columns="x", by="sex")
    assert result.groups == [("f",), ("m",)] and result["mean", "x"] == {"f": 2.5, "m": 2.5}
    lines = repr(result).splitlines()
    assert lines[2].startswith("f ") and lines[3].startswith("m ")
    assert result.to_pandas().index.tolist() == [("f", "x"), ("m", "x")]
    assert "<td" in result._repr_html_() and ">f<" in result._repr_html_()
    truth = sy.analyze(local_domains(tmp_path, [{"x": X, "t": X > 2}]), "count", columns="x", by="t")
    assert truth.groups == [(False,), (True,)] and "True" in repr(truth)


def test_words_that_one_site_lacks_and_numbers_without_words(tmp_path: Path) -> None:
    rows = {"x": X, "sex": np.array([0, 1, 2, 2, 5, 5])}
    tables = two(
        tmp_path, words("f", "m", "x"), words("m", "f"), rows, {"x": X, "sex": np.array([0, 0, 0, 1, 1, 1])}
    )
    result = sy.analyze(tables, "count", columns="x", by="sex")
    assert result["count", "x"] == {"f": 4, "m": 4, "x": 2, "5 (no word at site 0)": 2}
    counts = sy.analyze(tables, "histogram", columns="sex")["histogram", "sex"]
    assert (counts.counts, counts.other) == ([4, 4, 2], 2) and "2 values have no word" in repr(counts)
    missing = sy.analyze(two(tmp_path, words("", "m"), words("m", "")), "count", columns="x", by="sex")
    assert missing["count", "x"] == {"": 6, "m": 6} and "(missing)" in repr(missing)


def test_guarded_sites_count_words_too(tmp_path: Path) -> None:
    random = np.random.default_rng(3)
    parts = [
        {"x": random.normal(size=4000), "sex": (random.random(4000) < 0.8).astype(np.int64)} for _ in "ab"
    ]
    schemas = [words("f", "m"), words("m", "f")]
    tables = local_domains(tmp_path, parts, schemas=schemas, policy=SitePolicy(min_rows=10))
    result = sy.analyze(tables, ["count", "histogram"], columns="x", by="sex")
    f = (parts[0]["sex"] == 0).sum() + (parts[1]["sex"] == 1).sum()
    assert result["count", "x"]["f"] == pytest.approx(f, abs=150)
    counts = sy.analyze(tables, "histogram", columns="sex")["histogram", "sex"]
    assert counts["f"] == pytest.approx(f, abs=300) and counts.words == ["f", "m"]


def test_a_guarded_number_without_a_word_is_not_taken_for_the_nearest(tmp_path: Path) -> None:
    rows = {"x": np.zeros(4000), "sex": np.repeat([0, 1, 7, -1], 1000)}
    tables = local_domains(tmp_path, [rows], schemas=[words("f", "m")], policy=SitePolicy(min_rows=10))
    found = sy.analyze(tables, "count", columns="x", by="sex")["count", "x"]
    assert {key: round(count, -3) for key, count in found.items()} == {
        "f": 1000, "m": 1000, "2 (no word at site 0)": 1000, "-1 (no word at site 0)": 1000,
    }  # fmt: skip
    counts = sy.analyze(tables, "histogram", columns="sex")["histogram", "sex"]
    assert counts["m"] == pytest.approx(1000, abs=200) and counts.other == pytest.approx(2000, abs=300)


@pytest.mark.parametrize("guarded", [False, True])
def test_regressions_take_words_as_columns(tmp_path: Path, guarded: bool) -> None:
    """As ``C(sex)`` in a formula, whatever numbers words have at a site; also of a word that is not everywhere."""
    random = np.random.default_rng(5)
    rows = 20_000 if guarded else 300
    orders, parts = [["f", "m", "x"], ["x", "f", "m"], ["m", "f"]], []
    for order in orders:
        codes = random.integers(0, len(order), rows)
        effect = np.array([{"f": 0.0, "m": 1.0, "x": -2.0}[word] for word in order])[codes]
        x = random.normal(size=rows)
        y = 3 + 0.5 * x + effect + random.normal(size=rows)
        parts.append(
            {"x": x, "sex": codes, "y": y, "ill": (y > 3).astype(np.int64), "well": (y <= 3).astype(np.int64)}
        )
    schemas = [
        {
            "sex": {"categories": order},
            "ill": {"categories": ["no", "yes"]},
            "well": {"categories": ["no", "yes"]},
        }
        for order in orders
    ]
    schemas[1]["ill"] = {"categories": ["yes", "no"]}
    parts[1]["ill"] = 1 - parts[1]["ill"]
    options: dict[str, Any] = {}
    if guarded:
        bounds = {"x": (-4.0, 4.0), "y": (-4.0, 8.0)}
        options = {"policy": SitePolicy(min_rows=5), "bounds": bounds}
    tables = local_domains(tmp_path, parts, schemas=schemas, **options)
    result = sy.analyze(tables, "linear_regression", columns=["x", "sex"], target="y")
    fit, off = result["linear_regression"], 0.15 if guarded else 0.35
    assert list(fit.coefficients) == ["(intercept)", "x", "sex=m", "sex=x"]
    assert fit.coefficients["sex=m"] == pytest.approx(1.0, abs=off)
    assert fit.coefficients["sex=x"] == pytest.approx(-2.0, abs=off)
    assert "compared with 'f'" in " ".join(result.notes)
    result = sy.analyze(tables, "logistic_regression", columns=["x", "sex"], target="ill")
    fit = result["logistic_regression"]
    assert fit.target == "ill=yes" and fit.coefficients["sex=x"] < -1 < 0.5 < fit.coefficients["sex=m"]
    with pytest.raises(BadRequest, match="linear regression explains numbers"):
        sy.analyze(tables, "linear_regression", columns="x", target="ill")
    with pytest.raises(BadRequest, match="'sex' has 3"):
        sy.analyze(tables, "logistic_regression", columns="x", target="sex")


def test_means_of_words_are_refused_where_named_and_left_out_where_not(tmp_path: Path) -> None:
    tables = two(tmp_path, words("f", "m"), words("m", "f"))
    for statistic in ("mean", "sum", "std", "quantile", "min", "correlation"):
        with pytest.raises(BadRequest, match=r"'sex' holds words.*group by it"):
            sy.analyze(tables, statistic, columns="sex")
    result = sy.analyze(tables, ["count", "mean"])
    assert result.columns == ["x"] and any("'sex' holds words" in note for note in result.notes)
    assert sy.analyze(tables, ["count", "missing"]).columns == ["x", "sex"]
    with pytest.raises(BadRequest, match="a bin of its own"):
        sy.analyze(tables, "histogram", columns="sex", bins={"sex": 3})


def test_what_differs_is_refused_or_noted(tmp_path: Path) -> None:
    grams, pounds = {"x": {"unit": "mg/dL"}}, {"x": {"unit": "mmol/L"}}
    with pytest.raises(BadRequest, match=r"different units \(mg/dL at site 0; mmol/L at site 1\)"):
        sy.analyze(two(tmp_path, grams, pounds), "mean", columns="x")
    assert "units of 'x' differ" in sy.analyze(two(tmp_path, grams, pounds), "count", columns="x").notes[0]
    assert "no unit at site 1" in sy.analyze(two(tmp_path, grams, {}), "mean", columns="x").notes[0]
    same = two(tmp_path, {"x": {"unit": "µg"}}, {"x": {"unit": "\N{GREEK SMALL LETTER MU}g "}})
    assert not sy.analyze(same, "mean", columns="x").notes
    with pytest.raises(BadRequest, match=r"words at site 0; numbers at site 1"):
        sy.analyze(two(tmp_path, words("f", "m"), {}), "count", columns="x", by="sex")
    rows = {"x": X > 2, "sex": np.zeros(6, dtype=np.int64)}
    assert (
        "truth values at site 0"
        in sy.analyze(two(tmp_path, {}, {}, rows, {"x": X}), "mean", columns="x").notes[0]
    )
    near = sy.analyze(two(tmp_path, words("Male", "f"), words("male", "f")), "count", columns="x", by="sex")
    assert "nearly equal count as different: 'Male', 'male'" in near.notes[0]


@pytest.mark.parametrize("other", ["Age", "age ", "a_g_e", "AGE", "âge", "a ge"])
def test_nearly_equal_names_are_never_silently_left_out(tmp_path: Path, other: str) -> None:
    assert alike(other) == alike("age")
    tables = two(tmp_path, {}, {}, {"age": X, "bmi": X}, {other: X, "bmi": X})
    result = sy.analyze(tables, "mean")
    assert result.columns == ["bmi"]
    assert "'age' (site 0)" in result.notes[0] and "nearly equal names" in result.notes[0]
    assert "nearly equal names" in repr(result)
    with pytest.raises(
        BadRequest, match=r"^site 1: site 1 has no column 'age'; it has .*nearly the same name"
    ):
        sy.analyze(tables, "mean", columns="age")
    with pytest.raises(BadRequest, match="nearly equal names"):
        sy.analyze(two(tmp_path, {}, {}, {"age": X}, {other: X}), "mean")


def test_a_site_that_lacks_a_column_is_named(tmp_path: Path) -> None:
    tables = two(tmp_path, {}, {}, {"x": X, "crp": X}, {"x": X})
    assert "only some tables have 'crp' (site 0)" in sy.analyze(tables, "mean").notes[0]
    for question in ({"columns": "crp"}, {"columns": "x", "by": "crp"}):
        with pytest.raises(BadRequest, match=r"^site 1: "):
            sy.analyze(tables, "count", **question)
    with pytest.raises(BadRequest, match=r"^site 1: "):
        sy.analyze(tables, "linear_regression", columns="x", target="crp")


@pytest.mark.parametrize(
    "lie",
    [
        lambda reply: reply.columns.clear(),
        lambda reply: reply.columns[0].count.clear(),
        lambda reply: reply.columns[0].mean.clear(),
        lambda reply: reply.columns[0].mean.__setitem__(0, None),
        lambda reply: setattr(reply.columns[0], "name", "y"),
        lambda reply: setattr(reply, "groups", [[0], [0]]),
        lambda reply: setattr(reply, "groups", [[0, 1], [1, 1]]),
        lambda reply: reply.histograms.clear(),
        lambda reply: setattr(reply, "comoments", None),
    ],
)
def test_an_answer_that_lacks_something_is_an_error_and_no_smaller_total(tmp_path: Path, lie: Any) -> None:
    tables = two(tmp_path, {}, {})
    call = tables[1].call

    def lying(message: Any, **options: Any) -> Any:
        reply = call(message, **options)
        if hasattr(reply, "comoments"):
            lie(reply)
        return reply

    tables[1].call = lying  # type: ignore[method-assign]
    with pytest.raises(BadRequest):
        sy.analyze(tables, ["count", "mean", "histogram"], columns="x", by="sex", range=(0, 6))
        sy.analyze(tables, "covariance", columns="x")


@pytest.mark.parametrize("guarded", [False, True])
def test_words_of_which_some_are_missing_stay_words(tmp_path: Path, guarded: bool) -> None:
    """Importers keep their numbers as floats then, beside NaN: as numbers, women of one were men of the other."""
    many = 2000 if guarded else 1
    policy = SitePolicy(statistics_epsilon=8.0) if guarded else None
    rows = {"x": np.tile(X, many) / 10, "sex": np.tile(np.array([0, 0, 0, 1, np.nan, 1]), many)}
    turned = {**rows, "x": rows["x"][::-1]}  # codes 0 are women of one and men of the other: both low
    tables = local_domains(
        tmp_path, [rows, turned], schemas=[words("f", "m"), words("m", "f")], policy=policy,
        bounds={"x": (0.0, 1.0)},
    )  # fmt: skip
    result = sy.analyze(tables, ["count", "missing", "histogram"], columns="sex")
    assert result["histogram", "sex"]["f"] == pytest.approx(5 * many, abs=200 if guarded else 0)
    assert result["missing", "sex"] == pytest.approx(2 * many, abs=200 if guarded else 0)
    fit = sy.analyze(tables, "linear_regression", columns="sex", target="x")["linear_regression"]
    assert fit.coefficients["sex=m"] == pytest.approx(0.3, abs=0.1)
    with pytest.raises(BadRequest, match="'sex' holds words"):
        sy.analyze(tables, "mean", columns="sex")
    assert "left out: 'sex' holds words" in str(sy.analyze(tables, "mean").notes)
    with pytest.raises(BadRequest, match='if "" is one of the categories'):
        sy.analyze(tables, "mean", columns="x", by="sex")
