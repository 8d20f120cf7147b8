"""Fixtures that every area uses: a migrated database on each engine, a blob store, and a user of the test's own.

``database`` and ``database_url`` run the test once per engine. The schema is made once per session; the
SQLite file is copied and the PostgreSQL database emptied, so a fresh one costs milliseconds.
``GRID_TEST_POSTGRESQL`` names another server.
"""

from __future__ import annotations

import atexit
import gc
import os
import shutil
import signal
import sys
import tempfile
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psycopg
import pytest
from hypothesis import HealthCheck, settings
from psycopg import sql

from grid import schema
from grid.storage.blobs.files import FileBlobStore
from grid.storage.sql.database import Database
from tests import seeds
from tests.quick_nodes import have_cheap_passwords, have_quick_tables
from tests.user_folder import fresh_user
from tests.warm_hosts import have_warm_hosts

gc.disable()  # until everything is imported
# jsonschema, and so nbformat, would read it for addresses in schemas, of which there are none: six seconds.
sys.modules["rfc3987_syntax"] = None  # type: ignore[assignment]
# Neither how long an example takes is a fault, nor how long it takes to draw one.
settings.register_profile(
    "loaded machines",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=not seeds.OTHERWISE,
)
settings.load_profile("loaded machines")
SERVER = os.environ.get("GRID_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432")


def pytest_configure(config: pytest.Config) -> None:
    """A test that takes no user's folder of its own (``own_folder``) shares one with others, and never has that of
    whoever runs the tests."""
    config.pluginmanager.register(seeds)
    have_cheap_passwords()
    have_quick_tables()
    have_warm_hosts()
    if (
        signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    ):  # of a run in the background; its nodes would inherit it
        signal.signal(signal.SIGINT, signal.default_int_handler)
    os.environ["GRID_USER_HOME"] = folder = tempfile.mkdtemp(prefix="grid-test-user-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files with slow tests come first: at the end nobody waits for a slow one while others have run out."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


def pytest_collection_finish() -> None:
    """What was imported stays: collections while tests run need not go through it again and again."""
    gc.freeze()
    gc.enable()


def _administer(statement: sql.Composed) -> None:
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=60) as connection:
        connection.execute(statement)


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    db = Database(f"sqlite:///{path}")
    schema.upgrade(db)
    db.close()
    # A node on the template itself would be in everybody's database: its log file could not be opened.
    path.with_name(path.name + "-wal").mkdir()
    return path


@pytest.fixture(scope="session")
def sqlite_copy(sqlite_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[], str]:
    """Makes URLs of migrated, empty SQLite databases, for fixtures that outlive a test."""

    def copy() -> str:
        path = tmp_path_factory.mktemp("database") / "node.db"
        shutil.copyfile(sqlite_template, path)
        path.chmod(0o600)
        return f"sqlite:///{path}"

    return copy


@pytest.fixture(scope="session")
def postgresql_session_url() -> Iterator[str]:
    """The URL of this session's migrated PostgreSQL database."""
    with throw_away_database() as url:
        db = Database(url)
        schema.upgrade(db)
        db.close()
        yield url


@contextmanager
def throw_away_database() -> Iterator[str]:
    """The URL of an empty PostgreSQL database that is dropped afterwards; skips where there is no server."""
    name = f"grid_test_{uuid.uuid4().hex[:12]}"
    try:
        _administer(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL server at {SERVER}: {error}")
    try:
        # The tests kill nodes, not the server: it need not wait for the disk at every commit.
        _administer(sql.SQL("ALTER DATABASE {} SET synchronous_commit = off").format(sql.Identifier(name)))
        yield f"{SERVER}/{name}"
    finally:
        _administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated, empty SQLite database."""
    path = tmp_path / "node.db"
    shutil.copyfile(sqlite_template, path)
    path.chmod(0o600)
    return f"sqlite:///{path}"


@pytest.fixture(scope="session")
def postgresql_seeds(postgresql_session_url: str) -> dict[str, bytes]:
    """What the migrations themselves put into tables, as COPY writes it."""
    seeds = {}
    with psycopg.connect(postgresql_session_url) as connection:
        for table in _tables(connection):
            with connection.cursor().copy(sql.SQL("COPY {} TO STDOUT").format(sql.Identifier(table))) as copy:
                seeds[table] = b"".join(copy)
    return {table: rows for table, rows in seeds.items() if rows}


def _tables(connection: psycopg.Connection[tuple[str]]) -> list[str]:
    found = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public' AND tablename <> 'alembic_version'"
    )
    return [table for (table,) in found.fetchall()]


@pytest.fixture
def postgresql_url(postgresql_session_url: str, postgresql_seeds: dict[str, bytes]) -> str:
    """The URL of a migrated, empty PostgreSQL database. Emptied, not made anew: dropping one makes the
    server write a checkpoint, which takes longer than most tests."""
    with psycopg.connect(postgresql_session_url, autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
        connection.execute("SET session_replication_role = replica")  # no foreign keys, so any order
        with connection.transaction():
            emptying = [
                sql.SQL("DELETE FROM {}").format(sql.Identifier(table)) for table in _tables(connection)
            ]
            connection.execute(sql.SQL("; ").join(emptying))
            for table, rows in postgresql_seeds.items():
                statement = sql.SQL("COPY {} FROM STDIN").format(sql.Identifier(table))
                with connection.cursor().copy(statement) as copy:
                    copy.write(rows)
    return postgresql_session_url


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of a migrated, empty database, on each engine."""
    url: str = request.getfixturevalue(f"{request.param}_url")
    return url


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A migrated, empty database, on each engine."""
    db = Database(database_url)
    yield db
    db.close()


@pytest.fixture
def blobs(tmp_path: Path) -> FileBlobStore:
    """An empty blob store."""
    return FileBlobStore(tmp_path / "blobs")


@pytest.fixture
def own_folder(tmp_path: Path) -> Iterator[Path]:
    """The user's folder is the test's own, and nobody is logged in. Where one user is enough for many tests,
    :func:`tests.user_folder.fresh_user` does it in a fixture of a wider scope."""
    with fresh_user(tmp_path / "user") as folder:
        yield folder
