"""A training with secure aggregation whose node and participants are killed (SIGKILL) at chosen points, again
and again.

    python -m tests.secure_aggregation.kill_runner DATABASE_URL DIRECTORY SEED KILLS

Each life is a fork that has all of them: it takes the training up where its database, and the participants' own
folders, say that it is. Prints one JSON line: how many kills there were, where, and the digests of the models.
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

import grid.schema.tables  # noqa: F401 - what is cancelled is removed, if no table refers to it
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from syft_ext.errors import Conflict
from tests.federated.driver import Driver
from tests.federated.kill_runner import KillPoint
from tests.secure_aggregation.parties import CONFIG, STEPS, Party

CYCLES = 1
PATIENT = {**CONFIG["secure_aggregation"], "phase_seconds": 3600.0}
"""However slowly a machine starts one life after the other."""


def live(url: str, directory: Path, version: str, kill_at: int) -> list[str]:
    """One life: bring the training to its end; the digests of its models."""
    os.environ["GRID_USER_HOME"] = str(directory / f"user-{version}")
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
        driver.host({**CONFIG, "num_cycles": CYCLES, "secure_aggregation": PATIENT}, version=version)
    while driver.view.status == "running":
        cycle = driver.view.cycle
        if driver.view.cycle_status in ("collecting", "securing"):
            take_part(driver)
        driver.completed(cycle)
    definition = driver.pipeline.definitions.get(driver.process_id)
    models = [driver.pipeline.views.checkpoint(definition, n).digest for n in range(1, CYCLES + 2)]
    assert driver.pipeline.drain()
    driver.pipeline.stop()
    database.close()
    return models


def take_part(driver: Driver) -> None:
    parties = [Party(driver, number) for number in range(5)]
    for party in parties:
        party.catch_up()
    for step in STEPS:
        for party in parties:
            try:
                getattr(party, step)()
            except Conflict as error:  # it was said before, or everybody has
                assert error.extra["reason"] in ("duplicate", "late"), error
    for party in parties:
        party.close()


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
    while survived < kills:
        version, trainings = str(trainings), trainings + 1
        while True:
            kill_at = draw.randrange(1, 900) if trainings > 1 else 0  # the first one shows what comes out
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
