"""What of a site's data is not as declared is refused: column, what it has, what is wanted, all in one answer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import syft_ext as sy
from syft_ext.errors import BadRequest, DataMismatch
from syft_ext.federated.inputs import SiteTable, declare_inputs, match, site_data

AGE = sy.NumberColumn(name="age", unit="years", low=0, high=120)
SEX = sy.CategoryColumn(name="sex", categories=["f", "m"])
SICK = sy.CategoryColumn(name="sick", categories=["no", "yes"])
TABLE = sy.TableInputs(columns=[AGE, SEX], label=SICK)
GOOD: dict[str, list[Any]] = {"age": [60, 61.5], "sex": ["m", "f"], "sick": ["yes", "no"]}


@pytest.fixture(autouse=True)
def own_home(own_folder: Path) -> None:
    """Tables are converted in the user's folder."""


def refused(data: Any, inputs: Any = TABLE, schema: Any = None) -> pytest.ExceptionInfo[DataMismatch]:
    with pytest.raises(DataMismatch) as error:
        match(inputs, site_data(data, schema))
    return error


@pytest.mark.parametrize(
    ("name", "likely"),
    [
        ("Age", "'Age'"),
        ("age ", "'age '"),
        ("age (years)", r"'age \(years\)'"),
        ("AGE_", "'AGE_'"),
        ("agee", "'agee'"),
    ],
)
def test_nearly_equal_names_are_named_and_not_taken(name: str, likely: str) -> None:
    error = refused({name if key == "age" else key: value for key, value in GOOD.items()})
    assert error.match(f"no column 'age'; nearly equal: {likely}")
    assert error.value.extra["form"] == "has no column 'age'", "of its own names, the Domain hears none"


def test_what_is_missing_is_told_with_what_there_is() -> None:
    error = refused({"weight": [1], "height": [2], "sick": ["no"]})
    for said in ("no column 'age'", "no column 'sex'", "there are: 'weight', 'height', 'sick'"):
        assert said in error.value.detail
    assert error.value.extra["values"] is False


@pytest.mark.parametrize("unit", ["months", "Years", "y"])
def test_another_unit_is_refused_and_an_unsaid_one_noted(unit: str) -> None:
    error = refused(GOOD, schema={"age": {"unit": unit}})
    assert error.match(f"'age' is in '{unit}', and the training takes 'years': convert it")
    assert match(TABLE, site_data(GOOD, {"age": {"unit": "years"}})).notes == []
    (note,) = match(TABLE, site_data(GOOD)).notes
    assert "'age': the training says 'years', and here no unit is said" in note


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"age": [60, 121]}, "'age': row 2: 121.* is not from 0 to 120"),
        ({"age": [-1.0, 50]}, "'age': row 1: -1.* is not from"),
        ({"age": [np.nan, 50]}, "'age': row 1 has no number"),
        ({"age": [50, np.inf]}, "'age': row 2 is not finite"),
        ({"age": ["60", "x"]}, "age.*not numbers"),
        ({"sex": ["f", "F"]}, "'sex', row 2: 'F' is not among.*declared are 'f', 'm'"),
        ({"sex": ["f", None]}, "'sex': row 2 has no word"),
        ({"sex": [0, 1]}, "'0' is not among"),
        ({"sex": np.array([0.0, 1.0])}, "fractions, where words are wanted"),
        ({"sick": ["no", "perhaps"]}, "'perhaps' is not among"),
    ],
)
def test_what_does_not_fit_is_refused_with_row_and_column(change: dict[str, Any], said: str) -> None:
    error = refused({**GOOD, **change})
    assert error.match(said)
    assert error.value.extra["values"] is True
    form = error.value.extra["form"]
    assert not any(word in form for word in ("121", "-1.0", "perhaps", "row 2", "'F'")), form


