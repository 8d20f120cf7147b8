"""Real nodes: processes started by the command ``grid``, reached over sockets."""

from __future__ import annotations

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import demo.processes
import syft_ext as sy
from syft_ext.client.node_client import NodeClient
from tests.forkserver import Forked
from tests.nodes import NodeProcess
from tests.user_folder import nobody_logged_in

OWNER = "owner@example.org"
PASSWORD = "correct horse battery staple"


@pytest.fixture(autouse=True)
def user_home(own_folder: Path) -> Path:
    """A user's folder of this test's own: keys, known nodes, sessions."""
    return own_folder


class Nodes:
    """Starts nodes under one directory and ends what is left of them; forks them, unless told to start them."""

    def __init__(self, root: Path, process: type[demo.processes.NodeProcess] = NodeProcess) -> None:
        self.root, self.process = root, process
        self.running: list[demo.processes.NodeProcess] = []

    def start(
        self, kind: str, name: str, *arguments: str, owner: bool = True, port: int = 0, **environment: str
    ) -> demo.processes.NodeProcess:
        env = dict(environment)
        if owner and kind != "worker":
            env |= {"GRID_OWNER_EMAIL": OWNER, "GRID_OWNER_PASSWORD": PASSWORD}
        flags = ["--name", name, "--port", str(port), "--heartbeat-interval", "0.5", *arguments]
        node = self.process(kind, self.root / name, flags, environment=env)
        self.running.append(node)
        return node

    def restart(
        self, node: demo.processes.NodeProcess, *arguments: str, **environment: str
    ) -> demo.processes.NodeProcess:
        """The same home at the same port again, after it was stopped or killed."""
        port = int(node.url.rsplit(":", 1)[1])
        return self.start(node.kind, node.home.name, *arguments, owner=False, port=port, **environment)

    def login(self, node: demo.processes.NodeProcess, *, save: bool = False) -> NodeClient:
        return sy.login(node.url, OWNER, PASSWORD, save=save)

    def close(self) -> None:
        for node in self.running:
            node.kill()


@pytest.fixture
def nodes(tmp_path: Path) -> Iterator[Nodes]:
    nodes = Nodes(tmp_path)
    yield nodes
    nodes.close()


@pytest.fixture
def started_nodes(tmp_path: Path) -> Iterator[Nodes]:
    """Nodes that import for themselves what they need."""
    nodes = Nodes(tmp_path, demo.processes.NodeProcess)
    yield nodes
    nodes.close()


class Result:
    def __init__(self, code: int, out: str, err: str) -> None:
        self.code, self.out, self.err = code, out, err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def grid(*arguments: str, **environment: str) -> Result:
    """Run the command ``grid`` as a user does, without a terminal.

    What starts nodes is a process of its own; the rest runs here, which saves the seconds of its imports.
    """
    if "start" in arguments:
        result = in_a_process(*arguments, **environment)
    else:
        result = _here(arguments, environment)
    assert "Traceback" not in result.err, result.err
    return result


def in_a_process(*arguments: str, **environment: str) -> Result:
    """:func:`grid` with its exit code: forked, and nothing is done in this process."""
    process = Forked(arguments, {**os.environ, **environment}, None)
    assert process.stderr is not None
    with process.stdout, process.stderr:
        out, err = process.stdout.read(), process.stderr.read()
    return Result(process.wait(120), out, err)


def _here(arguments: tuple[str, ...], environment: dict[str, str]) -> Result:
    from apps.cli.main import _run, cli

    out, err = io.StringIO(), io.StringIO()
    with (
        pytest.MonkeyPatch.context() as patch,
        nobody_logged_in(),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(err),
    ):
        for name, value in environment.items():
            patch.setenv(name, value)
        patch.setattr(sys, "stdin", io.StringIO())
        code = _run(cli, list(arguments))
    return Result(code, out.getvalue(), err.getvalue())
