"""``grid worker start-each``: as many Workers as files, and none is left when it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.apps.conftest import grid


def alive(home: Path) -> bool:
    mine = f"--home\0{home}".encode()
    for process in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            if mine in process.read_bytes():
                return True
        except OSError:  # it has ended
            continue
    return False


@pytest.mark.parametrize("asked", [signal.SIGTERM, signal.SIGINT])
def test_they_start_and_end_together(tmp_path: Path, asked: signal.Signals) -> None:
    for name in ("north", "south"):
        (tmp_path / f"{name}.csv").write_text("a,b\n1,2\n3,4\n")
    files = [f"--data={tmp_path / name}.csv" for name in ("north", "south")]
    with subprocess.Popen(
        [
            sys.executable,
            "-m",
            "apps.cli",
            "worker",
            "start-each",
            *files,
            "--domain",
            "http://127.0.0.1:1",
            "--home",
            str(tmp_path / "w"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    ) as process:
        assert process.stdout is not None
        ready = {process.stdout.readline().partition(": ready")[0] for _ in range(2)}
        assert ready == {"north", "south"} and alive(tmp_path / "w" / "north")
        process.send_signal(asked)
        process.wait(60)
    assert process.returncode == (0 if asked == signal.SIGTERM else 130)
    deadline = time.monotonic() + 60
    while any(alive(tmp_path / "w" / name) for name in ("north", "south")):
        assert time.monotonic() < deadline, "a Worker was left"
        time.sleep(0.1)


def test_what_it_refuses(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("")
    twice = ["--data", str(tmp_path / "a.csv")] * 2
    assert grid("worker", "start-each", *twice).code == 2
    assert grid("worker", "start-each", *twice[:2], "--port", "1").code == 2
    assert grid("worker", "start-each").code == 2
