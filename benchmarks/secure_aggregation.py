"""Secure aggregation: a deployed round against a plain one of the same sizes, and what it takes of a participant.

    python benchmarks/secure_aggregation.py [--quick] [--json]

Ten participants, each a process that uses the SDK's ``FLJob.run``, report 4 MB each over loopback: once as
tensors, once masked, in the same run; no-op training, so that all of a round is the exchange. A round with
secure aggregation takes at most twice as long as the plain one. Then one participant's processor time for a
whole round of 64 participants and 10⁶
numbers, without a network: at most 0.35 s. ``--quick``: 3 participants and 0.4 MB; 8 and 10⁵.

For scale, from their papers and runs on the same kind of machine: Fed-BioMed took 1.6 s of a participant of 10,
and a round of Flower's SecAgg+ 4 to 5 times a plain one.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import statistics
import subprocess
import sys
import time
from typing import Any

import numpy as np
import torch
from _harness import EMAIL, PASSWORD, NodeProcess, Report, domain, megabytes, parse, quiet_login
from rich.console import Console
from rich.table import Table

import syft_ext as sy
from syft_ext.identity import Identity
from syft_ext.secure_aggregation.client import ClientRound, Record
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.server import ServerRound
from syft_ext.secure_aggregation.statements import Round

ROUND_TARGET = 2.0
"""Times a plain round."""
CLIENT_TARGET = 0.35
"""Seconds of processor time."""


def host(url: str, name: str, size: int, participants: int, cycles: int, **server_config: Any) -> None:
    client = sy.ModelCentricFLClient(address=url, secure=False)
    client.connect()
    client.host_federated_training(
        model={"weight": torch.zeros(size // 4)},
        client_plans={},
        client_config={"name": name, "version": "1"},
        server_config={
            "num_cycles": cycles,
            "max_diffs": participants,
            "min_workers": participants,
            "max_workers": participants,
            "cycle_length": 600,
            **server_config,
        },
    )
    client.close()


def participant(url: str, name: str, number: int) -> None:
    """Take part until the training ends; the first one prints when each cycle began for it, and took how much
    of it."""
    times: list[float] = []
    used: list[float] = []

    def train(job: sy.FLJob) -> None:
        times.append(time.time())
        used.append(time.process_time())
        trained = [tensor + 0.001 for tensor in job.model]
        job.report(trained)

    with sy.FLClient(url=url, identity=Identity.generate(), secure=False) as client:
        client.new_job(name, "1").run(train=train)
    if number == 0:
        print(json.dumps([times, used]))


def crowd(url: str, name: str, count: int) -> None:
    """``count`` participants, each in a process of its own."""
    forked = multiprocessing.get_context("fork")
    processes = [forked.Process(target=participant, args=(url, name, number)) for number in range(count)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()


def rounds(node: NodeProcess, name: str, participants: int, cycles: int) -> tuple[list[float], list[float]]:
    """Seconds from one accepted check-in to the next, and of the participant's processor in between."""
    command = [sys.executable, __file__, "--crowd", node.url, name, str(participants)]
    output = subprocess.run(command, stdout=subprocess.PIPE, text=True, timeout=900, check=True).stdout
    times, used = json.loads(output.splitlines()[-1])
    assert len(times) == cycles, f"{len(times)} of {cycles} cycles"
    steps = [b - a for a, b in zip(times[1:], times[2:], strict=False)]
    return steps, [b - a for a, b in zip(used[1:], used[2:], strict=False)]


class _Memory:
    """A keeper that keeps: what the disk costs is in the rounds above."""

    def __init__(self) -> None:
        self.kept: Record | None = None
        self.content = b""

    def record(self) -> Record | None:
        return self.kept

    def note(self, record: Record) -> None:
        self.kept = record

    def keep(self, record: Record) -> None:
        self.kept = record

    def keep_vector(self, content: memoryview) -> None:
        """Nothing is sent twice here."""

    def vector(self) -> bytes:
        return self.content


