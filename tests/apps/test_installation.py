"""A database belongs to one node, with one store of contents: what does not belong together does not start."""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import psycopg
import pytest
import urllib3

import syft_ext as sy
from apps.assembly import open_node
from grid import schema
from grid.installation.record import FILE, read_record
from grid.node.housekeeping import HousekeepingService
from grid.storage.sql.database import Database
from syft_ext.errors import (
    Conflict,
    DatabaseLost,
    DatabaseOutdated,
    ForeignContents,
    ForeignDatabase,
    GridError,
    InvalidConfig,
)
from syft_ext.ids import new_id
from tests.apps.conftest import Nodes, Result, grid
from tests.conftest import throw_away_database

CONTENT = [[float(n)] for n in range(1000)]


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def own_database(request: pytest.FixtureRequest) -> Iterator[dict[str, str]]:
    """What a node's environment says of its database: nothing, or PostgreSQL."""
    with throw_away_database() if request.param == "postgresql" else nullcontext("") as url:
        yield {"DATABASE_URL": url} if url else {}


def files(*homes: Path) -> set[Path]:
    """All contents, also those in quarantine."""
    return {path for home in homes for path in (home / "blobs" / "contents").iterdir()}


def refused(home: Path, **environment: str) -> Result:
    """A start that ends at once: one line, exit code 5. The doctor says the same."""
    result = grid("domain", "start", "--home", str(home), "--port", "0", **environment)
    assert result.code == 5 and result.out == "", (result.out, result.err)
    (line,) = result.err.splitlines()
    assert line.startswith("error: ")
    rows = grid("doctor", "--home", str(home), "--format", "json", **environment)
    (row,) = [row for row in rows.json if row["check"] == "installation"]
    assert rows.code == 7 and row["result"] == "failed"
    assert line == f"error: {row['detail']}"
    return result


@pytest.fixture
def quick_doctor(monkeypatch: pytest.MonkeyPatch) -> None:
    from apps.cli.commands import doctor

    for name in ("_sandbox", "_torch", "_disk"):  # they take seconds, and are well
        monkeypatch.setattr(doctor, name, lambda *_: ("ok", ""))


pytestmark = pytest.mark.usefixtures("quick_doctor")


def add_data(nodes: Nodes, node: Any, name: str) -> None:
    client = nodes.login(node)
    assert isinstance(client, sy.DomainClient)
    client.datasets.create(
        name, {"x": [[value[0], float(sum(name.encode()))] for value in CONTENT]}, description="d"
    )


def test_two_nodes_on_one_database(nodes: Nodes, own_database: dict[str, str]) -> None:
    first = nodes.start("domain", "a", **own_database)
    add_data(nodes, first, "first")
    before = files(first.home)
    environment = own_database or {"DATABASE_URL": f"sqlite:///{first.home}/node.db"}
    other = nodes.root / "b"
    result = refused(other, **environment)
    assert "[foreign-database]" in result.err and nodes.login(first).id in result.err
    assert files(first.home) == before and len(before) > 0
    # Also when the first one is not there.
    first.stop()
    refused(other, **environment)
    nodes.restart(first, **own_database)
    assert files(first.home) == before


