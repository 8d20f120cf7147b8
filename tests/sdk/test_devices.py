"""A user's workers keep their identifiers over processes, and two at once never share one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.profile.devices import Device
from tests.user_folder import fresh_user

HERE, THERE = "http://127.0.0.1:5000", "https://grid.hospital.org:443"


def test_the_next_client_is_the_same_worker(own_folder: Path) -> None:
    first = Device(HERE)
    beside = Device(HERE)
    elsewhere = Device(THERE)
    assert len({first.id, beside.id, elsewhere.id}) == 3, (
        "Domains cannot tell by it that they have the same user"
    )
    first.close()
    first.close()
    again = Device(HERE)
    assert again.id == first.id
    for device in (again, beside, elsewhere):
        device.close()
    files = list((own_folder / "devices").iterdir())
    assert len(files) == 3
    assert not any(file.stat().st_mode & 0o077 for file in files)


def test_a_client_that_nobody_holds_any_more_has_given_it_back(own_folder: Path) -> None:
    first = Device(HERE).id
    assert Device(HERE).id == first


def test_a_process_has_it_until_it_is_killed_and_not_what_it_has_started(own_folder: Path) -> None:
    code = (
        "import subprocess, sys, time\n"
        "from syft_ext.profile.devices import Device\n"
        f"device = Device({HERE!r})\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'], close_fds=False)\n"
        "print(device.id, child.pid, flush=True)\n"
        "time.sleep(600)\n"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        env={**os.environ, "GRID_USER_HOME": str(own_folder)},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    found, child = process.stdout.readline().split()
    try:
        beside = Device(HERE)
        assert beside.id != found
        process.kill()
        process.wait(timeout=30)
        assert Device(HERE).id == found
        beside.close()
    finally:
        process.kill()
        os.kill(int(child), 9)
        process.stdout.close()


def test_a_file_that_a_crash_has_cut_gets_a_fresh_one(own_folder: Path) -> None:
    first = Device(HERE)
    first.close()
    (file,) = (own_folder / "devices").iterdir()
    for damage in (b"", first.id[:7].encode(), first.id.encode() + b"0", b"\xff" * 32):
        file.write_bytes(damage)
        fresh = Device(HERE).id
        assert fresh != first.id
        assert file.read_bytes() == fresh.encode()
        assert Device(HERE).id == fresh


@settings(max_examples=30)
@given(st.lists(st.integers(-6, 5), max_size=30))
def test_no_two_at_once_share_one_and_no_more_are_made_than_were_ever_at_once(
    tmp_path_factory: pytest.TempPathFactory, steps: list[int]
) -> None:
    """A number ≥ 0 begins a client; one below ends the client at that place, if there is one."""
    with fresh_user(tmp_path_factory.mktemp("user")):
        alive: list[Device] = []
        seen: set[str] = set()
        most = 0
        for step in steps:
            if step >= 0:
                alive.append(Device(HERE))
                seen.add(alive[-1].id)
            elif -step <= len(alive):
                alive.pop(step).close()
            most = max(most, len(alive))
            assert len({device.id for device in alive}) == len(alive)
        assert len(seen) == most
        for device in alive:
            device.close()
