"""Old entries go into archives: the chain stays whole, and whatever is done to an archive is found and named."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from apps.assembly import open_contents, open_installation
from grid.accounts.service import SERVICES as ACCOUNTS
from grid.audit.archives import KnownEntries, heads, write_archives
from grid.audit.archiving import Archiver, Kept
from grid.audit.checkpoints import FILE, read_checkpoints
from grid.audit.log import AuditLog, verify_database
from grid.audit.service import AuditService
from grid.node.metadata import MetadataService
from grid.node.principal import Principal
from grid.storage.blobs.registry import file_url, open_store
from grid.storage.objects.references import sweep
from grid.storage.sql.database import Database
from grid.upkeep.creating import create
from grid.upkeep.places import Secret
from grid.upkeep.restoring import restore
from syft_ext.audit.entries import Checkpoint
from syft_ext.audit.export import VerificationReport, verify_export
from syft_ext.clock import ManualClock
from syft_ext.errors import BadRequest, Forbidden, NotFound
from syft_ext.identity import Identity
from syft_ext.messages.audit import ExportArchive, ListArchives, ListAudit, VerifyAudit
from tests.accounts.people import House

from .test_tools import grid

NODE = Identity.generate()
ANN = Principal("user", "ab", name="ann@x.org")


class Site:
    """A log whose old entries go into archives of ten."""

    def __init__(self, home: Path, database: Database) -> None:
        home.mkdir(exist_ok=True)
        self.home, self.database, self.clock = home, database, ManualClock()
        self.contents = open_store(file_url(home / "blobs"))
        self.log = AuditLog(NODE, database, home, self.contents, self.clock)
        self.log.start()

    def record(self, count: int) -> None:
        for number in range(count):
            self.log.record(ANN, "objects.get", [f"{number:032x}"])

    def archive(self, *, entries: int = 0, age: float = 0.0) -> int:
        kept = Kept(entries, age)
        return Archiver(NODE, self.database, self.contents, self.clock, kept, block=10).archive()

    def verify(self) -> VerificationReport:
        return verify_database(self.database, NODE.verify_key, self.home / FILE, self.contents)

    def here(self) -> int:
        with self.database.read() as session:
            return int(session.scalar(text("SELECT count(*) FROM audit_entries")) or 0)

    def export(self, folder: Path) -> Path:
        folder.mkdir(exist_ok=True)
        (folder / "audit.jsonl").write_bytes(b"".join(self.log.export()))
        write_archives(self.database, self.contents, folder / "archives")
        return folder / "audit.jsonl"


@pytest.fixture
def site(tmp_path: Path, database: Database) -> Iterator[Site]:
    site = Site(tmp_path / "home", database)
    yield site
    site.log.close()


def test_old_entries_are_archived_and_the_chain_stays_whole(site: Site, tmp_path: Path) -> None:
    site.record(45)  # and the one that begins the log
    assert site.archive(entries=5) == 4 and site.here() == 6
    assert site.archive(entries=5) == 0
    site.record(10)
    assert site.archive(entries=5) == 1 and site.here() == 6
    report = site.verify()
    assert report.intact and (report.entries, report.archives, report.signed_up_to) == (56, 5, 55)
    assert sweep(site.database, site.contents) == 0 and site.verify().intact
    with site.database.read() as session:
        known = KnownEntries(session, site.contents)
        found, _ = read_checkpoints(site.home / FILE)
        assert all(known.hash_of(each.seq) == each.hash for each in found)
        assert known.hash_of(3) and known.hash_of(49) and known.hash_of(50) and known.hash_of(99) is None
    export = site.export(tmp_path / "taken")
    alone = verify_export(export, verify_key=NODE.verify_key)
    assert alone.intact and (alone.entries, alone.first) == (6, 50)
    assert "entries 0 to 49 are in archives, which were not looked at" in str(alone)
    whole = verify_export(export, verify_key=NODE.verify_key, archives=export.parent / "archives")
    assert whole.intact and (whole.entries, whole.first, whole.archives) == (56, 0, 5)


def test_what_is_old_goes_and_the_last_entry_stays(site: Site) -> None:
    site.record(19)  # two blocks, and nothing after them
    site.clock.advance(100.0)
    assert site.archive(age=200.0) == 0
    assert site.archive(age=50.0) == 1 and site.here() == 10
    assert site.archive() == 0
    site.record(1)
    assert site.archive(age=200.0) == 0 and site.archive(age=50.0) == 1
    assert site.verify().intact and site.here() == 1


def test_triggers_let_just_archived_entries_go(site: Site) -> None:
    site.record(20)
    assert site.archive(entries=5) == 1
    for statement in (
        "DELETE FROM audit_entries",
        "DELETE FROM audit_entries WHERE seq = 10",
        "UPDATE audit_entries SET outcome = 'ok!'",
        "DELETE FROM audit_archives",
        "UPDATE audit_archives SET last = 99",
    ):
        with (
            pytest.raises(DBAPIError, match="never changed or removed"),
            site.database.transaction() as session,
        ):
            session.execute(text(statement))
    assert site.verify().intact


def test_a_log_that_is_not_intact_is_not_archived(sqlite_url: str, tmp_path: Path) -> None:
    site = Site(tmp_path / "home", Database(sqlite_url))
    site.record(30)
    tamper(site, "UPDATE audit_entries SET outcome = 'ok!' WHERE seq = 3")
    assert site.archive(entries=5) == 0 and site.here() == 31
    assert site.verify().problems == ["entry 3: outcome was changed"]
    site.log.close()
    site.database.close()


def tamper(site: Site, *statements: str) -> None:
    """As somebody with the database file does: past the triggers."""
    site.database.close()
    with sqlite3.connect(site.database.url.database or "") as connection:
        triggers = connection.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND name LIKE 'audit%'"
        ).fetchall()
        for name, _ in triggers:
            connection.execute(f"DROP TRIGGER {name}")
        for statement in statements:
            connection.execute(statement)
        for _, sql in triggers:
            connection.execute(sql)
    connection.close()


@pytest.fixture
def archived(sqlite_url: str, tmp_path: Path) -> Iterator[Site]:
    site = Site(tmp_path / "home", Database(sqlite_url))
    site.record(45)
    assert site.archive(entries=5) == 4
    yield site
    site.log.close()
    site.database.close()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("DELETE FROM audit_archives WHERE first = 10", "entries 10 to 19 are missing"),
        ("DELETE FROM audit_archives WHERE first = 30", "entries 30 to 39 are missing"),
        ("DELETE FROM audit_archives", "entries 0 to 39 are missing"),
        ("UPDATE audit_archives SET hash = printf('%064d', 7) WHERE first = 10", "signature"),
        ("UPDATE audit_archives SET last = 20 WHERE first = 10", "signature"),
        (
            "UPDATE audit_archives SET digest = (SELECT digest FROM audit_archives WHERE first = 0)"
            " WHERE first = 10",
            "signature",
        ),
        ("DELETE FROM audit_entries WHERE seq = 40", "entry 40 is missing"),
        ("UPDATE audit_entries SET outcome = 'no' WHERE seq = 40", "entry 40: outcome was changed"),
    ],
)
def test_what_is_done_to_archives_in_the_database_is_named(
    archived: Site, statement: str, found: str
) -> None:
    assert archived.verify().intact
    tamper(archived, statement)
    report = archived.verify()
    assert not report.intact and any(found in problem for problem in report.problems), report.problems


def test_a_cut_log_that_says_it_was_archived_is_found(archived: Site) -> None:
    """Whoever has no key has checkpoints, which say that an entry was there, and not that it was archived."""
    with archived.database.read() as session:
        hash_of_40 = session.scalar(text("SELECT hash FROM audit_entries WHERE seq = 40"))
    signed = Checkpoint(node_id=NODE.node_id, seq=40, hash=str(hash_of_40), at=1.0).sign(NODE)
    tamper(
        archived,
        "INSERT INTO audit_archives SELECT 40, 40, node_id, "
        f"'{signed.hash}', digest, 1.0, '{signed.signature}' FROM audit_archives WHERE first = 0",
        "DELETE FROM audit_entries WHERE seq = 40",
    )
    assert any("entries 40 to 40: the signature" in each for each in archived.verify().problems)


def test_a_damaged_or_missing_archive_is_named_and_the_rest_still_verified(
    archived: Site, tmp_path: Path
) -> None:
    export = archived.export(tmp_path / "taken")
    with archived.database.read() as session:
        second, third = heads(session)[1:3]
    files = {head.first: archived.home / "blobs" / "contents" / head.digest for head in (second, third)}
    content = files[10].read_bytes()
    files[10].chmod(0o600)
    files[10].write_bytes(content[:-20] + b"\0" + content[-19:])
    files[20].unlink()
    problems = archived.verify().problems
    assert len(problems) == 2, problems
    assert "archive of entries 10 to 19: its file is not the one that was signed" in problems[0]
    assert "archive of entries 20 to 29: it cannot be read" in problems[1]
    kept = sorted((export.parent / "archives").iterdir())
    kept[2].unlink()
    (told,) = verify_export(export, archives=export.parent / "archives").problems
    assert told == "the archive of entries 20 to 29 is missing, or its file was changed"


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=60,
    deadline=None,
)
@given(data=st.data())
def test_every_changed_byte_of_an_archive_is_found(
    archived: Site, tmp_path: Path, data: st.DataObject
) -> None:
    export = archived.export(tmp_path / "taken")
    last = max((export.parent / "archives").iterdir())
    lines = gzip.decompress(last.read_bytes())
    place = data.draw(st.integers(0, len(lines) - 1))
    byte = lines[place] ^ data.draw(st.integers(1, 255))
    forged = tmp_path / "forged.jsonl.gz"
    forged.write_bytes(gzip.compress(lines[:place] + bytes([byte]) + lines[place + 1 :]))
    try:
        assert not verify_export(forged, verify_key=NODE.verify_key).intact
    except BadRequest:
        assert place <= lines.index(b"\n")
    forged.write_bytes(last.read_bytes()[: data.draw(st.integers(40, last.stat().st_size - 9))])
    with suppress(BadRequest):
        assert not verify_export(forged, verify_key=NODE.verify_key).intact


def test_a_node_archives_lists_and_backs_up(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("grid.audit.archiving.BLOCK", 10)
    services: tuple[Any, ...] = (MetadataService, partial(AuditService, kept=Kept(entries=5)), *ACCOUNTS)
    house = House(tmp_path / "home", database_url, services=services)
    owner = house.set_up()
    for number in range(30):
        house.add_user(owner, f"u{number}@x.org")
    user = house.log_in("u0@x.org")
    house.node.service(AuditService).tidy()
    found = owner.call(ListArchives()).archives
    assert len(found) > 4 and [each.first for each in found] == list(range(0, 10 * len(found), 10))
    assert owner.call(ListAudit()).archived_up_to == found[-1].last
    content = owner.open(ExportArchive(first=10)).payload.read_all()
    assert b"users.create" in gzip.decompress(content) and len(content) == found[1].size
    with pytest.raises(NotFound):
        owner.call(ExportArchive(first=11))
    for message in (ListArchives(), ExportArchive(first=10)):
        with pytest.raises(Forbidden):
            user.call(message)
    assert owner.call(VerifyAudit()).archives == len(found)
    house.restart()
    report = house.node.journal.verify()
    assert report.intact and report.archives == len(found)
    installation = open_installation("domain", house.home, database_url, None)
    key = Secret(bytes(32), passphrase=False)
    create(installation, tmp_path / "kept.gridbackup", key, house.clock)
    installation.database.close()
    house.node.stop()
    back = tmp_path / "back"
    restore(
        tmp_path / "kept.gridbackup",
        key,
        back,
        "",
        partial(open_contents, back, None),
        kind="domain",
        now=1.0,
    )
    restored = Database(f"sqlite:///{back / 'node.db'}")
    again = verify_database(restored, house.node.identity.verify_key, back / FILE, open_contents(back, None))
    assert again.intact and (again.archives, again.entries) == (report.archives, report.entries)
    restored.close()


def test_the_command_line(archived: Site, tmp_path: Path) -> None:
    home = archived.home
    (home / "node.key").write_text(bytes(NODE._signing_key).hex())
    url = ["--home", str(home), "--database-url", archived.database.url.render_as_string(hide_password=False)]
    folder, file = tmp_path / "archives", str(tmp_path / "audit.jsonl")
    assert grid("verify", *url).output.startswith("intact: 46 entries (4 archives among them)")
    assert grid("export", file, *url).exit_code == 0
    assert "were not looked at" in grid("verify", "--file", file).output
    assert grid("export", file, "--archives", str(folder), *url).exit_code == 0
    whole = grid("verify", "--file", file, "--archives", str(folder))
    assert whole.exit_code == 0 and whole.output.startswith("intact: 46 entries (4 archives among them)")
    min(folder.iterdir()).unlink()
    assert grid("verify", "--file", file, "--archives", str(folder)).exit_code == 1
