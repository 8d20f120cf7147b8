from __future__ import annotations

import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.operations import Operations
from alembic.script import ScriptDirectory
from sqlalchemy import inspect

import grid.schema.tables
from grid import schema
from grid.schema import migrations
from grid.schema.migrations import config, newest
from grid.storage.sql.base import Base
from grid.storage.sql.database import Database
from tests.conftest import throw_away_database
from tests.quick_nodes import step_by_step

SCHEMA = ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)]


@pytest.fixture(autouse=True)
def as_deployed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are made step by step, and not written down from a copy as elsewhere."""
    monkeypatch.setattr(migrations, "upgrade", step_by_step)


@pytest.fixture(params=SCHEMA)
def empty(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Database]:
    """A database without tables, on each engine."""
    if request.param == "sqlite":
        db = Database(f"sqlite:///{tmp_path / 'empty.db'}")
        yield db
        db.close()
        return
    with throw_away_database() as url:
        db = Database(url)
        yield db
        db.close()


def differences(db: Database) -> list[object]:
    with db.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        return list(compare_metadata(context, Base.metadata))


def tables(db: Database) -> set[str]:
    with db.engine.connect() as connection:
        return set(inspect(connection).get_table_names()) - {"alembic_version"}


def test_the_migrations_make_what_the_models_declare(empty: Database) -> None:
    assert grid.schema.tables.__doc__
    schema.upgrade(empty)
    assert differences(empty) == []
    assert tables(empty) == set(Base.metadata.tables)


def test_constraint_names_are_those_of_the_naming_convention(empty: Database) -> None:
    schema.upgrade(empty)
    with empty.engine.connect() as connection:
        inspector = inspect(connection)
        for name, table in Base.metadata.tables.items():
            found = {key["name"] for key in inspector.get_foreign_keys(name)}
            assert found == {str(key.name) for key in table.foreign_key_constraints}
            assert inspector.get_pk_constraint(name)["name"] == f"pk_{name}"


def test_every_step_goes_down_and_up_again(empty: Database) -> None:
    with empty.engine.connect() as connection:
        revisions = [s.revision for s in ScriptDirectory.from_config(config(connection)).walk_revisions()]
    schema.upgrade(empty)
    everything = tables(empty)
    for revision in [*revisions[1:], "base"]:
        schema.downgrade(empty, revision)
        schema.upgrade(empty, "+1")
        schema.downgrade(empty, revision)
    assert tables(empty) == set()
    schema.upgrade(empty)
    schema.upgrade(empty)
    assert tables(empty) == everything and differences(empty) == []


def test_the_history_is_linear_and_numbered() -> None:
    scripts = ScriptDirectory(str(Path(grid.schema.tables.__file__).with_name("migrations")))
    revisions = [script.revision for script in scripts.walk_revisions()]
    assert revisions == [f"{number:04d}" for number in range(len(revisions), 0, -1)]
    assert scripts.get_heads() == [newest()]


def test_a_failed_migration_leaves_nothing_half_done(
    empty: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def create_table(*args: object, **kwargs: object) -> None:
        raise RuntimeError("in the middle")

    with monkeypatch.context() as patch:
        original = Operations.batch_alter_table
        patch.setattr(Operations, "batch_alter_table", create_table)
        assert original is not create_table
        with pytest.raises(RuntimeError, match="in the middle"):
            schema.upgrade(empty)
    assert tables(empty) == set()
    schema.upgrade(empty)
    assert differences(empty) == []


def test_rebuilding_a_table_keeps_the_rows_that_refer_to_it(tmp_path: Path) -> None:
    """SQLite alters by rebuilding; with foreign keys on, dropping the old table would cascade."""
    db = Database(f"sqlite:///{tmp_path / 'node.db'}")
    with db.migration() as connection:
        connection.execute(sa.text("CREATE TABLE parent (id INTEGER PRIMARY KEY, name TEXT)"))
        child = "CREATE TABLE child (id INTEGER REFERENCES parent(id) ON DELETE CASCADE)"
        connection.execute(sa.text(child))
        connection.execute(sa.text("INSERT INTO parent VALUES (1, 'x')"))
        connection.execute(sa.text("INSERT INTO child VALUES (1)"))
    with db.migration() as connection:
        operations = Operations(MigrationContext.configure(connection))
        with operations.batch_alter_table("parent", recreate="always") as batch:
            batch.alter_column("name", nullable=False, existing_type=sa.Text())
    with db.transaction() as session:
        assert session.execute(sa.text("SELECT count(*) FROM child")).scalar() == 1
        session.execute(sa.text("DELETE FROM parent"))
        assert session.execute(sa.text("SELECT count(*) FROM child")).scalar() == 0, "keys are on again"
    with pytest.raises(RuntimeError, match="foreign key"), db.migration() as connection:
        connection.execute(sa.text("INSERT INTO child VALUES (7)"))
    with db.read() as session:
        assert session.execute(sa.text("SELECT count(*) FROM child")).scalar() == 0
    db.close()


def test_replicas_that_start_together_upgrade_once(empty: Database) -> None:
    code = "import sys; from grid import schema; from grid.storage.sql.database import Database\n"
    code += "schema.upgrade(Database(sys.argv[1]))"
    url = empty.url.render_as_string(hide_password=False)
    started = [subprocess.Popen([sys.executable, "-c", code, url], stderr=subprocess.PIPE) for _ in range(3)]
    for process in started:
        _, errors = process.communicate(timeout=240)
        assert process.returncode == 0, errors.decode()
    assert differences(empty) == []


def test_a_node_can_run_from_any_directory(tmp_path: Path) -> None:
    code = "from grid import schema; from grid.storage.sql.database import Database\n"
    code += "schema.upgrade(Database('sqlite:///here.db'))"
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, timeout=240)
    with sqlite3.connect(tmp_path / "here.db") as connection:
        assert connection.execute("SELECT count(*) FROM stored_object").fetchone() == (0,)
    connection.close()
    assert (tmp_path / "here.db").stat().st_mode & 0o077 == 0
