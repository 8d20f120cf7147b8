"""A backup of a running node, whole or refused; put back it waits, and gives nothing twice."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path

import pytest

from apps.assembly import open_contents, open_installation, open_node
from grid.access import grants
from grid.access.tables import Grant
from grid.installation.service import InstallationService
from grid.node import Node
from grid.node.housekeeping import HousekeepingService
from grid.storage.objects.store import DiskObjectStore
from grid.storage.objects.tables import ObjectRow
from grid.upkeep.creating import Created, create
from grid.upkeep.places import Secret, open_folder
from grid.upkeep.restoring import look_through, restore
from grid.upkeep.verification import verify
from syft_ext.clock import ManualClock, SystemClock
from syft_ext.errors import BadRequest, Conflict, GridError, RestoredDatabase
from syft_ext.ids import new_id
from syft_ext.store.objects import ObjectInfo
from tests.conftest import throw_away_database

SECRET = Secret(b"k" * 32, passphrase=False)
PHRASE = Secret(b"a phrase", passphrase=True, strong=False)
GRANT = "a" * 32
ROOT = Path(__file__).resolve().parents[2]


class Kept:
    def __init__(self, folder: Path, url: str) -> None:
        self.folder, self.home, self.url = folder, folder / "home", url
        self.node = open_node("domain", self.home, "d", [HousekeepingService], database_url=url or None)
        self.node.start()
        self.objects = DiskObjectStore(self.node.db, self.node.blobs)
        grant = Grant(
            id=GRANT, scope="read", user_id="u", object_id="o", granted_by="x", created_at=0.0, uses_left=3
        )
        self.node.db.run(lambda session: session.add(grant))

    def add(self, content: bytes) -> str:
        info = ObjectInfo(id=new_id(), kind="bytes", description="d")
        self.objects.put_stream(info, [content])
        return info.id

    def back_up(self, place: Path, secret: Secret = SECRET) -> Created:
        installation = open_installation("domain", self.home, self.url or None, None)
        try:
            return create(installation, place, secret, SystemClock())
        finally:
            installation.database.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def kept(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Kept]:
    with throw_away_database() if request.param == "postgresql" else nullcontext("") as url:
        kept = Kept(tmp_path, url)
        yield kept
        kept.node.stop()


@pytest.fixture
def small(tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(tmp_path, "")
    yield kept
    kept.node.stop()


def put_back(place: Path, home: Path, secret: Secret = SECRET, url: str = "") -> None:
    restore(place, secret, home, url, lambda: open_contents(home, None), kind="domain", now=1.0)


def opened(home: Path, url: str = "") -> Node:
    return open_node("domain", home, "d", [HousekeepingService], database_url=url or None)


def use(node: Node) -> bool:
    try:
        node.db.run(lambda session: grants.spend(session, [GRANT], now=1.0))
    except GridError:
        return False
    return True


@pytest.mark.parametrize("name", ["folder", "file.gridbackup"])
def test_a_round_trip(kept: Kept, tmp_path: Path, name: str) -> None:
    """From either database into SQLite; in a folder a second one copies what is new alone."""
    first, place = kept.add(b"first" * 200_000), tmp_path / name
    assert use(kept.node)
    made = kept.back_up(place)
    assert made.contents == 1 and made.copied == made.size == 1_000_000 and made.lost == []
    if name == "folder":
        kept.add(b"second")
        made = kept.back_up(place)
        assert made.contents == 2 and made.copied == 6
        assert not any(b"first" in path.read_bytes() for path in place.rglob("*") if path.is_file())
    looked = look_through(place, SECRET)
    assert looked.problems == [] and looked.rows == made.rows and looked.contents == made.contents
    home = tmp_path / "again"
    put_back(place, home)
    assert (home / "node.key").read_bytes() == (kept.home / "node.key").read_bytes()
    with pytest.raises(Conflict):
        put_back(place, home)
    node = opened(home)
    try:
        objects = DiskObjectStore(node.db, node.blobs)
        with objects.open(first) as file:
            assert file.read() == b"first" * 200_000
        installation = node.service(InstallationService)._installation
        with pytest.raises(RestoredDatabase):
            installation.check_running()
        assert not use(node)
        view = installation.acknowledge()
        assert not view.complete and view.spent == 2, "the grant, and the ids that intersections may test"
        assert not use(node), "what was given out after the backup nobody here can tell"
        node.service(HousekeepingService).sweep()
    finally:
        node.stop()
    again = open_installation("domain", home, None, None)
    assert [each for each in verify(again, SystemClock()) if each.code] == []
    again.database.close()


def test_the_newest_snapshot_is_the_last_that_was_made(small: Kept, tmp_path: Path) -> None:
    """Also of two in one moment, and when the clock was set back meanwhile."""
    installation, place = open_installation("domain", small.home, None, None), tmp_path / "backups"
    for now in (1e9, 1e9, 5e8, 1e9 + 0.5):
        made = create(installation, place, SECRET, ManualClock(now))
        assert open_folder(place, SECRET).find("") == made.name
    installation.database.close()


def test_into_postgresql(small: Kept, tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    kept_id = small.add(b"content")
    small.back_up(tmp_path / "backups")
    with throw_away_database() as url:
        put_back(tmp_path / "backups", tmp_path / "again", url=url)
        node = opened(tmp_path / "again", url)
        with DiskObjectStore(node.db, node.blobs).open(kept_id) as file:
            assert file.read() == b"content"
        node.stop()
        with pytest.raises(Conflict, match="not empty"):
            put_back(tmp_path / "backups", tmp_path / "third", url=url)


test_into_postgresql = pytest.mark.postgres(test_into_postgresql)


def test_what_runs_meanwhile(small: Kept, tmp_path: Path) -> None:
    """Objects come and go while copies are made: each copy has the contents of all of its objects."""
    stop = threading.Event()

    def churn() -> None:
        number = 0
        while not stop.is_set():
            object_id = small.add(b"%d" % number * 1000)
            number += 1
            if number % 2:
                del small.objects[object_id]

    thread = threading.Thread(target=churn)
    thread.start()
    try:
        for _ in range(3):
            assert small.back_up(tmp_path / "backups").lost == []
    finally:
        stop.set()
        thread.join(30)
    put_back(tmp_path / "backups", tmp_path / "again")
    node = opened(tmp_path / "again")
    with node.db.read() as session:
        digests = [row.blob_digest for row in session.query(ObjectRow)]
    assert digests
    for digest in digests:
        node.blobs.read_range(digest, 0)
    node.stop()


@pytest.mark.parametrize("name", ["folder", "file.gridbackup"])
def test_a_damaged_backup(small: Kept, tmp_path: Path, name: str) -> None:
    """Every file of it, cut, flipped, longer, empty: found by verify, and nothing of it can be started."""
    small.add(os.urandom(700_000))
    place = tmp_path / name
    small.back_up(place)
    files = [place] if place.is_file() else [path for path in place.rglob("*") if path.is_file()]
    for number, file in enumerate(files):
        content = file.read_bytes()
        middle = len(content) // 2
        for damage, changed in {
            "cut": content[:-1],
            "flipped": content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :],
            "longer": content + b"x",
            "empty": b"",
        }.items():
            if file.name == "backup.json" and damage in ("cut", "longer"):
                continue  # a line's end says nothing
            file.write_bytes(changed)
            with pytest.raises(GridError) if file.parent.name != _name_of_contents(file) else nullcontext():
                assert look_through(place, SECRET).problems
            home = tmp_path / f"again-{number}-{damage}"
            with pytest.raises(GridError):
                put_back(place, home)
            if home.exists():
                with pytest.raises(Conflict, match="not finished"):
                    opened(home)
        file.write_bytes(content)
    assert look_through(place, SECRET).problems == []


def _name_of_contents(file: Path) -> str:
    return file.name[:2] if file.parent.parent.name == "contents" else ""


def test_nobody_opens_it_without_the_secret(small: Kept, tmp_path: Path) -> None:
    place = tmp_path / "backups"
    small.back_up(place, PHRASE)
    for wrong in (Secret(b"another", passphrase=True, strong=False), SECRET):
        with pytest.raises(BadRequest):
            look_through(place, wrong)
        with pytest.raises(BadRequest):
            small.back_up(place, wrong)
    put_back(place, tmp_path / "again", PHRASE)


def test_a_damaged_content_is_told_of_and_left_out(small: Kept, tmp_path: Path) -> None:
    kept_id, lost_id = small.add(b"whole"), small.add(b"broken")
    digest = small.objects.digest(lost_id)
    path = small.home / "blobs" / "contents" / digest
    path.chmod(0o600)
    path.write_bytes(b"BROKEN")
    made = small.back_up(tmp_path / "backups")
    assert made.lost == [digest] and made.contents == 1
    put_back(tmp_path / "backups", tmp_path / "again")
    again = open_installation("domain", tmp_path / "again", None, None)
    (finding,) = [each for each in verify(again, SystemClock()) if each.part == "contents" and each.code]
    assert finding.code == "content-missing" and finding.affects == (f"object {lost_id}",)
    again.database.close()
    assert kept_id


_KILLED = """
import os, signal, sys
from pathlib import Path
from apps.assembly import open_contents, open_installation
from grid.upkeep import creating, places, restoring, rows
from grid.upkeep.places import Secret
from syft_ext.clock import SystemClock

