from __future__ import annotations

import sqlite3
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import bindparam, func, insert, select, text, update
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from grid.storage.objects.tables import BlobRow, ObjectRow
from grid.storage.sql import engines, pace, wal
from grid.storage.sql.database import Database
from grid.storage.sql.dialect import table_of
from grid.storage.sql.engines import parse_url
from grid.storage.sql.postgresql import TimedConnection
from grid.storage.sql.prepared import PreparedStatement
from syft_ext.errors import InvalidConfig, Unavailable
from tests.storage.sql.mute_proxy import MuteProxy

BLOBS = table_of(BlobRow)
INCREMENT = update(BLOBS).where(BLOBS.c.digest == "n" * 64).values(size=BLOBS.c.size + 1)
GROW, NEW, SIZE = (
    PreparedStatement(INCREMENT),
    PreparedStatement(insert(BLOBS)),
    PreparedStatement(select(BLOBS.c.size)),
)
PID = PreparedStatement(select(func.pg_backend_pid().label("pid")))
NEW_OBJECT = PreparedStatement(
    insert(table_of(ObjectRow)).values(
        id="o", kind="tensor", size=0, description="", search_text="", created_at=0.0
    )
)
COMPARE_AND_SET = (
    update(BLOBS)
    .where(BLOBS.c.digest == "n" * 64, BLOBS.c.size == bindparam("old"))
    .values(size=bindparam("new"))
)


def start(database: Database, value: int = 0) -> None:
    with database.transaction() as session:
        session.execute(insert(BLOBS), {"digest": "n" * 64, "size": value})


def current(database: Database) -> int | None:
    with database.read() as session:
        return session.scalar(select(BLOBS.c.size))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgresql://u:p@h:1/d", "postgresql+psycopg://u:p@h:1/d"),
        ("postgres://h/d", "postgresql+psycopg://h/d"),
        ("postgresql+psycopg2://h/d?sslmode=require", "postgresql+psycopg://h/d?sslmode=require"),
        ("sqlite:////x/y.db", "sqlite+pysqlite:////x/y.db"),
    ],
)
def test_urls(url: str, expected: str) -> None:
    assert parse_url(url).render_as_string(hide_password=False) == expected


@pytest.mark.parametrize(
    "url", ["", "x", "mysql://h/d", "sqlite://", "sqlite:///:memory:", "sqlite:///file:x"]
)
def test_other_urls_are_refused(url: str) -> None:
    with pytest.raises(InvalidConfig):
        parse_url(url)


def test_a_transaction_commits_and_rolls_back(database: Database) -> None:
    start(database, 5)
    with pytest.raises(ZeroDivisionError), database.transaction() as session:
        session.execute(INCREMENT)
        raise ZeroDivisionError
    assert current(database) == 5
    with database.transaction(durable=True) as session:
        session.execute(INCREMENT)
    assert current(database) == 6


def test_a_link_that_writes_does_as_a_session(database: Database) -> None:
    start(database)
    with database.writing() as connection:
        GROW.run(connection)
    for error in (ZeroDivisionError, IntegrityError):
        with pytest.raises(error), database.writing() as connection:
            GROW.run(connection)
            if error is ZeroDivisionError:
                raise ZeroDivisionError
            NEW.run(connection, {"digest": "n" * 64, "size": 9})
    with database.writing() as connection:
        assert database.inside
        with pytest.raises(RuntimeError, match="pass the session on"), database.transaction():
            pass
        with pytest.raises(RuntimeError, match="pass the session on"), database.writing():
            pass
        GROW.run(connection)
    assert not database.inside
    assert current(database) == 2


def test_a_commit_that_fails_leaves_nothing_and_the_next_one_works(sqlite_url: str) -> None:
    db = Database(sqlite_url)
    start(db)
    with pytest.raises(IntegrityError), db.writing() as connection:
        GROW.run(connection)
        connection.driver.execute("PRAGMA defer_foreign_keys=ON")
        NEW_OBJECT.run(connection, {"blob_digest": "gone"})
    with db.writing() as connection:
        GROW.run(connection)
    assert current(db) == 1
    db.close()


