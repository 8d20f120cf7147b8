"""A whole durable cycle: check-in, download, report, aggregate by the hosted plan, next model served.

    python benchmarks/cycle.py [--quick] [--json]

A 784-392-10 MLP (1.25 MB), a hosted iterative averaging plan, 1, 10 and 50 workers over loopback. Every
report is on disk and in the database before it is acknowledged. Beside it, in the same run, the floor: the
same bytes over the same number of sockets through a bare loop that keeps nothing. No two reports are equal:
equal ones would be stored once. Memory over 500 cycles counts as flat where the last tenth of them begins with at
most 5 % more than the second.
"""

from __future__ import annotations

import argparse
import statistics
import struct
import threading
import time

import torch
from _floor import FloorServer, FloorWorker
from _harness import (
    EMAIL,
    PASSWORD,
    NodeProcess,
    Report,
    RestWorker,
    domain,
    megabytes,
    node_memory,
    parse,
    quiet_login,
)
from rich.console import Console
from rich.table import Table
from torch import nn

import syft_ext as sy
from syft_ext.tensors import encode_tensors

TARGETS = {1: 10.0, 10: 60.0, 50: 300.0}
"""Milliseconds of a cycle, by the number of workers."""
RATE_TARGETS = {50: 250.0}
"""Reports a second."""
FLAT = 1.05
"""The last tenth's memory in times of the second's."""


def model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(784, 392), nn.ReLU(), nn.Linear(392, 10))


def host(url: str, name: str, workers: int, cycles: int) -> None:
    net = model()
    parameters = list(net.parameters())

    @sy.make_plan
    def training_plan(params=sy.List(parameters)):  # type: ignore[no-untyped-def]  # a paper-style plan
        return [p * 1.0 for p in params]

    @sy.make_plan
    def averaging_plan(avg=sy.List(parameters), item=sy.List(parameters), num=sy.Int(0)):  # type: ignore[no-untyped-def]
        return [(a * num + i) / (num + 1) for a, i in zip(avg, item, strict=True)]

    client = sy.ModelCentricFLClient(address=url, secure=False)
    client.connect()
    client.host_federated_training(
        model=net,
        client_plans={"training_plan": training_plan},
        client_protocols={},
        server_averaging_plan=averaging_plan,
        client_config={"name": name, "version": "1"},
        server_config={
            "num_cycles": cycles,
            "max_diffs": workers,
            "min_workers": workers,
            "max_workers": workers,
            "cycle_length": 600,
            "iterative_plan": True,
        },
    )


def measure(node: NodeProcess, workers: int, cycles: int) -> tuple[list[float], list[int]]:
    """Seconds of every cycle, and the node's resident bytes after each tenth of the run."""
    name = f"cycle-{workers}-{cycles}"
    host(node.url, name, workers, cycles)
    body = encode_tensors({n: torch.full_like(p, 1e-4) for n, p in model().named_parameters()})
    crowd = [RestWorker(node.url, name, "1") for _ in range(workers)]
    started = [0.0] * (cycles + 1)
    memory: list[int] = []
    barrier = threading.Barrier(workers)
    errors: list[Exception] = []

    def work(index: int, worker: RestWorker) -> None:
        try:
            barrier.wait()
            for cycle in range(cycles):
                assignment = worker.check_in()
                if index == 0:
                    # The next cycle's first assignment means: the last one's model is served.
                    started[cycle] = time.perf_counter()
                    if cycle % max(1, cycles // 10) == 0:
                        memory.append(node_memory(node))
                worker.model(assignment)
                worker.report(assignment, report_of(body, index, cycle))
            if index == 0:
                over = worker.check_in()
                started[cycles] = time.perf_counter()
                assert over["retry_after"] is None, over
        except Exception as error:
            errors.append(error)
            barrier.abort()

    threads = [threading.Thread(target=work, args=pair) for pair in enumerate(crowd)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in crowd:
        worker.close()
    if errors:
        raise errors[0]
    return [b - a for a, b in zip(started[1:-1], started[2:], strict=True)], memory


def report_of(body: bytes, worker: int, cycle: int) -> list[bytes | memoryview]:
    """``body`` with another last number: the report of this worker in this cycle."""
    return [memoryview(body)[:-4], struct.pack("<f", 1e-4 + 1e-7 * worker + 1e-9 * cycle)]


def floor(workers: int, cycles: int, size: int) -> list[float]:
    with FloorServer(workers, size, cycles) as server:
        return FloorWorker.run_all(server, workers, size, cycles)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options = parse(parser)
    quiet_login()
    report = Report()
    torch.set_num_threads(1)
    size = sum(p.numel() * 4 for p in model().parameters())
    table = Table(title=f"A durable cycle of a {size / 1e6:.2f} MB model, hosted averaging plan")
    for column in ("workers", "cycle (median)", "p95", "reports/s", "target", "floor", "ratio"):
        table.add_column(column, justify="right")
    with domain() as node:
        owner = sy.login(node.url, EMAIL, PASSWORD)
        assert isinstance(owner, sy.DomainClient)
        owner.policy.set(participation="open")  # the crowd has no accounts
        for workers, cycles in ((1, 200), (10, 40), (50, 15)):
            cycles = max(6, cycles // 12) if options.quick else cycles
            times, _ = measure(node, workers, cycles)
            name = f"cycle, workers={workers}"
            bare = statistics.median(floor(workers, cycles, size))
            peer = report.add(f"{name}: floor", bare * 1e3, "ms")
            median = report.add(
                f"{name}: median",
                statistics.median(times) * 1e3,
                "ms",
                against=peer,
                target=TARGETS[workers],
            )
            p95 = report.add(f"{name}: p95", sorted(times)[int(len(times) * 0.95)] * 1e3, "ms")
            rate = report.add(
                f"{name}: reports",
                workers * 1e3 / median.value,
                "reports/s",
                target=RATE_TARGETS.get(workers),
            )
            table.add_row(
                str(workers),
                f"{median.value:,.1f} ms",
                f"{p95.value:,.1f} ms",
                f"{rate.value:,.0f}",
                f"≤ {TARGETS[workers]:.0f} ms",
                f"{peer.value:,.1f} ms",
                f"{median.ratio:.1f} ×",
            )
        Console().print(table)
        if not options.quick:
            _, memory = measure(node, 2, 500)
            second = report.add("memory in cycle 50 of 500", memory[1] / 1e6, "MB")
            last = report.add("memory in cycle 450 of 500", memory[-1] / 1e6, "MB", against=second)
            report.add_ratio(last, target=FLAT)
            Console().print(
                "memory over 500 cycles: "
                + " → ".join(megabytes(m) for m in memory)
                + f"   (last / second: {last.ratio:.2f})"
            )
    report.finish(options.json)


if __name__ == "__main__":
    main()