def test_a_home_with_the_database_of_another(nodes: Nodes) -> None:
    homes = []
    for name in ("a", "b"):
        node = nodes.start("domain", name)
        add_data(nodes, node, name)
        node.stop()
        homes.append(node.home)
    before = files(*homes)
    shutil.copyfile(homes[0] / "node.db", homes[1] / "node.db")
    for name in ("node.db-wal", "node.db-shm"):
        (homes[1] / name).unlink(missing_ok=True)
    assert "[foreign-database]" in refused(homes[1]).err
    assert files(*homes) == before
    adopted = grid("domain", "adopt", "--home", str(homes[1]), "--yes")
    assert adopted.code == 5 and "[foreign-database]" in adopted.err, "never the database of another node"
    assert files(*homes) == before

    whole = (homes[1] / "node.db").read_bytes()
    for broken in (whole[: len(whole) // 8192 * 4096], b"no database" + whole[11:]):
        (homes[1] / "node.db").write_bytes(broken)
        started = grid("domain", "start", "--home", str(homes[1]), "--port", "0")
        (line,) = started.err.splitlines()
        assert started.code == 1 and line.endswith("[database-damaged]") and "grid backup restore" in line
        assert files(*homes) == before


def test_contents_of_another_database(nodes: Nodes, own_database: dict[str, str]) -> None:
    ours = nodes.start("domain", "a", **own_database)
    theirs = nodes.start("domain", "b")
    for node, name in ((ours, "a"), (theirs, "b")):
        add_data(nodes, node, name)
        node.stop()
    before = files(ours.home, theirs.home)
    wrong = {**own_database, "GRID_CONTENTS": f"file://{theirs.home}/blobs"}
    result = refused(ours.home, **wrong)
    assert "[foreign-contents]" in result.err and "set `contents`" in result.err
    adopted = grid("domain", "adopt", "--home", str(ours.home), "--yes", **wrong)
    assert adopted.code == 5 and "[foreign-contents]" in adopted.err
    # An empty store is not the one that goes with this database either, and a fresh node takes over nothing.
    empty = refused(ours.home, **own_database, GRID_CONTENTS=f"file://{nodes.root}/empty")
    assert "without an id" in empty.err
    assert "[database-lost]" in refused(nodes.root / "c", GRID_CONTENTS=f"file://{theirs.home}/blobs").err
    assert files(ours.home, theirs.home) == before
    nodes.restart(ours, **own_database)


def test_a_lost_database_beside_full_contents(nodes: Nodes, own_database: dict[str, str]) -> None:
    node = nodes.start("domain", "a", **own_database)
    add_data(nodes, node, "precious")
    node.kill()
    before = files(node.home)
    if own_database:
        _empty(own_database["DATABASE_URL"])
    else:
        for path in node.home.glob("node.db*"):
            path.rename(path.with_name(f"lost-{path.name}"))
    result = refused(node.home, **own_database)
    assert "[database-lost]" in result.err and "grid domain adopt" in result.err
    # A home that remembers nothing of it changes nothing about the contents.
    for name in (FILE, "audit.checkpoints"):
        (node.home / name).rename(nodes.root / name)
    assert "[database-lost]" in refused(node.home, **own_database).err
    assert files(node.home) == before and len(before) > 0
    for name in (FILE, "audit.checkpoints"):
        (nodes.root / name).rename(node.home / name)

    asked = grid("domain", "adopt", "--home", str(node.home), **own_database)
    assert asked.code == 2 and "--yes" in asked.err and files(node.home) == before
    assert f"{len(before)} contents" in asked.err
    adopted = grid("domain", "adopt", "--home", str(node.home), "--yes", **own_database)
    assert adopted.code == 0, adopted.err
    (folder,) = (node.home / "quarantine").iterdir()
    assert {path.name for path in before} <= {path.name for path in folder.iterdir()}
    assert files(node.home) == set()
    again = nodes.start("domain", "a", **own_database)
    assert list(nodes.login(again).datasets.all()) == []  # type: ignore[attr-defined]
    assert nodes.login(again).audit.verify().problems == []  # type: ignore[attr-defined]


def _empty(url: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("DROP SCHEMA public CASCADE")
        connection.execute("CREATE SCHEMA public")


@pytest.fixture
def backup(own_database: dict[str, str], tmp_path: Path) -> Callable[[Path], Callable[[], None]]:
    """Copies the database of a home; returns what puts the copy back."""

    def make(home: Path) -> Callable[[], None]:
        if own_database:
            url = own_database["DATABASE_URL"]
            _dump(url, "backup")

            def restore_postgresql() -> None:
                _dump(url, "public", source="backup")

            return restore_postgresql
        copy = tmp_path / "backup.db"
        with sqlite3.connect(home / "node.db") as source, sqlite3.connect(copy) as target:
            source.backup(target)
        source.close()
        target.close()

        def restore() -> None:
            for path in home.glob("node.db*"):
                path.unlink()
            shutil.copyfile(copy, home / "node.db")

        return restore

    return make


def _dump(url: str, target: str, source: str = "public") -> None:
    """The tables' rows of one schema in another, by the server itself."""
    with psycopg.connect(url) as connection:
        connection.execute("SET session_replication_role = replica")
        query = "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        tables = [name for (name,) in connection.execute(query).fetchall()]
        connection.execute("CREATE SCHEMA IF NOT EXISTS backup")
        for name in tables:
            if target == "backup":
                connection.execute(f'CREATE TABLE backup."{name}" AS TABLE public."{name}"')  # type: ignore[call-overload]
            else:
                connection.execute(f'DELETE FROM public."{name}"')  # type: ignore[call-overload]
                connection.execute(f'INSERT INTO public."{name}" SELECT * FROM {source}."{name}"')  # type: ignore[call-overload]


@pytest.mark.parametrize("gap", ["a restart", "a recorded operation"])
def test_an_older_database(
    nodes: Nodes,
    own_database: dict[str, str],
    backup: Callable[[Path], Callable[[], None]],
    gap: str,
) -> None:
    """Copied, gone on with, put back: known by the epoch, or within one by the audit log."""
    node = nodes.start("domain", "a", **own_database)
    add_data(nodes, node, "old")
    if gap == "a restart":
        node.stop()
    restore = backup(node.home)
    if gap == "a restart":
        node = nodes.restart(node, **own_database)
    add_data(nodes, node, "new")
    node.kill()
    before = files(node.home)
    restore()
    rows = grid("doctor", "--home", str(node.home), "--format", "json", **own_database)
    (row,) = [row for row in rows.json if row["check"] == "installation"]
    assert rows.code == 7 and row["result"] == "failed" and "acknowledge-restore" in row["detail"]
    assert ("audit log" in row["detail"]) is (gap == "a recorded operation")

    again = nodes.restart(node, **own_database)
    client = nodes.login(again)
    assert isinstance(client, sy.DomainClient)
    view = client.restore
    assert view.waiting and view.complete and view.known.entry > view.database.entry
    answer = urllib3.request("GET", f"{again.url}/readyz", retries=False)
    assert answer.status == 503 and "restored" in answer.json()["checks"]["installation"]
    assert [each.name for each in client.datasets.all()] == ["old"]
    assert client.datasets["old"]["x"].data.shape == (1000, 2)
    status = grid("domain", "status", "--url", again.url, "--format", "json", **own_database)
    assert status.code != 0
    assert files(node.home) == before, "nothing is swept"
    client.acknowledge_restore()
    assert not client.restore.waiting and client.audit.verify().problems == []
    (entry,) = client.audit.search(operation="restore.acknowledge")
    assert entry.detail["complete"] and entry.detail["lost_to"] == view.known.entry
    again.stop()
    again = nodes.restart(node, **own_database)
    assert urllib3.request("GET", f"{again.url}/readyz", retries=False).status == 200
    again.stop()
    waiting = {path.name for path in (node.home / "blobs" / "quarantine").rglob("*") if path.is_file()}
    assert {path.name for path in before} <= {path.name for path in files(node.home)} | waiting
    nothing = grid("domain", "adopt", "--home", str(node.home), "--yes", **own_database)
    assert nothing.code == 5 and "nothing is in the way" in nothing.err


_CLAIM = """
import os, signal, sys
from pathlib import Path
from apps.assembly import open_node
from grid.installation import claim
from grid.storage.blobs.files import FileBlobStore

def die(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)

step = sys.argv[3]
if step == "database":
    identity = FileBlobStore.identity
    FileBlobStore.identity = lambda self, proposed=None: identity(self) if proposed is None else die()
elif step == "contents":
    claim.Installation.advance = die
else:
    claim.write_record = die
open_node("domain", Path(sys.argv[1]), "d", [], database_url=sys.argv[2] or None)
"""


@pytest.mark.parametrize("step", ["database", "contents", "epoch"])
def test_killed_between_the_steps_of_a_claim(tmp_path: Path, own_database: dict[str, str], step: str) -> None:
    """It is finished at the next start; another node is refused all the time."""
    home, url = tmp_path / "home", own_database.get("DATABASE_URL", "")
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run(
        [sys.executable, "-c", _CLAIM, str(home), url, step], cwd=root, capture_output=True, text=True
    )
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert read_record(home) is None and (home / "blobs" / "store.id").exists() is (step != "database")
    with pytest.raises(ForeignDatabase):
        open_node("domain", tmp_path / "other", "d", [], database_url=url or f"sqlite:///{home}/node.db")
    node = open_node("domain", home, "d", [], database_url=url or None)
    record = read_record(home)
    assert record is not None and record.epoch == (2 if step == "epoch" else 1)
    assert node.blobs.identity() == record.store_id
    node.stop()


# -- in this process, where it is quicker --------------------------------------------------------------


def start(home: Path, **options: Any) -> None:
    """A start and a stop, with a sweep in between."""
    node = open_node("domain", home, "d", [HousekeepingService], **options)
    node.start()
    node.service(HousekeepingService).sweep()
    node.stop()


def test_replicas_of_one_node_share_database_and_contents(tmp_path: Path, database_url: str) -> None:
    """Another home with the same key, database and contents is no stranger; each home remembers for itself."""
    contents = f"file://{tmp_path}/contents"
    start(tmp_path / "one", database_url=database_url, contents_url=contents)
    (tmp_path / "two").mkdir()
    shutil.copyfile(tmp_path / "one" / "node.key", tmp_path / "two" / "node.key")
    for home in ("two", "one", "two"):
        start(tmp_path / home, database_url=database_url, contents_url=contents)
    first, second = read_record(tmp_path / "one"), read_record(tmp_path / "two")
    assert first is not None and second is not None and second.epoch > first.epoch
    assert (first.database_id, first.store_id) == (second.database_id, second.store_id)


def test_the_epoch_grows_before_every_sweep(tmp_path: Path) -> None:
    node = open_node("domain", tmp_path, "d", [HousekeepingService])
    first = read_record(tmp_path)
    node.service(HousekeepingService).sweep()
    second = read_record(tmp_path)
    node.stop()
    third = read_record(tmp_path)
    assert first and second and third and first.epoch < second.epoch < third.epoch


def before_the_table(home: Path) -> str:
    """An installation as it was before this table; with a content that a row needs. Returns its digest."""
    from grid.storage.objects.store import DiskObjectStore
    from syft_ext.store import StorableObject

    node = open_node("domain", home, "d", [])
    node.start()
    objects = DiskObjectStore(node.db, node.blobs)
    obj = StorableObject(id=new_id(), kind="bytes", data=b"precious")
    objects.put(obj)
    digest = objects.digest(obj.id)
    node.stop()
    database = Database(f"sqlite:///{home / 'node.db'}")
    schema.downgrade(database, "0013")
    database.close()
    (home / FILE).unlink()
    for name in ("store.id", "store.reached"):
        (home / "blobs" / name).unlink()
    return digest


def test_an_installation_of_before_is_claimed(tmp_path: Path) -> None:
    digest = before_the_table(tmp_path)
    start(tmp_path)
    assert read_record(tmp_path) is not None
    assert (tmp_path / "blobs" / "contents" / digest).exists()
    start(tmp_path)


@pytest.mark.parametrize("what", ["key", "contents", "other contents", "older", "empty"])
def test_an_installation_of_before_that_does_not_fit_is_refused(tmp_path: Path, what: str) -> None:
    home = tmp_path / "home"
    before_the_table(home)
    refusal: type[GridError] = ForeignContents
    if what == "key":
        (home / "node.key").unlink()
        refusal = ForeignDatabase
    elif what == "contents":
        (home / "blobs" / "contents").rename(tmp_path / "moved")
    elif what == "other contents":
        start(tmp_path / "other")
        shutil.copyfile(tmp_path / "other" / "blobs" / "store.id", home / "blobs" / "store.id")
    elif what == "older":
        with sqlite3.connect(home / "node.db") as connection:
            connection.execute("DROP TRIGGER audit_no_delete")
            connection.execute("DELETE FROM audit_entries WHERE seq > 0")
        connection.close()
        text = (home / "audit.checkpoints").read_text()
        (home / "audit.checkpoints").write_text(text)
        checkpoint = json.loads(text.splitlines()[-1])
        assert checkpoint["seq"] == 0, "only the beginning was recorded"
        checkpoint["seq"] = 7
        (home / "audit.checkpoints").write_text(json.dumps(checkpoint).ljust(384) + "\n")
        refusal = DatabaseOutdated
    else:
        for path in home.glob("node.db*"):
            path.unlink()
        refusal = DatabaseLost
    before = {path for path in tmp_path.rglob("*") if path.parent.name in ("contents", "moved")}
    for _ in range(2):
        with pytest.raises(refusal):
            start(home)
    assert before and before <= set(tmp_path.rglob("*"))


def test_a_record_that_cannot_be_read_is_no_record_that_is_not_there(tmp_path: Path) -> None:
    start(tmp_path)
    (tmp_path / FILE).write_text("{")
    with pytest.raises(InvalidConfig, match="restore it"):
        start(tmp_path)


def test_contents_that_lost_the_id_of_their_store(tmp_path: Path) -> None:
    """Copied file by file without it: adopted, if they are the database's."""
    digest = before_the_table(tmp_path)
    start(tmp_path)
    (tmp_path / "blobs" / "store.id").unlink()
    with pytest.raises(ForeignContents):
        start(tmp_path)
    aside = tmp_path / "blobs" / "contents" / digest
    aside.rename(tmp_path / "aside")
    result = grid("domain", "adopt", "--home", str(tmp_path), "--yes")
    assert result.code == 5 and "[foreign-contents]" in result.err, "these are not its contents"
    (tmp_path / "aside").rename(aside)
    assert grid("domain", "adopt", "--home", str(tmp_path), "--yes").code == 0
    start(tmp_path)
    assert aside.exists()


def test_errors_have_their_own_codes() -> None:
    classes = (ForeignDatabase, ForeignContents, DatabaseLost, DatabaseOutdated)
    assert len({each.code for each in classes}) == 4
    assert all(issubclass(each, Conflict) and each.status == 409 for each in classes)
