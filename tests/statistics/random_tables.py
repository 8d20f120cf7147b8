"""Statistics over sites against pandas, scipy and statsmodels on the pooled rows, for random tables.

``python -m tests.statistics.random_tables 1000`` runs so many; the suite runs a seeded slice. Tables have gaps,
constants, copies, extremes, large offsets, categories in other orders at other sites, words that only one has,
groups of one row and sites without rows. What oracles cannot tell (singular, separated) is NaN here.
"""

from __future__ import annotations

import sys
import tempfile
import time
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import statsmodels.api as sm
from scipy import stats

import syft_ext as sy
from tests.statistics.local_domain import LocalDomain, local_domains

__all__ = ["Case", "check", "make"]

WORDS = ["f", "m", "x", "Ärztin", "not told"]
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)
TABULAR = ["count", "missing", "sum", "mean", "variance", "std", "min", "max", "quantile"]
KINDS = (
    "normal",
    "constant",
    "offset",
    "tiny",
    "huge",
    "skewed",
    "whole",
    "gaps",
    "all missing",
    "extreme",
    "truth",
)


@dataclass
class Case:
    """One analysis: tables of sites with their schemas, and the pooled rows in words."""

    seed: int
    parts: list[dict[str, Any]]
    schemas: list[dict[str, Any]]
    pooled: pd.DataFrame
    kinds: dict[str, str] = field(default_factory=dict)


def _column(random: np.random.Generator, kind: str, rows: int, shared: float, first: Any) -> Any:
    """Values of one site; ``shared`` is a number that all sites have, ``first`` the first column."""
    normal = random.normal(0, 1, rows)
    match kind:
        case "constant":
            return np.full(rows, shared)
        case "offset":
            return 1e9 + normal * 1e-2
        case "copy":
            return 2 * first.astype(float)
        case "tiny":
            return normal * 1e-60
        case "huge":
            return normal * 1e60
        case "skewed":
            return np.exp(3 * normal)
        case "whole":
            return random.integers(-5, 6, rows)
        case "gaps":
            return np.where(random.random(rows) < 0.4, np.nan, normal * 10 + shared)
        case "all missing":
            return np.where(random.random() < 0.5, np.nan, normal)
        case "extreme":
            return np.where(random.random(rows) < 0.05, normal * 1e100, normal)
        case "truth":
            return random.random(rows) < 0.4
    return normal * 3 + 5


def make(seed: int) -> Case:
    """The case of a seed."""
    random = np.random.default_rng(seed)
    sites = int(random.integers(1, 5))
    kinds = {f"c{index}": str(random.choice(KINDS)) for index in range(int(random.integers(2, 5)))}
    if random.random() < 0.15:
        kinds[f"c{len(kinds)}"] = "copy"
    known = WORDS[: int(random.integers(2, len(WORDS) + 1))]
    shared = float(random.choice([0.1, 0.0, 3.0, 1e9 + 0.1, -7.7, 1e-9]))
    parts, schemas, frames = [], [], []
    for _ in range(sites):
        rows = int(random.choice([0, 1, 2, 7, 30, 120]))
        part: dict[str, Any] = {}
        for name, kind in kinds.items():
            part[name] = _column(random, kind, rows, shared, part.get("c0"))
        own = list(random.permutation(known))
        if len(own) > 2 and random.random() < 0.3:
            own = own[:-1]  # a word that this site does not have
        codes = random.integers(0, len(own), rows)
        part["sex"] = codes
        part["place"] = random.integers(0, 3, rows).astype(np.int8)
        words = np.array(own, dtype=object)[codes]
        first = part["c0"].astype(float) if rows else np.zeros(0)
        scale = max(1e-300, float(np.nanmax(np.abs(first), initial=0.0)))
        signal = np.nan_to_num(first / scale) + (words == "f") + random.normal(0, 1, rows)
        part["y"] = signal
        part["ill"] = (signal > 0.5).astype(np.int64)
        parts.append(part)
        schemas.append({"sex": {"categories": own}})
        frames.append(pd.DataFrame({**part, "sex": words}))
    pooled = pd.concat(frames, ignore_index=True)
    for name in [*kinds, "y"]:
        pooled[name] = pooled[name].astype(float)
    return Case(seed, parts, schemas, pooled, kinds)


