"""Statistics over several Domains against numpy on the pooled rows, in the same run.

    python benchmarks/analytics.py [--sites 4] [--rows 1000000] [--repeats 5] [--quick] [--json]

The Domains are real nodes, each a process of its own; the SDK asks them over loopback, and shares the machine's
processors with all of them. ``wall`` is the median over the repeats on warm nodes (the pages of the tables in
memory), ``cpu`` the processor seconds of all nodes and the SDK together in one call. The target is one second
each, for 4 × 1 M rows. ``difference`` is the largest one from the pooled result, relative to it (1e-9 is the
target where both are exact). ``memory`` is how much the largest node's resident peak grew over all of it.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from benchmarks._harness import (
    EMAIL,
    PASSWORD,
    Report,
    domain,
    megabytes,
    node_memory,
    node_peak_memory,
    parse,
    quiet_login,
    reset_peak_memory,
)
from syft_ext.statistics.result import Analysis

Rows = dict[str, np.ndarray[Any, Any]]
COLUMNS = ["age", "bmi"]
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)
FULL_SIZE = (4, 1_000_000)
TARGET, EXACT = 1000.0, 1e-9  # milliseconds; relative difference


def make_rows(count: int, seed: int) -> Rows:
    """Patients of one site: ages with gaps, a skewed measure, a sex, a region, and an outcome."""
    random = np.random.default_rng(seed)
    age, bmi = random.normal(50 + seed, 15, count), random.gamma(16, 1.6, count)
    age[random.random(count) < 0.02] = np.nan
    risk = 1 / (1 + np.exp(-(0.04 * (np.nan_to_num(age, nan=50) - 50) + 0.1 * (bmi - 25))))
    return {
        "age": age,
        "bmi": bmi.astype(np.float32),
        "sex": random.integers(0, 2, count, dtype=np.int8),
        "region": random.integers(0, 40, count),
        "ill": (random.random(count) < risk).astype(np.int8),
    }


def present(values: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    wide = values.astype(np.float64)
    return wide[~np.isnan(wide)]


def difference(found: Any, expected: Any) -> float:
    """The largest relative difference."""
    a, b = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
    return float(np.max(np.abs(a - b) / np.maximum(np.abs(b), 1.0)))


def pooled_moments(rows: Rows) -> list[float]:
    return [f(present(rows[c])) for c in COLUMNS for f in (np.size, np.mean, lambda x: np.std(x, ddof=1))]


def found_moments(result: Analysis) -> list[float]:
    return [result[name, column] for column in COLUMNS for name in ("count", "mean", "std")]


def pooled_groups(rows: Rows, by: str) -> list[float]:
    found = []
    for column in COLUMNS:
        for key in np.unique(rows[by]):
            values = present(rows[column][rows[by] == key])
            found += [values.size, values.mean(), values.std(ddof=1)]
    return found


def found_groups(result: Analysis) -> list[float]:
    return [
        result[name, column][key[0]]
        for column in COLUMNS
        for key in result.groups
        for name in ("count", "mean", "std")
    ]


def pooled_linear(rows: Rows) -> list[float]:
    table = np.column_stack([rows["age"], rows["bmi"].astype(np.float64), rows["ill"]])
    table = table[~np.isnan(table).any(axis=1)]
    design = np.column_stack([np.ones(len(table)), table[:, :2]])
    return np.linalg.lstsq(design, table[:, 2], rcond=None)[0].tolist()


def pooled_logistic(rows: Rows) -> list[float]:
    """Newton's method on all rows, as a textbook has it."""
    table = np.column_stack([rows["age"], rows["bmi"].astype(np.float64), rows["ill"]])
    table = table[~np.isnan(table).any(axis=1)]
    design, target = np.column_stack([np.ones(len(table)), table[:, :2]]), table[:, 2]
    beta = np.zeros(3)
    for _ in range(12):
        mean = 1 / (1 + np.exp(-design @ beta))
        weighted = design * (mean * (1 - mean))[:, None]
        beta = beta + np.linalg.solve(design.T @ weighted, design.T @ (target - mean))
    return beta.tolist()


@dataclass(frozen=True)
class Case:
    """``exact``: neither side iterates until it is near enough. ``whole``: numpy computes all of it, too."""

    name: str
    options: dict[str, Any]
    found: Callable[[Analysis], Any]
    pooled: Callable[[Rows], Any]
    exact: bool = True
    whole: bool = True


