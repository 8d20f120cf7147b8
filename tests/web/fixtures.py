"""Fixtures of the web front's tests: probe nodes in this process, and as processes."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from grid.web.testing import RunningNode, ServedApp, ServedNode

from .probe import make_node
from .sockets_app import make_app

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedNode]:
    """The probe node, served by threads of this process: the test can look into it."""
    with ServedNode(make_node(tmp_path_factory.mktemp("served"))) as node:
        yield node


@pytest.fixture(scope="session")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """The probe node as a process of its own, under gevent. ``running.home`` has a ``user.token``."""
    home = tmp_path_factory.mktemp("running")
    with RunningNode([sys.executable, HERE / "probe.py", home]) as node:
        node.home = home  # type: ignore[attr-defined]
        yield node


LIMITS = {
    "max_json": 2000,
    "max_upload": 100_000,
    "idle_timeout": 1.5,
    "head_timeout": 2.0,
    "slowest_body": 200,
}


@pytest.fixture(scope="session")
def impatient(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningNode]:
    """Like ``running``, with limits that are reached soon."""
    home = tmp_path_factory.mktemp("impatient")
    with RunningNode(
        [sys.executable, HERE / "probe.py", home], env={"PROBE_WEB": json.dumps(LIMITS)}
    ) as node:
        node.home = home  # type: ignore[attr-defined]
        yield node


@pytest.fixture(scope="session", params=["threads", "gevent"])
def socket_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """The URL of ``sockets_app``, once per kind of server."""
    if request.param == "threads":
        with ServedApp(make_app(20.0)) as served:
            yield served.url
    else:
        with RunningNode([sys.executable, HERE / "sockets_app.py", "20"]) as node:
            yield node.url


@pytest.fixture(scope="session", params=["threads", "gevent"])
def impatient_server(request: pytest.FixtureRequest) -> Iterator[str]:
    """Like ``socket_server``, with a ping interval of 0.3 seconds."""
    if request.param == "threads":
        with ServedApp(make_app(0.3)) as served:
            yield served.url
    else:
        with RunningNode([sys.executable, HERE / "sockets_app.py", "0.3"]) as node:
            yield node.url
