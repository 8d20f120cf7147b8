"""What a key host's grant takes: the checks before its transaction, and the transaction, durable on the disk.

    python benchmarks/key_host.py [--participants 1000] [--repeats 5] [--quick] [--json]

The manifest has so many participants, each with two signatures that are verified before the transaction; these
alone are the floor. Others wait for the transaction: it takes at most 50 ms with 1,000 participants (SQLite, on
the disk of this checkout). The best of the repeats counts, each a round of its own.

``--quick``: 20 participants.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

from _harness import Report, parse
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from grid.key_host.core import HostCore
from syft_ext.identity import Identity, verify
from tests.key_host.parties import make_party

ROOT = Path(__file__).resolve().parent.parent
TRANSACTION_TARGET = 50.0
"""Milliseconds, with 1,000 participants."""


@contextmanager
def timed_turns(spent: list[float]) -> Iterator[None]:
    """While it lasts, ``spent`` is told how long each transaction of a host takes, to the end of its sync."""
    turn = HostCore.turn

    @contextmanager
    def timed(self: HostCore, **options: Any) -> Iterator[Any]:
        begun = time.perf_counter()
        with turn(self, **options) as given:
            yield given
        spent.append(time.perf_counter() - begun)

    with mock.patch.object(HostCore, "turn", timed):
        yield


def grants(folder: Path, participants: int, repeats: int) -> tuple[float, float]:
    """Seconds of a grant without its transaction, and of the transaction; the best of each."""
    party = make_party(folder)
    policy = party.approved(party.policy(rounds=repeats))
    core = party.ordered(policy)[0]
    names = [f"participant {number}" for number in range(participants)]
    before, inside = [], []
    for sequence in range(1, repeats + 1):
        context = party.context(policy, sequence)
        keys = party.open(policy, context)
        manifest = party.manifest(context, keys, names)
        worker = party.session(policy)
        spent: list[float] = []
        begun = time.perf_counter()
        with timed_turns(spent):
            worker.grant(core, manifest, keys)
        before.append(time.perf_counter() - begun - sum(spent))
        inside.append(sum(spent))
    for each in party.hosts:
        each.db.close()
    return min(before), min(inside)


def signature() -> float:
    """Seconds in which one signature is verified."""
    identity, data = Identity.generate(), bytes(32)
    signed = identity.sign(data)
    begun = time.perf_counter()
    for _ in range(200):
        verify(identity.verify_key, data, signed)
    return (time.perf_counter() - begun) / 200


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--participants", type=int, default=1000)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parse(parser, participants=20, repeats=2)
    found, what = Report(), f"{arguments.participants} participants"
    with tempfile.TemporaryDirectory(prefix=".bench-", dir=ROOT) as folder:
        before, inside = grants(Path(folder), arguments.participants, arguments.repeats)
    floor = found.add(f"two signatures of each of {what}", 2000 * arguments.participants * signature(), "ms")
    found.add(f"grant, before its transaction, {what}", before * 1000, "ms", against=floor)
    target = None if arguments.quick else TRANSACTION_TARGET
    found.add(f"transaction of a grant, {what}", inside * 1000, "ms", target=target)
    table = Table("what", "figure", "times", "at most")
    for each in found.rows.values():
        times = "" if each.ratio is None else f"{each.ratio:.2f}"
        table.add_row(each.name, f"{each.value:.2f} {each.unit}", times, f"{each.target or ''}")
    Console().print(table)
    found.finish(as_json=arguments.json)


if __name__ == "__main__":
    main()
