"""Honest users beside many who mean no good: the full run, with its figures, is ``benchmarks/hostile.py``.

A node as deployed, each group from an address of its own. Here nothing is judged by how long it takes, but for a
bound that a node which stands still would pass.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
import urllib3

import syft_ext as sy
from benchmarks._hostile import KINDS
from demo.processes import NodeProcess
from syft_ext.messages.compute import OpenComputeSession

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "_hostile.py"
EMAIL, PASSWORD = "owner@bench.example", "correct horse battery staple"
MEMORY = 128 << 20
CONNECTIONS, SECONDS = 120, 3.0
HTTP = urllib3.PoolManager(retries=False)
pytestmark = pytest.mark.slow


def token(url: str, email: str) -> str:
    answer = HTTP.request("POST", f"{url}/auth/login", json={"email": email, "password": PASSWORD})
    assert answer.status == 200, answer.data
    return str(answer.json()["token"])


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NodeProcess]:
    environment = {"GRID_OWNER_EMAIL": EMAIL, "GRID_OWNER_PASSWORD": PASSWORD}
    arguments = ["--port", "0", "--memory", str(MEMORY), "--connections-per-address", "64"]
    node = NodeProcess(
        "domain", tmp_path_factory.mktemp("siege") / "domain", arguments, environment=environment
    )
    yield node
    node.stop()


@pytest.fixture(scope="module")
def bomber(node: NodeProcess) -> tuple[str, str, str]:
    """The node's id; a user's token, and a session of theirs."""
    client = sy.login(node.url, EMAIL, PASSWORD, save=False)
    client.users.create(email="bomber@bench.example", password=PASSWORD)
    their = sy.login(node.url, "bomber@bench.example", PASSWORD, save=False)
    session = their.call(OpenComputeSession()).session_id
    return client.metadata.node_id, token(node.url, "bomber@bench.example"), session


def start(node: NodeProcess, node_id: str, kind: str, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, str(SCRIPT), kind, node.url, *arguments]
    if kind != "honest":
        command = ["nice", "-n", "15", *command]
    environment = {**os.environ, "NODE_ID": node_id}
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def result(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate(timeout=500)
    assert process.returncode == 0
    return json.loads(output.strip().splitlines()[-1])


@pytest.mark.parametrize("kind", KINDS)
def test_a_siege_reaches_nobody_else(node: NodeProcess, bomber: tuple[str, str, str], kind: str) -> None:
    node_id, *secret = bomber
    process = psutil.Process(node.process.pid)
    before = process.memory_info().rss
    address = f"127.0.{list(KINDS).index(kind) + 1}.1"
    hostile = start(node, node_id, kind, address, str(CONNECTIONS), str(SECONDS), *secret)
    honest = start(node, node_id, "honest", "127.0.0.1", "10", str(SECONDS), token(node.url, EMAIL))
    most = 0
    while honest.poll() is None:
        most = max(most, process.memory_info().rss - before)
        try:
            honest.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    answered, attack = result(honest), result(hostile)
    assert answered["refused"] == {}
    assert len(answered["times"]) >= 20  # two of each
    assert max(answered["times"]) < 10.0
    assert most < MEMORY + (64 << 20)  # two hashes of passwords are not a client's
    assert attack["outcomes"].get("200", 0) == 0 or kind == "handshakes"  # whose refusals are signed
    assert process.is_running()
    if kind in ("idle", "slow-heads", "half-bodies", "upgrades"):
        assert attack["outcomes"]["429"] > 0  # there were more than an address may have
