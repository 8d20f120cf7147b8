"""Totals that lack a site's part say so: in text, table, pandas and value."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import syft_ext as sy
from syft_ext.errors import BadRequest, Conflict, DeadlineExceeded, Forbidden, Unavailable
from syft_ext.messages.policy import SitePolicy
from syft_ext.messages.statistics import Begin, Continue, DescribeTable
from syft_ext.statistics.partial import Lack, Partial
from tests.statistics.local_domain import LocalDomain, local_domains

X = np.arange(120.0)
G = np.repeat([0, 1, 2], 40)
ASKED = ["count", "missing", "sum", "mean", "std", "quantile", "histogram"]


def hidden(folder: Path) -> list[LocalDomain]:
    """Of the second site, group 0 has many rows, group 1 four, and group 2 a few."""
    small = np.array([0] * 400 + [1] * 4 + [2] * 3)
    parts = [{"x": X, "g": G}, {"x": np.arange(407.0) % 120, "g": small}]
    tables = local_domains(folder, parts, bounds={"g": (0, 2), "x": (0, 120)})
    tables[1].policy = SitePolicy(min_rows=10)
    return tables


def test_groups_that_a_site_keeps_back(tmp_path: Path) -> None:
    result = sy.analyze(hidden(tmp_path), ASKED, columns="x", by="g", range=(0, 120), bins=4)
    assert result.partial and isinstance(result["mean", "x"][0], float)
    for statistic in ("count", "sum", "mean", "std", "missing"):
        for group in (1, 2):
            number = result[statistic, "x"][group]
            assert isinstance(number, Partial) and not isinstance(number, int | float), statistic
            assert number.partial and number.sites == ("site 1",) and "fewer than" in number.lacks[0].why
    assert result["count", "x"][1].value == 40 and result["mean", "x"][1].value == pytest.approx(59.5)
    assert isinstance(result["quantile", "x"][1][0.5], Partial)
    assert result["histogram", "x"][2].value.counts == [0, 0, 10, 30]
    lines = repr(result).splitlines()
    assert "*" not in lines[2] and "40*" in lines[3] and "40*" in lines[4]
    assert "* without site 1 (site 1): keeps back" in lines[-1]
    assert "40*" in result._repr_html_()
    frame = result.to_pandas()
    assert frame["partial"].map(bool).tolist() == [False, True, True]
    assert (
        frame.loc[(1, "x"), "count"] == 40 and frame.attrs["partial"] and "site 1" in frame.attrs["lacks"][0]
    )
    with pytest.raises(Conflict, match=r"strict\): site 1"):
        sy.analyze(hidden(tmp_path), ASKED, columns="x", by="g", range=(0, 120), strict=True)


@pytest.mark.parametrize(
    ("error", "when"),
    [
        (Unavailable("is down"), DescribeTable),
        (Forbidden("this table has told what its owner lets out"), Begin),
        (DeadlineExceeded("did not answer"), Continue),
    ],
)
def test_sites_that_do_not_answer_are_in_no_number(tmp_path: Path, error: Exception, when: type[Any]) -> None:
    """Down, over budget, lost half way."""
    parts = [{"x": X, "y": X**2, "ill": (X > 60).astype(int) ^ (X % 7 == 0)} for _ in range(3)]
    tables = local_domains(tmp_path, parts)
    call = tables[1].call

    def failing(message: Any, **options: Any) -> Any:
        if isinstance(message, when):
            raise error
        return call(message, **options)

    tables[1].call = failing  # type: ignore[method-assign]
    asked = [*ASKED, "covariance", "correlation", "linear_regression", "logistic_regression"]
    result = sy.analyze(tables, asked, columns=["x", "y"], target="ill", missing="skip")
    assert result.partial and result.left_out == [Lack("site 1", "site 1", f"left out: {error}")]
    count = result["count", "x"]
    assert count == 240 and count.value == 240 and count.sites == ("site 1",)
    for statistic in asked:
        for value in [result[statistic]] if statistic in result.whole else result[statistic].values():
            found = list(value.values()) if isinstance(value, dict) else [value]
            assert all(isinstance(each, Partial) for each in found), statistic
    text = repr(result)
    assert "Statistics of 2 of 3 tables" in text and "240*" in text and str(error) in text
    assert "Linear regression of ill: 240 rows" in text and "Correlation" in text and "1*" in text
    assert result.to_pandas().attrs["partial"]
    with pytest.raises(type(error), match=r"^site 1: "):
        sy.analyze(tables, asked, columns=["x", "y"], target="ill")
    with pytest.raises(BadRequest, match="strict"):
        sy.analyze(tables, "count", columns="x", missing="skip", strict=True)


def test_a_partial_number_is_no_number() -> None:
    number = Partial(3.5, [Lack("south", "t", "keeps back small groups")])
    with pytest.raises(TypeError):
        number + 1  # type: ignore[operator]
    with pytest.raises(TypeError):
        float(number)  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        f"{number:.2f}"
    with pytest.raises(AttributeError, match=r"partial \(south \(t\): keeps back.*\.value is"):
        number.real  # noqa: B018
    assert number == 3.5 and number != 4 and "south" in repr(number) and str(number) == "3.5*"


def test_words_that_a_guarded_site_cannot_have_lack_nothing(tmp_path: Path) -> None:
    parts = [{"x": X, "sex": G}, {"x": np.arange(400.0), "sex": np.repeat([0, 1], 200)}]
    schemas = [{"sex": {"categories": ["f", "m", "x"]}}, {"sex": {"categories": ["m", "f"]}}]
    tables = local_domains(tmp_path, parts, schemas=schemas, bounds={"x": (0, 400)})
    tables[1].policy = SitePolicy(min_rows=5)
    result = sy.analyze(tables, "count", columns="x", by="sex")
    assert result["count", "x"]["x"] == 40 and not result.partial


def test_missing_values_are_told(tmp_path: Path) -> None:
    gaps = np.where(X % 4 == 0, np.nan, X)
    tables = local_domains(tmp_path, [{"x": X, "g": G}, {"x": gaps, "g": G}, {"x": X * np.nan, "g": G}])
    result = sy.analyze(tables, ["count", "mean"], columns="x", by="g")
    assert result.missing["x"][0] == {"site 1": 10, "site 2": 40}
    assert any("150 missing values" in note and "120 at site 2" in note for note in result.notes)
    assert any("site 2 has no value in 0: all 40 are missing" in note for note in result.notes)
    assert "150 missing values" in repr(result) and result.to_pandas().attrs["notes"] == result.notes
    tables[1].policy = SitePolicy(allowed_operations=["statistics.count", "statistics.group_by"])
    quiet = sy.analyze(tables[1], "count", columns="x", by="g")
    assert quiet.missing["x"] == [{}, {}, {}], "what the policy does not let be asked is not told beside"