def test_a_commit_of_a_session_that_fails_does_not_keep_the_database_from_being_written(
    sqlite_url: str,
) -> None:
    db = Database(sqlite_url)
    start(db)
    with pytest.raises(IntegrityError), db.transaction() as session:
        session.execute(INCREMENT)
        session.execute(text("PRAGMA defer_foreign_keys=ON"))
        session.execute(NEW_OBJECT.statement, {"blob_digest": "gone"})
    for _ in range(2):
        with db.transaction() as session:
            session.execute(INCREMENT)
        with db.writing() as connection:
            GROW.run(connection)
    assert current(db) == 4
    db.close()


@pytest.mark.parametrize("way", ["transaction", "writing", "query"])
@pytest.mark.parametrize("step", ["statement", "commit"])
def test_a_full_disk_is_unavailable_and_then_over(
    sqlite_url: str, way: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where the disk is full at the COMMIT only; and nothing of it stays when there is room again."""
    db = Database(sqlite_url)
    start(db)
    with db.writing() as connection:
        connection.driver.execute("CREATE TABLE big (content BLOB)")
    db.ping()
    pages = db._own_writer().connection.driver_connection.execute("PRAGMA page_count").fetchone()[0]
    db._own_writer().connection.driver_connection.execute(f"PRAGMA max_page_count={pages}")
    full = sqlite3.OperationalError("database or disk is full")
    full.sqlite_errorcode = sqlite3.SQLITE_FULL

    def fails(*_: object) -> None:
        raise full

    fill = text("INSERT INTO big VALUES (zeroblob(1000000))")
    for _ in range(3):
        with pytest.raises(Unavailable, match="disk is full") as caught:
            if way == "transaction":
                with db.transaction() as session:
                    session.execute(INCREMENT)
                    if step == "statement":
                        session.execute(fill)
                    monkeypatch.setattr(db.engine.dialect, "do_commit", fails)
            elif way == "writing":
                with db.writing() as connection:
                    GROW.run(connection)
                    if step == "statement":
                        connection.driver.execute(str(fill))
                    raise full
            else:
                with monkeypatch.context() as fault:
                    fault.setattr(PreparedStatement, "run", fails)
                    db.query(SIZE)
        monkeypatch.undo()
        assert caught.value.extra["reason"] == "ENOSPC"
    db._own_writer().connection.driver_connection.execute("PRAGMA max_page_count=1000000")
    with db.transaction() as session:
        session.execute(INCREMENT)
    with db.writing() as connection:
        GROW.run(connection)
    assert current(db) == 2
    db.close()


def test_a_query_cannot_write_and_sees_what_is_committed(database: Database) -> None:
    start(database)
    with pytest.raises(DBAPIError):
        database.query(GROW)
    with database.reading() as connection:
        assert SIZE.run(connection).first().size == 0
        with database.writing() as writer:
            GROW.run(writer)
            assert SIZE.run(connection).first().size == 0
        assert SIZE.run(connection).first().size == 1
    database.close()
    assert database.query(SIZE).first().size == 1


def test_queries_take_turns_for_the_connections(database: Database) -> None:
    """Many more at once than there are connections; none is left behind by one that fails."""
    start(database)
    seen: list[int] = []

    def work(number: int) -> None:
        for _ in range(10):
            if number % 2:
                with pytest.raises(DBAPIError):
                    database.query(GROW)
            else:
                seen.append(database.query(SIZE).first().size)

    in_threads(40, work)
    assert seen == [0] * 200


def test_a_failing_commit_leaves_the_database_usable(database: Database) -> None:
    start(database)
    for _ in range(3):
        with pytest.raises(IntegrityError), database.transaction() as session:
            session.add(BlobRow(digest="n" * 64, size=9))
    with database.transaction() as session:
        session.execute(INCREMENT)
    assert current(database) == 1


def test_a_read_cannot_write(database: Database) -> None:
    start(database)
    with pytest.raises(DBAPIError), database.read() as session:
        session.execute(INCREMENT)
    with database.transaction() as session:
        session.execute(INCREMENT)
    assert current(database) == 1


def test_a_read_sees_one_snapshot(database: Database) -> None:
    start(database)
    with database.read() as session:
        assert session.scalar(select(BLOBS.c.size)) == 0
        with database.transaction() as writer:
            writer.execute(INCREMENT)
        assert session.scalar(select(BLOBS.c.size)) == 0
    assert current(database) == 1


def test_a_transaction_inside_a_transaction_is_an_error_at_once(database: Database) -> None:
    start(database)
    with database.transaction() as session:
        with pytest.raises(RuntimeError, match="pass the session on"), database.transaction():
            pass
        session.execute(INCREMENT)
    assert current(database) == 1


def in_threads(count: int, work: object) -> None:
    threads = [threading.Thread(target=work, args=(n,)) for n in range(count)]  # type: ignore[arg-type]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_no_increment_is_lost(database: Database) -> None:
    start(database)

    def work(index: int) -> None:
        for _ in range(10):
            if index % 2:
                with database.writing() as connection:
                    GROW.run(connection)
            else:
                with database.transaction() as session:
                    session.execute(INCREMENT)

    in_threads(8, work)
    assert current(database) == 80


def test_compare_and_set_has_one_winner(database: Database) -> None:
    start(database)
    won: list[int] = []

    def work(number: int) -> None:
        with database.transaction() as session:
            if session.execute(COMPARE_AND_SET, {"old": 0, "new": number + 1}).rowcount == 1:  # type: ignore[attr-defined]
                won.append(number)

    in_threads(12, work)
    assert len(won) == 1 and current(database) == won[0] + 1


@pytest.mark.postgres
def test_a_deadlock_is_run_again(postgresql_url: str) -> None:
    db = Database(postgresql_url)
    digests = ["0" * 64, "1" * 64]
    with db.transaction() as session:
        session.execute(insert(BLOBS), [{"digest": digest, "size": 0} for digest in digests])
    barrier, attempts = threading.Barrier(2), []

    def work(number: int) -> None:
        def cross(session: Session) -> None:
            attempts.append(number)
            session.execute(text("SET LOCAL deadlock_timeout = '50ms'"))
            for step in (number, 1 - number):
                statement = update(BLOBS).where(BLOBS.c.digest == digests[step])
                session.execute(statement.values(size=BLOBS.c.size + 1))
                if len(attempts) <= 2 and step == number:
                    barrier.wait()

        db.run(cross)

    in_threads(2, work)
    with db.read() as session:
        assert session.scalars(select(BLOBS.c.size)).all() == [2, 2]
    assert len(attempts) == 3
    db.close()


@pytest.mark.postgres
def test_lost_connections_of_prepared_statements_are_unavailable_and_then_over(postgresql_url: str) -> None:
    db = Database(postgresql_url)
    start(db)
    with db.reading() as one, db.reading() as two:  # two connections that are idle afterwards
        pids = [PID.run(connection).first().pid for connection in (one, two)]
    terminate(postgresql_url, *pids)
    assert db.query(SIZE).first().size == 0  # that they are gone is seen before they are used
    with pytest.raises(Unavailable), db.writing() as connection:
        terminate(postgresql_url, PID.run(connection).first().pid)
        GROW.run(connection)
    with db.writing() as connection:
        GROW.run(connection)
    assert current(db) == 1
    db.close()


def terminate(url: str, *pids: int) -> None:
    db = Database(url)
    with db.transaction() as session:
        for pid in pids:
            session.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
    db.close()
    time.sleep(0.05)


@pytest.mark.postgres
def test_a_lost_connection_is_unavailable_and_then_over(postgresql_url: str) -> None:
    db = Database(postgresql_url)
    start(db)
    with pytest.raises(Unavailable), db.transaction() as session:
        terminate(postgresql_url, session.execute(PID.statement).scalar_one())
        session.execute(INCREMENT)
    db.ping()
    assert current(db) == 0
    db.close()


@pytest.mark.postgres
def test_a_server_that_says_nothing_is_given_up(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A line that was cut without a word: nobody waits for it for ever, and it is over when the line is back."""
    monkeypatch.setattr(TimedConnection, "patience", 0.3)
    monkeypatch.setattr(engines, "CONNECT_SECONDS", 2.0)
    with MuteProxy(parse_url(postgresql_url)) as proxy:
        db = Database(proxy.url)
        start(db)
        db.query(SIZE)  # two connections: to make another one would take a while
        proxy.mute()
        with pytest.raises(Unavailable):
            db.query(SIZE)
        with pytest.raises(Unavailable), db.writing() as connection:
            GROW.run(connection)
        proxy.speak()
        with db.writing() as connection:
            GROW.run(connection)
        assert current(db) == 1
        db.close()


@pytest.mark.postgres
def test_who_stops_waits_for_no_mute_server(postgresql_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither one who waits already, nor one who asks next; and an answer that comes is taken still."""
    monkeypatch.setattr(TimedConnection, "patience", 3600.0)
    monkeypatch.setattr(pace, "HURRIED", 0.2)
    with MuteProxy(parse_url(postgresql_url)) as proxy, ThreadPoolExecutor(2) as pool:
        db = Database(proxy.url)
        start(db)
        db.query(SIZE)
        db.hurry()
        assert current(db) == 0
        db.close()
        db.query(SIZE)
        proxy.mute()
        waiting = [pool.submit(db.query, SIZE)]
        db.hurry()
        waiting.append(pool.submit(db.ping))
        for each in waiting:
            with pytest.raises(Unavailable):
                each.result(timeout=240)
        with pytest.raises(Unavailable):
            db.ping()
        proxy.speak()
        db.close()
        db.ping()  # as before
        db.close()


def test_a_server_that_is_not_there_is_unavailable(tmp_path: Path) -> None:
    db = Database("postgresql://nobody@127.0.0.1:1/none")
    with pytest.raises(Unavailable):
        db.ping()
    with pytest.raises(Unavailable):
        db.query(SIZE)
    with pytest.raises(Unavailable), db.writing():
        pass
    with pytest.raises(InvalidConfig):
        Database(f"sqlite:///{tmp_path}/missing/node.db")


def test_other_processes_take_turns_with_us(sqlite_url: str) -> None:
    """Two processes write to one SQLite file; nobody is refused."""
    code = """
import sys
from grid.storage.sql.database import Database
from sqlalchemy import text
db = Database(sys.argv[1])
for _ in range(100):
    with db.transaction() as session:
        session.execute(text("UPDATE blob SET size = size + 1"))
"""
    db = Database(sqlite_url)
    start(db)
    processes = [subprocess.Popen([sys.executable, "-c", code, sqlite_url]) for _ in range(2)]
    with db.transaction() as session:  # longer than SQLite's own patience
        session.execute(INCREMENT)
        time.sleep(1.0)
    for process in processes:
        assert process.wait(timeout=240) == 0
    assert current(db) == 201
    db.close()


def test_the_log_is_folded_back_by_a_thread(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", 64 << 10)
    db = Database(sqlite_url)
    file = Path(sqlite_url.removeprefix("sqlite:///"))
    before = file.stat().st_size
    for number in range(600):
        with db.transaction() as session:
            session.execute(insert(BLOBS), {"digest": f"{number:064d}", "size": number})
    db.close()
    assert file.stat().st_size > before
    # Without checkpoints the log of 600 commits would take more than 4 MB.
    assert not (log := file.with_name("node.db-wal")).exists() or log.stat().st_size < 2 << 20


def test_a_log_that_readers_kept_long_is_made_short(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wal, "CHECKPOINT_BYTES", 1 << 16)
    monkeypatch.setattr(wal, "LONGEST_BYTES", 1 << 18)
    monkeypatch.setattr(wal, "_PATIENCE", 0.2)
    db = Database(sqlite_url)
    start(db)
    log = Path(sqlite_url.removeprefix("sqlite:///") + "-wal")
    with db.read() as reader:
        reader.scalar(select(BLOBS.c.size))  # holds what the log has from here on
        for _ in range(400):
            with db.transaction() as session:
                session.execute(INCREMENT)
        db._log.close()
        assert log.stat().st_size > wal.LONGEST_BYTES
    for _ in range(3 * 64):
        with db.transaction() as session:
            session.execute(INCREMENT)
        if db.commits % 64 == 0:
            db._log.close()  # the thread is done
    assert log.stat().st_size < wal.LONGEST_BYTES
    assert current(db) == 592
    db.close()


def test_durable_commits_sync_the_log(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(wal.os, "fdatasync", synced.append)
    db = Database(sqlite_url)
    start(db)
    assert synced == []
    with db.transaction(durable=True) as session:
        session.execute(INCREMENT)
    assert len(synced) == 1
    db.run(lambda session: session.execute(INCREMENT), durable=True)
    assert len(synced) == 2
    db.close()
