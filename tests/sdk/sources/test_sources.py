"""Every kind of source becomes the same table at a Domain, however large it is and wherever it is read from."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
import safetensors.numpy
import torch

from syft_ext.errors import BadRequest, NotFound, Unsupported
from syft_ext.sources import csv_table
from syft_ext.sources.content import PartsContent
from syft_ext.sources.frames import content_of
from syft_ext.sources.opening import open_source
from syft_ext.tensors import decode_tensors

AGES, BMIS, SEXES = [61, 47, 70], [27.5, 21.25, 30.0], ["f", "m", "f"]
SCHEMA = {"sex": {"categories": ["f", "m"], "description": "as recorded"}, "bmi": {"unit": "kg/m²"}}
EXPECTED = {"age": AGES, "bmi": BMIS, "sex": [0, 1, 0]}


def frame() -> pandas.DataFrame:
    return pandas.DataFrame({"age": AGES, "bmi": BMIS, "sex": SEXES})


def csv_file(folder: Path) -> Any:
    frame().to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


def semicolons(folder: Path) -> Any:
    frame().to_csv(folder / "t.csv", index=False, sep=";")
    return folder / "t.csv"


def parquet(folder: Path) -> Any:
    pytest.importorskip("pyarrow")
    frame().to_parquet(folder / "t.parquet", row_group_size=2)
    return folder / "t.parquet"


def npz(folder: Path) -> Any:
    np.savez_compressed(folder / "t.npz", age=AGES, bmi=BMIS, sex=SEXES)
    return folder / "t.npz"


def tensors(folder: Path) -> Any:
    values = {"age": np.array(AGES), "bmi": np.array(BMIS), "sex": np.array([0, 1, 0])}
    safetensors.numpy.save_file(values, folder / "t.safetensors")
    return folder / "t.safetensors"


def polars_frame(folder: Path) -> Any:
    return pytest.importorskip("polars").DataFrame({"age": AGES, "bmi": BMIS, "sex": SEXES})


def categorical(folder: Path) -> Any:
    return frame().astype({"sex": "category"})


def mapping(folder: Path) -> Any:
    return {"age": torch.tensor(AGES), "bmi": np.array(BMIS), "sex": np.array(SEXES, dtype=object)}


def read(source: Any, folder: Path, said: Any = SCHEMA, **options: Any) -> PartsContent:
    if isinstance(source, Path):
        return open_source(source, said, spool=folder, **options)
    return content_of(source, said, "d/t")


def whole(content: PartsContent) -> dict[str, Any]:
    data = b"".join(map(bytes, content.pieces()))
    assert len(data) == content.size
    for start in (1, 9, content.size // 2, content.size - 1, content.size):
        assert b"".join(map(bytes, content.pieces(start))) == data[start:]
    return dict(decode_tensors(data))


SOURCES: list[Callable[[Path], Any]] = [
    csv_file, semicolons, parquet, npz, tensors, polars_frame, categorical, mapping,
]  # fmt: skip


@pytest.mark.parametrize("make", SOURCES)
def test_the_same_table_from_every_source(make: Callable[[Path], Any], tmp_path: Path) -> None:
    content = read(make(tmp_path), tmp_path)
    found = whole(content)
    order = ["age", "bmi", "sex"]
    assert {name: found[name].tolist() for name in order} == EXPECTED
    columns = {column.name: column for column in content.columns}
    assert [columns[name].dtype for name in order] == ["int64", "float64", "int64"]
    assert columns["bmi"].unit == "kg/m²"
    assert columns["sex"].categories == ["f", "m"]
    assert content.rows == 3
    left = {each.name for each in tmp_path.iterdir()} - {"t.csv", "t.parquet", "t.npz", "t.safetensors"}
    assert left == set(), "what was written on the way has no name"


@pytest.mark.parametrize("make", [csv_file, parquet, npz, polars_frame, mapping])
def test_text_without_categories_is_refused_everywhere(make: Callable[[Path], Any], tmp_path: Path) -> None:
    with pytest.raises(BadRequest, match="categories"):
        whole(read(make(tmp_path), tmp_path, {}))
    with pytest.raises(BadRequest, match="'m' is not among its categories"):
        whole(read(make(tmp_path), tmp_path, {"sex": {"categories": ["f", "x"]}}))


@pytest.mark.parametrize("make", [csv_file, parquet, npz, tensors])
def test_only_some_columns(make: Callable[[Path], Any], tmp_path: Path) -> None:
    found = whole(read(make(tmp_path), tmp_path, columns=["bmi", "age"]))
    assert {name: each.tolist() for name, each in found.items()} == {"bmi": BMIS, "age": AGES}
    with pytest.raises(BadRequest, match=r"has no (column|array) 'height'"):
        read(make(tmp_path), tmp_path, columns=["height"])


def test_gaps_become_nan(tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    polars = pytest.importorskip("polars")
    table = {"whole": [1, None, 3], "part": [1.5, None, 2.5], "yes": [True, None, False]}
    gaps = pandas.DataFrame({name: pandas.array(column) for name, column in table.items()})
    (tmp_path / "g.csv").write_text("whole,part,yes\n1,1.5,1\n,nan,\n\n3,2.5,0\n")
    gaps.to_parquet(tmp_path / "g.parquet")
    for source in (tmp_path / "g.csv", tmp_path / "g.parquet", gaps, polars.DataFrame(table)):
        found = whole(read(source, tmp_path, {}))
        assert {each.dtype for each in found.values()} == {torch.float64}, source
        assert [each.isnan().tolist() for each in found.values()] == [[False, True, False]] * 3, source
        assert [each[2].item() for each in found.values()] == [3.0, 2.5, 0.0], source


def test_whole_numbers_of_a_csv_stay_whole_over_many_stretches(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csv_table, "ROWS", 7)
    big = (1 << 62) + 1
    rows = [f"{number},{number / 3!r},{big}" for number in range(100)]
    (tmp_path / "n.csv").write_text("a,b,c\r\n" + "\r\n".join(rows) + "\r\n")
    found = whole(read(tmp_path / "n.csv", tmp_path, {}))
    assert found["a"].tolist() == list(range(100))
    assert found["b"].tolist() == [number / 3 for number in range(100)]
    assert found["c"].tolist() == [big] * 100
    rows[50] = "0.5,1,2"  # the first column is whole until there
    (tmp_path / "n.csv").write_text("a,b,c\n" + "\n".join(rows))
    assert whole(read(tmp_path / "n.csv", tmp_path, {}))["a"][50] == 0.5


BAD_CSVS = {
    "": "must name the columns",
    "a,a\n1,2": "must name the columns",
    "a,b\n1\n": r"row 1 \(line 2\): 1 of 2 columns",
    "a,b\n1,2\n3,x\n": r"column 'b', row 2 \(line 3\): 'x' is not numbers",
    "a\n1_0\n": "'1_0' is not numbers",
    'a\n"1\n': "unexpected end",
    "a\n" + "1" * (1 << 18): "field larger than field limit",
}


@pytest.mark.parametrize("text", BAD_CSVS)
def test_a_bad_csv_is_refused_with_its_place(text: str, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text(text)
    with pytest.raises(BadRequest, match=BAD_CSVS[text]):
        read(tmp_path / "bad.csv", tmp_path, {})
    (tmp_path / "bad.csv").write_bytes(b"a\n\xff\xfe\n")
    with pytest.raises(BadRequest, match="utf-8"):
        read(tmp_path / "bad.csv", tmp_path, {})


@pytest.mark.parametrize("array", [
    np.arange(12.0).reshape(4, 3),
    np.asfortranarray(np.arange(12.0).reshape(4, 3)),
    np.arange(5, dtype=">i4"),
    np.arange(5, dtype=np.uint16),
    np.array(2.5),
    np.zeros((0, 4), dtype=np.float32),
    np.array([True, False]),
])  # fmt: skip
def test_an_array_in_a_file_and_in_memory(array: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "a.npy", array)
    for source in (tmp_path / "a.npy", array):
        content = read(source, tmp_path, {})
        found = whole(content)[""] if content.size else None
        assert content.kind == "tensor"
        assert found is not None and found.tolist() == array.tolist()
        assert tuple(found.shape) == array.shape


def test_pickles_and_other_things_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "p.npy", np.array([{"a": 1}], dtype=object), allow_pickle=True)
    with pytest.raises(BadRequest, match="pickled"):
        read(tmp_path / "p.npy", tmp_path, {})
    np.savez(tmp_path / "p.npz", a=np.array([{}], dtype=object))
    with pytest.raises(BadRequest, match="pickled"):
        read(tmp_path / "p.npz", tmp_path, {})
    (tmp_path / "cut.safetensors").write_bytes((b"\x08" + bytes(7)) + b"{}      " + b"more")
    with pytest.raises(BadRequest, match="not as long"):
        read(tmp_path / "cut.safetensors", tmp_path, {})
    for value in (torch.zeros(2, dtype=torch.complex64), np.array(["x"]), np.array([1j])):
        with pytest.raises(BadRequest):
            read(value, tmp_path, {})
    with pytest.raises(BadRequest, match="collect"):
        read(pytest.importorskip("polars").LazyFrame({"a": [1]}), tmp_path, {})
    (tmp_path / "what.xlsx").write_bytes(b"")
    with pytest.raises(BadRequest, match="of a known kind"):
        read(tmp_path / "what.xlsx", tmp_path, {})
    with pytest.raises(NotFound):
        read(tmp_path / "nothing.csv", tmp_path, {})


def test_bfloat16_and_lists_in_parquet(tmp_path: Path) -> None:
    pyarrow = pytest.importorskip("pyarrow")
    value = torch.randn(5, 2).to(torch.bfloat16)
    assert torch.equal(whole(read(value, tmp_path, {}))[""], value)
    vectors = pyarrow.FixedSizeListArray.from_arrays(pyarrow.array(np.arange(6.0)), 2)
    pyarrow.parquet = __import__("pyarrow.parquet").parquet
    pyarrow.parquet.write_table(pyarrow.table({"v": vectors}), tmp_path / "v.parquet")
    assert whole(read(tmp_path / "v.parquet", tmp_path, {}))["v"].tolist() == [[0, 1], [2, 3], [4, 5]]


def pictures(folder: Path, names: dict[str, tuple[str, int]]) -> Path:
    image = pytest.importorskip("PIL.Image")
    for name, (mode, value) in names.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        image.new(mode, (4, 3), value).save(path)
    return folder


def test_a_folder_of_images_with_classes(tmp_path: Path) -> None:
    folder = pictures(
        tmp_path / "scans", {"ill/b.png": ("L", 9), "ill/a.png": ("L", 7), "well/c.png": ("L", 1)}
    )
    content = read(folder, tmp_path, {"image": {"unit": "gray"}})
    found = whole(content)
    assert tuple(found["image"].shape) == (3, 1, 3, 4) and found["image"].dtype is torch.uint8
    assert found["image"][:, 0, 0, 0].tolist() == [7, 9, 1]
    assert found["label"].tolist() == [0, 0, 1]
    assert content.columns[1].categories == ["ill", "well"]
    other = read(folder, tmp_path, {"label": {"categories": ["well", "doubtful", "ill"]}})
    assert whole(other)["label"].tolist() == [0, 2, 2]
    deep = pictures(tmp_path / "deep", {"x.png": ("I;16", 40_000)})
    assert whole(read(deep, tmp_path, {}))["image"].unique().tolist() == [40_000]
    colour = pictures(tmp_path / "colour", {"x.png": ("RGB", 255), "y.png": ("L", 3)})
    assert tuple(whole(read(colour, tmp_path, {}))["image"].shape) == (2, 3, 3, 4)
    image = pytest.importorskip("PIL.Image")
    image.new("L", (5, 5)).save(colour / "z.png")
    with pytest.raises(BadRequest, match="one size"):
        read(colour, tmp_path, {})
    (deep / "notes.txt").write_text("x")
    with pytest.raises(BadRequest, match=r"notes\.txt is no image"):
        read(deep, tmp_path, {})


def test_a_torch_dataset_is_read_sample_by_sample(tmp_path: Path) -> None:
    x, y = torch.randn(7, 2, 3), torch.arange(7)
    found = whole(read(torch.utils.data.TensorDataset(x, y), tmp_path, {}))
    assert torch.equal(found["0"], x) and torch.equal(found["1"], y)


@pytest.mark.parametrize(("name", "missing"), [("t.parquet", "pyarrow"), ("folder", "PIL")])
def test_a_missing_library_is_named_with_its_extra(
    name: str, missing: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, missing, None)
    (tmp_path / "t.parquet").write_bytes(b"PAR1")
    (tmp_path / "folder").mkdir()
    with pytest.raises(Unsupported, match=r"grid-platform\[data\]"):
        read(tmp_path / name, tmp_path, {})


MEASURE = """
import resource, sys
from pathlib import Path
from syft_ext.sources.opening import open_source
source, spool = Path(sys.argv[1]), Path(sys.argv[2])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
content = open_source(source, {}, spool=spool)
total = sum(len(piece) for piece in content.pieces())
assert total == content.size
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before, total)
"""


def test_a_source_never_stands_whole_in_memory(tmp_path: Path) -> None:
    rows = 400_000
    values = np.arange(rows * 8, dtype=np.float64).reshape(rows, 8)
    np.save(tmp_path / "big.npy", values)
    np.savez(tmp_path / "big.npz", x=values)
    line = ",".join("1.25" for _ in range(8))
    with (tmp_path / "big.csv").open("w") as file:
        file.write(",".join("abcdefgh") + "\n")
        file.writelines(f"{line}\n" for _ in range(rows // 4))
    for name in ("big.npy", "big.npz", "big.csv"):
        command = [sys.executable, "-c", MEASURE, str(tmp_path / name), str(tmp_path)]
        environment = {**os.environ, "PYTHONPATH": "packages", "OMP_NUM_THREADS": "1"}
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment)
        grown, total = map(int, done.stdout.split())
        assert grown * 1024 < total / 2 if name != "big.csv" else grown < 30_000, (name, grown, total)
    assert resource.RLIMIT_AS
