"""What a model gets does not depend on how a site keeps it: no order of columns, codes or folders is seen."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import syft_ext as sy
from syft_ext.federated.inputs import match, site_data

WORDS = ["f", "m", "unknown", "Übrige"]
CLASSES = ["benign", "in situ", "malignant"]
INPUTS = sy.TableInputs(
    columns=[
        sy.NumberColumn(name="age", unit="years", centre=50.0, scale=20.0),
        sy.CategoryColumn(name="sex", categories=WORDS, one_hot=True),
        sy.NumberColumn(name="seconds", centre=1.7e9, scale=60.0),
        sy.CategoryColumn(name="smokes", categories=["no", "yes"]),
    ],
    label=sy.CategoryColumn(name="finding", categories=CLASSES),
)
ROW = st.tuples(
    st.floats(0, 120, width=32),
    st.sampled_from(WORDS),
    st.integers(1_700_000_000, 1_700_000_060),
    st.sampled_from(["no", "yes"]),
    st.sampled_from(CLASSES),
)
NAMES = ["age", "sex", "seconds", "smokes", "finding"]
FORMS = ("csv", "semicolons", "parquet", "pandas", "categorical", "mapping", "coded")
SLOW = settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture(autouse=True)
def own_home(own_folder: Path) -> None:
    """Tables are converted in the user's folder."""


def expected(rows: list[tuple[Any, ...]]) -> tuple[np.ndarray, np.ndarray]:
    """By hand, in the declared order."""
    x = [
        [
            (age - 50.0) / 20.0,
            *(float(sex == word) for word in WORDS),
            (when - 1.7e9) / 60.0,
            float(smokes == "yes"),
        ]
        for age, sex, when, smokes, _ in rows
    ]
    return np.array(x, dtype=np.float64).astype(np.float32), np.array([CLASSES.index(row[4]) for row in rows])


def kept(frame: pd.DataFrame, form: str, folder: Path, shuffled: random.Random) -> tuple[Any, dict[str, Any]]:
    """The same rows as a site may have them; what its owner says of them."""
    if form == "csv":
        frame.to_csv(folder / "t.csv", index=False)
        return folder / "t.csv", {}
    if form == "semicolons":
        frame.to_csv(folder / "t.csv", index=False, sep=";")
        return folder / "t.csv", {}
    if form == "parquet":
        frame = frame.assign(**{name: frame[name].astype(float) for name in ("age", "seconds")})
        frame.to_parquet(folder / "t.parquet", index=False)
        return folder / "t.parquet", {}
    if form == "categorical":
        words = {"sex": WORDS, "smokes": ["no", "yes"], "finding": CLASSES}
        for name, known in words.items():
            frame[name] = pd.Categorical(frame[name], shuffled.sample(known, len(known)))
        return frame, {}
    if form == "coded":
        said: dict[str, Any] = {"age": {"unit": "years"}}
        for name, known in (("sex", WORDS), ("smokes", ["no", "yes"]), ("finding", CLASSES)):
            own = shuffled.sample([*known, "never seen"], len(known) + 1)
            said[name] = {"categories": own}
            frame[name] = frame[name].map(own.index)
        return frame, said
    return (frame, {}) if form == "pandas" else (dict(frame.items()), {})


@SLOW
@given(st.lists(ROW, min_size=1, max_size=12), st.sampled_from(FORMS), st.randoms(use_true_random=False))
def test_no_order_of_columns_categories_or_codes_is_seen(
    rows: list[tuple[Any, ...]], form: str, shuffled: random.Random
) -> None:
    frame = pd.DataFrame(rows, columns=NAMES)
    frame["not asked for"] = "free text"
    order = list(frame.columns)
    shuffled.shuffle(order)
    x, y = expected(rows)
    with tempfile.TemporaryDirectory() as folder:
        data, schema = kept(frame[order].copy(), form, Path(folder), shuffled)
        found = match(INPUTS, site_data(data, schema))
    assert found.x.dtype == np.float32
    assert np.array_equal(found.x, x)
    assert np.array_equal(found.y, y)


