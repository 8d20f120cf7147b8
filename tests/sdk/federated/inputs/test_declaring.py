"""Inputs are declared from what somebody has: a frame, a file, a mock, the schema of a dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pandas as pd
import pytest
import torch

import syft_ext as sy
from syft_ext.errors import InvalidConfig
from syft_ext.federated.inputs import match, site_data
from syft_ext.messages.datasets import Column
from syft_ext.messages.training_inputs import TrainingInputs, describe_inputs
from syft_ext.nodes.datasets import MockTable

FRAME = pd.DataFrame(
    {
        "age": [60.0, 70, 80],
        "sex": ["f", "m", "f"],
        "stage": pd.Categorical(["I", "III", "I"], ["I", "II", "III"]),
        "sick": ["no", "yes", "no"],
    }
)
WORDS: dict[str, Any] = {"sex": {"categories": ["f", "m"]}, "sick": {"categories": ["no", "yes"]}}


@pytest.fixture(autouse=True)
def own_home(own_folder: Path) -> None:
    """Tables are converted in the user's folder."""


def test_of_a_frame(tmp_path: Path) -> None:
    inputs = sy.declare_inputs(
        FRAME, "sick", schema={**WORDS, "age": {"unit": "years", "low": 0, "high": 120}}
    )
    assert [column.name for column in inputs.columns] == ["age", "sex", "stage"]
    assert inputs.columns[0] == sy.NumberColumn(name="age", unit="years", low=0.0, high=120.0)
    assert inputs.columns[2] == sy.CategoryColumn(name="stage", categories=["I", "II", "III"])
    FRAME.to_csv(tmp_path / "t.csv", index=False)
    stage: dict[str, Any] = {
        "stage": {"categories": ["I", "II", "III"]},
        "age": {"unit": "years", "low": 0, "high": 120},
    }
    assert sy.declare_inputs(str(tmp_path / "t.csv"), "sick", schema={**WORDS, **stage}) == inputs
    chosen = sy.declare_inputs(FRAME, "sick", columns=["stage", "age"], schema={"sick": WORDS["sick"]})
    assert [column.name for column in chosen.columns] == ["stage", "age"]
    assert msgspec.convert(msgspec.to_builtins(inputs), TrainingInputs) == inputs


def test_of_the_schema_of_a_dataset() -> None:
    columns = [
        Column(name="age", dtype="float64", unit="years", low=0.0, high=100.0),
        Column(name="sex", dtype="int64", categories=["m", "f"]),
        Column(name="sick", dtype="int64", categories=["no", "yes"]),
    ]
    inputs = sy.declare_inputs(columns, "sick", standardise=True)
    assert inputs.columns[0] == sy.NumberColumn(
        name="age", unit="years", low=0.0, high=100.0, centre=50.0, scale=25.0
    )
    assert inputs.columns[1] == sy.CategoryColumn(name="sex", categories=["m", "f"])


def test_a_mock_says_words_and_ranges_and_its_made_up_numbers_scale_nothing() -> None:
    """Those of a column without a range are about 0: data about 27 came to the model as 27 deviations."""
    columns = [
        Column(name="bmi", dtype="float64"),
        Column(name="sick", dtype="int64", categories=["no", "yes"]),
    ]
    mock = MockTable({"bmi": torch.tensor([-1.0, 0.0, 1.0]), "sick": torch.tensor([0, 1, 0])}, columns)
    with pytest.raises(InvalidConfig, match=r"'bmi' has no range.*\"low\": …"):
        sy.declare_inputs(mock, "sick", standardise=True)
    said = sy.declare_inputs(mock, "sick", schema={"bmi": {"low": 10, "high": 80}}, standardise=True)
    assert said.columns == [sy.NumberColumn(name="bmi", low=10.0, high=80.0, centre=45.0, scale=17.5)]
    assert said.label == sy.CategoryColumn(name="sick", categories=["no", "yes"])
    looked_at = sy.declare_inputs(dict(mock), "sick", standardise=True)
    assert isinstance(looked_at.columns[0], sy.NumberColumn) and looked_at.columns[0].centre == 0.0


