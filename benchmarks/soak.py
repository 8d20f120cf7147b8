"""A day of a Domain in minutes: its clock runs a minute a round, and what people do at it is mixed.

    python -m benchmarks.soak                      # 1440 rounds: 24 hours
    python -m benchmarks.soak --rounds 300 --json
    python -m benchmarks.soak --quick              # three hours of 20 rounds

Each round a Worker reports to an endless training; every few rounds somebody logs in and out, datasets and objects
come and go, names are looked up and downloads made, a Worker dies with its slot; every hour the node keeps house.
Memory, open files, threads and bytes on the disk are written down every hour. What is to be flat is flat when the
last quarter is no more than the second one, but for ``ALLOWED``; of the disk, rows that are kept grow (audit log,
metrics).
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import stat
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from apps.assembly import open_node
from apps.domain.app import build
from benchmarks._harness import Report, parse
from grid.accounts.bootstrap import bootstrap_owner
from grid.config import DomainSettings
from grid.federated.service import FederatedService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.web.testing import ServedNode

__all__ = ["HOUR", "Hour", "Soak", "grown"]

EMAIL, PASSWORD = "owner@soak.example", "correct horse battery staple"
HOUR = 60
"""Rounds of an hour."""
UNITS = {"memory": "MB", "files": "files", "threads": "threads", "disk": "MB", "contents": "contents"}
ALLOWED = {"memory": 30, "files": 5, "threads": 5, "contents": 5}
"""By how much the last quarter may be above the second one."""
VALUES = 4096


def _sizes(home: Path) -> dict[Path, int]:
    """Of all files below; the node goes on meanwhile, and one that is gone by now has none."""
    sizes: dict[Path, int] = {}
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found = path.stat()
            if stat.S_ISREG(found.st_mode):
                sizes[path] = found.st_size
    return sizes


def _at_rest(home: Path) -> dict[Path, int]:
    """Files of the moment in which fewest are there: what is on its way is gone in some, a leak in none."""
    found = _sizes(home)
    for _ in range(10):
        time.sleep(0.1)
        found = min(found, _sizes(home), key=len)
    return found


class RoundClock:
    """The machine's clock, and a minute more for each round."""

    def __init__(self) -> None:
        self.rounds = 0

    def now(self) -> float:
        return time.time() + 60.0 * self.rounds


@dataclass(frozen=True)
class Hour:
    """What a node takes: MB of memory, open files, threads, MB on the disk, contents, models, and cycles done."""

    memory: float
    files: int
    threads: int
    disk: float
    contents: int
    cycles: int


@sy.make_plan
def step(params=sy.List([torch.zeros(VALUES)])):  # type: ignore[no-untyped-def]
    """One step of a training that learns nothing."""
    return [param - 1.0 for param in params]


def _open(home: Path, clock: RoundClock) -> Node:
    """A Domain as ``grid domain start`` makes it, but for its clock."""
    import apps.domain.app as app

    made = app.open_node
    app.open_node = lambda *arguments, **options: open_node(*arguments, clock=clock, **options)  # type: ignore[assignment]
    try:
        return build(home, DomainSettings(name="soak"))
    finally:
        app.open_node = made


