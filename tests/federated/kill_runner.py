"""Runs trainings that are killed (SIGKILL) at chosen points, again and again, until enough kills are survived.

    python -m tests.federated.kill_runner DATABASE_URL DIRECTORY SEED KILLS [AGGREGATOR]

AGGREGATOR: the training's strategy, as in ``server_config`` (JSON).

Everything is imported once; each life of the "node" is a fork of this process. A kill point is the k-th of
all SQL statements, commits, syncs, links and unlinks of a life, in whichever thread it comes. Prints one
JSON line: how many kills there were, and where.
"""

from __future__ import annotations

import json
import os
import random
import signal
import sys
import threading
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from sqlalchemy import event

import grid.schema.tables  # noqa: F401 - what is cancelled is removed, if no table refers to it
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.connections import DriverConnection
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import Conflict
from tests.federated.driver import Driver

CYCLES, WORKERS = 3, 3
CONFIG = {"num_cycles": CYCLES, "max_diffs": WORKERS, "max_workers": WORKERS, "weighting": "samples"}


class KillPoint:
    """Kills this process at the ``count``-th point, after noting where that was."""

    def __init__(self, count: int, note: Path) -> None:
        self._left, self._note = count, note
        self._lock = threading.Lock()

    def pass_by(self, where: str) -> None:
        with self._lock:
            self._left -= 1
            if self._left == 0:
                with self._note.open("a") as file:
                    file.write(where.split("\n")[0][:60] + "\n")
                os.kill(os.getpid(), signal.SIGKILL)

    def install(self, database: Database) -> None:
        def before(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            self.pass_by(f"before {statement}")

        def after(_c: Any, _cursor: Any, statement: str, *_rest: Any) -> None:
            self.pass_by(f"after {statement}")

        event.listen(database.engine, "before_cursor_execute", before)
        event.listen(database.engine, "after_cursor_execute", after)
        event.listen(database.engine, "commit", lambda _c: self.pass_by("before COMMIT"))
        run, commit = PreparedStatement.run, DriverConnection.commit

        def run_prepared(statement: PreparedStatement, *args: Any, **kwargs: Any) -> Any:
            text = f"prepared {statement.statement}"
            self.pass_by(f"before {text}")
            result = run(statement, *args, **kwargs)
            self.pass_by(f"after {text}")
            return result

        def commit_prepared(link: DriverConnection) -> None:
            self.pass_by("before COMMIT of prepared statements")
            commit(link)
            self.pass_by("after COMMIT of prepared statements")

        PreparedStatement.run, DriverConnection.commit = run_prepared, commit_prepared  # type: ignore[method-assign]
        for name in ("fdatasync", "fsync", "link", "unlink"):
            original = getattr(os, name)

            def patched(*args: Any, _original: Any = original, _name: str = name, **kwargs: Any) -> Any:
                self.pass_by(f"before {_name}")
                result = _original(*args, **kwargs)
                self.pass_by(f"after {_name}")
                return result

            setattr(os, name, patched)


def report_of(index: int, base: dict[str, Any]) -> dict[str, Any]:
    """What worker ``index`` learns from ``base``: always the same."""
    return {name: np.float32(0.1 * (index + 1)) * values + np.float32(index) for name, values in base.items()}


def live(url: str, directory: Path, version: str, kill_at: int, aggregator: Any = "mean") -> None:
    """One life of the node: take the training up where it is and bring it to its end."""
    database = Database(url)
    blobs = FileBlobStore(directory / "blobs")
    if kill_at:
        KillPoint(kill_at, directory / "kills").install(database)
    driver = Driver(database, blobs)
    driver.pipeline.start()
    found = [p for p in driver.pipeline.views.processes("mnist", version) if p.checkpoint]
    if found:
        driver.process_id = found[0].process_id
    else:
        for husk in driver.pipeline.views.processes("mnist", version):
            if husk.status == "created":
                driver.pipeline.tasks.cancel(husk.process_id)
        driver.host({**CONFIG, "aggregator": aggregator}, version=version)
    while driver.view.status == "running":
        cycle = driver.view.cycle
        for index in range(WORKERS):
            take_part(driver, directory, cycle, index)
        driver.completed(cycle)
    assert driver.pipeline.drain()
    driver.pipeline.stop()
    database.close()


def take_part(driver: Driver, directory: Path, cycle: int, index: int) -> None:
    worker = driver.worker(f"key:{index}")
    reply = driver.check_in(worker, idempotency_key=f"cycle {cycle}")
    if reply.status != "accepted":
        assert driver.view.cycle != cycle or driver.view.cycle_status != "collecting", reply
        return
    try:
        driver.report((worker, reply), report_of(index, driver.model(reply.checkpoint)), samples=index + 1)
    except Conflict as error:
        assert error.extra["reason"] == "duplicate", error
    with (directory / "accepted").open("a") as file:
        file.write(reply.assignment_id + "\n")


def main(url: str, directory: Path, seed: int, kills: int, aggregator: Any = "mean") -> None:
    draw, survived, trainings = random.Random(seed), 0, 0
    while survived < kills:
        version, trainings = str(trainings), trainings + 1
        while True:
            pid = os.fork()
            if pid == 0:
                leave(url, directory, version, draw.randrange(1, 260), aggregator)
            draw.random()
            status = os.waitpid(pid, 0)[1]
            if os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL:
                survived += 1
                continue
            assert os.WIFEXITED(status) and os.WEXITSTATUS(status) == 0, f"a life ended with {status}"
            break
    where = (directory / "kills").read_text().splitlines()
    print(json.dumps({"kills": survived, "trainings": trainings, "where": where}))


def leave(url: str, directory: Path, version: str, kill_at: int, aggregator: Any) -> NoReturn:
    try:
        live(url, directory, version, kill_at, aggregator)
    except BaseException:
        import traceback

        traceback.print_exc()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4]), *map(json.loads, sys.argv[5:]))
