"""A part of ``toolkit.py``: sums of encrypted updates, by themselves and as cycles of a training at a node."""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from rich.console import Console

import syft_ext as sy
from benchmarks._harness import EMAIL, PASSWORD, Report, domain, node_peak_memory, reset_peak_memory
from syft_ext.encrypted.child import LibraryChild
from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.sums import EncryptedSumRules
from syft_ext.federated.formats import encoder_of
from syft_ext.federated.report_message import report_message
from syft_ext.ids import new_id

__all__ = ["encrypted_cycles", "encrypted_sums"]

MEGABYTES_TARGET = 300.0
MEMORY_TARGET = 1.1
FEW, MANY = 2, 25
FULL = 300_000
"""Numbers of an update, from which on there are targets."""


def peak(child: LibraryChild) -> float:
    """The most megabytes that the process ever had in memory."""
    status = Path(f"/proc/{child.pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def encrypted_sums(options: argparse.Namespace, report: Report, console: Console) -> None:
    """Updates added up in a confined process, which never has a key."""
    length, full = options.numbers, options.numbers >= FULL
    keys = EncryptionKeys.generate("add4096")
    rules = EncryptedSumRules(
        context=keys.public.digest, parameters="add4096", length=length, clip=1.0, participants=MANY
    ).check()
    # Each encrypted by itself: errors of one that is added to itself add up, and a holder tells no such sum.
    numbers = np.random.default_rng(1).normal(size=length)
    updates = [rules.encrypted(keys.public, numbers) for _ in range(MANY)]
    memory = []
    for count in (FEW, MANY):
        child = LibraryChild()
        before = _spent(child.pid)
        for update in updates[:count]:
            rules.check_update(keys.public, memoryview(update), child)
        looked = _spent(child.pid) - before
        total = rules.added(keys.public, updates[:count], child)
        seconds = _spent(child.pid) - before - looked
        memory.append(peak(child))
        child.close()
        assert np.isfinite(rules.opened(keys, total, count)).all()
    speed = report.add(
        f"encrypted sum of {MANY} × {length} numbers",
        MANY * len(updates[0]) / 1e6 / max(seconds, 0.01),
        "MB per CPU-second",
        target=MEGABYTES_TARGET if full else None,
    )
    looking = report.add(
        "looking at each update by itself",
        MANY * len(updates[0]) / 1e6 / max(looked, 0.01),
        "MB per CPU-second",
    )
    few = report.add(f"its process's memory at {FEW} participants", memory[0], "MB")
    many = report.add(f"its process's memory at {MANY} participants", memory[1], "MB", against=few)
    report.add_ratio(many, target=MEMORY_TARGET if full else None)
    console.print(f"looking at each update by itself: {looking.value:.0f} MB per CPU-second")
    said = f"{speed.value:.0f} MB of ciphertext per CPU-second, in {many.value:.0f} MB"
    console.print(f"encrypted sum of {MANY} updates: {said}, and {few.value:.0f} MB for {FEW} updates")


def _spent(pid: int) -> float:
    return sum(psutil.Process(pid).cpu_times()[:2])


def encrypted_cycles(options: argparse.Namespace, report: Report, console: Console) -> None:
    """Cycles of a training at a node of its own, with 2 and 25 participants over loopback: the node's memory is
    that of its own process, where no ciphertext is read."""
    length = options.numbers
    keys = EncryptionKeys.generate("add4096")
    memory = []
    with domain() as node:
        client = sy.login(node.url, EMAIL, PASSWORD)
        assert isinstance(client, sy.DomainClient)
        client.policy.set(participation="open", trainings="open")
        host = sy.ModelCentricFLClient(address=node.url)
        host.connect()
        for count in (FEW, MANY):
            training = host.host_federated_training(
                model={"weight": torch.zeros(length)},
                client_plans={},
                client_config={"name": f"of {count}", "version": "1"},
                server_config={"num_cycles": 1, "max_diffs": count, "max_workers": count},
                encrypted=sy.EncryptedSums(keys=keys, clip=1.0),
            )
            reset_peak_memory(node)
            begun = time.perf_counter()
            for _ in range(count):
                worker = sy.FLClient(node.url, identity=sy.Identity.generate())
                job = worker.new_job(f"of {count}", "1")
                job.authenticate()
                job.take(job.session.check_in(new_id()))
                change = {"weight": torch.linspace(-1, 1, length)}
                (body,) = encoder_of("ckks").encode(job.report_context(), change).pieces
                assert job.assignment is not None
                job.session.call(report_message(job.assignment, "ckks", None), [body])
                worker.close()
            training.open_sums(keys, timeout=600.0)
            seconds = time.perf_counter() - begun
            memory.append(node_peak_memory(node) / 1e6)
            report.add(f"a cycle of {count} encrypted reports", seconds, "s")
            console.print(f"a cycle of {count} encrypted reports of {length} numbers: {seconds:.1f} s")
        host.close()
    few = report.add(f"the node's memory in a cycle of {FEW}", memory[0], "MB")
    many = report.add(f"the node's memory in a cycle of {MANY}", memory[1], "MB", against=few)
    report.add_ratio(many, target=MEMORY_TARGET if length >= FULL else None)
    said = f"{few.value:.0f} MB with {FEW} reports, {many.value:.0f} MB with {MANY}"
    console.print(f"the node's memory in a cycle: {said}")
