"""Contents are looked at before they are used; what is damaged has an error of its own until it is whole again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from grid import schema
from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.checked import CheckedContents
from grid.storage.objects.store import DiskObjectStore
from grid.storage.sql.database import Database
from syft_ext.errors import ContentCorrupt, ContentCut, ContentDamaged, ContentMissing, NotFound
from syft_ext.ids import new_id
from syft_ext.store.objects import ObjectInfo

BYTES = bytes(range(256)) * 20_000


class Kept:
    """An object in a store, as a process finds it that has just started."""

    def __init__(self, root: Path) -> None:
        self.database = Database(f"sqlite:///{root}/node.db")
        schema.upgrade(self.database)
        self.files = FileBlobStore(root / "blobs")
        self.start()
        self.object_id = new_id()
        self.put()
        self.digest = self.objects.digest(self.object_id)
        self.path = self.files.path(self.digest)

    def start(self) -> None:
        self.contents = CheckedContents(self.files, self.database)
        self.objects = DiskObjectStore(self.database, self.contents)

    def put(self) -> None:
        self.objects.put_stream(ObjectInfo(id=self.object_id, kind="bytes", description=""), [BYTES])

    def break_it(self, how: str) -> None:
        content = bytearray(self.path.read_bytes())
        self.path.chmod(0o600)
        if how == "corrupt":
            content[-1000] ^= 1
            self.path.write_bytes(content)
        elif how == "cut":
            self.path.write_bytes(content[:-1000])
        elif how == "longer":
            self.path.write_bytes(content + b"x")
        elif how == "empty":
            self.path.write_bytes(b"")
        else:
            self.path.unlink()


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path)
    yield kept
    kept.database.close()


ERRORS: dict[str, type[ContentDamaged]] = {
    "corrupt": ContentCorrupt,
    "longer": ContentCorrupt,
    "cut": ContentCut,
    "empty": ContentCut,
    "missing": ContentMissing,
}


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("started", ["again", "before"])
def test_what_is_damaged_is_never_read(kept: Kept, how: str, started: str) -> None:
    """Whether this process has read it before or not, and however it is read."""
    assert bytes(kept.contents.map(kept.digest)) == BYTES
    kept.break_it(how)
    if started == "again":
        kept.start()
    for read in (
        lambda: kept.contents.map(kept.digest),
        lambda: kept.contents.open(kept.digest),
        lambda: kept.contents.open(kept.digest, hold=True),
        lambda: kept.contents.read_range(kept.digest, 0, 10),
        lambda: kept.contents.hold(kept.digest),
        lambda: kept.objects.open(kept.object_id),
        lambda: kept.objects.get_object(kept.object_id),
    ):
        with pytest.raises(ContentDamaged) as caught:
            read()
        assert type(caught.value) is ERRORS[how] and caught.value.extra["digest"] == kept.digest
    (damage,) = kept.contents.damaged.values()
    assert damage.error is ERRORS[how] and damage.size == len(BYTES)


@pytest.mark.parametrize("how", ERRORS)
@pytest.mark.parametrize("healed", ["by the disk", "by an upload"])
def test_what_is_whole_again_is_read_again(kept: Kept, how: str, healed: str) -> None:
    kept.break_it(how)
    with pytest.raises(ContentDamaged):
        kept.contents.map(kept.digest)
    if healed == "by the disk":
        kept.path.write_bytes(BYTES)
    else:
        kept.put()
    assert bytes(kept.contents.map(kept.digest)) == BYTES and kept.contents.damaged == {}


def test_it_is_hashed_once(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    """What this process stored not at all; what it finds, at the first reading."""
    looked: list[str] = []
    look_at = CheckedContents.look_at
    monkeypatch.setattr(
        CheckedContents, "look_at", lambda self, digest: looked.append(digest) or look_at(self, digest)
    )
    for _ in range(3):
        kept.contents.map(kept.digest)
    assert looked == []
    kept.start()
    for _ in range(3):
        kept.contents.read_range(kept.digest, 0, 100)
    assert looked == [kept.digest]


def test_what_nobody_refers_to_is_simply_not_there(kept: Kept) -> None:
    with pytest.raises(NotFound):
        kept.contents.open("0" * 64)
    assert kept.contents.damaged == {}


def test_an_older_database_finds_what_was_deleted_since(kept: Kept) -> None:
    """Restored within the grace: no content is missing."""
    kept.files.quarantine.grace = 100.0
    kept.files.delete(kept.digest)
    assert bytes(kept.contents.map(kept.digest)) == BYTES and kept.contents.damaged == {}
