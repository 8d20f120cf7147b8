"""A day of a Domain in minutes: 24 rounds an hour, and what people do at it is mixed.

    python -m benchmarks.soak                      # 576 rounds: 24 hours of them, by the clock ten days
    python -m benchmarks.soak --rounds 144 --json
    python -m benchmarks.soak --quick              # three hours of 12 rounds

Each round a Worker reports to an endless training; every few rounds (``_day.EVERY``) people log in and out,
datasets and objects come and go, uploads break off, guarded statistics and private queries are asked, plans
and trainings are reviewed and run, encrypted reports are summed, three Domains compute on shares, somebody
comes by the Network's relayed line, a session is left open, a Worker dies with its slot. Every hour all four
nodes keep house.

The nodes' clock runs ten days meanwhile (``--days``), so that by the default settings what has a term of a
week ends within the run: what waits in the quarantine, uploads that nobody goes on with, sealed outputs; what
has a shorter one (sessions, tokens, idle hosts) many times over. Memory, open files, threads, processes and
bytes on the disk are written down every hour; they are those of all nodes, which are in this process, and of
their children. What is to be flat is flat when the last quarter is no more than the one before it, but for
``ALLOWED``: the week of the quarantine fills in the first 70 hundredths. Of the disk, rows that are kept grow
(audit log, metrics, charges).
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

import psutil
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import syft_ext as sy
from benchmarks._day import Day
from benchmarks._harness import Report, parse
from grid.federated.service import FederatedService

__all__ = ["HOUR", "Hour", "Soak", "grown"]

HOUR = 24
"""Rounds of an hour."""
DAYS = 10.0
"""What the nodes' clock runs in all rounds together."""
UNITS = {
    "memory": "MB",
    "children": "MB",
    "processes": "processes",
    "files": "files",
    "threads": "threads",
    "disk": "MB",
    "contents": "contents",
    "waiting": "waiting",
}
ALLOWED = {
    "memory": 30,
    "children": 60,
    "processes": 2,
    "files": 10,
    "threads": 5,
    "contents": 5,
    "waiting": 20,
}
"""By how much the last quarter may be above the one before it."""
VALUES = 4096
LONGEST = 7200.0
"""Seconds of a round by the nodes' clock at most: heartbeats and cycles outlive it."""


def _sizes(home: Path) -> dict[Path, int]:
    """Of all files below; the node goes on meanwhile, and one that is gone by now has none."""
    sizes: dict[Path, int] = {}
    for path in home.rglob("*"):
        with contextlib.suppress(FileNotFoundError):
            found = path.lstat()
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


def _children() -> list[int]:
    """Resident bytes of each process below this one."""
    sizes = []
    for child in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            sizes.append(int(child.memory_info().rss))
    return sizes


class RoundClock:
    """The machine's clock, and so many seconds (``pace``) more for each round."""

    def __init__(self, pace: float) -> None:
        self.pace, self.rounds = pace, 0

    def now(self) -> float:
        return time.time() + self.pace * self.rounds


@dataclass(frozen=True)
class Hour:
    """What the nodes take: MB of memory and of their children's, processes, open files, threads, MB on the disk,
    contents, what waits in quarantines or broken-off uploads, and cycles done."""

    memory: float
    children: float
    processes: int
    files: int
    threads: int
    disk: float
    contents: int
    waiting: int
    cycles: int


@sy.make_plan
def step(params=sy.Param([torch.zeros(VALUES)])):  # type: ignore[no-untyped-def]
    """One step of a training that learns nothing."""
    return [param - 1.0 for param in params]


