"""Whole nodes are killed (SIGKILL) in the middle of confidential rounds: the Domain, a key host, the worker.

    python -m tests.confidential_training.kills [--seed 1] [--kills 12] [--rounds 3]

All of them are processes, killed when something has just happened (a round has come to its next state, a ledger
has grown) or a moment later, by a seed, and started again on what is in their homes. Afterwards each round must
have been counted once, with all reports in it, charged once by each host, and released once. Prints what was
killed, as JSON.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sqlite3
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

import demo.processes
import syft_ext as sy
from demo.consortium import HOSTS, OWNER, PEOPLE, Consortium, slug
from tests.nodes import NodeProcess
from tests.user_folder import fresh_user

__all__ = ["Killed", "check", "host", "over", "participate", "survive"]

MODEL = {"w": torch.ones(8, 3), "b": torch.zeros(3)}
GRID = 2**20
DEADLINE = 400.0


class Killed(Consortium):
    """Its nodes can be killed, and come back at the address that they had."""

    def _host(self, name: str) -> demo.processes.NodeProcess:
        return NodeProcess(
            "key-host", self.folder / slug(name), ["--name", name, "--port", "0", "--simulator"]
        )

    def _domain(self) -> demo.processes.NodeProcess:
        owner = {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": self.password}
        arguments = ["--name", "Consortium", "--port", "0"]
        return NodeProcess("domain", self.folder / "domain", arguments, environment=owner)

    def kill(self, whom: str) -> None:
        """Kill a node, and start it again."""
        if whom == "worker":
            self._kill_worker()
            return
        if whom == "domain":
            self.domain = self._again(self.domain)
            return
        self.hosts[HOSTS.index(whom)] = self._again(self.hosts[HOSTS.index(whom)], "--simulator")

    def _again(self, node: demo.processes.NodeProcess, *flags: str) -> demo.processes.NodeProcess:
        node.kill()
        port = node.url.rsplit(":", 1)[1]
        return NodeProcess(node.kind, node.home, ["--port", port, *flags])

    def _kill_worker(self) -> None:
        for process in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError):
                parent = int((process / "stat").read_text().rpartition(")")[2].split()[1])
                ours = parent == self.domain.process.pid
                if ours and b"apps.confidential_worker" in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)

    def rows(self, node: demo.processes.NodeProcess, query: str) -> list[tuple[Any, ...]]:
        """What is in a node's database, also while it is down."""
        try:
            with contextlib.closing(sqlite3.connect(node.home / "node.db", timeout=10)) as database:
                return database.execute(query).fetchall()
        except sqlite3.OperationalError:
            return []  # it is just being opened

    def happened(self) -> tuple[Any, ...]:
        """What changes whenever something happens in a round."""
        states = self.rows(self.domain, "SELECT sequence, state FROM confidential_round ORDER BY sequence")
        ledgers = [self.rows(host, "SELECT count(*) FROM key_host_ledger") for host in self.hosts]
        sessions = [self.rows(host, "SELECT count(*) FROM key_host_used_challenge") for host in self.hosts]
        return tuple(states), str(ledgers), str(sessions)


def _plan() -> Any:
    @sy.make_plan
    def nothing(params=sy.List([*MODEL.values()])):  # type: ignore[no-untyped-def]
        return [param - 1.0 for param in params]

    return nothing


def change(person: int, cycle: int) -> dict[str, np.ndarray[Any, Any]]:
    """What a participant takes from the model in a cycle; within the norm together."""
    rng = np.random.default_rng(100 * cycle + person)
    return {name: rng.normal(0, 0.02, tensor.shape).astype(np.float32) for name, tensor in MODEL.items()}


def participate(scene: Killed, name: str, rounds: int, failed: list[BaseException]) -> None:
    """Take part as one of the people; what goes wrong is put into ``failed``."""
    person = PEOPLE.index(name)
    client = sy.FLClient(
        scene.domain.url, identity=scene.people[name], trust=scene.trust(name), say=lambda line: None
    )

    def train(job: sy.FLJob) -> list[torch.Tensor]:
        taken = change(person, job.cycle)
        return [
            tensor - torch.from_numpy(taken[each])
            for each, tensor in zip(job.model.names, job.model, strict=True)
        ]

    try:
        client.new_job("killed", "1").run(train, max_cycles=rounds)
    except BaseException as error:
        failed.append(error)
    finally:
        client.close()