def test_all_columns_problems_are_in_one_answer(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("sick,age,sex\nno,60,f\nmaybe,999,x\n")
    error = refused(path)
    for said in (
        "t.csv, column 'age': row 2: 999 is not from 0 to 120",
        "'x' is not among",
        "'maybe' is not among",
    ):
        assert said in error.value.detail


def test_rows_are_left_out_only_where_that_is_declared_and_are_counted() -> None:
    columns: list[sy.NumberColumn | sy.CategoryColumn] = [
        sy.NumberColumn(name="age", low=0, high=120, outside="drop", missing="drop"),
        sy.CategoryColumn(name="sex", categories=["f", "m"], missing="drop"),
    ]
    inputs = sy.TableInputs(columns=columns, label=SICK)
    data = {"age": [1, 500, np.nan, 4], "sex": ["f", "m", "f", None], "sick": ["yes", "no", "no", "no"]}
    rows = match(inputs, site_data(data))
    assert (rows.x.tolist(), rows.y.tolist()) == ([[1.0, 0.0]], [1])
    (note,) = rows.notes
    assert "3 of 4 rows are left out" in note
    assert "1 with 'age' out of range" in note
    assert "1 without 'age'" in note
    assert "1 without 'sex'" in note
    assert refused({**data, "age": [-1, 500, np.nan, 4]}, inputs).match("no row is left")
    assert refused({**data, "sex": ["f", "x", "f", None]}, inputs).match("'x' is not among"), (
        "a word is no gap"
    )


def test_codes_stand_for_the_words_of_their_owner() -> None:
    coded = {"age": [60, 61.5], "sex": [0, 1], "sick": [1, 0]}
    own = {"sex": {"categories": ["m", "f"]}, "sick": {"categories": ["no", "yes"]}}
    assert match(TABLE, site_data(coded, own)).x.tolist() == match(TABLE, site_data(GOOD)).x.tolist()
    assert refused({**coded, "sex": [0, 2]}, schema=own).match("row 2: 2 is the number of no category")
    assert refused({**coded, "sex": [0.5, 1]}, schema=own).match("row 1: 0.5 is the number of no category")
    men = {**own, "sex": {"categories": ["male", "f"]}}
    assert refused(coded, schema=men).match("row 1: 'male' is not declared")
    rows = match(TABLE, site_data({**coded, "sex": [1, 1]}, men))
    assert rows.x[:, 1].tolist() == [0.0, 0.0], "a category that nobody has is no matter"


def test_what_single_precision_would_round_away_is_refused() -> None:
    when = [1.7e9, 1.7e9 + 1, 1.7e9 + 2]
    data = {"when": when, "y": [0.0, 1.0, 2.0]}
    label = sy.NumberColumn(name="y")
    plain = sy.TableInputs(columns=[sy.NumberColumn(name="when")], label=label)
    assert refused(data, plain).match("'when': row .*single precision.*declare a centre and a scale")
    scaled = sy.TableInputs(columns=[sy.NumberColumn(name="when", centre=1.7e9)], label=label)
    assert match(scaled, site_data(data)).x[:, 0].tolist() == [0.0, 1.0, 2.0]
    ids = sy.TableInputs(columns=[sy.NumberColumn(name="when", whole=True)], label=label)
    assert refused({"when": [16_777_217, 1, 2], "y": [0.0] * 3}, ids).match("row 1: models compute in single")


def test_tensors_have_no_names_and_that_is_said() -> None:
    x, y = torch.tensor([[60.0, 1.0], [61.5, 0.0]]), torch.tensor([1, 0])
    rows = match(TABLE, site_data((x, y)))
    assert rows.x.tolist() == match(TABLE, site_data(GOOD)).x.tolist()
    assert "plain arrays have no names, which cannot be compared" in rows.notes[0]
    assert refused((x[:, :1], y)).match(
        r"samples have the shape \[1\], and the training takes 2 columns: 'age', 'sex'"
    )
    assert refused((x * 100, y)).match("'age': row 1: 6000.0 is not from 0 to 120")
    assert refused((x, torch.tensor([1, 2]))).match("row 2: 2 is the number of no category")
    assert refused((x, y[:1])).match("columns of different lengths|different lengths")


def test_a_dataset_of_torch_tells_its_classes() -> None:
    class Pictures(torch.utils.data.Dataset):  # type: ignore[type-arg]
        classes = ("dog", "cat")

        def __len__(self) -> int:
            return 2

        def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
            if place > 1:
                raise IndexError(place)
            return torch.full((1, 2, 2), float(place)), place

    inputs = sy.ArrayInputs(shape=[1, 2, 2], label=sy.CategoryColumn(name="kind", categories=["cat", "dog"]))
    for data in (Pictures(), torch.utils.data.DataLoader(Pictures())):
        rows = match(inputs, site_data(data))
        assert (rows.y.tolist(), rows.x[:, 0, 0, 0].tolist()) == ([1, 0], [0.0, 1.0])
    bird = sy.ArrayInputs(shape=[1, 2, 2], label=sy.CategoryColumn(name="kind", categories=["cat", "bird"]))
    assert refused(Pictures(), bird).match("'dog' is not declared")


def test_arrays_are_compared_by_name_shape_type_range_and_unit(tmp_path: Path) -> None:
    label = sy.CategoryColumn(name="kind", categories=["a", "b"])
    inputs = sy.ArrayInputs(
        name="ecg", shape=[2, 3], unit="mV", low=-5, high=5, scale=[2.0, 4.0], label=label
    )
    ecg = np.ones((2, 2, 3))
    np.savez(tmp_path / "d.npz", ecg=ecg, kind=np.array(["b", "a"]))
    rows = match(inputs, site_data(tmp_path / "d.npz"))
    assert (rows.y.tolist(), rows.x[0].tolist()) == ([1, 0], [[0.5] * 3, [0.25] * 3])
    assert refused(tmp_path / "d.npz", inputs, {"ecg": {"unit": "V"}}).match(
        "are in 'V', and the training takes 'mV'"
    )
    for said, arrays in (
        ("no array 'ecg'; nearly equal: 'ECG'", {"ECG": ecg, "kind": ["a", "b"]}),
        ("no array 'kind'", {"ecg": ecg, "label": ["a", "b"]}),
        (r"shape \[2, 2\], and the training takes \[2, 3\]", {"ecg": ecg[:, :, :2], "kind": ["a", "b"]}),
        (
            "row 2 has a number that is not from -5 to 5",
            {"ecg": ecg * [[[1]], [[9]]], "kind": ["a", "b"]},
        ),
        ("row 1 has a number that is not finite", {"ecg": ecg * np.nan, "kind": ["a", "b"]}),
        ("2 samples and 1 labels", {"ecg": ecg, "kind": ["a"]}),
        ("'c' is not among", {"ecg": ecg, "kind": ["a", "c"]}),
    ):
        np.savez(tmp_path / "e.npz", **{name: np.asarray(each) for name, each in arrays.items()})  # type: ignore[arg-type]
        assert refused(tmp_path / "e.npz", inputs).match(said)
    words = sy.ArrayInputs(shape=[4], whole=True, label=label)
    tokens = (torch.zeros(2, 4, dtype=torch.int64), torch.tensor([0, 1]))
    assert match(words, site_data(tokens)).x.dtype == np.int64
    assert refused((tokens[0].float(), tokens[1]), words).match("the training takes whole numbers")
    assert refused(GOOD, inputs).match("a table, where one array")
    (tmp_path / "f" / "a").mkdir(parents=True)
    assert refused(tmp_path / "f").match("where a table is wanted")


def test_folders_are_classes_by_name(tmp_path: Path) -> None:
    inputs = sy.ArrayInputs(
        shape=[1, 2, 2], label=sy.CategoryColumn(name="kind", categories=["in situ", "malignant"])
    )
    (tmp_path / "s" / "malignant").mkdir(parents=True)
    np.save(tmp_path / "s" / "malignant" / "1.npy", np.ones((1, 2, 2)))
    rows = match(inputs, site_data(tmp_path / "s"))
    assert (rows.y.tolist(), "no sample of 'in situ'" in rows.notes[0]) == ([1], True)
    (tmp_path / "s" / "Malignant").mkdir()
    error = refused(tmp_path / "s", inputs)
    assert error.match("folder 'Malignant' is no class.*declared are.*nearly equal: 'malignant'")
    (tmp_path / "s" / "Malignant").rmdir()
    np.save(tmp_path / "s" / "malignant" / "2.npy", np.ones((1, 2, 3)))
    with pytest.raises(BadRequest, match=r"s/malignant, 2\.npy is float64 \[1, 2, 3\]"):
        match(inputs, site_data(tmp_path / "s"))
    number = sy.ArrayInputs(shape=[1, 2, 2], label=sy.NumberColumn(name="dose"))
    assert refused(tmp_path / "s", number).match("folders are classes, and the training takes numbers")


def test_pictures_have_the_declared_depth_and_channels(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "p" / "a").mkdir(parents=True)
    label = sy.CategoryColumn(name="kind", categories=["a"])
    Image.fromarray(np.full((2, 2), 65535, np.uint16)).save(tmp_path / "p" / "a" / "1.png")
    deep = sy.ArrayInputs(shape=[1, 2, 2], picture=True, bits=16, label=label)
    assert match(deep, site_data(tmp_path / "p")).x.max() == 1.0
    assert refused(tmp_path / "p", sy.ArrayInputs(shape=[1, 2, 2], picture=True, label=label)).match(
        "takes 8 bits"
    )
    Image.new("RGB", (2, 2), (255, 0, 0)).save(tmp_path / "p" / "a" / "1.png")
    assert refused(tmp_path / "p", deep).match(r"shape \[3, 2, 2\], and the training takes \[1, 2, 2\]")
    colours = match(sy.ArrayInputs(shape=[3, 2, 2], picture=True, label=label), site_data(tmp_path / "p"))
    assert colours.x[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]


def test_frames_with_a_name_twice_and_things_that_are_no_data_are_refused() -> None:
    frame = pd.DataFrame([[1, 2, 3]], columns=["age", "age", "sick"])
    for data, said in (
        (frame, "same name"),
        (5, "no table"),
        ((1, 2, 3), "pair"),
        (Path("gone.csv"), "nothing at"),
    ):
        with pytest.raises(sy.GridError, match=said):
            site_data(data)


def test_columns_of_arrow_are_exact_and_a_blank_is_no_part_of_a_name() -> None:
    """Through pandas, whole numbers beside gaps would have been rounded before anybody looked."""
    arrow = pytest.importorskip("pyarrow")
    table = arrow.table(
        {" age": [60, 61], "sex": ["m", "f"], "sick": ["yes", "no"], "id": [None, (1 << 53) + 1]}
    )
    site = site_data(table)
    assert isinstance(site, SiteTable)
    with pytest.raises(BadRequest, match=r"column 'id', row 2: float64 does not hold 9007199254740993"):
        site.read({"id": ()})
    assert site.read({" age": ()})[" age"].tolist() == [60, 61]


PAIRS = torch.utils.data.TensorDataset(torch.tensor([[1.0], [2.0], [3.0]]), torch.tensor([1, 2, 3]))
NUMBERS = sy.TableInputs(columns=[sy.NumberColumn(name="a")], label=sy.NumberColumn(name="b"))


def test_a_part_of_a_dataset_is_that_part() -> None:
    """A Subset has a dataset, too, which it is a part of: so have the rows held out for a test."""
    part = torch.utils.data.Subset(PAIRS, [2, 0])
    for given in (part, torch.utils.data.DataLoader(part, batch_size=2)):
        assert match(NUMBERS, site_data(given)).x.tolist() == [[3.0], [1.0]]
    whole = torch.utils.data.DataLoader(PAIRS, batch_size=2, shuffle=True)
    assert match(NUMBERS, site_data(whole)).x.tolist() == [[1.0], [2.0], [3.0]]


@pytest.mark.parametrize(
    "told",
    [
        {"sampler": torch.utils.data.SubsetRandomSampler([0, 1])},
        {"sampler": torch.utils.data.WeightedRandomSampler([1, 0, 0], 3)},
        {"sampler": torch.utils.data.RandomSampler(PAIRS, replacement=True)},
        {"sampler": torch.utils.data.RandomSampler(PAIRS, num_samples=2)},
        {"batch_sampler": torch.utils.data.BatchSampler([2, 0], 1, drop_last=False)},
        {"collate_fn": lambda rows: rows},
    ],
)
def test_a_loader_that_picks_or_makes_samples_is_refused(told: Any) -> None:
    with pytest.raises(BadRequest, match=r"sampler picks rows|collate_fn makes"):
        site_data(torch.utils.data.DataLoader(PAIRS, **told))


def test_times_are_held_against_the_unit_that_is_declared(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("a,b\n2020-01-01,1\n2020-01-03,2\n")
    days = declare_inputs(path, "b", schema={"a": {"unit": "d"}})
    assert days.columns[0].unit == "d since 1970-01-01 00:00 (no time zone)"  # type: ignore[union-attr]
    assert match(days, site_data(path, {"a": {"unit": "d"}})).x.tolist() == [[18262.0], [18264.0]]
    for said in ({}, {"a": {"unit": "d", "timezone": "UTC"}}):
        with pytest.raises(DataMismatch, match="times of column 'a' are in"):
            match(days, site_data(path, said))
    with pytest.raises(DataMismatch, match="holds no times"):
        match(days, site_data({"a": [1, 2], "b": [1, 2]}))
    (note,) = match(NUMBERS, site_data(path)).notes
    assert "its times are in 'µs since 1970-01-01 00:00 (no time zone)'" in note


def test_one_hot_labels_and_masks_are_refused() -> None:
    inputs = sy.ArrayInputs(shape=[2], label=sy.CategoryColumn(name="kind", categories=["a", "b"]))
    eye = np.eye(2)
    with pytest.raises(DataMismatch, match="argmax"):
        match(inputs, site_data((eye, eye.astype(int))))
    with pytest.raises(BadRequest, match="row 2: a value is masked"):
        site_data((np.ma.array(eye, mask=[[0, 0], [0, 1]]), [0, 1]))
    with pytest.raises(DataMismatch, match="row 2 has no number"):
        match(NUMBERS, site_data({"a": np.ma.array([1, 999], mask=[0, 1]), "b": [1, 2]}))


def test_whether_numbers_are_words_or_places_does_not_depend_on_those_that_a_site_has() -> None:
    inputs = sy.TableInputs(
        columns=[sy.NumberColumn(name="a")], label=sy.CategoryColumn(name="b", categories=["1", "2", "3"])
    )
    assert match(inputs, site_data((np.ones((2, 1)), np.array([1, 2])))).y.tolist() == [0, 1]
    with pytest.raises(DataMismatch, match="cannot be their places"):
        match(inputs, site_data((np.ones((2, 1)), np.array([0, 2]))))
