"""An encrypted training whose node is killed (SIGKILL) at chosen points, again and again.

    python -m tests.encrypted.training.kill_runner DATABASE_URL DIRECTORY SEED KILLS

As :mod:`tests.federated.kill_runner`. Prints one JSON line: how many kills there were, where, and the digests
of the models.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import traceback
from pathlib import Path
from typing import NoReturn

import msgspec
import numpy as np

import grid.schema.tables  # noqa: F401 - what is cancelled is removed, if no table refers to it
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.encrypted.context import EncryptionKeys
from syft_ext.encrypted.statement import CKKS, CONTEXT_PROTOCOL
from syft_ext.encrypted.sums import EncryptedSumRules, EncryptedSumTerms
from syft_ext.errors import Conflict, NotFound
from syft_ext.transport import PayloadReader
from tests.federated.driver import Driver
from tests.federated.kill_runner import KillPoint
from tests.federated.models import encode, small_model

CYCLES, WORKERS = 2, 2


def live(url: str, directory: Path, version: str, kill_at: int) -> list[str]:
    """One life: bring the training to its end; the digests of its models."""
    keys = EncryptionKeys.load(directory / "keys")
    terms = EncryptedSumTerms(
        context=keys.public.digest, parameters="add4096", clip=8.0, participants=WORKERS, minimum=WORKERS
    )
    rules = terms.rules(sum(value.size for value in small_model().values()))
    database = Database(url)
    if kill_at:
        KillPoint(kill_at, directory / "kills").install(database)
    driver = Driver(database, FileBlobStore(directory / "blobs"))
    driver.pipeline.start()
    found = [p for p in driver.pipeline.views.processes("mnist", version) if p.checkpoint]
    if found:
        driver.process_id = found[0].process_id
    else:
        for husk in driver.pipeline.views.processes("mnist", version):
            if husk.status == "created":
                driver.pipeline.tasks.cancel(husk.process_id)
        config = {
            "num_cycles": CYCLES,
            "max_diffs": WORKERS,
            "max_workers": WORKERS + 2,
            "report_format": CKKS,
            "report_options": msgspec.to_builtins(terms),
        }
        driver.host(config, version=version, client_protocols={CONTEXT_PROTOCOL: keys.public.content})
    while driver.view.status == "running":
        cycle = driver.view.cycle
        if driver.view.cycle_status == "collecting":
            report(driver, keys, rules)
        open_sum(driver, keys, rules)
        driver.completed(cycle)
    definition = driver.pipeline.definitions.get(driver.process_id)
    models = [driver.pipeline.views.checkpoint(definition, n).digest for n in range(1, CYCLES + 2)]
    assert driver.pipeline.drain()
    driver.pipeline.stop()
    database.close()
    return models


def report(driver: Driver, keys: EncryptionKeys, rules: EncryptedSumRules) -> None:
    """What each participant has learned: always the same in a cycle."""
    cycle = driver.view.cycle
    for number in range(WORKERS):
        worker = driver.worker(f"key:{number}")
        reply = driver.check_in(worker, idempotency_key=f"cycle {cycle}")
        if reply.status != "accepted":
            continue  # everybody has reported, and the cycle is being closed
        update = np.random.default_rng((cycle, number)).normal(size=rules.length)
        body = PayloadReader.of(rules.encrypted(keys.public, update))
        try:
            driver.pipeline.collector.accept(reply.assignment_id, worker, reply.request_key, body, kind=CKKS)
        except Conflict as error:
            assert error.extra["reason"] in ("duplicate", "late"), error


def open_sum(driver: Driver, keys: EncryptionKeys, rules: EncryptedSumRules) -> None:
    """As the host does; nothing where they did before the node was killed."""
    assert driver.pipeline.drain()
    sums = driver.pipeline.encrypted
    try:
        found = sums.waiting(driver.process_id)
        total = bytes(driver.pipeline.store.blobs.map(found.digest))
        numbers = rules.opened(keys, total, found.count)
        sums.opened(driver.process_id, found.cycle, PayloadReader.of(encode({"sum": numbers})))
    except (NotFound, Conflict):
        assert driver.pipeline.drain()


def leave(url: str, directory: Path, version: str, kill_at: int) -> NoReturn:
    try:
        models = live(url, directory, version, kill_at)
        with (directory / "models").open("a") as file:
            file.write(json.dumps(models) + "\n")
    except BaseException:
        traceback.print_exc()
        os._exit(1)
    os._exit(0)


def main(url: str, directory: Path, seed: int, kills: int) -> None:
    draw, survived, trainings = random.Random(seed), 0, 0
    pid = os.fork()
    if pid == 0:  # a fork of its own: the child that makes keys is nobody else's
        EncryptionKeys.generate().save(directory / "keys")
        os._exit(0)
    os.waitpid(pid, 0)
    while survived < kills:
        version, trainings = str(trainings), trainings + 1
        while True:
            kill_at = draw.randrange(1, 500) if trainings > 1 else 0  # the first one shows what comes out
            pid = os.fork()
            if pid == 0:
                leave(url, directory, version, kill_at)
            status = os.waitpid(pid, 0)[1]
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                survived += 1
                continue
            assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, f"a life ended with {status}"
            break
    where = (directory / "kills").read_text().splitlines()
    models = [json.loads(line) for line in (directory / "models").read_text().splitlines()]
    print(json.dumps({"kills": survived, "trainings": trainings, "where": where, "models": models}))


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]))