CASES = [
    Case("count", {"statistics": "count"}, lambda r: [r["count", c] for c in COLUMNS],
         lambda rows: [present(rows[c]).size for c in COLUMNS]),
    Case("mean", {"statistics": "mean"}, lambda r: [r["mean", c] for c in COLUMNS],
         lambda rows: [present(rows[c]).mean() for c in COLUMNS]),
    Case("std", {"statistics": "std"}, lambda r: [r["std", c] for c in COLUMNS],
         lambda rows: [present(rows[c]).std(ddof=1) for c in COLUMNS]),
    Case("quantile", {"statistics": "quantile", "q": QUANTILES},
         lambda r: [r["quantile", c][q] for c in COLUMNS for q in QUANTILES],
         lambda rows: [np.quantile(present(rows[c]), q) for c in COLUMNS for q in QUANTILES]),
    Case("histogram", {"statistics": "histogram", "bins": 50},
         lambda r: [r["histogram", c].counts for c in COLUMNS],
         lambda rows: [np.histogram(present(rows[c]), 50)[0] for c in COLUMNS]),
    Case("group-by sex", {"statistics": ["count", "mean", "std"], "by": "sex"}, found_groups,
         lambda rows: pooled_groups(rows, "sex")),
    Case("group-by region (40)", {"statistics": ["count", "mean", "std"], "by": "region"}, found_groups,
         lambda rows: pooled_groups(rows, "region")),
    Case("all of these at once", {"statistics": ["count", "mean", "std", "quantile", "histogram"]},
         found_moments, pooled_moments, whole=False),
    Case("all of these by sex",
         {"statistics": ["count", "mean", "std", "quantile", "histogram"], "by": "sex"},
         found_groups, lambda rows: pooled_groups(rows, "sex"), whole=False),
    Case("correlation", {"statistics": "correlation"}, lambda r: r["correlation"],
         lambda rows: np.corrcoef(np.stack([rows[c] for c in COLUMNS])[:, ~np.isnan(rows["age"])])),
    Case("linear regression", {"statistics": "linear_regression", "target": "ill"},
         lambda r: list(r["linear_regression"].coefficients.values()), pooled_linear),
    Case("logistic regression", {"statistics": "logistic_regression", "target": "ill"},
         lambda r: list(r["logistic_regression"].coefficients.values()), pooled_logistic, exact=False),
]  # fmt: skip


def cpu_seconds(processes: Sequence[psutil.Process]) -> float:
    return sum(sum(each.cpu_times()[:2]) for each in processes)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sites", type=int, default=4)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parse(parser, sites=2, rows=20_000, repeats=2)
    target = TARGET if (arguments.sites, arguments.rows) == FULL_SIZE else None
    size = f"{arguments.sites} × {arguments.rows:,} rows"
    quiet_login()
    report = Report()
    table = Table(title=f"{arguments.sites} Domains × {arguments.rows:,} rows")
    for heading in ("statistic", "wall", "slowest", "cpu", "pooled numpy", "difference"):
        table.add_column(heading, justify="left" if heading == "statistic" else "right")
    with ExitStack() as stack:
        nodes = [stack.enter_context(domain()) for _ in range(arguments.sites)]
        sites = [make_rows(arguments.rows, seed) for seed in range(arguments.sites)]
        tables = []
        for node, rows in zip(nodes, sites, strict=True):
            client = sy.login(node.url, EMAIL, PASSWORD)
            assert isinstance(client, sy.DomainClient)
            client.datasets.create("diabetes", {"patients": rows}, schema={})
            tables.append(client.datasets["diabetes"]["patients"])
        pooled = {name: np.concatenate([rows[name] for rows in sites]) for name in sites[0]}
        processes = [psutil.Process(), *(psutil.Process(node.process.pid) for node in nodes)]
        sy.analyze(tables, ["count", "mean", "quantile"], columns=COLUMNS)  # warm
        resting = [node_memory(node) for node in nodes]
        for node in nodes:
            reset_peak_memory(node)
        for case in CASES:
            times = []
            before = cpu_seconds(processes)
            for _ in range(arguments.repeats):
                begin = time.perf_counter()
                result = sy.analyze(tables, columns=COLUMNS, **case.options)
                times.append(time.perf_counter() - begin)
            cpu = (cpu_seconds(processes) - before) / arguments.repeats
            begin = time.perf_counter()
            expected = case.pooled(pooled)
            alone = time.perf_counter() - begin
            name = f"{size}, {case.name}"
            part = "" if case.whole else ", moments only"
            peer = report.add(f"{name}: pooled numpy{part}", alone * 1e3, "ms")
            wall = report.add(
                f"{name}: median",
                statistics.median(times) * 1e3,
                "ms",
                against=peer if case.whole else None,
                target=target,
            )
            slowest = report.add(f"{name}: slowest", max(times) * 1e3, "ms")
            used = report.add(f"{name}: cpu", cpu, "s")
            apart = difference(case.found(result), expected)
            report.add(f"{name}: difference", apart, "relative", target=EXACT if case.exact else None)
            table.add_row(
                case.name,
                f"{wall.value:,.0f} ms",
                f"{slowest.value:,.0f} ms",
                f"{used.value:.2f} s",
                f"{peer.value:,.0f} ms",
                f"{apart:.1e}",
            )
        grown = max(node_peak_memory(node) - rest for node, rest in zip(nodes, resting, strict=True))
    console = Console()
    console.print(table)
    console.print(f"memory: the resident peak of a node grew by {megabytes(grown)}")
    report.add(f"{size}, growth of the largest node's peak", grown / 1e6, "MB")
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