class Soak:
    """Four nodes, and whoever uses them. Close it at the end."""

    def __init__(self, home: Path, hour: int, pace: float) -> None:
        self.home, self.hour, self.clock = home, hour, RoundClock(pace)
        self.day = Day(home, self.clock)
        self.url = self.day.domain.url
        self.client = self.day.owner()
        host = sy.ModelCentricFLClient(self.url)
        self.training = host.host_federated_training(
            model=[torch.zeros(VALUES)],
            client_plans={"training_plan": step},
            client_config={"name": "soak", "version": "1"},
            server_config={"num_cycles": 0, "max_diffs": 1, "max_workers": 2, "cycle_length": 36_000},
        )
        host.close()
        self.hours: list[Hour] = []
        self.worker = sy.FLClient(url=self.url, identity=sy.Identity.generate())
        self.job = self.worker.new_job("soak", "1", load_plan=lambda data: step)  # it trains by itself

    def close(self) -> None:
        """Release everything."""
        self.worker.close()
        self.client.close()
        self.day.close()

    def run(self, rounds: int) -> list[Hour]:
        """So many rounds; what was measured each hour."""
        for number in range(1, rounds + 1):
            self._round(number)
            if number % self.hour == 0:
                self.day.sweep()
                self.hours.append(self.measure())
                print(f"hour {len(self.hours):3}: {self.hours[-1]}", flush=True)
        return self.hours

    def _round(self, number: int) -> None:
        self.clock.rounds += 1
        self.job.run(lambda job: job.report([p - 1.0 for p in job.model], samples=1), max_cycles=1)
        if number % 6 == 0:  # one that takes a slot, and is never heard of again
            with sy.FLClient(url=self.url, identity=sy.Identity.generate(), device=f"dead-{number}") as dead:
                session = dead.session("soak", "1")
                session.authenticate()
                session.check_in(f"dead-{number}")
        self.day.round(number)
        if number % 12 == 0:
            self._own_session().history()
            self.training.model()

    def _own_session(self) -> sy.Training:
        """The training, by a session that has not expired."""
        self.client.close()
        self.client = self.day.owner()
        self.training.client = self.client
        return self.training

    def measure(self) -> Hour:
        """What they take now, when nothing is under way."""
        for node in (self.day.domain.node, *(served.node for served in self.day.others)):
            node.service(FederatedService).pipeline.drain()
        gc.collect()
        status = Path("/proc/self/status").read_text()
        memory = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS"))
        threads = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("Threads"))
        children, files = _children(), _at_rest(self.home)
        waiting = sum("quarantine" in path.parts or "uploads" in path.parts for path in files)
        return Hour(
            memory=round(memory / 1024, 1),
            children=round(sum(children) / 1e6, 1),
            processes=len(children),
            files=len(os.listdir("/proc/self/fd")),
            threads=threads,
            disk=round(sum(files.values()) / 1e6, 2),
            contents=sum("contents" in path.parts for path in files),
            waiting=waiting,
            cycles=self._own_session().refresh().view.cycles_completed,
        )


def quarters(hours: list[Hour], what: str) -> tuple[float, float]:
    """The means of the last quarter but one, and of the last one."""
    quarter = max(1, len(hours) // 4)
    values = [float(getattr(hour, what)) for hour in hours]
    early, late = values[-2 * quarter : -quarter] or values[:1], values[-quarter:]
    return sum(early) / len(early), sum(late) / len(late)


def grown(hours: list[Hour], what: str) -> float:
    """By how much the mean of the last quarter is above that of the one before it."""
    early, late = quarters(hours, what)
    return late - early


def main() -> int:
    """Run it, and say what has grown; 1 where something has that must not."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rounds", type=int, default=24 * HOUR)
    parser.add_argument("--hour", type=int, default=HOUR, help="rounds of an hour")
    parser.add_argument("--days", type=float, default=DAYS, help="that the nodes' clock runs meanwhile")
    arguments = parse(parser, rounds=36, hour=12, days=0.25)
    if not 1 <= arguments.hour <= arguments.rounds:
        parser.error("--rounds and --hour: at least one hour, of at least one round")
    pace = 86_400 * arguments.days / arguments.rounds
    if not 0 <= pace <= LONGEST:
        parser.error(f"--days: 0 to {LONGEST * arguments.rounds / 86_400:g} for so many rounds")
    with tempfile.TemporaryDirectory() as folder:
        os.environ["GRID_USER_HOME"] = f"{folder}/user"
        begun, soak = time.monotonic(), Soak(Path(folder) / "home", arguments.hour, pace)
        try:
            hours = soak.run(arguments.rounds)
        finally:
            soak.close()
    print("done:", ", ".join(f"{name} {count}" for name, count in soak.day.done.items()))
    report = Report()
    report.add(f"{arguments.rounds} rounds", time.monotonic() - begun, "s")
    report.add("the nodes' clock", arguments.days, "days")
    for what, unit in UNITS.items():
        early, late = quarters(hours, what)
        peer = report.add(f"{what}, quarter before the last", early, unit)
        most = None if arguments.quick or what not in ALLOWED else early + ALLOWED[what]
        report.add(f"{what}, last quarter", late, unit, against=peer if early else None, target=most)
        print(f"{what}: {early:.1f} {unit} in the quarter before the last, {late:.1f} in the last")
    report.finish(arguments.json)
    return 1 if any(row.holds is False for row in report.rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
