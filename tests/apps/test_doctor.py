"""``grid doctor``: says what is wrong, and that nothing is."""

from __future__ import annotations

import socket
import sqlite3
from pathlib import Path

import pytest

from apps.cli.commands import doctor as cli_doctor
from grid import schema
from grid.config import DomainSettings
from grid.storage.sql.database import Database
from tests.apps.conftest import Nodes, grid


def test_a_machine_and_a_node_that_are_well(nodes: Nodes) -> None:
    domain = nodes.start("domain", "d")
    done = grid("doctor", "--kind", "domain", "--home", str(domain.home), "--format", "json")
    found = {row["check"]: row for row in done.json}
    assert done.code == 0, done.out
    assert set(found) == {
        "python", "torch", "sandbox", "open files", "disk", "database", "contents",
        "installation", "port", "ice servers", "node", "clock",
    }  # fmt: skip
    assert {row["result"] for row in found.values()} <= {"ok", "warning"}
    assert found["port"]["detail"] == "the node runs"
    assert "domain d" in found["node"]["detail"]
    assert "ran a plan" in found["sandbox"]["detail"]


def test_what_failed_is_in_the_exit_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from click.testing import CliRunner

    from apps.cli.main import cli

    for name in ("_sandbox", "_torch"):  # they take seconds, and are well
        monkeypatch.setattr(cli_doctor, name, lambda *_: ("ok", ""))
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        environment = {"GRID_PORT": str(port)}
        arguments = ["doctor", "--home", str(tmp_path), "--url", "http://127.0.0.1:1"]
        result = CliRunner().invoke(cli, arguments, env=environment)
    assert result.exit_code == 7
    lines = {line.split()[0]: line for line in result.output.splitlines()}
    assert "failed" in lines["port"]
    assert "in use" in lines["port"]
    assert "failed" in lines["node"]
    assert "cannot be reached" in lines["node"]


def test_the_database_is_looked_into(tmp_path: Path, sqlite_url: str) -> None:
    settings = DomainSettings(database_url=sqlite_url)
    assert cli_doctor._database(tmp_path, settings)[0] == "ok"
    file = sqlite_url.removeprefix("sqlite:///")
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '0001'")
    connection.close()
    result, detail = cli_doctor._database(tmp_path, settings)
    assert (result, "brought up to date" in detail) == ("warning", True)
    with sqlite3.connect(file) as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert cli_doctor._database(tmp_path, settings)[0] == "failed"
    Path(file).write_bytes(b"this is no database at all" * 100)
    row = cli_doctor._row("database", lambda: cli_doctor._database(tmp_path, settings))
    assert row["result"] == "failed"


def test_a_slow_or_full_disk_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cli_doctor, "MIN_DISK", 1 << 62)
    assert cli_doctor._disk(tmp_path / "not" / "yet")[0] == "failed"
    monkeypatch.setattr(cli_doctor, "MIN_DISK", 0)
    monkeypatch.setattr(cli_doctor, "SLOW_FSYNC", 0.0)
    assert cli_doctor._disk(tmp_path)[0] == "warning"


def test_a_clock_that_is_wrong_is_named(monkeypatch: pytest.MonkeyPatch, nodes: Nodes) -> None:
    node = nodes.start("network", "n", owner=False)
    assert cli_doctor._clock(node.url)[0] == "ok"
    real = cli_doctor.time.time
    monkeypatch.setattr(cli_doctor.time, "time", lambda: real() - 300)
    result, detail = cli_doctor._clock(node.url)
    assert result == "failed"
    assert "300" in detail


def test_migrations_are_known_to_the_doctor(tmp_path: Path) -> None:
    assert cli_doctor._database(tmp_path, DomainSettings()) == (
        "ok",
        "none yet: it is made at the first start",
    )
    db = Database(f"sqlite:///{tmp_path / 'node.db'}")
    schema.upgrade(db)
    db.close()
    result, detail = cli_doctor._database(tmp_path, DomainSettings())
    assert result == "ok"
    assert detail.startswith("sqlite, revision ")