class Soak:
    """One Domain, and whoever uses it. Close it at the end."""

    def __init__(self, home: Path, hour: int = HOUR) -> None:
        self.home, self.hour, self.clock = home, hour, RoundClock()
        self.node = _open(home, self.clock)
        assert bootstrap_owner(self.node, EMAIL, PASSWORD)
        self.served = ServedNode(self.node)
        self.client = sy.login(self.served.url, EMAIL, PASSWORD)
        host = sy.ModelCentricFLClient(self.served.url)
        self.training = host.host_federated_training(
            model=[torch.zeros(VALUES)],
            client_plans={"training_plan": step},
            client_config={"name": "soak", "version": "1"},
            server_config={"num_cycles": 0, "max_diffs": 1, "max_workers": 2, "cycle_length": 3600},
        )
        self.hours: list[Hour] = []
        self.worker = sy.FLClient(url=self.served.url, auth_token="")
        self.job = self.worker.new_job("soak", "1", load_plan=lambda data: step)  # it trains by itself

    def close(self) -> None:
        """Release everything."""
        self.worker.close()
        self.client.close()
        self.served.close()

    def run(self, rounds: int) -> list[Hour]:
        """So many minutes; what was measured each hour."""
        for number in range(1, rounds + 1):
            self._round(number)
            if number % self.hour == 0:
                self.node.service(HousekeepingService).sweep()
                self.hours.append(self.measure())
        return self.hours

    def _round(self, number: int) -> None:
        self.clock.rounds += 1
        if number % 20 == 0:  # sessions end
            self.client.close()
            self.client = sy.login(self.served.url, EMAIL, PASSWORD)
            self.training.client = self.client
        self.job.run(lambda job: job.report([p - 1.0 for p in job.model], samples=1), max_cycles=1)
        if number % 7 == 0:  # one that takes a slot, and is never heard of again
            with sy.FLClient(url=self.served.url, auth_token="", device=f"dead-{number}") as dead:
                session = dead.session("soak", "1")
                session.authenticate()
                session.check_in(f"dead-{number}")
        if number % 5 == 0:
            dataset = self.client.datasets.create(f"set {number}", {"data": torch.randn(20_000)})
            assert self.client.datasets[dataset.name]["data"].data.shape == (20_000,)
            self.client.datasets.delete(dataset.id, objects=True)
        if number % 6 == 0:
            self.client.store.delete(self.client.store.put(torch.randn(1000)).id)
        if number % 10 == 0:
            other = sy.login(self.served.url, EMAIL, PASSWORD, save=False)
            assert other.me.email == EMAIL
            other.close()
            self.training.history()
            self.training.model()

    def measure(self) -> Hour:
        """What it takes now, when nothing is under way."""
        pipeline = self.node.service(FederatedService).pipeline
        pipeline.drain()
        gc.collect()
        status = Path("/proc/self/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads"))
        files = _at_rest(self.home)
        return Hour(
            memory=round(memory / 1024, 1),
            files=len(os.listdir("/proc/self/fd")),
            threads=threads,
            disk=round(sum(files.values()) / 1e6, 2),
            contents=sum("contents" in path.parts for path in files),
            cycles=self.training.refresh().view.cycles_completed,
        )


def quarters(hours: list[Hour], what: str) -> tuple[float, float]:
    """The means of the second quarter and of the last one."""
    quarter = max(1, len(hours) // 4)
    values = [float(getattr(hour, what)) for hour in hours]
    early, late = values[quarter : 2 * quarter] or values[:1], values[-quarter:]
    return sum(early) / len(early), sum(late) / len(late)


def grown(hours: list[Hour], what: str) -> float:
    """By how much the mean of the last quarter is above that of the second one."""
    early, late = quarters(hours, what)
    return late - early


def main() -> int:
    """Run it, and say what has grown; 1 where something has that must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=24 * HOUR)
    parser.add_argument("--hour", type=int, default=HOUR, help="rounds of an hour")
    arguments = parse(parser, rounds=60, hour=20)
    if not 1 <= arguments.hour <= arguments.rounds:
        parser.error("--rounds and --hour: at least one hour, of at least one round")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRID_USER_HOME"] = f"{folder}/user"
        begun, soak = time.monotonic(), Soak(Path(folder) / "home", arguments.hour)
        try:
            hours = soak.run(arguments.rounds)
        finally:
            soak.close()
    for number, hour in enumerate(hours, 1):
        print(f"hour {number:3}: {hour}")
    report = Report()
    report.add(f"{arguments.rounds} rounds", time.monotonic() - begun, "s")
    for what, unit in UNITS.items():
        early, late = quarters(hours, what)
        peer = report.add(f"{what}, second quarter", early, unit)
        most = None if arguments.quick or what not in ALLOWED else early + ALLOWED[what]
        report.add(f"{what}, last quarter", late, unit, against=peer, target=most)
        print(f"{what}: {early:.1f} {unit} in the second quarter, {late:.1f} in the last")
    report.finish(arguments.json)
    return 1 if any(row.holds is False for row in report.rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
