"""Plan against eager PyTorch for the thirteen computations (fifteen examples).

    python benchmarks/plans.py [--seconds 20] [--computations 15] [--sandbox] [--quick] [--json]

Eager is idiomatic: nn.Module and torch.optim for the networks, the function itself for the rest. Both run in
this process, one thread, in interleaved rounds, so that a busy machine slows both alike. A round
is a few steps; the table shows the median time of a step and eager's time divided by the plan's (above 1: the
plan is faster). ``first`` is the plan's first call: the check and the generation of code. ``--sandbox`` adds
the same steps in the sandboxed child.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import Report, parse
from syft_ext.plans import Plan, PlanSandbox, trace
from tests.plans.examples import Example, all_examples


def time_steps(step: Callable[[], Any], count: int) -> float:
    """CPU seconds per step: what other processes do on the machine counts less than on the wall clock."""
    start = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - start) / count


def measure(example: Example, plan: Plan, seconds: float) -> tuple[float, float, float, int]:
    """Median seconds per step (eager, plan), the first call, and the number of rounds."""
    eager = example.idiomatic_step()

    def planned() -> Any:
        return plan(**example.arguments)

    start = time.perf_counter()
    planned()
    first = time.perf_counter() - start
    eager()
    one = max(time_steps(eager, 3), 1e-5)
    count = max(1, int(0.02 / one))
    eager_times, plan_times = [], []
    deadline = time.perf_counter() + seconds
    while len(eager_times) < 7 or (time.perf_counter() < deadline and len(eager_times) < 200):
        eager_times.append(time_steps(eager, count))
        plan_times.append(time_steps(planned, count))
    return statistics.median(eager_times), statistics.median(plan_times), first, len(eager_times)


def measure_sandbox(example: Example, plan: Plan, sandbox: PlanSandbox) -> float:
    """Median wall-clock seconds per step in the child, tensors sent and fetched every time."""
    times = []
    for _ in range(21):
        start = time.perf_counter()
        sandbox.run(plan, example.arguments)
        times.append(time.perf_counter() - start)
    return statistics.median(times[1:])


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0, help="time for all measurements together")
    parser.add_argument(
        "--computations", type=int, default=15, choices=range(1, 16), metavar="N", help="only the first N"
    )
    parser.add_argument("--sandbox", action="store_true", help="measure the sandboxed child as well")
    options = parse(parser, seconds=1.0, computations=3)
    torch.set_num_threads(1)
    report = Report()
    examples = dict(itertools.islice(all_examples().items(), options.computations))
    table = Table(title="Plan against eager PyTorch, one thread, CPU time per step (medians)")
    columns = [
        "computation",
        "operations",
        "bytes",
        "trace",
        "first",
        "eager",
        "plan",
        "eager / plan",
        "rounds",
    ]
    for column in columns + (["sandbox (wall)"] if options.sandbox else []):
        table.add_column(column, justify="left" if column == "computation" else "right")
    gains = []
    sandbox = PlanSandbox() if options.sandbox else None
    console = Console()
    with console.status("tracing") as status:
        for name, example in examples.items():
            status.update(name)
            start = time.perf_counter()
            traced = trace(example.function, name=name, symbols=example.symbols, **example.arguments)
            tracing = time.perf_counter() - start
            plan = Plan.loads(traced.dumps())
            eager, planned, first, rounds = measure(example, plan, options.seconds / len(examples))
            report.add(f"{name}: tracing", tracing, "s")
            report.add(f"{name}: first call of the plan", first * 1e3, "ms")
            ours = report.add(f"{name}: plan", planned * 1e3, "ms")
            peer = report.add(f"{name}: eager", eager * 1e3, "ms", against=ours)
            gains.append(report.add_ratio(peer, "× faster").value)
            row = [
                name,
                str(len(plan.document.nodes)),
                f"{len(plan.dumps()):,}",
                f"{tracing:.1f} s",
                f"{first * 1e3:.0f} ms",
                f"{peer.value:.3f} ms",
                f"{ours.value:.3f} ms",
                f"{peer.ratio:.2f}",
                str(rounds),
            ]
            if sandbox is not None:
                wall = measure_sandbox(example, plan, sandbox) * 1e3
                report.add(f"{name}: plan in the sandbox, wall", wall, "ms")
                row.append(f"{wall:.3f} ms")
            table.add_row(*row)
    if sandbox is not None:
        sandbox.close()
    console.print(table)
    median = report.add("eager ÷ plan, median", statistics.median(gains), "× faster")
    lowest = report.add("eager ÷ plan, lowest", min(gains), "× faster")
    console.print(f"median of the ratios: {median.value:.2f}, lowest {lowest.value:.2f}")
    report.finish(options.json)


if __name__ == "__main__":
    main()
