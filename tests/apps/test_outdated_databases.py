"""An older database is known also where its home is as old, and when it is exchanged under a running node."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.orm import Session

from apps.assembly import open_installation, open_node
from grid.installation.adopt import adopt
from grid.installation.record import read_record
from grid.installation.service import InstallationService
from grid.node import Node, Service
from grid.node.housekeeping import HousekeepingService
from grid.spending.record import Spent
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.checked import CheckedContents
from syft_ext.errors import DatabaseOutdated, ForeignDatabase, RestoredDatabase
from syft_ext.identity import Identity
from syft_ext.ids import new_id
from tests.apps.conftest import grid
from tests.apps.test_installation import start


def put(node: Node, content: bytes) -> Path:
    """A content that no row refers to yet, and nobody holds; its file."""
    with node.blobs.put([content]) as blob:
        pass
    contents = node.blobs
    assert isinstance(contents, CheckedContents) and isinstance(contents.inner, FileBlobStore)
    return contents.inner.path(blob.digest)


def waits(home: Path, why: str, **options: Any) -> None:
    """A node starts with an older copy of its own database; nothing is swept until somebody acknowledges that."""
    node = open_node("domain", home, "d", [HousekeepingService], **options)
    try:
        node.start()
        assert "`grid domain acknowledge-restore`" in node.checks()["installation"]
        with pytest.raises(RestoredDatabase):
            node.service(HousekeepingService).sweep()
        view = node.service(InstallationService)._installation.restore()
        assert view.waiting and why in view.reason
    finally:
        node.stop()


def exchange(home: Path, copy: Path) -> None:
    """The database ``copy`` in place of that in ``home``."""
    for path in home.glob("node.db*"):
        path.unlink()
    shutil.copyfile(copy, home / "node.db")


def test_a_home_as_old_as_its_database_beside_newer_contents(tmp_path: Path) -> None:
    """Both from one backup, contents elsewhere: what says that the database is an older one is with them."""
    home, contents = tmp_path / "home", f"file://{tmp_path}/contents"
    start(home, contents_url=contents)
    shutil.copytree(home, tmp_path / "backup")
    node = open_node("domain", home, "d", [], contents_url=contents)
    newer = put(node, b"newer")
    node.stop()
    shutil.rmtree(home)
    shutil.copytree(tmp_path / "backup", home)
    waits(home, "older than its store of contents", contents_url=contents)
    assert newer.exists()
    adopted = grid("domain", "adopt", "--home", str(home), "--yes", GRID_CONTENTS=contents)
    assert adopted.code == 0, adopted.err
    (folder,) = (home / "quarantine").iterdir()
    assert (folder / newer.name).read_bytes() == b"newer"
    start(home, contents_url=contents)


def test_an_older_database_and_the_home_that_is_behind_the_other(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    options = {
        "database_url": f"sqlite:///{tmp_path}/d/node.db",
        "contents_url": f"file://{tmp_path}/contents",
    }
    (tmp_path / "d").mkdir()
    start(one, **options)
    two.mkdir()
    shutil.copyfile(one / "node.key", two / "node.key")
    start(two, **options)
    shutil.copyfile(tmp_path / "d" / "node.db", tmp_path / "copy.db")
    node = open_node("domain", one, "d", [], **options)
    newer = put(node, b"newer")
    node.stop()
    exchange(tmp_path / "d", tmp_path / "copy.db")
    for home in (two, one):
        waits(home, "the database is older than its", **options)
    assert newer.exists()
    # Each home adopts it, one after the other, and none is in another's way.
    said = {"DATABASE_URL": options["database_url"], "GRID_CONTENTS": options["contents_url"]}
    for home in (one, two):
        adopted = grid("domain", "adopt", "--home", str(home), "--yes", **said)
        assert adopted.code == 0, adopted.err
    for home in (one, two):
        start(home, **options)


def test_contents_whose_note_cannot_be_read(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "blobs" / "store.reached").write_text("?")
    with pytest.raises(DatabaseOutdated, match=r"store\.reached"):
        start(tmp_path)
    assert grid("domain", "adopt", "--home", str(tmp_path), "--yes").code == 0
    start(tmp_path)


def test_where_nobody_can_tell_what_was_spent_all_that_is_left_counts_as_spent(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / "blobs" / "store.reached").write_text("?")
    installation, all_spent = open_installation("domain", tmp_path, None, None), list[bool]()

    def put_right(session: Session, spent: Spent, everything: bool) -> int:
        all_spent.append(everything)
        return 0

    installation.put_right = [put_right]
    try:
        adopt(installation, tmp_path / "quarantine")
    finally:
        installation.database.close()
    assert all_spent == [True]


def test_unfinished_uploads_that_the_database_does_not_know_are_put_aside(tmp_path: Path) -> None:
    node = open_node("domain", tmp_path, "d", [])
    node.start()
    uploads = {new_id(): b"half an upload", new_id(): b"", new_id(): bytes(3 << 20)}
    for name, data in uploads.items():
        with node.blobs.partials.open(name) as partial:
            partial.append(memoryview(data))
    node.stop()
    for path in tmp_path.glob("node.db*"):
        path.unlink()
    asked = grid("domain", "adopt", "--home", str(tmp_path))
    assert f"0 contents and 3 unfinished uploads ({(3 << 20) + 14} bytes)" in asked.err
    assert all(node.blobs.partials.size(name) == len(data) for name, data in uploads.items())
    adopted = grid("domain", "adopt", "--home", str(tmp_path), "--yes")
    assert adopted.code == 0, adopted.err
    (folder,) = (tmp_path / "quarantine").glob("*/uploads")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == uploads
    start(tmp_path)
    assert list(node.blobs.digests()) == []


@pytest.mark.parametrize("what", ["older", "another", "another node's", "unclaimed", "behind a replica"])
def test_a_database_exchanged_under_a_running_node(tmp_path: Path, database_url: str, what: str) -> None:
    """The next sweep is refused before anything is swept, and leaves the evidence as it was."""
    node = open_node("domain", tmp_path, "d", [HousekeepingService], database_url=database_url)
    node.start()
    node.service(HousekeepingService).stop()
    node.service(HousekeepingService).sweep()
    newer, upload = put(node, b"newer"), new_id()
    with node.blobs.partials.open(upload) as partial:
        partial.append(memoryview(b"abc"))
    before, noted = read_record(tmp_path), node.blobs.reached()
    assert before is not None and noted == (before.database_id, before.epoch)
    assert node.checks()["installation"] == "ok"
    other = Identity.generate()
    statement, refusal, words = {
        "older": ("UPDATE installation SET epoch = 1", DatabaseOutdated, "older than its home"),
        "another": (
            f"UPDATE installation SET database_id = '{new_id()}'",
            DatabaseOutdated,
            "not the database",
        ),
        "another node's": (
            f"UPDATE installation SET verify_key = '{other.verify_key}'",
            ForeignDatabase,
            other.node_id,
        ),
        "unclaimed": ("DELETE FROM installation", DatabaseOutdated, "does not say any more whose it is"),
        "behind a replica": (
            "UPDATE installation SET epoch = epoch + 1",
            DatabaseOutdated,
            "store of contents",
        ),
    }[what]
    if what == "behind a replica":
        noted = node.blobs.reached(before.database_id, before.epoch + 7)
    node.db.run(lambda session: session.execute(text(statement)))
    for _ in range(3):
        with pytest.raises(refusal, match=words):
            node.service(HousekeepingService).sweep()
    assert node.checks()["installation"] == refusal.title
    assert read_record(tmp_path) == before and node.blobs.reached() == noted
    assert newer.exists() and node.blobs.partials.size(upload) == 3
    node.stop()
    assert read_record(tmp_path) == before and node.blobs.reached() == noted, "nor at the end"
    if what in ("older", "behind a replica"):
        waits(tmp_path, words, database_url=database_url)
    else:
        with pytest.raises(refusal):
            start(tmp_path, database_url=database_url)
    assert newer.exists() and node.blobs.partials.size(upload) == 3


def test_the_epoch_begins_before_anything_is_tidied(tmp_path: Path) -> None:
    seen: list[int] = []

    class Tidied(Service):
        def tidy(self) -> int:
            record = read_record(tmp_path)
            assert record is not None
            seen.append(record.epoch)
            return 0

    node = open_node("domain", tmp_path, "d", [Tidied, HousekeepingService])
    first = read_record(tmp_path)
    node.service(HousekeepingService).sweep()
    node.stop()
    assert first is not None and seen == [first.epoch + 1]


def test_a_checkpoint_that_cannot_be_read_may_have_said_that_the_database_is_older(tmp_path: Path) -> None:
    start(tmp_path)
    path = tmp_path / "audit.checkpoints"
    path.write_bytes(bytes(len(path.read_bytes()) - 1) + b"\n")
    with pytest.raises(DatabaseOutdated, match=r"line 1 of audit\.checkpoints cannot be read"):
        start(tmp_path)
    assert grid("domain", "adopt", "--home", str(tmp_path), "--yes").code == 0
    (folder,) = (tmp_path / "quarantine").iterdir()
    assert (folder / "audit.checkpoints").exists()
    start(tmp_path)
