"""Whatever is done to the log is found and named: in the database, and in an export."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from grid import schema
from grid.audit.chain import Draft, append
from grid.audit.checkpoints import EVERY, FILE, Checkpoints
from grid.audit.log import export_database, verify_database
from grid.storage.sql.database import Database
from syft_ext.audit.entries import FIELDS, Checkpoint, Entry, genesis_previous, seal
from syft_ext.audit.export import verify_export
from syft_ext.audit.verifier import Verifier
from syft_ext.errors import BadRequest
from syft_ext.identity import Identity

NODE = Identity.generate()
EMPTY: Any = None  # no archives are there, so nobody asks the store
ids = st.lists(st.text("0123456789abcdef", min_size=1, max_size=8), max_size=3)
drafts = st.builds(
    Draft,
    at=st.floats(0, 4e9),
    actor_kind=st.sampled_from(["user", "key", "worker"]),
    actor_id=st.text("0123456789abcdef", max_size=8),
    actor_name=st.text(max_size=12),
    operation=st.sampled_from(["objects.get", "users.create"]),
    outcome=st.sampled_from(["ok", "forbidden"]),
    objects=ids,
    grants=ids,
    detail=st.dictionaries(
        st.text(max_size=5), st.text(max_size=5) | st.integers() | st.floats(), max_size=3
    ),
)


def chain_of(found: list[Draft], identity: Identity = NODE) -> list[Entry]:
    """The chain as the definition says, without a database."""
    entries, previous = [], genesis_previous(identity.node_id)
    for seq, draft in enumerate(found):
        fields = {name: getattr(draft, name) for name in draft.__slots__}
        for name in ("objects", "grants", "detail"):
            fields[name] = msgspec.Raw(msgspec.json.encode(fields[name], order="sorted"))
        entries.append(seal(Entry(seq=seq, previous=previous, **fields)))
        previous = entries[-1].hash
    return entries


def signed(entry: Entry, identity: Identity = NODE) -> Checkpoint:
    return Checkpoint(node_id=identity.node_id, seq=entry.seq, hash=entry.hash, at=1.0).sign(identity)


def problems(entries: list[Entry], *checkpoints: Checkpoint) -> list[str]:
    verifier = Verifier(NODE.node_id, NODE.verify_key, checkpoints)
    for entry in entries:
        verifier.add(entry)
    return verifier.finish()


some = st.lists(drafts, min_size=3, max_size=12)


@given(some, st.data())
def test_a_changed_field_is_named(found: list[Draft], data: st.DataObject) -> None:
    entries = chain_of(found)
    head = signed(entries[-1])
    assert problems(entries, head) == []
    which = data.draw(st.integers(0, len(entries) - 1))
    field = data.draw(st.sampled_from([*FIELDS[1:], "hash", "digests"]))
    old = getattr(entries[which], field)
    new: Any
    if field == "at":
        new = data.draw(st.floats(0, 4e9).filter(lambda value: value != old))
    else:
        text = bytes(old) if isinstance(old, msgspec.Raw) else old.encode()
        place = data.draw(st.integers(0, len(text)))
        new = text[:place] + data.draw(st.sampled_from([b"a", b"7", b"~"])) + text[place + 1 :]
        if new == text:
            return
        new = msgspec.Raw(new) if isinstance(old, msgspec.Raw) else new.decode(errors="replace")
    setattr(entries[which], field, new)
    assert problems(entries, head) == [f"entry {which}: {field} was changed"]


@given(some, st.data())
def test_dropped_moved_and_cut_off_entries_are_named(found: list[Draft], data: st.DataObject) -> None:
    entries = chain_of(found)
    head, last = signed(entries[-1]), len(entries) - 1
    gone = data.draw(st.integers(0, last - 1))
    assert problems(entries[:gone] + entries[gone + 1 :], head) == [f"entry {gone} is missing"]
    swapped = entries.copy()
    swapped[gone], swapped[gone + 1] = swapped[gone + 1], swapped[gone]
    assert f"entry {gone} stands after entry {gone + 1}: the order was changed" in problems(swapped, head)
    cut = data.draw(st.integers(1, last))
    (problem,) = problems(entries[:cut], head)
    assert problem.endswith(f"missing: the log was cut off after entry {cut - 1}")
    assert problem.startswith(f"entries {cut} to {last} are" if cut < last else f"entry {cut} is")


@given(some, st.data())
def test_who_rewrites_the_whole_rest_of_the_chain_is_found_by_the_checkpoint(
    found: list[Draft], data: st.DataObject
) -> None:
    entries = chain_of(found)
    first, last = signed(entries[0]), signed(entries[-1])
    which = data.draw(st.integers(1, len(entries) - 1))
    forged = [*found]
    forged[which] = Draft(1.0, "user", "someone", "else", "objects.get")
    rewritten = chain_of(forged)
    if rewritten == entries:
        return
    assert problems(rewritten) == []  # the chain alone cannot know
    (problem,) = problems(rewritten, first, last)
    assert problem.startswith(f"entry {len(entries) - 1} is not the one that was signed")
    assert f"between 1 and {len(entries) - 1}" in problem
    one = [
        *entries[:which],
        seal(msgspec.structs.replace(entries[which], outcome="x")),
        *entries[which + 1 :],
    ]
    assert any(f"entry {which}" in problem for problem in problems(one, last))


def test_another_nodes_chain_and_signature_do_not_pass() -> None:
    other = Identity.generate()
    entries = chain_of([Draft(1.0, "user", "1", "a", "objects.get")], other)
    assert "another node" in problems(entries)[0]
    mine = chain_of([Draft(1.0, "user", "1", "a", "objects.get")])
    forged = Checkpoint(node_id=NODE.node_id, seq=0, hash=mine[0].hash, at=1.0).sign(other)
    assert problems(mine, forged) == ["checkpoint of entry 0: its signature does not verify"]


# -- a log in a database, and its export ---------------------------------------------------------------


class Log:
    """A log with 70 entries in a database and its checkpoints in a file."""

    def __init__(self, home: Path, database: Database) -> None:
        self.home, self.database = home, database
        self.file = Checkpoints(home / FILE)
        for number in range(70):
            draft = Draft(float(number), "user", "ab", "ann@x.org", "objects.get", objects=[f"{number:032x}"])
            with database.transaction() as session:
                seq, last = append(session, NODE.node_id, [draft], 1.0)
            self.file.write(Checkpoint(node_id=NODE.node_id, seq=seq, hash=last, at=1.5).sign(NODE))

    def problems(self) -> list[str]:
        return verify_database(self.database, NODE.verify_key, self.home / FILE, EMPTY).problems


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Log]:
    home = tmp_path_factory.mktemp("log")
    database = Database(f"sqlite:///{home / 'node.db'}")
    schema.upgrade(database)
    log = Log(home, database)
    yield log
    log.file.close()
    database.close()


def attack(log: Log, tmp_path: Path, tamper: Callable[[sqlite3.Connection], None]) -> list[str]:
    """What is found after somebody with the database file dropped the triggers and did this to a copy."""
    log.database.close()
    source, copy = sqlite3.connect(log.home / "node.db"), sqlite3.connect(tmp_path / "node.db")
    source.backup(copy)
    source.close()
    for trigger in ("audit_no_update", "audit_no_delete", "audit_no_replace"):
        copy.execute(f"DROP TRIGGER {trigger}")
    tamper(copy)
    copy.commit()
    copy.close()
    (tmp_path / FILE).write_bytes((log.home / FILE).read_bytes())
    database = Database(f"sqlite:///{tmp_path / 'node.db'}")
    try:
        return verify_database(database, NODE.verify_key, tmp_path / FILE, EMPTY).problems
    finally:
        database.close()


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("UPDATE audit_entries SET detail = '{\"a\":1}' WHERE seq = 17", ["entry 17: detail was changed"]),
        ("UPDATE audit_entries SET at = at + 1e-6 WHERE seq = 17", ["entry 17: at was changed"]),
        (
            "UPDATE audit_entries SET actor_name = CAST(x'ff616e' AS TEXT) WHERE seq = 17",
            ["entry 17: actor_name was changed"],
        ),
        ("UPDATE audit_entries SET seq = 5000 WHERE seq = 17", ["entry 17"]),
        ("DELETE FROM audit_entries WHERE seq = 17", ["entry 17 is missing"]),
        (
            "DELETE FROM audit_entries WHERE seq > 60",
            ["entries 61 to 70 are missing: the log was cut off after entry 60"],
        ),
        ("UPDATE audit_head SET seq = 69", ["the head names entry 69 with another hash than entry 70 has"]),
    ],
)
def test_what_is_done_to_the_database_is_named(
    log: Log, tmp_path: Path, statement: str, found: list[str]
) -> None:
    assert log.problems() == []
    problems = attack(log, tmp_path, lambda connection: connection.execute(statement) and None)
    assert len(problems) >= 1 and problems[0].startswith(found[0])


def test_a_tail_that_is_cut_off_with_the_head_is_found_by_the_checkpoint(log: Log, tmp_path: Path) -> None:
    def tamper(connection: sqlite3.Connection) -> None:
        connection.execute("DELETE FROM audit_entries WHERE seq = 70")
        connection.execute(
            "UPDATE audit_head SET seq = 69, hash = (SELECT hash FROM audit_entries WHERE seq = 69)"
        )

    assert attack(log, tmp_path, tamper) == ["entry 70 is missing: the log was cut off after entry 69"]


def test_the_checkpoints_file_stays_small_and_survives_half_a_line(log: Log, tmp_path: Path) -> None:
    content = (log.home / FILE).read_bytes()
    assert content.count(b"\n") == 70 // EVERY + 1
    path = tmp_path / FILE
    path.write_bytes(content + b'{"node_id":"')
    assert verify_database(log.database, NODE.verify_key, path, EMPTY).intact
    with_more = Checkpoints(path)
    with_more.write(Checkpoint(node_id=NODE.node_id, seq=70, hash="0" * 64, at=2.0).sign(NODE))
    with_more.close()
    assert "entry 70 is not the one that was signed" in str(
        verify_database(log.database, NODE.verify_key, path, EMPTY)
    )


@pytest.fixture(scope="module")
def export(log: Log) -> bytes:
    return b"".join(export_database(log.database, NODE, log.home / FILE, 2.0))


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=150,
    deadline=None,
)
@given(data=st.data())
def test_every_changed_byte_of_an_export_is_found(export: bytes, tmp_path: Path, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(export) - 1))
    byte = export[place] ^ data.draw(st.integers(1, 255))
    path = tmp_path / "export.jsonl"
    path.write_bytes(export[:place] + bytes([byte]) + export[place + 1 :])
    try:
        report = verify_export(path, verify_key=NODE.verify_key)
    except BadRequest:
        assert place < export.index(b"\n") + 1
        return
    assert not report.intact


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    max_examples=40,
    deadline=None,
)
@given(data=st.data())
def test_lines_dropped_swapped_or_cut_off_an_export_are_found(
    export: bytes, tmp_path: Path, data: st.DataObject
) -> None:
    lines = export.splitlines(keepends=True)
    path = tmp_path / "export.jsonl"
    path.write_bytes(export)
    assert verify_export(path, verify_key=NODE.verify_key).intact
    assert not verify_export(path, verify_key=Identity.generate().verify_key).intact
    first = next(index for index, line in enumerate(lines) if line.startswith(b'{"seq":0'))
    which = data.draw(st.integers(first, len(lines) - 3))
    path.write_bytes(b"".join(lines[:which] + lines[which + 1 :]))
    assert verify_export(path).problems == [f"entry {which - first} is missing"]
    path.write_bytes(b"".join([*lines[:which], lines[which + 1], lines[which], *lines[which + 2 :]]))
    assert any(f"entry {which - first} stands after" in text for text in verify_export(path).problems)
    path.write_bytes(b"".join(lines[: which + 1]))
    assert "the signed head is missing: the export was cut off" in verify_export(path).problems
    path.write_bytes(b"".join([*lines[: which + 1], lines[-1]]))
    assert "cut off after entry" in verify_export(path).problems[0]
