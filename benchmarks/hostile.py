"""Ten honest users beside thousands of connections that mean no good, each kind from an address of its own.

    python benchmarks/hostile.py [--connections 2000] [--seconds 12] [--kinds idle …] [--quick] [--json]

A Domain as deployed, in a process; the honest, and each group of the hostile, in processes of theirs, on addresses
in 127.0.0.0/8. First the honest alone, twice; then beside each kind; then beside all kinds at once. Of each: the
time in which 95 of 100 honest calls were answered, at most five times what it was in quiet; and the node's most
resident memory beyond what it had at rest, at most its setting ``memory``. The hostile are niced: they share the
machine's processors with the node, which is not what is measured; the load of the machine is said.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from _harness import (
    EMAIL,
    PASSWORD,
    NodeProcess,
    Report,
    domain,
    node_memory,
    node_peak_memory,
    parse,
    quiet_login,
    reset_peak_memory,
)
from _hostile import KINDS
from rich.console import Console

import syft_ext as sy
from syft_ext.messages.compute import OpenComputeSession

USERS = 10
MEMORY = 1 << 30
TIMES_QUIET = 5.0
SCRIPT = Path(__file__).with_name("_hostile.py")


class Siege:
    """A Domain, and who comes to it."""

    def __init__(self, node: NodeProcess) -> None:
        self.node = node
        client = sy.login(node.url, EMAIL, PASSWORD)
        self.node_id = client.metadata.node_id
        self.tokens = []
        for number in range(USERS):
            email = f"user{number}@bench.example"
            client.users.create(email=email, password=PASSWORD)
            self.tokens.append(_token(node.url, email))
        bomber = "bomber@bench.example"
        client.users.create(email=bomber, password=PASSWORD)
        session = sy.login(node.url, bomber, PASSWORD).call(OpenComputeSession()).session_id
        self.bomber = (_token(node.url, bomber), session)

    def start(
        self, kind: str, address: str, count: int, seconds: float, *secret: str
    ) -> subprocess.Popen[str]:
        command = [
            sys.executable,
            str(SCRIPT),
            kind,
            self.node.url,
            address,
            str(count),
            str(seconds),
            *secret,
        ]
        if kind != "honest":
            command = ["nice", "-n", "15", *command]
        environment = {**os.environ, "NODE_ID": self.node_id}
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)

    def honest(self, seconds: float) -> list[float]:
        """How long each call of the honest took, in seconds."""
        answer = _result(self.start("honest", "127.0.0.1", USERS, seconds, *self.tokens))
        if answer["refused"]:
            raise RuntimeError(f"honest calls were refused: {answer['refused']}")
        times: list[float] = answer["times"]
        return times

    @contextmanager
    def attacked(self, kinds: Sequence[str], count: int, seconds: float) -> Iterator[list[dict[str, Any]]]:
        """While this is so; what became of the hostile is there afterwards."""
        groups = [
            self.start(kind, f"127.0.{number + 1}.1", count, seconds, *self.bomber)
            for number, kind in enumerate(KINDS)
            if kind in kinds
        ]
        results: list[dict[str, Any]] = []
        try:
            yield results
            results += [_result(group) for group in groups]
        finally:
            for group in groups:
                group.kill()
                group.wait()


def _token(url: str, email: str) -> str:
    import urllib3

    fields = {"email": email, "password": PASSWORD}
    answer = urllib3.request("POST", f"{url}/auth/login", json=fields, timeout=60.0)
    token: str = answer.json()["token"]
    return token


def _result(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate(timeout=120)
    if process.returncode:
        raise RuntimeError(f"a client failed: {process.args}")
    return json.loads(output.strip().splitlines()[-1])


def p95(times: Sequence[float]) -> float:
    """In milliseconds."""
    return statistics.quantiles(times, n=20)[-1] * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--connections", type=int, default=2000, help="of each kind")
    parser.add_argument("--seconds", type=float, default=12.0, help="of each attack")
    parser.add_argument("--kinds", nargs="*", default=list(KINDS), choices=list(KINDS))
    options = parse(parser, connections=30, seconds=2.0, kinds=["big-events", "bad-logins"])
    report, console = Report(), Console()
    quiet_login()
    console.print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors")
    with domain(["--memory", str(MEMORY)]) as node:
        siege = Siege(node)
        siege.honest(2.0)  # warm
        quiet = p95(siege.honest(options.seconds) + siege.honest(options.seconds))
        base = report.add("honest p95, quiet", quiet, "ms")
        console.print(f"{'quiet':14s} p95 {quiet:7.1f} ms")
        attacks = [[kind] for kind in options.kinds] + (
            [list(options.kinds)] if len(options.kinds) > 1 else []
        )
        for kinds in attacks:
            name = kinds[0] if len(kinds) == 1 else "all kinds"
            rest = node_memory(node)
            reset_peak_memory(node)
            with siege.attacked(kinds, options.connections, options.seconds + 3) as results:
                time.sleep(2.0)  # until they are there
                measured = p95(siege.honest(options.seconds - 1))
            peak = max(0, node_peak_memory(node) - rest)
            report.add(f"honest p95, {name}", measured, "ms", against=base, target=TIMES_QUIET * quiet)
            report.add(f"memory beyond rest, {name}", peak / 1e6, "MB", target=MEMORY / 1e6)
            console.print(
                f"{name:14s} p95 {measured:7.1f} ms ({measured / quiet:4.1f}×)  +{peak / 1e6:5.0f} MB"
            )
            for result in results:
                console.print(
                    f"    {result['kind']}: held {result['held']}, {result['outcomes']}", highlight=False
                )
            time.sleep(2.0)
        console.print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    report.finish(options.json)


if __name__ == "__main__":
    main()