@SLOW
@given(
    st.lists(st.tuples(st.sampled_from(CLASSES), st.integers(0, 255)), min_size=1, max_size=8),
    st.permutations(CLASSES),
    st.booleans(),
)
def test_folders_of_classes_keep_the_declared_numbers_whichever_are_there(
    samples: list[tuple[str, int]], declared: list[str], pictures: bool
) -> None:
    from PIL import Image

    inputs = sy.ArrayInputs(
        shape=[1, 2, 2], picture=pictures, label=sy.CategoryColumn(name="class", categories=list(declared))
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "site"
        for number, (of, value) in enumerate(samples):
            (folder / of).mkdir(parents=True, exist_ok=True)
            if pictures:
                Image.new("L", (2, 2), value).save(folder / of / f"{number:02}.png")
            else:
                np.save(folder / of / f"{number:02}.npy", np.full((1, 2, 2), value / 255, np.float32))
        found = match(inputs, site_data(folder))
    got = sorted(zip(found.y.tolist(), found.x[:, 0, 0, 0].tolist(), strict=True))
    wanted = sorted((declared.index(of), float(np.float32(value / 255))) for of, value in samples)
    assert np.allclose(got, wanted, atol=1e-7)
    absent = set(CLASSES) - {of for of, _ in samples}
    assert bool(absent) == any("no sample of" in note for note in found.notes)


@SLOW
@given(
    st.floats(-1e12, 1e12),
    st.floats(1e-3, 1e3),
    st.lists(st.floats(-4, 4), min_size=2, max_size=30),
)
def test_declared_scaling_is_that_of_double_precision(
    centre: float, scale: float, scores: list[float]
) -> None:
    values = [centre + scale * score for score in scores]
    column = sy.NumberColumn(name="v", centre=centre, scale=scale)
    inputs = sy.TableInputs(columns=[column], label=sy.NumberColumn(name="y"))
    found = match(inputs, site_data({"v": values, "y": [0.0] * len(values)}))
    exact = (np.array(values) - centre) / scale
    assert np.array_equal(found.x[:, 0], exact.astype(np.float32))


@SLOW
@given(st.floats(-1e15, 1e15), st.integers(1, 6), st.lists(st.integers(0, 50), min_size=1, max_size=30))
def test_scores_by_site_are_standard_scores_or_zero(start: float, digits: int, steps: list[int]) -> None:
    step = max(abs(start), 1.0) * 10.0**-digits
    values = np.array([start + step * number for number in steps])
    column = sy.NumberColumn(name="v", scaling="by-site")
    inputs = sy.TableInputs(columns=[column], label=sy.NumberColumn(name="y"))
    x = match(inputs, site_data({"v": values, "y": np.zeros(len(values))})).x[:, 0].astype(np.float64)
    if len(set(steps)) == 1:
        assert (x == 0).all()
    else:
        assert abs(x.mean()) < 1e-5
        assert abs(x.std() - 1) < 1e-5


@SLOW
@given(st.lists(st.integers(-(2**63), 2**63 - 1), min_size=2, max_size=20), st.booleans())
def test_whole_numbers_reach_the_model_exactly_or_not_at_all(values: list[int], scaled: bool) -> None:
    about = {"centre": float(min(values)), "scale": 2.0} if scaled else {}
    column = sy.NumberColumn(name="v", whole=True, **about)  # type: ignore[arg-type]
    inputs = sy.TableInputs(columns=[column], label=sy.NumberColumn(name="y"))
    frame = pd.DataFrame({"v": pd.array(values, dtype="int64"), "y": 0.0})
    try:
        x = match(inputs, site_data(frame)).x[:, 0]
    except sy.errors.DataMismatch as refused:
        assert "single precision" in refused.detail
        return
    if not scaled:
        assert [int(each) for each in x.tolist()] == values
        return
    exact = [(value - int(float(min(values)))) / 2 for value in values]
    spread = max(exact) - min(exact)
    assert all(abs(float(got) - want) <= 1e-3 * spread for got, want in zip(x, exact, strict=True))