def host(scene: Killed, rounds: int, spare: int) -> None:
    """Begin a training of so many rounds; ``spare`` more of its policy's may be used up."""
    plan = _plan()
    signed = scene.policy(plan.dumps(), rounds + spare, scope="killed", noise=0.0)
    scene.approve(signed)
    researcher = sy.ModelCentricFLClient(address=scene.domain.url, secure=False)
    researcher.connect()
    researcher.host_federated_training(
        model=dict(MODEL),
        client_plans={"training_plan": plan},
        client_config={"name": "killed", "version": "1"},
        server_config={
            "num_cycles": rounds,
            "min_diffs": len(PEOPLE),
            "max_diffs": len(PEOPLE),
            "max_workers": len(PEOPLE),
        },
        confidential=signed,
    )


def survive(folder: Path, seed: int, kills: int, rounds: int) -> list[str]:
    """Who was killed, in their order; ``AssertionError`` where it made a difference."""
    rng, killed, failed = random.Random(seed), [], []
    with fresh_user(folder / "user"), Killed(folder) as scene:
        host(scene, rounds, spare=kills)
        threads = [
            threading.Thread(target=participate, args=(scene, name, rounds, failed), daemon=True)
            for name in PEOPLE
        ]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + DEADLINE
        victims = ["domain", "domain", "worker", *HOSTS]
        before = scene.happened()
        while len(killed) < kills and not over(scene):
            assert time.monotonic() < deadline, (killed, before)
            now = scene.happened()
            if now == before:
                time.sleep(0.02)
                continue
            time.sleep(rng.choice([0.0, 0.0, 0.01, 0.05, 0.2]))
            whom = rng.choice(victims)
            scene.kill(whom)
            killed.append(whom)
            before = scene.happened()
        while not over(scene):
            assert time.monotonic() < deadline, (killed, scene.happened())
            time.sleep(0.1)
        for thread in threads:
            thread.join(60)
        assert not failed, failed
        check(scene, rounds)
    return killed


def over(scene: Killed) -> bool:
    """Whether the training is completed; it may not have failed."""
    found = scene.rows(scene.domain, "SELECT status FROM fl_process")
    assert not found or found[0][0] in ("created", "waiting", "running", "completed"), found
    return bool(found) and found[0][0] == "completed"


def check(scene: Killed, rounds: int) -> None:
    """Hold what all of them keep against what was given to the rounds of the training."""
    states = scene.rows(
        scene.domain, "SELECT state, uploads, checkpoint FROM confidential_round WHERE checkpoint IS NOT NULL"
    )
    assert [(state, uploads) for state, uploads, _ in states] == [("released", len(PEOPLE))] * rounds, states
    for host in scene.hosts:
        charges = scene.rows(host, "SELECT context, count(*) FROM key_host_charge GROUP BY context")
        assert [count for _, count in charges] == [1] * rounds, charges
        released = scene.rows(host, "SELECT count(*) FROM key_host_round WHERE state = 'released'")
        assert released == [(rounds,)], released
        ledger = scene.rows(host, "SELECT count(*) FROM key_host_ledger")
        assert ledger == [(2 * rounds,)], ledger  # a grant and a release of each, and nothing twice
    model = {name: tensor.numpy().copy() for name, tensor in MODEL.items()}
    for cycle in range(1, rounds + 1):
        taken = [change(person, cycle) for person in range(len(PEOPLE))]
        for name in model:
            on_the_grid = sum(np.trunc(each[name].astype(np.float64) * GRID) for each in taken)
            model[name] = model[name] - (on_the_grid / len(PEOPLE) / GRID).astype(np.float32)
    client = sy.login(scene.domain.url, OWNER, scene.password)
    assert isinstance(client, sy.DomainClient)
    found = dict(client.trainings.model("killed", "1", "latest").state_dict())
    for name, tensor in model.items():
        # An update is the difference of two rounded models: a grid unit of each participant, at most.
        assert np.allclose(found[name].numpy(), tensor, rtol=0, atol=rounds * 4 * 2.0**-20), name


def main() -> None:
    """Survive, and say what was killed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kills", type=int, default=12)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        killed = survive(Path(folder), options.seed, options.kills, options.rounds)
    json.dump({"killed": killed}, sys.stdout)
    print()


if __name__ == "__main__":
    main()
