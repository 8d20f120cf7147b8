"""Fixtures that every area uses: a migrated database on each engine, and a blob store.

``database`` and ``database_url`` run the test once per engine. The schema is made once per session and
copied, so a fresh database costs milliseconds. ``GRID_TEST_POSTGRESQL`` names another server.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import sql

from grid.storage.blobs import FileBlobStore
from grid.storage.database import Database

SERVER = os.environ.get("GRID_TEST_POSTGRESQL", "postgresql://postgres@127.0.0.1:5432")


def _administer(statement: sql.Composed) -> None:
    with psycopg.connect(f"{SERVER}/postgres", autocommit=True, connect_timeout=5) as connection:
        connection.execute(statement)


def _create(name: str, template: str) -> None:
    _administer(
        sql.SQL("CREATE DATABASE {} TEMPLATE {}").format(sql.Identifier(name), sql.Identifier(template))
    )


def _drop(name: str) -> None:
    _administer(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name)))


@pytest.fixture(scope="session")
def sqlite_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated SQLite file, to be copied."""
    path = tmp_path_factory.mktemp("template") / "template.db"
    db = Database(f"sqlite:///{path}")
    db.upgrade()
    db.close()
    return path


@pytest.fixture(scope="session")
def postgresql_template() -> Iterator[str]:
    """The name of a migrated PostgreSQL database, to be copied."""
    name = f"grid_test_{uuid.uuid4().hex[:12]}"
    try:
        _create(name, "template1")
    except psycopg.OperationalError as error:
        pytest.skip(f"no PostgreSQL server at {SERVER}: {error}")
    try:
        db = Database(f"{SERVER}/{name}")
        db.upgrade()
        db.close()
        yield name
    finally:
        _drop(name)


@pytest.fixture
def sqlite_url(sqlite_template: Path, tmp_path: Path) -> str:
    """The URL of a migrated, empty SQLite database."""
    path = tmp_path / "node.db"
    shutil.copyfile(sqlite_template, path)
    path.chmod(0o600)
    return f"sqlite:///{path}"


@pytest.fixture
def postgresql_url(postgresql_template: str) -> Iterator[str]:
    """The URL of a migrated, empty PostgreSQL database."""
    name = f"grid_test_{uuid.uuid4().hex[:12]}"
    _create(name, postgresql_template)
    try:
        yield f"{SERVER}/{name}"
    finally:
        _drop(name)


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
