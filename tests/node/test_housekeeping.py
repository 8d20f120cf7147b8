"""A node removes what nothing refers to, and says when its disk is full."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from apps.assembly import open_node
from grid.node import Node, housekeeping
from grid.node.housekeeping import HousekeepingService
from grid.node.metadata import MetadataService


@pytest.fixture
def node(tmp_path: Path, sqlite_url: str) -> Iterator[Node]:
    node = open_node(
        "domain", tmp_path / "home", "tidy", [MetadataService, HousekeepingService], database_url=sqlite_url
    )
    yield node
    node.stop()


def set_aside(node: Node, digest: str) -> bool:
    """Whether a content is among the others no more, and waits. Nobody asks for it: it would come back."""
    quarantine = node.blobs.quarantine
    assert quarantine is not None
    return digest not in set(node.blobs.digests()) and quarantine.holds(digest)


def test_contents_without_a_reference_go_and_held_ones_stay(node: Node) -> None:
    service = node.service(HousekeepingService)
    with node.blobs.put([b"left by a crash"]) as lost:
        pass
    with node.blobs.put([b"in somebody's hands"]) as held:
        assert service.sweep() == 1
        assert set_aside(node, lost.digest)
        assert held.digest in set(node.blobs.digests())


def test_services_remove_what_users_abandoned(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(node.service(MetadataService), "tidy", lambda: 3)
    assert node.service(HousekeepingService).sweep() == 3


def test_it_sweeps_at_start(node: Node) -> None:
    with node.blobs.put([b"left by a crash"]) as lost:
        pass
    node.start()
    node.service(HousekeepingService).stop()
    assert set_aside(node, lost.digest)


def test_who_deletes_much_does_not_fill_the_disk_until_the_next_hour(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(housekeeping, "LOOK", 0.02)
    quarantine = node.blobs.quarantine
    assert quarantine is not None
    quarantine.most = 4000
    node.start()
    for number in range(8):
        with node.blobs.put([bytes([number]) * 1000]) as blob:
            pass
        node.blobs.delete_all([blob.digest], lambda digests: digests)

    def waiting() -> int:
        return sum(each.size for each in quarantine.listed() if each.why == "dropped")

    most = quarantine.most + quarantine.most // 4  # it is looked through again after another quarter
    deadline = time.monotonic() + 60
    while waiting() > most and time.monotonic() < deadline:
        time.sleep(0.02)
    assert 0 < waiting() <= most, "the oldest went, not all"


def test_a_full_disk_is_not_ready(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    assert node.checks()["disk"] == "ok"
    real = os.statvfs(node.home)

    class Full:
        f_bavail, f_frsize = 10, real.f_frsize

    monkeypatch.setattr(os, "statvfs", lambda path: Full)
    assert node.checks()["disk"] == "the disk is full"
