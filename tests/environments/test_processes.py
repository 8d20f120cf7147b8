"""Processes are named so that no other one is ever taken for them."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from grid.environments.processes import ProcessHandle, command_of, ended_as, processes, spawn

SLEEP = [sys.executable, "-I", "-c", "import time, sys; print('up', flush=True); time.sleep(60)"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Iterator[ProcessHandle]:
    process = spawn(SLEEP, {"ONLY": "this"}, tmp_path / "log")
    yield process
    process.kill()
    ended_as(process)


def until(condition: object, seconds: float = 60.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():  # type: ignore[operator]
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_detached_and_has_nothing_of_ours(sleeper: ProcessHandle, tmp_path: Path) -> None:
    log = tmp_path / "log"
    until(lambda: log.read_text() == "up\n")
    assert os.getsid(sleeper.pid) == sleeper.pid != os.getsid(0)
    assert Path(f"/proc/{sleeper.pid}/environ").read_bytes() == b"ONLY=this\0"
    assert log.stat().st_mode & 0o777 == 0o600
    assert command_of(sleeper)[:3] == SLEEP[:3] and sleeper in processes()
    usage = sleeper.usage
    assert usage is not None and usage.memory > 1 << 20 and usage.cpu_seconds < 5


def test_a_recycled_number_is_another_process(sleeper: ProcessHandle) -> None:
    for other in (replace(sleeper, started=sleeper.started - 1), replace(sleeper, boot="before the reboot")):
        assert other.usage is None
        other.kill()  # nothing of that name is left to end
    assert sleeper.usage is not None


def test_it_is_ended_for_certain_and_tells_how(sleeper: ProcessHandle) -> None:
    assert ended_as(sleeper) is None
    sleeper.kill()
    assert sleeper.usage is None  # also while it is a zombie
    end = ended_as(sleeper)
    assert end is not None and os.WTERMSIG(end.status) == signal.SIGKILL and 0 < end.cpu_seconds < 5
    assert ended_as(sleeper) is None and ProcessHandle.of(sleeper.pid) != sleeper
    sleeper.kill()  # again, and nothing happens
