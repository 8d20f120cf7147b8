"""The owner's password is nowhere in the environment of a node, or of its children, once it was read."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import torch

import syft_ext as sy  # noqa: F401 - tensors can be sent with it
from tests.processes import descendants
from tests.warm_hosts import OWN

from .conftest import OWNER, PASSWORD, Nodes

_SCRIPT = """
import subprocess, sys
from apps.secrets import take_secret
assert take_secret("A_SECRET") == "hunter2 hunter2"
assert take_secret("A_SECRET") == ""
assert b"hunter2" not in open("/proc/self/environ", "rb").read()
assert b"OTHER=kept" in open("/proc/self/environ", "rb").read()
child = "import os; print(os.environ.get('A_SECRET'))"
assert subprocess.check_output([sys.executable, "-c", child]).strip() == b"None"
"""


def test_a_secret_is_taken_out_of_the_environment() -> None:
    environment = {**os.environ, "A_SECRET": "hunter2 hunter2", "OTHER": "kept"}
    subprocess.run(
        [sys.executable, "-c", _SCRIPT], env=environment, check=True, cwd=Path(__file__).parents[2]
    )


@pytest.mark.parametrize("as_file", [False, True])
def test_a_nodes_processes_do_not_have_it(nodes: Nodes, tmp_path: Path, as_file: bool) -> None:
    file = tmp_path / "password"
    file.write_text(PASSWORD)
    given = {"GRID_OWNER_PASSWORD_FILE": str(file)} if as_file else {"GRID_OWNER_PASSWORD": PASSWORD}
    domain = nodes.start("domain", "north", owner=False, GRID_OWNER_EMAIL=OWNER, **given, **{OWN: "1"})
    owner = nodes.login(domain)
    torch.ones(2).send(owner)  # computed on in a process of its own
    process = psutil.Process(domain.process.pid)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not descendants(process.pid):
        time.sleep(0.05)
    started = descendants(process.pid)
    assert started
    for each in (process, *started):
        environment = Path(f"/proc/{each.pid}/environ").read_bytes()
        assert PASSWORD.encode() not in environment
        assert str(file).encode() not in environment