def _same(found: Any, wanted: Any, scale: float, what: str, digits: float = 1e-9) -> None:
    if wanted is None or not np.isfinite(wanted):
        assert found is not None and not np.isfinite(found), f"{what}: {found}, not {wanted}"
        return
    assert abs(found - wanted) <= digits * max(abs(wanted), scale), f"{what}: {found}, not {wanted}"


def _check_column(found: dict[str, Any], values: pd.Series[Any], what: str) -> None:
    there = values.dropna().to_numpy(dtype=float)
    size, most = len(there), float(np.abs(there).max(initial=0.0))
    assert (found["count"], found["missing"]) == (size, len(values) - size), what
    _same(found["sum"], there.sum(), most * max(size, 1) * 1e-6, f"{what} sum")
    if not size:
        assert all(np.isnan(found[name]) for name in ("mean", "min", "max", "std", "variance")), what
        assert np.isnan(found["quantile"][0.5]), what
        return
    _same(found["mean"], there.mean(), most * 1e-6, f"{what} mean")
    assert (found["min"], found["max"]) == (there.min(), there.max()), what
    for q in QUANTILES:
        assert found["quantile"][q] == np.quantile(there, q), f"{what} quantile {q}"
    if size == 1:
        assert np.isnan(found["std"]) and np.isnan(found["variance"]), what
        return
    if there.min() == there.max():
        assert found["std"] == found["variance"] == 0.0, f"{what}: equal values have no deviation"
        return
    wanted = float(np.var(there - there[0], ddof=1)) if most < 1e50 else float(pd.Series(there).var())
    _same(found["variance"], wanted, 0.0, f"{what} variance", 1e-6)
    _same(found["std"], wanted**0.5, 0.0, f"{what} std", 1e-6)


def _check_groups(case: Case, tables: list[LocalDomain]) -> int:
    checked = 0
    for by in (["sex"], ["sex", "place"]):
        result = sy.analyze(tables, TABULAR, columns=list(case.kinds), by=by, q=QUANTILES)
        groups = {
            key if isinstance(key, tuple) else (key,): frame
            for key, frame in case.pooled.groupby(by, observed=True)
        }
        assert set(result.groups) == set(groups), f"{case.seed} by {by}: {result.groups}"
        assert not result.partial
        for place, key in enumerate(result.groups):
            for name in case.kinds:
                found = {each: result.values[each, name][place] for each in TABULAR}
                _check_column(found, groups[key][name], f"{case.seed} {name} {key}")
                checked += len(TABULAR)
    return checked


def _check_whole(case: Case, tables: list[LocalDomain]) -> int:
    names = list(case.kinds)
    result = sy.analyze(tables, TABULAR, columns=names, q=QUANTILES)
    for name in names:
        found = {each: result.values[each, name][0] for each in TABULAR}
        _check_column(found, case.pooled[name], f"{case.seed} {name}")
    counts = sy.analyze(tables, "histogram", columns="sex")["histogram", "sex"]
    wanted = case.pooled["sex"].value_counts()
    assert {
        word: count for word, count in zip(counts.words, counts.counts, strict=True) if count
    } == wanted.to_dict()
    for name in names:
        values = case.pooled[name].dropna().to_numpy(dtype=float)
        if len(values) and len(np.unique(np.linspace(values.min(), values.max(), 8))) == 8:
            bins = sy.analyze(tables, "histogram", columns=name, bins=7)["histogram", name]
            expected = np.histogram(values, 7)
            assert bins.counts == expected[0].tolist(), f"{case.seed} {name} {bins.counts} {expected[0]}"
    return len(names) * len(TABULAR)


