"""The owner's data: what is read, and what is refused with its place."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from grid.worker.data import LocalData, load_data, standardise
from syft_ext.errors import BadRequest, InvalidConfig, NotFound
from syft_ext.tensors import encode_tensors


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def test_csv(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "a,label,b\n1,0,2\n3.5,1,-4e2\n\n")
    data = load_data(path, "label")
    assert data.x.tolist() == [[1.0, 2.0], [3.5, -400.0]]
    assert (data.y.tolist(), data.x.dtype, data.y.dtype) == ([0, 1], np.float32, np.int64)
    assert load_data(path).y.tolist() == [2.0, -400.0], "the last column, unless it is said"


def test_words_as_labels_need_an_order(tmp_path: Path) -> None:
    path = write(tmp_path / "d.csv", "a,kind\n1,M\n2,B\n")
    assert load_data(path, "kind", ["B", "M"]).y.tolist() == [1, 0]
    with pytest.raises(BadRequest, match="order"):
        load_data(path, "kind")
    with pytest.raises(BadRequest, match="'M' is not among"):
        load_data(path, "kind", ["B"])


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a,b\n1,x\n", "words"),
        ("a,b\nx,1\n", "line 2: column 'a' holds no number"),
        ("a,b\n1,2\n,1\n", "line 3: column 'a'"),
        ("a,b\n1\n", "line 2: 1 of 2 columns"),
        ("a,b\nnan,1\n", r"not finite, at \(0, 0\)"),
        ("a,b\n1,inf\n", r"not finite, at \(0,\)"),
        ("a,a\n1,1\n", "different columns"),
        ("a\n1\n", "two or more"),
        ("a,b\n", "do not belong together"),
        ("", "two or more"),
    ],
)
def test_a_csv_that_is_wrong_is_refused_with_the_place(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(BadRequest, match=words):
        load_data(write(tmp_path / "d.csv", text))


def test_arrays(tmp_path: Path) -> None:
    x, y = np.arange(24, dtype=np.float64).reshape(2, 3, 4), np.array([1, 0])
    np.savez(tmp_path / "d.npz", images=x, label=y)
    data = load_data(tmp_path / "d.npz")
    assert data.x.shape == (2, 3, 4)
    assert data.y.tolist() == [1, 0]
    tensors = {"x": torch.from_numpy(x), "target": torch.from_numpy(y), "more": torch.ones(2)}
    (tmp_path / "d.safetensors").write_bytes(encode_tensors(tensors))
    assert load_data(tmp_path / "d.safetensors", "target").x.shape == (2, 3, 4)
    with pytest.raises(BadRequest, match="has no array 'z'"):
        load_data(tmp_path / "d.npz", "z")
    np.savez(tmp_path / "short.npz", x=x, y=y[:1])
    with pytest.raises(BadRequest, match="do not belong together"):
        load_data(tmp_path / "short.npz")


def test_nothing_is_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "d.npz", x=np.array([{"a": 1}], dtype=object), y=np.array([1]))
    with pytest.raises(BadRequest, match="plain arrays"):
        load_data(tmp_path / "d.npz")
    (tmp_path / "f" / "a").mkdir(parents=True)
    np.save(tmp_path / "f" / "a" / "1.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(BadRequest, match="plain array"):
        load_data(tmp_path / "f")


def test_a_folder_per_class(tmp_path: Path) -> None:
    from PIL import Image

    for label, value in (("cat", 1.0), ("dog", 2.0)):
        (tmp_path / "npy" / label).mkdir(parents=True)
        np.save(tmp_path / "npy" / label / "0.npy", np.full((1, 2, 2), value))
    data = load_data(tmp_path / "npy")
    assert (data.y.tolist(), data.x[:, 0, 0, 0].tolist()) == ([0, 1], [1.0, 2.0])
    assert load_data(tmp_path / "npy", classes=["bird", "dog", "cat"]).y.tolist() == [1, 2]

    (tmp_path / "png" / "a").mkdir(parents=True)
    Image.new("RGB", (4, 3), (255, 0, 0)).save(tmp_path / "png" / "a" / "1.png")
    images = load_data(tmp_path / "png")
    assert images.x.shape == (1, 3, 3, 4)
    assert images.x[0, :, 0, 0].tolist() == [1.0, 0.0, 0.0]
    (tmp_path / "png" / "a" / "2.txt").write_text("x")
    with pytest.raises(BadRequest, match=r"2\.txt"):
        load_data(tmp_path / "png")


def test_what_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(NotFound):
        load_data(tmp_path / "no.csv")
    with pytest.raises(BadRequest, match="data are"):
        load_data(write(tmp_path / "d.xls", "x"))


def test_standardise(tmp_path: Path) -> None:
    x = np.array([[1.0, 5.0], [3.0, 5.0]], dtype=np.float32)
    data = LocalData(x, np.array([0, 1]))
    local = standardise(data, "local")
    assert local.x.tolist() == [[-1.0, 0.0], [1.0, 0.0]], "a constant column is not divided by zero"
    assert standardise(data, "none").x is x
    file = write(tmp_path / "s.json", json.dumps({"mean": [1, 0], "std": [2, 5]}))
    assert standardise(data, "file", file).x.tolist() == [[0.0, 1.0], [1.0, 1.0]]
    with pytest.raises(InvalidConfig):
        standardise(data, "file", write(tmp_path / "s.json", json.dumps({"mean": [1], "std": [2]})))
    with pytest.raises(InvalidConfig):
        standardise(data, "file")
    images = standardise(LocalData(np.random.rand(5, 3, 8, 8).astype(np.float32), data.y), "local")
    assert np.allclose(images.x.mean((0, 2, 3)), 0, atol=1e-5)