def client_seconds(participants: int, count: int) -> float:
    """Seconds of processor time of one participant in a whole round."""
    threshold = -(-2 * participants // 3)
    rules = SumRules(participants=participants, threshold=threshold, minimum=threshold, corrupt=0, clip=1.0)
    rules.check()
    round_ = Round(domain=bytes(32), training=bytes(32), cycle=1, attempt="1", base=bytes(32))
    clients = [
        ClientRound(round_, rules, Identity.generate(), _Memory(), lambda said: said.signer.hex())
        for _ in range(participants)
    ]
    server = ServerRound(rules, round_.digest(), {})
    values = [np.random.default_rng(1).normal(size=count).astype(np.float32)]
    used = 0.0

    def timed(action: Any) -> Any:
        nonlocal used
        begun = time.process_time()
        result = action()
        used += time.process_time() - begun
        return result

    for number, client in enumerate(clients):
        server.advertise(str(number), *(timed(client.advertise) if number == 0 else client.advertise()))
    server.advance()
    assert server.roster is not None
    roster = server.roster.encode()
    for number, client in enumerate(clients):
        server.share(
            str(number), timed(lambda: clients[0].share(roster)) if number == 0 else client.share(roster)
        )
    server.advance()
    timed(lambda: clients[0].mask(server.shares_for("0"), lambda: values))
    for number, client in enumerate(clients[1:], 1):
        client.mask(server.shares_for(str(number)), lambda: [np.zeros(1, np.float32)])
    for part in server.parts.values():
        part.masked = True
    server.advance()
    survivors = server.agreed.survivors
    for number, client in enumerate(clients):
        server.confirm(
            str(number),
            timed(lambda: clients[0].confirm(survivors)) if number == 0 else client.confirm(survivors),
        )
    server.advance()
    signatures = server.confirmations
    timed(lambda: clients[0].unmask(signatures))
    return used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--crowd", nargs=3, metavar=("URL", "NAME", "COUNT"), help=argparse.SUPPRESS)
    arguments = parse(parser)
    torch.set_num_threads(1)
    if arguments.crowd:
        url, name, number = arguments.crowd
        crowd(url, name, int(number))
        return
    quiet_login()
    quick = arguments.quick
    participants, size, cycles = (3, 400_000, 5) if quick else (10, 4_000_000, 12)
    report = Report()
    table = Table(
        title=f"A deployed round of {participants} participants, {megabytes(size)} each, no-op training"
    )
    for column in ("reports", "round (median)", "participant's processor", "ratio"):
        table.add_column(column, justify="right")
    with domain() as node:
        owner = sy.login(node.url, EMAIL, PASSWORD)
        assert isinstance(owner, sy.DomainClient)
        owner.policy.set(participation="open")  # the crowd has no accounts
        plain = None
        for name, config in (("plain", {}), ("masked", {"secure_aggregation": {"clip": 10.0}})):
            host(node.url, name, size, participants, cycles, **config)
            times, used = rounds(node, name, participants, cycles)
            label = f"round of {participants} × {megabytes(size)}"
            row = report.add(f"{label}: {name}", statistics.median(times), "s", against=plain)
            share = report.add(f"{label}: {name}, processor of a participant", statistics.median(used), "s")
            table.add_row(
                name, f"{row.value:.3f} s", f"{share.value:.3f} s", f"{row.ratio:.2f} ×" if row.ratio else ""
            )
            if plain is None:
                plain = row
            else:
                report.add_ratio(row, target=None if quick else ROUND_TARGET)
    members, numbers = (8, 100_000) if quick else (64, 1_000_000)
    seconds = min(client_seconds(members, numbers) for _ in range(3))
    client = report.add(
        f"participant of {members}, {numbers:,} numbers: processor",
        seconds,
        "s",
        target=None if quick else CLIENT_TARGET,
    )
    console = Console()
    console.print(table)
    console.print(
        f"a participant of {members} with {numbers:,} numbers: {client.value:.3f} s of processor time"
    )
    report.finish(arguments.json)


if __name__ == "__main__":
    main()
