"""Plan against eager PyTorch for the thirteen computations (fifteen examples).

    python benchmarks/plans.py [--seconds 20] [--computations 15] [--sandbox] [--quick] [--json]

Eager is idiomatic: nn.Module and torch.optim for the networks, the function itself for the rest. Both run in
this process, one thread, in interleaved rounds, so that a busy machine slows both alike. A round
is a few steps; the table shows the median time of a step and eager's time divided by the plan's (above 1: the
plan is faster). ``first`` is the plan's first call: the check and the generation of code. ``--sandbox`` adds
the same steps in the sandboxed child.

``checks`` is what a step spends on looking at elements before kernels and at types of results after them:
the step against the same generated function without those lines. Targets: 5 % of a step in the median, 2 µs
for each operation in any plan.
"""

from __future__ import annotations

import argparse
import builtins
import itertools
import re
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
from syft_ext.plans.checking.binding import const_tensor
from syft_ext.plans.checking.check import checked
from syft_ext.plans.running.codegen import generate
from tests.plans.examples import Example, all_examples

# Of a generated function: a rule on elements, a comparison of a result, its mending.
_CHECK = re.compile(r" +(k\d+\(|if v\d+\.shape|    v\d+ = f)")


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


def measure_checks(example: Example, plan: Plan, seconds: float) -> tuple[float, float]:
    """Median seconds per step of the generated function, and of its lines that check, run by themselves: the
    difference of two whole steps is lost in how steps differ from one another."""
    binder = plan._executor.binder
    flat = binder.flatten((), example.arguments)
    binding = binder.bind(flat)
    propagation = checked(plan.id, plan.document, binding, plan.limits)
    made = generate(
        plan.document, propagation, binding, [const_tensor(const) for const in plan.document.consts]
    )
    lines = made.source.splitlines()
    keeping = [line for line in lines[:-1] if not line.startswith("    del ")]
    scope = {**made.function.__globals__, "__builtins__": builtins}
    exec("\n".join([*keeping, "    return locals()"]), scope)
    checks = [line for line in lines if _CHECK.match(line)]
    with torch._C._AutoDispatchBelowAutograd():
        values = scope["run"](*flat)
        exec("\n".join([f"def checks({', '.join(values)}):", *checks, "    return None"]), scope)
        count = max(1, int(0.004 / max(time_steps(lambda: made.function(*flat), 3), 1e-5)))
        steps, alone = [], []
        deadline = time.perf_counter() + seconds
        while len(steps) < 7 or (time.perf_counter() < deadline and len(steps) < 400):
            steps.append(time_steps(lambda: made.function(*flat), count))
            alone.append(time_steps(lambda: scope["checks"](**values), 10 * count))
    return statistics.median(steps), statistics.median(alone)


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
        "checks",
        "rounds",
    ]
    for column in columns + (["sandbox (wall)"] if options.sandbox else []):
        table.add_column(column, justify="left" if column == "computation" else "right")
    gains: list[float] = []
    shares: list[float] = []
    costs: list[float] = []
    sandbox = PlanSandbox() if options.sandbox else None
    console = Console()
    with console.status("tracing") as status:
        for name, example in examples.items():
            status.update(name)
            start = time.perf_counter()
            traced = trace(example.function, name=name, symbols=example.symbols, **example.arguments)
            tracing = time.perf_counter() - start
            plan = Plan.read(traced.dumps())
            time_each = options.seconds / len(examples) / 2
            eager, planned, first, rounds = measure(example, plan, time_each)
            step, checks = measure_checks(example, plan, time_each)
            shares.append(100 * checks / step)
            costs.append(1e6 * checks / len(plan.document.nodes))
            report.add(f"{name}: checks, share of a step", shares[-1], "%")
            report.add(f"{name}: checks, for each operation", costs[-1], "µs", target=2)
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
                f"{shares[-1]:.1f} %, {costs[-1]:.2f} µs",
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
    share = report.add("checks, share of a step, median", statistics.median(shares), "%", target=5)
    console.print(
        f"checks: {share.value:.1f} % of a step in the median, at most {max(costs):.2f} µs an operation"
    )
    report.finish(options.json)


if __name__ == "__main__":
    main()