def _check_matrices(case: Case, tables: list[LocalDomain]) -> int:
    names = list(case.kinds)
    result = sy.analyze(tables, ["covariance", "correlation"], columns=names)
    rows = case.pooled[names].dropna()
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            x, y = rows[a].to_numpy(dtype=float), rows[b].to_numpy(dtype=float)
            covariance, correlation = result["covariance"][i, j], result["correlation"][i, j]
            what = f"{case.seed} {a} {b}"
            if len(rows) < 2:
                assert np.isnan(covariance) and np.isnan(correlation), what
                continue
            if min(np.ptp(x), np.ptp(y)) == 0:
                assert covariance == 0 and np.isnan(correlation), f"{what}: {covariance} {correlation}"
                assert any(
                    f"{a} does not vary" in note or f"{b} does not vary" in note for note in result.notes
                )
                continue
            with np.errstate(all="ignore"):
                x, y = x - x.mean(), y - y.mean()
                wanted = float(stats.pearsonr(x / np.abs(x).max(), y / np.abs(y).max())[0])
            _same(correlation, wanted, 1.0, f"{what} correlation", 1e-7)
            spread = float(np.sqrt((x @ x) * (y @ y))) / (len(x) - 1)
            _same(covariance, float(x @ y) / (len(x) - 1), spread, f"{what} covariance", 1e-7)
    return 2 * len(names) ** 2


