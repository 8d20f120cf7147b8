"""The owner's data at a Worker: what a look at them says, what a training that declares nothing gets, and what
happens when the file changes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import syft_ext as sy
from grid.worker.data import OwnerData
from grid.worker.undeclared import OwnersWord
from syft_ext.errors import BadRequest, DataMismatch, InvalidConfig, NotFound
from syft_ext.federated.inputs import Rows
from syft_ext.messages.vocabulary import TableOptions
from syft_ext.tensors import encode_tensors


@pytest.fixture(autouse=True)
def own_home(own_folder: Path) -> None:
    """Tables are converted in the user's folder."""


def write(path: Path, text: str | bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def data(path: Path, schema: Path | None = None, **word: Any) -> OwnerData:
    return OwnerData(path, schema, OwnersWord(**word))


def rows(path: Path, **word: Any) -> Rows:
    """For a training that declares nothing."""
    return data(path, **word).rows(None)


# -- trainings that declare nothing --------------------------------------------------------------------


def test_named_columns_are_taken_in_the_order_that_the_owner_has_said(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "a,label,b\n1,0,2\n3.5,1,-4e2\n\n")
    found = rows(path, columns=["b", "a"], target="label")
    assert found.x.tolist() == [[2.0, 1.0], [-400.0, 3.5]]
    assert (found.y.tolist(), str(found.x.dtype), str(found.y.dtype)) == ([0, 1], "float32", "int64")
    for word, missing in (({}, "--columns and --target"), ({"columns": ["a"]}, "--target")):
        with pytest.raises(DataMismatch, match=f"declares no inputs.*{missing}") as refused:
            rows(path, **word)
        assert "a" not in refused.value.extra["form"].split(), "the Domain hears no name of a column"
    with pytest.raises(DataMismatch, match="no column 'A'; nearly equal: 'a'"):
        rows(path, columns=["A"], target="label")


def test_words_as_labels_need_an_order(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "a,kind\n1,M\n2,B\n")
    assert rows(path, columns=["a"], target="kind", classes=["B", "M"]).y.tolist() == [1, 0]
    with pytest.raises(DataMismatch, match="order"):
        rows(path, columns=["a"], target="kind")
    with pytest.raises(DataMismatch, match="'M' is not among"):
        rows(path, columns=["a"], target="kind", classes=["B"])


def test_a_folder_of_classes_needs_them_all_named(tmp_path: Path) -> None:
    for label, value in (("cat", 1.0), ("dog", 2.0)):
        (tmp_path / "npy" / label).mkdir(parents=True)
        np.save(tmp_path / "npy" / label / "0.npy", np.full((1, 2, 2), value))
    found = rows(tmp_path / "npy", classes=["bird", "dog", "cat"])
    assert dict(zip(found.y.tolist(), found.x[:, 0, 0, 0].tolist(), strict=True)) == {2: 1.0, 1: 2.0}
    with pytest.raises(DataMismatch, match="declares no classes"):
        rows(tmp_path / "npy")
    with pytest.raises(DataMismatch, match="'cat' is no class"):
        rows(tmp_path / "npy", classes=["dog"])


def test_plain_arrays_have_no_names_to_mistake(tmp_path: Path) -> None:
    x, y = np.arange(24, dtype=np.float64).reshape(2, 3, 4), np.array([1, 0])
    np.savez(tmp_path / "d.npz", images=x, label=y)
    found = rows(tmp_path / "d.npz")
    assert (found.x.shape, found.y.tolist()) == ((2, 3, 4), [1, 0])
    tensors = {"x": torch.from_numpy(x), "target": torch.from_numpy(y), "more": torch.ones(2)}
    write(tmp_path / "d.safetensors", encode_tensors(tensors))
    assert rows(tmp_path / "d.safetensors", target="target").x.shape == (2, 3, 4)
    with pytest.raises(BadRequest, match=r"d\.npz: an array of labels is needed"):
        rows(tmp_path / "d.npz", target="z")
    np.savez(tmp_path / "short.npz", x=x, y=y[:1])
    with pytest.raises(BadRequest, match="do not belong together"):
        rows(tmp_path / "short.npz")
    np.savez(tmp_path / "words.npz", x=x, y=np.array(["M", "B"]))
    assert rows(tmp_path / "words.npz", classes=["B", "M"]).y.tolist() == [1, 0]
    with pytest.raises(DataMismatch, match="words"):
        rows(tmp_path / "words.npz")


def test_standard_scores_are_right_where_nothing_varies_and_where_numbers_are_large(tmp_path: Path) -> None:
    seconds = 1_700_000_000 + np.random.default_rng(0).integers(0, 60, 400)
    lines = [f"0.1,{121.3 + 0.01 * (s % 7)},{s},{s % 2}" for s in seconds.tolist()]
    path = write(tmp_path / "d.csv", "\n".join(["device,pressure,seconds,sick", *lines]) + "\n")
    columns = ["device", "pressure", "seconds"]
    x = rows(path, columns=columns, target="sick", standardise="local").x.astype(np.float64)
    assert (x[:, 0] == 0).all()
    assert np.allclose(x[:, 1:].mean(0), 0, atol=1e-6)
    assert np.allclose(x[:, 1:].std(0), 1, atol=1e-6)
    expected = (seconds - seconds.mean()) / seconds.std()
    assert np.allclose(x[:, 2], expected, atol=1e-6)
    with pytest.raises(DataMismatch, match=r"'seconds': row .*single precision.*declare a centre"):
        rows(path, columns=columns, target="sick")
    statistics = write(tmp_path / "s.json", json.dumps({"mean": [0, 121, 1.7e9], "std": [1, 2, 10]}))
    shared = rows(path, columns=columns, target="sick", standardise="file", statistics=statistics)
    assert np.allclose(shared.x[:, 2], (seconds - 1.7e9) / 10)


def test_arrays_are_standardised_by_feature_in_double_precision(tmp_path: Path) -> None:
    x = np.random.default_rng(0).random((5, 3, 8, 8)) + np.array([0, 1e9, 5]).reshape(1, 3, 1, 1)
    x[:, 2] = 5.1
    np.savez(tmp_path / "d.npz", x=x, y=np.arange(5))
    scaled = rows(tmp_path / "d.npz", standardise="local").x
    assert np.allclose(scaled.mean((0, 2, 3)), 0, atol=1e-5)
    assert np.allclose(scaled.std((0, 2, 3)), [1, 1, 0], atol=1e-5)
    with pytest.raises(InvalidConfig):
        rows(tmp_path / "d.npz", standardise="file")
    wrong = write(tmp_path / "s.json", json.dumps({"mean": [1], "std": [2]}))
    with pytest.raises(InvalidConfig, match="3 numbers"):
        rows(tmp_path / "d.npz", standardise="file", statistics=wrong)


# -- what a look says ----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("latin1.csv", "größe,y\n1,0\n".encode("latin-1")),
        ("empty.csv", ""),
        ("header.csv", "x,y\n"),
        ("lengths.csv", "x,y\n1,0\n1\n"),
        ("twice.csv", "x,x\n1,0\n"),
        ("utf16.csv", "x,y\n1,0\n".encode("utf-16")),
        ("cut.npz", b"PK\x03\x04 no archive"),
        ("cut.safetensors", b'\x10\x00\x00\x00\x00\x00\x00\x00{"x":'),
        ("pics/a/1.png", b"\x89PNG\r\n\x1a\n damaged"),
        ("thumbs/a/Thumbs.db", b"x"),
        ("loose/a.npy", b"x"),
        ("d.xls", b"x"),
    ],
)
def test_data_that_no_training_can_use_are_named(tmp_path: Path, name: str, content: str | bytes) -> None:
    write(tmp_path / name, content)
    top = Path(name).parts[0]
    with pytest.raises(BadRequest, match=top.split(".")[0]):
        data(tmp_path / top).survey()


