"""Deployed rounds: a Domain and two SDK workers over loopback, no-op training, built-in weighted mean.

    python benchmarks/rounds.py [--quick] [--json]

Payloads of 1 MB and 100 MB. The workers are processes that use the SDK's ``FLJob.run`` as a data owner would;
beside them, in the same run, the bare floor: a streaming loop over the same number of sockets that keeps
nothing. Then the server's peak memory with 2 to 32 workers that report 100 MB each: at most two and a half of
these, however many they are. ``--quick`` has rounds of 1 MB only, and two workers that report 10 MB.

For scale, on the same kind of machine: Flower 1.41 6.15 s and 10 s per round, FLARE 2.9 2.6 s and 6.4 s.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
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
    node_peak_memory,
    parse,
    quiet_login,
    reset_peak_memory,
)
from rich.console import Console
from rich.table import Table

import syft_ext as sy

TARGETS = {1_000_000: 0.1, 100_000_000: 2.5}
"""Seconds of a round, by the bytes of the model."""
MEMORY_TARGET = 2.5
"""The node's peak, in payloads of 100 MB."""


def parameters(size: int) -> list[torch.Tensor]:
    """Four float32 tensors of ``size`` bytes in all."""
    return [torch.zeros(size // 16) for _ in range(4)]


def host(url: str, name: str, size: int, workers: int, cycles: int) -> None:
    example = parameters(size)  # what is hosted must fit its plan

    @sy.make_plan
    def training_plan(params=sy.List(example)):  # type: ignore[no-untyped-def]  # a paper-style plan
        return [p * 1.0 for p in params]

    client = sy.ModelCentricFLClient(address=url, secure=False)
    client.connect()
    client.host_federated_training(
        model=example,
        client_plans={"training_plan": training_plan},
        client_protocols={},
        server_averaging_plan=None,
        client_config={"name": name, "version": "1"},
        server_config={
            "num_cycles": cycles,
            "max_diffs": workers,
            "min_workers": workers,
            "max_workers": workers,
            "cycle_length": 600,
        },
    )


def sdk_worker(url: str, name: str) -> None:
    """A worker's process: take part until the training ends; print when each cycle was accepted."""
    job = sy.FLClient(url=url, auth_token="", secure=False).new_job(name, "1")
    times: list[float] = []

    def train(job: sy.FLJob) -> None:
        times.append(time.time())
        job.report(job.model, samples=1)

    job.run(train=train)
    print(json.dumps(times))


def rounds(node: NodeProcess, size: int, cycles: int) -> list[float]:
    """Seconds from one accepted check-in to the next, of two SDK workers in step."""
    name = f"rounds-{size}"
    host(node.url, name, size, 2, cycles)
    command = [sys.executable, __file__, "--worker", node.url, name]
    crowd = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    output = [worker.communicate(timeout=600)[0] for worker in crowd]
    times = json.loads(output[0].splitlines()[-1])
    assert len(times) == cycles, f"{len(times)} of {cycles} cycles"
    return [b - a for a, b in zip(times[1:], times[2:], strict=False)]


def peak_memory(node: NodeProcess, size: int, workers: int) -> int:
    """The node's peak resident bytes while ``workers`` report ``size`` bytes each, in two cycles."""
    name = f"memory-{size}-{workers}"
    host(node.url, name, size, workers, 2)
    crowd = [RestWorker(node.url, name, "1") for _ in range(workers)]
    reset_peak_memory(node)
    lock = threading.Lock()
    shared: list[bytes] = []  # one report for all, so that the workers' own memory stays small

    def work(worker: RestWorker) -> None:
        for _ in range(2):
            while (assignment := worker.check_in(60))["status"] != "accepted":
                pass  # the average of the cycle before is still being written
            model = worker.model(assignment)
            with lock:
                if not shared:
                    shared.append(bytes(model))
            worker.scratch = bytearray(0)
            worker.report(assignment, shared)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in crowd]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for worker in crowd:
        worker.close()
    return node_peak_memory(node)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--worker", nargs=2, metavar=("URL", "NAME"), help=argparse.SUPPRESS)
    arguments = parse(parser)
    torch.set_num_threads(1)
    if arguments.worker:
        sdk_worker(*arguments.worker)
        return
    quiet_login()
    quick = arguments.quick
    large = 10_000_000 if quick else 100_000_000
    report = Report()
    table = Table(title="A deployed round, two SDK workers, no-op training")
    for column in ("payload", "round (median)", "max", "target", "floor", "ratio"):
        table.add_column(column, justify="right")
    memory = Table(title="Peak memory of the Domain's process")
    for column in ("payload", "workers", "peak RSS", "÷ payload"):
        memory.add_column(column, justify="right")
    with domain() as node:
        owner = sy.login(node.url, EMAIL, PASSWORD)
        assert isinstance(owner, sy.DomainClient)
        owner.policy.set(participation="open")  # the crowd has no accounts
        for size, cycles in ((1_000_000, 8),) if quick else ((1_000_000, 40), (large, 8)):
            times = rounds(node, size, cycles)
            with FloorServer(2, size, cycles) as server:
                bare = statistics.median(FloorWorker.run_all(server, 2, size, cycles))
            name = f"round of {megabytes(size)}"
            peer = report.add(f"{name}: floor", bare, "s")
            median = report.add(
                f"{name}: median", statistics.median(times), "s", against=peer, target=TARGETS[size]
            )
            slowest = report.add(f"{name}: slowest", max(times), "s")
            table.add_row(
                megabytes(size),
                f"{median.value:.3f} s",
                f"{slowest.value:.3f} s",
                f"< {TARGETS[size]} s",
                f"{peer.value:.3f} s",
                f"{median.ratio:.1f} ×",
            )
        for workers in (2,) if quick else (2, 8, 32):
            peak = peak_memory(node, large, workers)
            name = f"node's memory, peak, workers={workers} of {megabytes(large)}"
            share = report.add(name, peak / large, "payloads", target=None if quick else MEMORY_TARGET)
            memory.add_row(megabytes(large), str(workers), megabytes(peak), f"{share.value:.2f}")
    console = Console()
    console.print(table)
    console.print(memory)
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
