"""The privacy toolkit against what it is compared with in the same run: a plain statistic, a bare library, torch.

    python benchmarks/toolkit.py [--rows 1000000] [--repeats 7] [--only queries] [--quick] [--json]

Each part is a function of :data:`PARTS`; its figures stand in ``docs/privacy.md``.

- ``queries``: a private query of one column of a Domain's table over loopback, against the statistic without noise
  of the same column, asked of the same node in turn. Times are the least of the repeats, each with another ε: the
  same question is answered from what is kept. A query may take twice as long as the plain statistic.
- ``tensors``: a private tensor's sum, with a budget for each person, against the plain sum. No target is set: it
  looks at every person's ledger.
- ``encrypted``: updates of 300,000 encrypted numbers are looked at one by one and added up in a confined
process: added
  at least 300 MB of ciphertext for each second of its processor time, and its memory at 25 participants is at
  most 1.1 times that at 2.
- ``cycles``: the same as cycles of a training at a node, over loopback.
- ``intersection``: two members find what 100,000 ids have in common with as many, at most 1.3 times the processor
  time of the multiplications of points alone that this takes.
- ``shares``: 10⁶ products and 10⁵ comparisons on shares, all parties in one process: at most 0.1 s of its
  processor time each where parties follow the protocol; at most 1.2 of the bytes that the formulas say. Against
  a cheating party 10⁴ of each, for which no time is set.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from benchmarks._encrypted import encrypted_cycles, encrypted_sums
from benchmarks._harness import EMAIL, PASSWORD, Report, domain, parse, quiet_login
from benchmarks._intersection import intersection
from benchmarks._shares import on_shares

MOST = 2.0
"""A private query against the plain statistic."""
QUERIES: dict[str, tuple[str, Callable[[float], Any]]] = {
    "count": ("count", lambda epsilon: sy.dp.Count(epsilon)),
    "sum": ("sum", lambda epsilon: sy.dp.BoundedSum(epsilon)),
    "mean": ("mean", lambda epsilon: sy.dp.BoundedMean(epsilon)),
    "variance": ("variance", lambda epsilon: sy.dp.BoundedVariance(epsilon)),
    "standard deviation": ("std", lambda epsilon: sy.dp.BoundedStandardDeviation(epsilon)),
    "median": ("quantile", lambda epsilon: sy.dp.Median(epsilon)),
}
PEOPLE = 20_000
"""Data subjects of private tensors, at most."""


def open_table(node: Any, rows: int, **options: Any) -> tuple[sy.DomainClient, Any]:
    """A Domain's client, and an asset with a bounded column of so many rows."""
    random = np.random.default_rng(0)
    client = sy.login(node.url, EMAIL, PASSWORD)
    assert isinstance(client, sy.DomainClient)
    # So that what is counted here is time, and never the end of a ledger.
    client.policy.set(statistics_total=1e5)
    data = {
        "x": random.normal(50, 12, rows).clip(0, 100),
        "person": random.integers(0, min(rows, PEOPLE), rows),
    }
    client.datasets.create("toolkit", {"a": data}, schema={"x": {"low": 0.0, "high": 100.0}}, **options)
    return client, client.datasets["toolkit"]["a"]


def best(repeats: int, *asked: Callable[[int], Any]) -> list[float]:
    """The least time in milliseconds of each, asked in turn so often; one turn before does not count."""
    times: list[list[float]] = [[] for _ in asked]
    for turn in range(repeats + 1):
        for kept, ask in zip(times, asked, strict=True):
            begin = time.perf_counter()
            ask(turn)
            kept.append((time.perf_counter() - begin) * 1e3)
    return [min(each[1:]) for each in times]


def queries(options: argparse.Namespace, report: Report, console: Console) -> None:
    """Private queries against plain statistics."""
    shown = Table(title=f"Private queries, {options.rows:,} rows")
    for heading in ("query", "plain", "private", "÷"):
        shown.add_column(heading, justify="left" if heading == "query" else "right")
    with domain() as node:
        client, asset = open_table(node, options.rows)
        for number, (name, (plain, query)) in enumerate(QUERIES.items()):
            analyze = _analyze(client, asset, plain)

            def ask(turn: int, query: Any = query, number: int = number) -> None:
                query(0.5 + (turn + 100 * number) / 1000).quick_result(asset, "x")

            alone, private = best(options.repeats, analyze, ask)
            floor = report.add(f"{options.rows:,} rows, {plain} for {name}", alone, "ms")
            row = report.add(f"{options.rows:,} rows, private {name}", private, "ms", against=floor)
            report.add_ratio(row, target=MOST)
            shown.add_row(name, f"{alone:.1f} ms", f"{private:.1f} ms", f"{row.ratio:.2f}")
    console.print(shown)


def _analyze(client: sy.DomainClient, asset: Any, statistic: str) -> Callable[[int], Any]:
    options = {"q": 0.5} if statistic == "quantile" else {}
    return lambda turn: client.analyze(asset, statistic, columns="x", **options)


def tensors(options: argparse.Namespace, report: Report, console: Console) -> None:
    """A private tensor's sum against the plain sum."""
    with domain() as node:
        client, asset = open_table(node, options.rows, person="person", rows_per_person=100)
        column = sy.dp.annotate(asset.column("x"))

        def publish(turn: int) -> None:
            ((column - 50.0) * 0.1).clip(-4, 4).sum().publish(0.1 + turn / 1000)

        alone, private = best(options.repeats, _analyze(client, asset, "sum"), publish)
    people = min(options.rows, PEOPLE)
    floor = report.add(f"{options.rows:,} rows, sum for a private tensor", alone, "ms")
    row = report.add(
        f"{options.rows:,} rows of {people:,} people, private tensor", private, "ms", against=floor
    )
    said = f"private tensor of {people:,} people: {private:.0f} ms, plain sum {alone:.1f} ms"
    console.print(f"{said} ({row.ratio:.0f} ×)")


PARTS: dict[str, Callable[[argparse.Namespace, Report, Console], None]] = {
    "cycles": encrypted_cycles,
    "encrypted": encrypted_sums,
    "intersection": intersection,
    "queries": queries,
    "shares": on_shares,
    "tensors": tensors,
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--numbers", type=int, default=300_000, help="of one encrypted update")
    parser.add_argument("--ids", type=int, default=100_000, help="of each side of an intersection")
    parser.add_argument(
        "--only", choices=sorted(PARTS), action="append", help="only this part; can be repeated"
    )
    parser.add_argument("--shared", type=int, default=1_000_000, help="products on shares")
    options = parse(parser, rows=5_000, repeats=1, numbers=20_000, ids=2_000, shared=2_000)
    quiet_login()
    report, console = Report(), Console()
    for name, part in PARTS.items():
        if options.only is None or name in options.only:
            part(options, report, console)
    report.finish(options.json)


if __name__ == "__main__":
    main()