def _design(case: Case, names: list[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    rows = case.pooled[[*names, "sex", "y", "ill"]].dropna()
    order: list[str] = []
    for schema in case.schemas:
        order += [word for word in schema["sex"]["categories"] if word not in order]
    there = [word for word in order if (rows["sex"] == word).any()]
    design = {"(intercept)": np.ones(len(rows)), **{name: rows[name].to_numpy(dtype=float) for name in names}}
    design |= {f"sex={word}": (rows["sex"] == word).to_numpy(dtype=float) for word in there[1:]}
    return pd.DataFrame(design), rows


def _well_posed(design: pd.DataFrame) -> bool | None:
    """Whether the columns are independent; None where that is for nobody to say."""
    x = design.to_numpy()[:, 1:]
    if len(x) <= x.shape[1] + 1:
        return False
    if (np.ptp(x, axis=0) == 0).any():
        return False
    scaled = x - x[0]
    scaled = scaled - scaled.mean(axis=0)
    largest = np.abs(scaled).max(axis=0)
    scaled = scaled / largest
    scaled = scaled / np.sqrt((scaled**2).sum(axis=0))
    least = np.linalg.svd(scaled, compute_uv=False)[-1] ** 2 if x.shape[1] else 1.0
    return True if least > 1e-8 else False if least < 1e-14 else None


def _standardised(design: pd.DataFrame) -> tuple[Any, Any]:
    """The design with its columns in standard deviations, and these: an oracle's rank is no matter of units."""
    x = design.to_numpy().copy()
    x[:, 1:] -= x[0, 1:]  # exact, where the mean is large beside them
    x[:, 1:] -= x[:, 1:].mean(axis=0)
    scale = x[:, 1:].std(axis=0)
    x[:, 1:] /= scale
    return x, scale


def _check_size(result: Any, design: pd.DataFrame, what: str) -> None:
    """In deviations of columns and of the target, no coefficient is beyond all measure."""
    for name, value in list(result.coefficients.items())[1:]:
        size = abs(value) * float(design[name].std()) if name in design else 0.0
        assert np.isnan(value) or size < 1e4, f"{what}: {name} {value}"


def _check_regressions(case: Case, tables: list[LocalDomain], outcomes: dict[str, int]) -> int:
    names = [name for name, kind in case.kinds.items() if kind not in ("tiny", "huge", "extreme")][:3]
    design, rows = _design(case, names)
    result = sy.analyze(tables, "linear_regression", columns=[*names, "sex"], target="y")["linear_regression"]
    what, well = f"{case.seed} {names}", _well_posed(design)
    values = np.array(list(result.coefficients.values()))
    assert result.rows == len(rows), what
    _check_size(result, design, what)
    if well is False:
        assert np.isnan(values).all() and result.note, f"{what}: {result}"
        outcomes["no coefficients"] = outcomes.get("no coefficients", 0) + 1
    elif well:
        assert list(result.coefficients) == list(design.columns), f"{what} {result}"
        z, unit = _standardised(design)
        fit = sm.OLS(rows["y"].to_numpy(dtype=float), z).fit()
        for place, name in enumerate(design.columns[1:], 1):
            coefficient, error = result.coefficients[name], result.standard_errors[name]
            size, wanted = fit.params[place], fit.bse[place]
            _same(coefficient * unit[place - 1], size, 1e-3 * wanted, f"{what} {name}", 1e-6)
            _same(error * unit[place - 1], wanted, 0.0, f"{what} error of {name}", 1e-5)
        _same(result.r2, fit.rsquared, 1.0, f"{what} R²", 1e-8)
        outcomes["linear"] = outcomes.get("linear", 0) + 1
    return 2 * len(values) + _check_logistic(case, tables, outcomes, design, rows, names, well)


def _check_logistic(
    case: Case,
    tables: list[LocalDomain],
    outcomes: dict[str, int],
    design: pd.DataFrame,
    rows: pd.DataFrame,
    names: list[str],
    well: bool | None,
) -> int:
    result = sy.analyze(tables, "logistic_regression", columns=[*names, "sex"], target="ill")[
        "logistic_regression"
    ]
    values, what = np.array(list(result.coefficients.values())), f"{case.seed} logistic {names}"
    if well is False or rows["ill"].nunique() < 2:
        assert np.isnan(values).all() and result.note, f"{what}: {result}"
        return len(values)
    if not well:
        return 0
    x, scale = _standardised(design)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = sm.Logit(rows["ill"].to_numpy(dtype=float), x).fit(disp=0, maxiter=200, method="newton")
            good = (
                bool(fit.mle_retvals["converged"]) and np.abs(fit.params).max() < 12 and (fit.bse < 50).all()
            )
        except Exception:  # it says in several ways that there is no maximum
            good = False
    if not good:
        outcomes["separated"] = outcomes.get("separated", 0) + 1
        _check_size(result, design, what)
        return len(values)
    for place, name in enumerate(design.columns[1:], 1):
        unit = scale[place - 1]
        _same(result.coefficients[name] * unit, fit.params[place], 1e-2, f"{what} {name}", 1e-5)
        _same(result.standard_errors[name] * unit, fit.bse[place], 1e-2, f"{what} error of {name}", 1e-4)
    outcomes["logistic"] = outcomes.get("logistic", 0) + 1
    return 2 * len(values)


def check(seed: int, folder: Path, outcomes: dict[str, int] | None = None) -> int:
    """Hold one case against the oracles; how many numbers were compared."""
    case = make(seed)
    tables = local_domains(folder, case.parts, schemas=case.schemas)
    outcomes = {} if outcomes is None else outcomes
    with np.errstate(all="ignore"):
        return (
            _check_whole(case, tables)
            + _check_groups(case, tables)
            + _check_matrices(case, tables)
            + _check_regressions(case, tables, outcomes)
        )


def main() -> None:
    many = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    began, numbers, failed = time.monotonic(), 0, []
    outcomes: dict[str, int] = {}
    for done, seed in enumerate(range(first, first + many), 1):
        with tempfile.TemporaryDirectory() as folder:
            try:
                numbers += check(seed, Path(folder), outcomes)
            except Exception as error:  # every table's verdict is wanted
                failed.append(seed)
                print(f"seed {seed}: {type(error).__name__}: {str(error)[:300]}", flush=True)
        if done % 50 == 0:
            print(f"{done} tables, {numbers:,} numbers, {len(failed)} differ", flush=True)
    print(
        f"{many - len(failed)} of {many} tables agree, {numbers:,} numbers, {time.monotonic() - began:.0f} s"
    )
    print(", ".join(f"{name}: {count}" for name, count in sorted(outcomes.items())))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