def test_what_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "dangling.csv").symlink_to(tmp_path / "gone.csv")
    (tmp_path / "none").mkdir()
    with pytest.raises(NotFound, match="dangling"):
        data(tmp_path / "dangling.csv").survey()
    with pytest.raises(BadRequest, match="none: one folder for each class"):
        data(tmp_path / "none").survey()


def test_how_a_csv_is_written_is_told(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "größe;krank\n1,5;0\n2,25;1\n-;0\n".encode("latin-1"))
    with pytest.raises(BadRequest, match=r"d\.csv, line 1 .*latin-1"):
        data(path).survey()
    word = OwnersWord(target="krank", columns=["größe"])
    text = TableOptions(encoding="latin-1", decimal=",", missing=["-"])
    survey = OwnerData(path, None, word, text).survey()
    assert survey.rows == 3 and "row 3 has no number" in survey.notes[0]
    write(path, "größe;krank\n1,5;0\n2,25;1\n".encode("latin-1"))
    assert OwnerData(path, None, word, text).rows(None).x.tolist() == [[1.5], [2.25]]


@pytest.mark.parametrize(
    ("cell", "said"),
    [("", "row 2 has no number"), ("NA", "row 2 has no number"), ("1e400", "row 2 .*float64 does not hold"),
     ("sick", "row 2 .*'sick' is not numbers"), ("2,5", "row 2 .*'2,5' is not numbers"), ("\x00", "row 2")],
)  # fmt: skip
def test_a_column_that_some_training_cannot_take_is_told_at_the_start(
    tmp_path: Path, cell: str, said: str
) -> None:
    import re

    path = write(tmp_path / "d.csv", f"x;y\n1;0\n{cell};1\n")
    survey = data(path).survey()
    assert survey.rows == 2
    (note,) = survey.notes
    assert re.search(f"d.csv.*{said}", note), note
    assert "'x' cannot be used" in note


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([{"a": 1}], dtype=object), y=np.array([1]))
    with pytest.raises(BadRequest, match="plain arrays"):
        data(tmp_path / "d.npz").survey()
    (tmp_path / "f" / "a").mkdir(parents=True)
    np.save(tmp_path / "f" / "a" / "1.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadRequest, match="plain array"):
        data(tmp_path / "f").survey()


# -- what is declared, and what changes ----------------------------------------------------------------

DECLARED = sy.TableInputs(
    columns=[sy.NumberColumn(name="age", unit="years"), sy.NumberColumn(name="bmi")],
    label=sy.CategoryColumn(name="sick", categories=["no", "yes"]),
)


def test_a_declaration_is_read_anew_when_the_file_has_changed(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "bmi,sick,age\n20,yes,60\n")
    schema = write(tmp_path / "schema.json", json.dumps({"age": {"unit": "months"}}))
    owner = data(path, schema, standardise="local")
    with pytest.raises(DataMismatch, match="'age' is in 'months', and the training takes 'years'"):
        owner.rows(DECLARED)
    stamp = owner.stamp()
    write(schema, json.dumps({"age": {"unit": "years"}}))
    assert owner.stamp() != stamp
    found = owner.rows(DECLARED)
    assert (found.x.tolist(), found.y.tolist()) == ([[60.0, 20.0]], [1])
    assert any("standardise is for those" in note for note in found.notes)
    assert owner.rows(DECLARED) is found, "read once"
    write(path, "bmi,sick,age\n21,no,61\n22,no,62\n")
    assert owner.rows(DECLARED).x.tolist() == [[61.0, 21.0], [62.0, 22.0]]
    path.unlink()
    assert isinstance(owner.stamp(), str)
    write(schema, "[]")
    with pytest.raises(InvalidConfig, match="JSON object"):
        owner.rows(DECLARED)


def test_undeclared_arrays_are_not_rounded_in_one_column_for_what_another_has(tmp_path: Path) -> None:
    seconds = 1.7e9 + np.arange(5.0)[:, None] * [1.0, 1e8]
    np.savez(tmp_path / "d.npz", x=seconds, y=np.arange(5))
    with pytest.raises(DataMismatch, match="row 2: models compute in single precision"):
        rows(tmp_path / "d.npz")
    inputs = sy.ArrayInputs(shape=[2], label=sy.NumberColumn(name="y"))
    with pytest.raises(DataMismatch, match="row 2: models compute in single precision"):
        data(tmp_path / "d.npz").rows(inputs)
