"""A node removes what nothing refers to, and says when its disk is full."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.assembly import open_node
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService


@pytest.fixture
def node(tmp_path: Path, sqlite_url: str) -> Iterator[Node]:
    node = open_node(
        "domain", tmp_path / "home", "tidy", [MetadataService, HousekeepingService], database_url=sqlite_url
    )
    yield node
    node.stop()


def test_contents_without_a_reference_go_and_held_ones_stay(node: Node) -> None:
    service = node.service(HousekeepingService)
    with node.blobs.put([b"left by a crash"]) as lost:
        pass
    with node.blobs.put([b"in somebody's hands"]) as held:
        assert service.sweep() == 1
        assert not node.blobs.exists(lost.digest)
        assert node.blobs.exists(held.digest)


def test_services_remove_what_users_abandoned(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.service(MetadataService), "tidy", lambda: 3)
    assert node.service(HousekeepingService).sweep() == 3


def test_it_sweeps_at_start(node: Node) -> None:
    with node.blobs.put([b"left by a crash"]) as lost:
        pass
    node.start()
    node.service(HousekeepingService).stop()
    assert not node.blobs.exists(lost.digest)


def test_a_full_disk_is_not_ready(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.checks()["disk"] == "ok"
    real = os.statvfs(node.home)

    class Full:
        f_bavail, f_frsize = 10, real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    assert node.checks()["disk"] == "the disk is full"
