"""A PostgreSQL server that says nothing any more: a node tells who asks, and stops without it."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import urllib3

from grid.storage.sql.engines import parse_url
from grid.storage.sql.postgresql import PATIENCE
from tests.nodes import NodeProcess
from tests.storage.sql.mute_proxy import MuteProxy


@pytest.mark.postgres
def test_a_node_says_that_its_database_is_mute_and_stops_all_the_same(
    postgresql_url: str, tmp_path: Path
) -> None:
    with MuteProxy(parse_url(postgresql_url)) as proxy:
        node = NodeProcess(
            "domain", tmp_path / "home", ["--port", "0"], environment={"GRID_DATABASE_URL": proxy.url}
        )
        try:
            assert urllib3.request("GET", f"{node.url}/readyz", timeout=240.0).status == 200
            proxy.mute()
            begun = time.monotonic()
            answer = urllib3.request("GET", f"{node.url}/readyz", timeout=240.0, retries=False)
            assert time.monotonic() - begun < PATIENCE, "it has waited until the statement was given up"
            assert answer.status == 503
            assert answer.json()["checks"]["database"] == "the database does not answer"
            assert urllib3.request("GET", f"{node.url}/healthz", timeout=240.0).status == 200
            begun = time.monotonic()
            assert node.stop(timeout=120.0) == 0, "\n".join(node.log)
            assert time.monotonic() - begun < PATIENCE
        finally:
            node.kill()
