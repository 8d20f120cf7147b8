"""The audit log from the SDK and from the command line, on a running node, in its home, and in a file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

import syft_ext as sy
from apps.cli.main import cli
from grid.web.app import create_app
from grid.web.testing import ServedApp
from syft_ext.clock import SystemClock
from syft_ext.nodes.domain import DomainClient
from tests.accounts.people import OWNER, PASSWORD, House

from .conftest import SERVICES


@pytest.fixture
def served(sqlite_url: str, tmp_path: Path, own_folder: Path) -> Iterator[tuple[House, DomainClient]]:
    house = House(tmp_path, sqlite_url, clock=SystemClock(), services=SERVICES)
    house.set_up()
    with ServedApp(create_app(house.node)) as app:
        client = sy.login(app.url, OWNER, PASSWORD)
        assert isinstance(client, DomainClient)
        yield house, client
        client.close()
    house.node.stop()


def grid(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["audit", *arguments])


def test_the_sdk_shows_verifies_and_exports(served: tuple[House, DomainClient], tmp_path: Path) -> None:
    _, client = served
    made = client.users.create(email="ann@x.org", password=PASSWORD)
    assert [each.operation for each in client.audit.search(operation="users")] == ["users.create"]
    assert client.audit.search(object_id=made.id)[0].outcome == "ok"
    assert client.audit[0].operation == "users.create" and client.audit["0"].operation == "audit.begin"
    assert "users.create" in repr(client.audit) and "<table" in client.audit._repr_html_()
    assert made.id not in repr(client.audit) and f"{made.id[:8]}…" in repr(client.audit)
    assert any(made.id in objects for objects in client.audit.to_pandas()["objects"])
    assert client.audit.verify().intact
    report = client.audit.export(tmp_path / "audit.jsonl")
    assert report.intact and report.entries == len(client.audit) - 1  # the export itself came after
    assert len(client.audit.search(limit=2)) == 2


def test_the_command_line(served: tuple[House, DomainClient], tmp_path: Path) -> None:
    house, client = served
    file, home = tmp_path / "audit.jsonl", str(house.home)
    shown = grid("show", "--operation", "auth", "--url", client.address)
    assert shown.exit_code == 0 and "auth.login" in shown.output and OWNER in shown.output
    assert "intact" in grid("verify", "--url", client.address).output
    assert grid("export", str(file), "--url", client.address).exit_code == 0
    assert "intact" in grid("verify", "--file", str(file), "--key", client.verify_key).output
    assert "intact" in grid("verify", "--home", home).output
    assert grid("export", str(tmp_path / "offline.jsonl"), "--home", home).exit_code == 0
    assert "intact" in grid("verify", "--file", str(tmp_path / "offline.jsonl")).output
    file.write_bytes(file.read_bytes().replace(OWNER.encode(), b"someone@else.org.xx"))
    wrong = grid("verify", "--file", str(file))
    assert wrong.exit_code == 1 and "detail was changed" in wrong.output
    with sqlite3.connect(house.home / "node.db") as connection:
        connection.execute("DROP TRIGGER audit_no_update")
        connection.execute("UPDATE audit_entries SET outcome = 'ok!' WHERE seq = 1")
    connection.close()
    assert grid("verify", "--home", home).output == "entry 1: outcome was changed\n"
    wrong = grid("verify", "--url", client.address)
    assert wrong.exit_code == 1 and wrong.output == "entry 1: outcome was changed\n"
