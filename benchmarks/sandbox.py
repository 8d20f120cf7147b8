"""What the sandbox costs a data owner: the same training in their process and in the sandbox, by the wall clock.

    python benchmarks/sandbox.py [--rounds 15] [--steps 100] [--quick] [--json]

A perceptron with 1.25 MB of parameters, batches of 64. A *report* is a cycle as ``FLJob.run(data=…)`` trains it:
so many steps, the parameters staying in the sandbox between them. A *call* is one step by hand, as in listing 7 of
the paper: inputs and parameters go there through shared memory, and results come back. Rounds are interleaved, and
of each figure the median is shown. The machine should be idle: a call waits twice for a processor, where the same
work in one process does not wait at all.

Targets: a report at most 1.1 × of that in this process, a call at most 0.5 ms more.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks._harness import Report, parse
from syft_ext.federated.batches import PlanTrainer
from syft_ext.plans import List, make_plan
from syft_ext.plans.sandbox.tensors import shared_sandbox
from syft_ext.plans.training.parameters import Parameters
from syft_ext.plans.training.training_plan import TrainingPlan

BATCH, SLOWER, MORE_MS = 64, 1.1, 0.5
CALLS = 20  # of one round


def perceptron() -> tuple[bytes, list[torch.Tensor]]:
    """A training plan (784 → 392 → 10, softmax, SGD), and its parameters: 1.25 MB."""
    generator = torch.Generator().manual_seed(0)
    parameters = [
        torch.randn(784, 392, generator=generator) * 0.01,
        torch.zeros(392),
        torch.randn(392, 10, generator=generator) * 0.01,
        torch.zeros(10),
    ]

    @make_plan
    def training_plan(  # type: ignore[no-untyped-def]
        xs=torch.rand(BATCH, 784),
        ys=torch.nn.functional.one_hot(torch.arange(BATCH) % 10, 10).float(),
        lr=torch.tensor(0.1),
        params=List(parameters),
    ):
        w1, b1, w2, b2 = given = [each.detach().requires_grad_() for each in params]
        scores = (xs @ w1 + b1).relu() @ w2 + b2
        loss = -(scores.log_softmax(1) * ys).sum(1).mean()
        gradients = torch.autograd.grad(loss, given)
        return loss, *[each - lr * gradient for each, gradient in zip(given, gradients, strict=True)]

    return training_plan.dumps(), parameters


def report(plan: TrainingPlan, parameters: list[torch.Tensor], x: torch.Tensor, y: torch.Tensor) -> None:
    """What a job does in one cycle, but for the network."""
    config = {"batch_size": BATCH, "lr": 0.1, "shuffle": False}
    job = SimpleNamespace(
        plans={"training_plan": plan},
        model=Parameters(parameters),
        client_config=config,
        cycle=1,
        hides_failures=False,
        emit_progress=lambda updates: None,
    )
    PlanTrainer(x, y, seed=0)(job)


def seconds(action: Callable[[], Any], count: int = 1) -> float:
    begun = time.perf_counter()
    for _ in range(count):
        action()
    return (time.perf_counter() - begun) / count


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--steps", type=int, default=100, help="of one report")
    options = parse(parser, rounds=3, steps=10)
    data, parameters = perceptron()
    x = torch.rand(BATCH * options.steps, 784)
    y = torch.arange(len(x)) % 10
    here, apart = TrainingPlan.read(data), TrainingPlan.loads(data)
    batch = {"xs": x[:BATCH], "ys": torch.nn.functional.one_hot(y[:BATCH], 10).float(), "params": parameters}
    begun = time.perf_counter()
    apart(**batch)
    print(
        f"the sandbox started in {time.perf_counter() - begun:.1f} s, with {shared_sandbox().threads} threads"
    )
    times: dict[tuple[str, str], list[float]] = {}
    for number in range(options.rounds + 1):
        for where, plan in (("in this process", here), ("in the sandbox", apart)):
            reported = seconds(lambda plan=plan: report(plan, parameters, x, y))  # type: ignore[misc]
            called = seconds(lambda plan=plan: plan(**batch), CALLS)  # type: ignore[misc]
            if number:  # the first round warms up
                times.setdefault(("report", where), []).append(reported)
                times.setdefault(("call", where), []).append(called)
    found = {what: statistics.median(each) * 1e3 for what, each in times.items()}
    for what in ("report", "call"):
        for where in ("in this process", "in the sandbox"):
            print(f"{what:>7} {where:<16} {found[what, where]:9.2f} ms")
    results = Report()
    target = None if options.quick else SLOWER
    base = results.add(
        f"report of {options.steps} steps in this process", found["report", "in this process"], "ms"
    )
    row = results.add(
        f"report of {options.steps} steps in the sandbox",
        found["report", "in the sandbox"],
        "ms",
        against=base,
    )
    results.add_ratio(row, target=target)
    one = results.add("call in this process", found["call", "in this process"], "ms")
    results.add("call in the sandbox", found["call", "in the sandbox"], "ms", against=one)
    more = found["call", "in the sandbox"] - found["call", "in this process"]
    results.add("call in the sandbox, more", more, "ms", target=None if options.quick else MORE_MS)
    print(f"report × {row.ratio:.3f} (at most {SLOWER}), call + {more:.2f} ms (at most {MORE_MS})")
    results.finish(options.json)


if __name__ == "__main__":
    main()