def test_standardising_declares_numbers_that_all_share() -> None:
    frame = FRAME.assign(device=0.1, when=[1.7e9, 1.7e9 + 30, 1.7e9 + 60])
    inputs = sy.declare_inputs(frame, "sick", schema=WORDS, standardise=True)
    by_name = {column.name: column for column in inputs.columns}
    assert (by_name["device"].centre, by_name["device"].scale) == (0.1, 1.0)  # type: ignore[union-attr]
    assert abs(by_name["when"].centre - 1.7e9 - 30) < 0.1  # type: ignore[union-attr]
    rows = match(inputs, site_data(frame[["when", "sick", "stage", "device", "sex", "age"]]))
    places = {column.name: place for place, column in enumerate(inputs.columns)}
    assert (rows.x[:, places["device"]] == 0).all()
    assert abs(rows.x[:, places["when"]].std() - 1) < 0.01


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"source": FRAME, "label": "Sick"}, "no column 'Sick'; nearly equal: 'sick'"),
        ({"source": FRAME, "label": "sick"}, "sex.*which there are, in the model's order"),
        ({"source": FRAME, "label": "sick", "schema": {"aeg": {}}}, "no column 'aeg'; nearly equal: 'age'"),
        (
            {"source": FRAME, "label": "sick", "schema": {**WORDS, "age": {"units": "y"}}},
            "'units' cannot be declared",
        ),
        ({"source": FRAME, "label": "sick", "schema": {**WORDS, "age": {"scale": 0}}}, "'age'"),
        (
            {"source": FRAME, "label": "sick", "schema": {**WORDS, "age": {"low": 2, "high": 1}}},
            "low is more",
        ),
        (
            {"source": [Column(name="a"), Column(name="b")], "label": "b", "standardise": True},
            "'a' has no range",
        ),
        ({"source": ([[1.0]], [1]), "label": "y"}, "sy.ArrayInputs"),
    ],
)
def test_what_cannot_be_declared_is_refused(arguments: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidConfig, match=said):
        sy.declare_inputs(**arguments)


@pytest.mark.parametrize(
    "make",
    [
        lambda: sy.CategoryColumn(name="a", categories=["x", "x"]),
        lambda: sy.NumberColumn(name="a", scale=-1.0),
        lambda: sy.NumberColumn(name="a", centre=float("nan")),
        lambda: sy.NumberColumn(name="a", scaling="by-site", scale=2.0),
        lambda: sy.TableInputs(
            columns=[sy.NumberColumn(name="a")],
            label=sy.CategoryColumn(name="b", categories=["x"], one_hot=True),
        ),
        lambda: sy.ArrayInputs(shape=[3, 2], scale=[1.0, 2.0], label=sy.NumberColumn(name="b")),
    ],
)
def test_declarations_that_say_nothing_sound_are_refused(make: Any) -> None:
    with pytest.raises(ValueError):
        make()


def test_a_reviewer_reads_every_column() -> None:
    inputs = sy.declare_inputs(
        FRAME,
        "sick",
        schema={**WORDS, "age": {"unit": "years", "low": 0, "centre": 60, "scale": 10, "missing": "drop"}},
    )
    assert describe_inputs(inputs) == [
        "column 0: 'age', numbers, in years, from 0, given to the model as (number - 60) / 10, rows without it are"
        " left out",
        "column 1: 'sex', one of 0 = 'f', 1 = 'm'",
        "column 2: 'stage', one of 0 = 'I', 1 = 'II', 2 = 'III'",
        "label: 'sick', one of 0 = 'no', 1 = 'yes'",
    ]
    assert "declares nothing" in describe_inputs(None)[0]
