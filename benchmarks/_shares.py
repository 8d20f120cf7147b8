"""A part of ``toolkit.py``: products and comparisons on shares."""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from benchmarks._harness import Report
from syft_ext.messages.shared_terms import PROTOCOLS
from syft_ext.mpc import functions
from syft_ext.mpc.costs import PRICES, PROOF, TrafficPrice
from syft_ext.mpc.demands import Dealer, Supply
from syft_ext.mpc.engine import Given, ShareEngine, Steps
from syft_ext.mpc.local import Traffic, dry_run, run_together
from syft_ext.mpc.registry import dealt_engine, dry_engine, replicated_engine
from syft_ext.mpc.ring import KEY_BYTES, WordStream
from syft_ext.mpc.shares import ShareTensor

__all__ = ["on_shares"]

SECONDS_TARGET = 0.1
"""Of processor time, for 10⁶ products or 10⁵ comparisons of all parties of a protocol against the curious."""
TRAFFIC_TARGET = 1.2
FULL = 1_000_000
PRECISION, BOUND = 16, 1 << 30
Program = Callable[..., Steps[Any]]


def _cpu(what: Callable[[], object]) -> float:
    begin = time.process_time()
    what()
    return (time.process_time() - begin) * 1e3


def _floor(n: int, products: int, words: int) -> float:
    """Milliseconds of so many int64 products and random words of n numbers each, and nothing else."""
    stream, x = WordStream(bytes(KEY_BYTES)), torch.arange(n)

    def bare() -> None:
        for _ in range(products):
            x * x
        for _ in range(words):
            stream.words((n,))

    return min(_cpu(bare) for _ in range(3))


def _inputs(n: int) -> list[Given]:
    return [Given(owner, torch.arange(n) % 1000 - 500, PRECISION, BOUND) for owner in (0, 1)]


def _measure(kind: tuple[str, str], program: Program, n: int, repeats: int) -> tuple[float, float, Traffic]:
    """Least milliseconds of all parties together, and of the dealer; and one party's traffic."""

    def dealt(engine: ShareEngine) -> Steps[list[ShareTensor]]:
        return (yield from engine.deal(_inputs(n)))

    dry, demands = dry_engine(*kind, PRECISION)
    dry_run(program(dry, *dry_run(dealt(dry))[0]))
    times, dealing, traffic = [], [0.0], Traffic()
    for _ in range(repeats):
        keys = [os.urandom(KEY_BYTES) for _ in range(3)]
        engines: list[ShareEngine]
        if PROTOCOLS[kind[0]].dealer:
            supplies = [Supply(i, keys[i]) for i in range(2)]
            corrections: list[torch.Tensor] = []
            made = Dealer((keys[0], keys[1])).corrections(demands.demands)
            dealing.append(_cpu(lambda: corrections.extend(made)))  # noqa: B023  # called at once
            supplies[1].fill(b"".join(each.numpy().tobytes() for each in corrections))
            engines = [dealt_engine(*kind, i, PRECISION, supplies[i], bytes(KEY_BYTES)) for i in range(2)]
        else:
            engines = [
                replicated_engine(*kind, i, PRECISION, (keys[i], keys[(i + 1) % 3]), bytes(KEY_BYTES))
                for i in range(3)
            ]
        shares, _ = run_together([dealt(engine) for engine in engines])
        programs = [program(engine, *own) for engine, own in zip(engines, shares, strict=True)]
        begin = time.process_time()
        _, (traffic, *_) = run_together(programs)
        times.append((time.process_time() - begin) * 1e3)
    return min(times), min(dealing[1:], default=0.0), traffic


def _products(engine: ShareEngine, x: ShareTensor, y: ShareTensor) -> Steps[ShareTensor]:
    return (yield from engine.multiply(x, y))


def _comparisons(engine: ShareEngine, x: ShareTensor, y: ShareTensor) -> Steps[ShareTensor]:
    return (yield from functions.negative(engine, engine.sub(x, y)))


def _settled(program: Program) -> Program:
    def whole(engine: ShareEngine, *shares: ShareTensor) -> Steps[None]:
        yield from program(engine, *shares)
        yield from engine.settle()

    return whole


def on_shares(options: argparse.Namespace, report: Report, console: Console) -> None:
    """Products and comparisons of all parties, in one process with one thread."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        _on_shares(options, report, console)
    finally:
        torch.set_num_threads(threads)


def _on_shares(options: argparse.Namespace, report: Report, console: Console) -> None:
    n, full = options.shared, options.shared >= FULL
    shown = Table(title="On shares, processor time of all parties")
    for heading in ("what", "protocol", "floor", "parties", "dealer", "rounds", "bytes ÷ formula"):
        shown.add_column(heading, justify="left" if heading in ("what", "protocol") else "right")
    for kind, prices in PRICES.items():
        parties = PROTOCOLS[kind[0]].parties
        cheated = kind[1] == "malicious"
        # A proof is for small programs, and includes the checks of inputs from both sides.
        for what, size, program, price, work in (
            ("products", n // 100 if cheated else n, _products, prices.product, (3, 3)),
            ("comparisons", n // (100 if cheated else 10), _comparisons, prices.comparison, (13, 25)),
        ):
            counts = (size, size, size) if what == "products" else (size,)
            stated: TrafficPrice = price(*counts)  # type: ignore[operator]
            ran = _settled(program) if cheated else program
            if cheated:
                stated = stated + prices.range_check(4 * size) + PROOF
            floor_ms = _floor(size, parties * work[0], parties * work[1])
            parties_ms, dealer_ms, traffic = _measure(kind, ran, size, 1 if cheated else options.repeats)
            name = f"{size:,} {what}, {' '.join(kind)}"
            floor = report.add(f"{name}: bare products and random words", floor_ms, "ms")
            target = SECONDS_TARGET * 1e3 if full and not cheated else None
            row = report.add(f"{name}: all parties", parties_ms, "ms", against=floor, target=target)
            if dealer_ms:
                report.add(f"{name}: the dealer", dealer_ms, "ms")
            formula = report.add(f"{name}: bytes of the formula", stated.nbytes, "bytes")
            sent = report.add(f"{name}: bytes that a party sent", traffic.nbytes, "bytes", against=formula)
            ratio = report.add_ratio(sent, target=TRAFFIC_TARGET if full else None)
            dealt = f"{dealer_ms:.0f} ms" if dealer_ms else ""
            shown.add_row(
                f"{size:,} {what}", " ".join(kind), f"{floor_ms:.0f} ms", f"{row.value:.0f} ms", dealt,
                str(traffic.rounds), f"{ratio.value:.2f}",
            )  # fmt: skip
    console.print(shown)