what, home, place, to = sys.argv[1], *map(Path, sys.argv[2:5])
secret = Secret(b"k" * 32, passphrase=False)
steps = after = 0

def step(function):
    def counted(*arguments, **options):
        global steps
        steps += 1
        if steps == after:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)
    return counted

def work():
    os.fsync, os.rename, os.link, os.unlink = map(step, (os.fsync, os.rename, os.link, os.unlink))
    Path.replace, Path.unlink = step(Path.replace), step(Path.unlink)
    rows.insert_rows = restoring.insert_rows = step(rows.insert_rows)
    if what == "create":
        creating.create(open_installation("domain", home, None, None), place, secret, SystemClock())
    else:
        restoring.restore(place, secret, to, "", lambda: open_contents(to, None), kind="domain", now=1.0)

def is_done():
    return (to / "installation.json").exists() and not list(to.glob("restore.unfinished*"))

killed = 0
for after in map(int, sys.argv[5:]):  # no thread runs in this process
    child = os.fork()
    if child == 0:
        try:
            work()
        finally:
            os._exit(0)
    killed += os.WIFSIGNALED(os.waitpid(child, 0)[1])
    if what == "restore" and is_done():
        break
    if what == "create" and (place / "snapshots").exists():
        if [path for path in (place / "snapshots").iterdir() if path.suffix != ".tmp"]:
            assert restoring.look_through(place, secret).problems == []
print(killed)
"""


@pytest.mark.parametrize("what", ["create", "restore"])
def test_killed_at_any_step(small: Kept, tmp_path: Path, what: str) -> None:
    """A slice of the steps: what is left is good, and doing it again goes on."""
    object_id = small.add(b"content" * 1000)
    place, to = tmp_path / "backups", tmp_path / "again"
    if what == "restore":
        small.back_up(place)
    arguments = [sys.executable, "-c", _KILLED, what, *map(str, (small.home, place, to, 1, 4, 7, 11))]
    environment = {**os.environ, "PYTHONPATH": "packages:."}
    done = subprocess.run(arguments, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) >= 2
    if what == "create":
        assert small.back_up(place).lost == [] and look_through(place, SECRET).problems == []
        return
    if not (to / "installation.json").exists() or list(to.glob("restore.unfinished*")):
        put_back(place, to)
    node = opened(to)
    with DiskObjectStore(node.db, node.blobs).open(object_id) as file:
        assert file.read() == b"content" * 1000
    assert not use(node)
    node.stop()
