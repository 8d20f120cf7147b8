"""Several hosts under an operator who repeats, omits and restores what they like: what must hold all the same.

A worker's attempts, confirmations of any output at any hosts, restores of any host to any earlier row. The hosts
are the real ones, each on a SQLite file; a restore puts an earlier file in its place.

    python -m tests.key_host.world [--runs 200] [--steps 60] [--seed 0] [--without notice|union|expiry|statements]

``--without`` takes a rule away, to see that what must hold does not hold by itself. The exit status is 1 where it
did not hold.
"""

from __future__ import annotations

import argparse
import random
import secrets
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from unittest import mock

from sqlalchemy.exc import IntegrityError

from grid.key_host import granting, recovery
from grid.key_host.chain import hash_at
from grid.key_host.granting import grant_key
from grid.key_host.machines.round import RoundStep
from grid.key_host.peers import remembered
from grid.key_host.recovery import peers_needed, recover_ledger, tell_rows
from grid.storage.sql.database import Database
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.rounds import RoundKey
from syft_ext.errors import GridError
from syft_ext.messages.key_host import Recover
from tests.key_host.parties import WorkerSession, make_party

__all__ = ["MUTANTS", "PROCESSES", "SHAPES", "Broken", "World", "fast_folder", "play", "without"]

PROCESSES = ("a" * 32, "b" * 32)
BUDGET = 2
_OPENED = (1, 2)


class Broken(AssertionError):
    """What must hold does not."""


@dataclass
class Output:
    """A sealed output that a worker made, and the hosts that released it."""

    session: WorkerSession
    round: tuple[str, int]
    manifest: Signed[Manifest]
    shares: object
    released: set[int] = field(default_factory=set)


class World:
    """Hosts 0…n−1, at most ``dishonest`` of them restored and not recovered at any time; with 0, a restored host
    recovers at once."""

    def __init__(self, folder: Path, count: int, dishonest: int) -> None:
        self.party = make_party(folder, count)
        self.dishonest, self._folder = dishonest, folder
        self.policy = self.party.approved(self.party.policy(rounds=BUDGET, dishonest=dishonest))
        self.hosts = self.party.ordered(self.policy)
        self.stale: set[int] = set()
        self.copies: list[list[Path]] = [[] for _ in self.hosts]
        self.keys: dict[tuple[str, int], list[Signed[RoundKey]]] = {}
        self.manifests: dict[tuple[str, int, int], Signed[Manifest]] = {}
        self.outputs: list[Output] = []
        self.completed: set[tuple[str, int]] = set()
        for process in PROCESSES:
            for sequence in _OPENED:
                self._open((process, sequence))
        for host in range(count):
            self._copy(host)

    def close(self) -> None:
        for core in self.hosts:
            core.db.close()

    def _open(self, place: tuple[str, int]) -> None:
        context = self.party.context(self.policy, place[1], place[0])
        self.keys[place] = self.party.open(self.policy, context)
        for which in (0, 1):
            names = ("ada", "ben") if which == 0 else ("cy", "dan")
            self.manifests[*place, which] = self.party.manifest(context, self.keys[place], names)

    def _copy(self, host: int) -> None:
        core, path = self.hosts[host], self._folder / f"copy-{host}-{len(self.copies[host])}.db"
        core.db.fold()
        shutil.copyfile(str(core.db.url.database), path)
        self.copies[host].append(path)

    # -- what the operator does ---------------------------------------------------------------------

    def attempt(self, place: tuple[str, int], which: int, order: Sequence[int]) -> None:
        """A worker asks the hosts in ``order``, maybe not all of them, for the keys of one manifest."""
        self.party.clock.advance(1)
        manifest, keys = self.manifests[*place, which], self.keys[place]
        worker = WorkerSession(self.party, self.policy, place[0])
        try:
            worker.attest()
        except GridError:
            return
        granted = set()
        for host in order:
            unnoticed = self._lost(host)
            try:
                grant_key(self.hosts[host], worker.ask(self.hosts[host], manifest, keys), manifest)
            except (GridError, IntegrityError):  # the latter only where a rule was taken away
                continue
            if unnoticed:
                raise Broken(f"host {host} gives a key although a peer has seen a row that it lost")
            granted.add(host)
            self._copy(host)
        if granted == set(range(len(self.hosts))):
            self.completed.add(place)
            for _ in range(2):
                shares = worker.output(manifest, keys, secrets.token_bytes(32))
                self.outputs.append(Output(worker, place, manifest, shares))
        self.check()

    def _lost(self, host: int) -> bool:
        """Whether some peer remembers a head of this host that is not in its ledger."""
        with self.hosts[host].db.read() as session:
            own = {sequence: hash_at(session, sequence) for sequence in range(100)}
        for other, peer in enumerate(self.hosts):
            if other != host and other not in self.stale and host in self.stale:
                with peer.db.read() as session:
                    for seen in remembered(session, [self.hosts[host].key]):
                        if own.get(seen.head.sequence) != seen.head.hash:
                            return True
        return False

    def attempt_without(self, place: tuple[str, int], host: int, left_out: int) -> None:
        """The operator leaves a host's word out of a request, or puts another's in its place."""
        self.party.clock.advance(1)
        manifest, keys = self.manifests[*place, 0], self.keys[place]
        worker = WorkerSession(self.party, self.policy, place[0])
        try:
            worker.attest()
        except GridError:
            return
        given = [each for index, each in enumerate(worker.statements) if index != left_out]
        if len(given) < 2:
            given = [given[0], given[0]]
        try:
            grant_key(self.hosts[host], worker.ask(self.hosts[host], manifest, keys, given), manifest)
        except GridError:
            return
        raise Broken(f"host {host} gives a key without the word of host {left_out}")

    def confirm(self, number: int, hosts: Sequence[int]) -> None:
        """Some output is confirmed at some hosts."""
        output = self.outputs[number % len(self.outputs)]
        for host in hosts:
            try:
                output.session.confirm(self.hosts[host], output.manifest, output.shares, at=self.party.now)  # type: ignore[arg-type]
            except GridError:
                continue
            output.released.add(host)
            self._copy(host)
        self.check()

    def restore(self, host: int, number: int, peers: Sequence[int]) -> None:
        """Put an earlier database in the place of a host's."""
        if host not in self.stale and self.dishonest and len(self.stale) >= self.dishonest:
            return
        core, copies = self.hosts[host], self.copies[host]
        path = str(core.db.url.database)
        core.db.close()
        for suffix in ("-wal", "-shm"):
            Path(path + suffix).unlink(missing_ok=True)
        shutil.copyfile(copies[number % len(copies)], path)
        core.db = Database(f"sqlite:///{path}")
        self.stale.add(host)
        if not self.dishonest:
            self.recover(host, peers)

    def recover(self, host: int, peers: Sequence[int]) -> None:
        """With what ``peers`` tell, and as many more as are needed."""
        if host not in self.stale:
            return
        core = self.hosts[host]
        others = [*peers, *(each for each in range(len(self.hosts)) if each not in peers)]
        rows: dict[str, bytes] = {}
        for other in others:
            if other != host and len(rows) < peers_needed(self.policy):
                try:
                    rows[self.hosts[other].key.hex()] = tell_rows(self.hosts[other], core.key.hex()).encode()
                except GridError:
                    continue
        try:
            recover_ledger(core, Recover(rows=rows))
        except GridError:
            return
        self.stale.discard(host)
        self._copy(host)

    # -- what must hold -----------------------------------------------------------------------------

    def check(self) -> None:
        """One output of a round at most, and no more rounds than the budget pays for."""
        everybody = set(range(len(self.hosts)))
        for place in self.keys:
            out = [each for each in self.outputs if each.round == place and each.released == everybody]
            if len(out) > 1:
                raise Broken(f"{len(out)} outputs of the round {place[0][0]}{place[1]} were released")
        if len(self.completed) > BUDGET:
            raise Broken(f"{len(self.completed)} rounds were granted on a budget of {BUDGET}")


