"""Combined partials are the statistics of the pooled rows: for any split, order, type and stretch length."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import syft_ext as sy
from grid.statistics import ranks, reading, regressions
from syft_ext.errors import BadRequest
from syft_ext.messages.statistics import Partials
from syft_ext.statistics.order import key_of, keys_of, value_of
from tests.statistics.local_domain import local_domains

FLOATS = ("float64", "float32", "float16", "bfloat16")
WHOLE = ("int64", "int32", "int16", "int8", "uint8", "bool")
EVERYTHING = ["count", "missing", "sum", "mean", "variance", "std", "min", "max", "quantile", "histogram"]
QUANTILES = (0.0, 0.1, 0.5, 0.77, 1.0)


@pytest.fixture(autouse=True)
def short_stretches(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several stretches also of few rows: they have to be merged."""
    for module in (reading, regressions):
        monkeypatch.setattr(module, "CHUNK_ROWS", 7)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as path:
        yield Path(path)


def column(dtype: str, rows: int, seed: int, gaps: bool, offset: float) -> torch.Tensor:
    random = np.random.default_rng(seed)
    if dtype in WHOLE:
        top = {"bool": 2, "uint8": 250, "int8": 120}.get(dtype, 30_000)
        values = torch.from_numpy(random.integers(-top if dtype.startswith("int") else 0, top, rows))
        return values.to(getattr(torch, dtype))
    values = torch.from_numpy(random.normal(offset, 1 + abs(offset) / 100, rows))
    if gaps:
        values[torch.from_numpy(random.random(rows) < 0.3)] = float("nan")
    return values.to(getattr(torch, dtype))


def pooled(parts: list[torch.Tensor]) -> np.ndarray[Any, Any]:
    values = np.concatenate([part.to(torch.float64).numpy() for part in parts])
    return values[~np.isnan(values)]


def check_all(found: dict[str, Any], values: np.ndarray[Any, Any], missing: int) -> None:
    size = len(values)
    scale = max(1.0, float(np.abs(values).max(initial=0)))
    assert found["count"] == size and found["missing"] == missing
    assert found["sum"] == pytest.approx(values.sum(), rel=1e-9, abs=1e-9 * scale)
    if not size:
        assert np.isnan([found["mean"], found["min"], found["max"], found["quantile"][0.5]]).all()
        return
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-9, abs=1e-12 * scale)
    assert (found["min"], found["max"]) == (values.min(), values.max())
    assert found["quantile"] == {q: np.quantile(values, q) for q in QUANTILES}
    if size > 1:
        assert found["variance"] == pytest.approx(values.var(ddof=1), rel=1e-9, abs=1e-9)
        assert found["std"] == pytest.approx(values.std(ddof=1), rel=1e-9, abs=1e-9)


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 60), st.sampled_from(FLOATS + WHOLE)), min_size=1, max_size=4),
    st.integers(0, 1 << 30),
    st.booleans(),
    st.sampled_from([0.0, -3.0, 1e4]),
    st.randoms(),
)
def test_any_split_in_any_order(
    folder: Path, split: list[tuple[int, str]], seed: int, gaps: bool, offset: float, random: Any
) -> None:
    parts = [column(dtype, rows, seed + i, gaps, offset) for i, (rows, dtype) in enumerate(split)]
    values = pooled(parts)
    tables = local_domains(folder, [{"x": part} for part in parts])
    random.shuffle(tables)
    result = sy.analyze(tables, EVERYTHING, columns="x", q=QUANTILES, bins=7)
    found = {name: result[name, "x"] for name in EVERYTHING}
    check_all(found, values, sum(map(len, parts)) - len(values))
    expected = np.histogram(values, 7)
    assert found["histogram"].counts == expected[0].tolist()
    assert found["histogram"].edges == expected[1].tolist()