MUTANTS: dict[str, Callable[[], object]] = {
    "notice": lambda: mock.patch.object(granting, "lost_row", lambda *_: ""),
    "union": lambda: mock.patch.object(recovery, "learn_spent", lambda *_: 0),
    "expiry": lambda: mock.patch.object(recovery, "recover", RoundStep),
    "statements": lambda: mock.patch.object(granting, "_statements", _any_statements),
}


def _any_statements(ask: object, manifest: object, found: object) -> tuple[object, ...]:
    from syft_ext.confidential.sessions import SessionStatement

    given = [SessionStatement.decode(each.body) for each in ask.sessions]  # type: ignore[attr-defined]
    return tuple((given * 3)[: len(found.policy.hosts)])  # type: ignore[attr-defined]


@contextmanager
def without(rule: str) -> Iterator[None]:
    """The world in which hosts do not keep a rule of :data:`MUTANTS`; "" for none."""
    if not rule:
        yield
        return
    with MUTANTS[rule]():  # type: ignore[attr-defined]
        yield


def play(seed: int, steps: int, folder: Path, count: int, dishonest: int) -> None:
    """One random run. Raises :class:`Broken`."""
    choose = random.Random(seed)
    world = World(folder, count, dishonest)
    hosts = list(range(count))
    try:
        for _ in range(steps):
            place = (choose.choice(PROCESSES), choose.choice(_OPENED))
            some = choose.sample(hosts, choose.choice([count, count, count, choose.randrange(1, count + 1)]))
            what = choose.random()
            if what < 0.4:
                world.attempt(place, choose.randrange(2), some)
            elif what < 0.45:
                world.attempt_without(
                    place, some[0], choose.choice([each for each in hosts if each != some[0]])
                )
            elif what < 0.65 and world.outputs:
                world.confirm(choose.randrange(len(world.outputs)), some)
            elif what < 0.9:
                early = min(choose.randrange(64), choose.randrange(64))
                world.restore(some[0], early % len(world.copies[some[0]]), choose.sample(hosts, count))
            else:
                world.recover(choose.choice(hosts), choose.sample(hosts, count))
    finally:
        world.close()


SHAPES = ((2, 0), (3, 0), (3, 1), (4, 1))
"""Hosts, and how many of them may be rolled back and not recovered at once."""


def fast_folder() -> str | None:
    """In memory where there is such a place: syncing to a disk is not what is tried here."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--without", choices=sorted(MUTANTS), default="")
    options = parser.parse_args()
    with without(options.without):
        for seed in range(options.seed, options.seed + options.runs):
            count, dishonest = SHAPES[seed % len(SHAPES)]
            with tempfile.TemporaryDirectory(dir=fast_folder()) as folder:
                try:
                    play(seed, options.steps, Path(folder), count, dishonest)
                except Broken as broken:
                    sys.stdout.write(f"run {seed} of {count} hosts, {dishonest} dishonest: {broken}\n")
                    return 1
    sys.stdout.write(f"{options.runs} runs of {options.steps} steps: all held\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