@settings(max_examples=40, deadline=None)
@given(
    st.lists(st.integers(1, 60), min_size=1, max_size=3),
    st.integers(0, 1 << 30),
    st.sampled_from(["int8", "int64", "bool"]),
    st.booleans(),
)
def test_groups(folder: Path, split: list[int], seed: int, kind: str, second: bool) -> None:
    parts = []
    for index, rows in enumerate(split):
        random = np.random.default_rng(seed + index)
        keys = random.integers(0, 2, rows) if kind == "bool" else random.integers(-2, 3, rows)
        far = keys * (1 << 40) if kind == "int64" else keys
        parts.append(
            {
                "x": column("float64", rows, seed + index, True, 5.0),
                "a": torch.from_numpy(far).to(getattr(torch, kind)),
                "b": torch.from_numpy(random.integers(0, 3, rows)),
            }
        )
    by = ["a", "b"] if second else ["a"]
    result = sy.analyze(
        local_domains(folder, parts), EVERYTHING, columns="x", by=by, q=QUANTILES, bins=[-9, 4, 6, 9]
    )
    keys = np.concatenate(
        [np.stack([part[name].numpy().astype(np.int64) for name in by], 1) for part in parts]
    )
    values = np.concatenate([part["x"].numpy() for part in parts])
    assert result.groups == sorted({tuple(key) for key in keys.tolist()})
    for key in result.groups:
        mine = values[(keys == key).all(axis=1)]
        there = mine[~np.isnan(mine)]
        name = key if second else key[0]
        check_all({each: result[each, "x"][name] for each in EVERYTHING}, there, len(mine) - len(there))
        assert result["histogram", "x"][name].counts == np.histogram(there, [-9, 4, 6, 9])[0].tolist()


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.integers(10, 60), min_size=1, max_size=3), st.integers(0, 1 << 30), st.sampled_from([0, 1e5])
)
def test_regressions(folder: Path, split: list[int], seed: int, offset: float) -> None:
    parts = []
    for index, rows in enumerate(split):
        random = np.random.default_rng(seed + index)
        a, b = random.normal(offset, 3, rows), random.normal(-1, 2, rows)
        a[0] = np.nan
        y = 2 * np.nan_to_num(a) - b + random.normal(0, 1, rows)
        parts.append({"a": a, "b": b, "y": y, "z": (random.random(rows) < 0.5).astype(np.int8)})
    tables = local_domains(folder, parts)
    whole = np.concatenate([np.stack([part[name] for name in ("a", "b", "y", "z")], 1) for part in parts])
    whole = whole[~np.isnan(whole).any(axis=1)]
    result = sy.analyze(
        tables, ["covariance", "correlation", "linear_regression"], columns=["a", "b"], target="y"
    )
    assert np.allclose(result["covariance"], np.cov(whole[:, :2].T), rtol=1e-9)
    assert np.allclose(result["correlation"], np.corrcoef(whole[:, :2].T), rtol=1e-9, atol=1e-9)
    fit = result["linear_regression"]
    center = np.array([offset, 0.0])
    design = np.column_stack([np.ones(len(whole)), whole[:, :2] - center])
    beta, left, *_ = np.linalg.lstsq(design, whole[:, 2], rcond=None)
    assert list(fit.coefficients.values())[1:] == pytest.approx(beta[1:], rel=1e-9, abs=1e-9)
    # The intercept is the prediction at 0, offset / 3 standard deviations from the data.
    intercept = beta[0] - beta[1:] @ center
    assert fit.coefficients["(intercept)"] == pytest.approx(intercept, rel=1e-9, abs=1e-9 * (1 + offset))
    noise = left[0] / (len(whole) - 3)
    errors = np.sqrt(np.diag(np.linalg.inv(design.T @ design)) * noise)
    assert list(fit.standard_errors.values())[1:] == pytest.approx(errors[1:], rel=1e-9)
    assert fit.r2 == pytest.approx(1 - left[0] / ((whole[:, 2] - whole[:, 2].mean()) ** 2).sum(), rel=1e-9)


def test_logistic_regression_is_the_maximum_of_the_pooled_likelihood(folder: Path) -> None:
    random = np.random.default_rng(5)
    parts = []
    for rows in (300, 211):
        a, b = random.normal(40, 10, rows), random.normal(0, 1, rows)
        z = (random.random(rows) < 1 / (1 + np.exp(-(0.1 * (a - 40) - b)))).astype(np.int64)
        parts.append({"a": a, "b": b, "z": z})
    fit = sy.analyze(local_domains(folder, parts), "logistic_regression", target="z")["logistic_regression"]
    a, b, z = (np.concatenate([part[name] for part in parts]) for name in ("a", "b", "z"))
    design = np.column_stack([np.ones(len(a)), a, b])
    beta = np.array(list(fit.coefficients.values()))
    mean = 1 / (1 + np.exp(-design @ beta))
    assert np.abs(design.T @ (z - mean)).max() < 1e-8  # the pooled gradient vanishes there
    hessian = design.T @ (design * (mean * (1 - mean))[:, None])
    errors = np.sqrt(np.diag(np.linalg.inv(hessian)))
    assert list(fit.standard_errors.values()) == pytest.approx(errors, rel=1e-7)


def test_matrices_infinities_and_nothing(folder: Path) -> None:
    matrix = np.random.default_rng(1).normal(size=(40, 3)).astype(np.float32)
    matrix[3, 1] = np.inf
    (table,) = local_domains(folder, [{"m": matrix, "v": np.arange(40)}])
    result = sy.analyze(table, ["mean", "max", "quantile"], columns=["m[0]", "m[1]", "v"])
    assert result["mean", "m[0]"] == pytest.approx(matrix[:, 0].astype(float).mean())
    assert result["mean", "m[1]"] == result["max", "m[1]"] == np.inf
    assert result["quantile", "m[1]"][0.5] == np.quantile(matrix[:, 1].astype(float), 0.5)
    with pytest.raises(BadRequest, match="infinities"):
        sy.analyze(table, "histogram", columns="m[1]")
    counts = sy.analyze(table, "histogram", columns="m[1]", range=(0, 1), bins=1)["histogram", "m[1]"]
    assert (counts.below, counts.above) == ((matrix[:, 1] < 0).sum(), (matrix[:, 1] > 1).sum())


@given(st.lists(st.floats(allow_nan=False), min_size=2))
def test_keys_are_in_the_order_of_the_values(values: list[float]) -> None:
    keys = keys_of(np.array(values)).tolist()
    for a, b, i, j in zip(values, values[1:], keys, keys[1:], strict=False):
        assert (a < b, a == b) == (i < j, i == j)
    assert [value_of(key) for key in keys] == values
    assert key_of(values[0]) == keys[0]


@pytest.mark.parametrize("kept", [0, 20])
def test_quantiles_that_read_the_table_in_every_round(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    """Values that are too many to be kept between rounds, of groups that not every site has."""
    monkeypatch.setattr(ranks, "_KEPT", kept)
    random = np.random.default_rng(2)
    parts = [
        {"x": random.normal(offset, 1, 200) * (-1) ** np.arange(200), "g": random.integers(low, low + 3, 200)}
        for offset, low in ((0.0, 0), (1e-300, 1), (3e5, 2))
    ]
    tables = local_domains(folder, parts)
    x, g = (np.concatenate([part[name] for part in parts]) for name in ("x", "g"))
    result = sy.analyze(tables, "quantile", columns="x", by="g", q=QUANTILES)
    for key, found in result["quantile", "x"].items():
        assert found == {q: np.quantile(x[g == key], q) for q in QUANTILES}
    assert max(len(domain.replies) for domain in tables) <= 7  # one to begin, and six rounds


@pytest.mark.parametrize(
    ("statistic", "lie"),
    [
        ("mean", lambda reply: reply.columns[0].mean.append(1.0)),
        ("histogram", lambda reply: reply.histograms and reply.histograms[0].edges.append(99.0)),
        ("quantile", lambda reply: reply.ranks and reply.ranks[0].bins.append(5000)),
        ("quantile", lambda reply: reply.ranks and reply.ranks.pop()),
        ("quantile", lambda reply: reply.ranks and reply.ranks[0].counts.__setitem__(slice(None), [0])),
        ("covariance", lambda reply: reply.comoments.products.pop()),
    ],
)
def test_a_site_that_contradicts_itself_is_an_error(folder: Path, statistic: str, lie: Any) -> None:
    tables = local_domains(folder, [{"x": np.arange(50.0), "y": np.arange(50.0) ** 2}] * 2)
    call = tables[1].call

    def lying(message: Any, **options: Any) -> Any:
        reply = call(message, **options)
        if isinstance(reply, Partials):
            lie(reply)
        return reply

    tables[1].call = lying  # type: ignore[method-assign]
    with pytest.raises(BadRequest):
        if statistic == "quantile":
            tables[0].call = lying  # type: ignore[method-assign]
        sy.analyze(tables, statistic, columns=["x", "y"])
