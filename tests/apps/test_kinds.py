"""Kinds of node: each has its row, and a package brings others that start, show what they are, and keep to it."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

import demo.processes
from apps.kinds import app_of, apps
from grid.config import NodeSettings
from grid.kinds import NodeKind
from syft_ext.errors import BadRequest, InvalidConfig, NotFound
from syft_ext.messages.network import AcceptAssociation, ListAssociations, RequestAssociation
from syft_ext.nodes.login import connect
from tests.apps.conftest import OWNER, PASSWORD, Nodes, grid

ROOT = Path(__file__).resolve().parents[2]


def test_each_row_names_what_is_there() -> None:
    rows = apps()
    assert [row.kind.name for row in rows[:3]] == ["network", "domain", "worker"]
    names = {row.kind.name for row in rows}
    for row in rows:
        assert issubclass(row.settings_class(), NodeSettings)
        assert row.settings_class()().port
        assert callable(row.builder())
        assert {row.kind.asks, *row.kind.accepts} <= {"", *names}
        for command in row.own_commands():
            assert command.name
    ports = [row.settings_class()().port for row in rows]
    assert len(set(ports)) == len(ports), "two kinds would take one port"


def test_who_asks_is_accepted_and_who_accepts_is_asked() -> None:
    kinds = {row.kind.name: row.kind for row in apps()}
    for kind in kinds.values():
        assert not kind.asks or kind.name in kinds[kind.asks].accepts
        for other in kind.accepts:
            assert kinds[other].asks == kind.name


def test_no_condition_names_a_kind() -> None:
    """A condition on the name of a kind would have to be found by whoever adds one."""
    condition = re.compile(
        r"\bkind(\.name)?\s*(==|!=|in|not in)\s*[\[({]?\s*[\"'](network|domain|worker)[\"']"
    )
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for folder in ("packages/grid", "apps")
        for path in (ROOT / folder).rglob("*.py")
        for line in path.read_text().splitlines()
        if condition.search(line)
    ]
    assert found == []


@pytest.mark.parametrize("name", ["", "Domain", "key host", "a" * 17, "1st", "a/b"])
def test_the_name_of_a_kind_is_one_word(name: str) -> None:
    with pytest.raises(ValueError, match="no name"):
        NodeKind(name=name)


def test_a_kind_presents_only_whom_it_accepts() -> None:
    with pytest.raises(ValueError, match="does not accept"):
        NodeKind(name="hub", accepts=("domain",), presents="worker")
    assert NodeKind(name="key_host").title == "Key host"
    assert NodeKind(name="key_host").command == "key-host"


def test_a_kind_that_is_not_there_is_named_with_those_that_are() -> None:
    with pytest.raises(InvalidConfig, match="'router'; there are: network, domain, worker"):
        app_of("router")


# -- from outside -------------------------------------------------------------------------------------

HARBOUR = """
from functools import partial

from apps.assembly import open_node
from apps.kinds import NodeApp
from grid.config.settings import HubSettings, NodeSettings
from grid.kinds import NodeKind

HARBOUR = NodeApp(
    kind=NodeKind(name="harbour", has_owner=True, accepts=("light_ship",)),
    settings="harbour:HarbourSettings",
    build="harbour:build_harbour",
    help="Run a harbour; decide which light ships join it.",
    examples="  grid harbour start",
)
LIGHT_SHIP = NodeApp(
    kind=NodeKind(name="light_ship", asks="harbour"),
    settings="harbour:LightShipSettings",
    build="harbour:build_light_ship",
    help="Run a light ship.",
    examples="  grid light-ship start --colour red",
    on_ready="harbour:lit",
)


class HarbourSettings(HubSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    port: int = 5100


class LightShipSettings(NodeSettings, kw_only=True, frozen=True, forbid_unknown_fields=True):
    port: int = 5101
    colour: str = "white"


def build_harbour(home, settings):
    from grid.accounts.service import SERVICES as ACCOUNTS
    from grid.network.associations import AssociationService
    from grid.network.hub import HubService
    from grid.node.metadata import MetadataService

    services = [
        MetadataService,
        *ACCOUNTS,
        partial(AssociationService, offline_after=settings.offline_after),
        partial(HubService, settings=settings),
    ]
    return open_node(HARBOUR.kind, home, settings.name, services)


def build_light_ship(home, settings):
    from grid.network.associations import AssociationService
    from grid.network.requester import RequesterService
    from grid.node.metadata import MetadataService
    from grid.node.operator import OperatorService

    services = [
        MetadataService,
        OperatorService,
        partial(AssociationService, offline_after=20.0),
        partial(RequesterService, interval=settings.heartbeat_interval),
    ]
    return open_node(LIGHT_SHIP.kind, home, f"{settings.name or 'ship'} ({settings.colour})", services)


def lit(node):
    (node.home / "lit").write_text(node.name)
"""
ENTRIES = """
[grid.node_kinds]
harbour = harbour:HARBOUR
light_ship = harbour:LIGHT_SHIP
"""


def install(folder: Path, entries: str, **modules: str) -> None:
    """What pip leaves of a package: its modules, its name, its entry points."""
    for module, text in modules.items():
        (folder / f"{module}.py").write_text(dedent(text))
    info = folder / "harbours-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: harbours\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(dedent(entries))


@pytest.fixture
def package(tmp_path: Path) -> str:
    """The PYTHONPATH on which the package of harbours and light ships is."""
    folder = tmp_path / "site"
    folder.mkdir()
    install(folder, ENTRIES, harbour=HARBOUR)
    return str(folder)


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Nodes]:
    """Nodes that start as a user starts them: a forked one would not see the package."""
    nodes = Nodes(tmp_path, demo.processes.NodeProcess)
    yield nodes
    nodes.close()


def command(package: str, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """``grid`` in a process of its own, which sees the package."""
    return subprocess.run(
        [sys.executable, "-m", "apps.cli", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, **environment, "PYTHONPATH": package},
        cwd=ROOT,
    )


def test_kinds_of_a_package_start_show_what_they_are_and_keep_to_it(started: Nodes, package: str) -> None:
    harbour = started.start("harbour", "h", PYTHONPATH=package)
    domain = started.start("domain", "d", PYTHONPATH=package, GRID_COLOUR="green")
    ship = started.start("light-ship", "s", "--colour", "red", owner=False, PYTHONPATH=package)
    with connect(ship.url) as client:
        assert (client.kind, client.name) == ("light_ship", "s (red)")
        assert client.metadata.configured, "nobody owns a light ship, so none waits for its owner"
        with pytest.raises(NotFound, match="no operation"):
            client.users.all()
    assert (ship.home / "lit").read_text() == "s (red)"
    assert not any("nobody owns" in line for line in ship.log)

    with connect(harbour.url) as client:
        assert (client.kind, client.name) == ("harbour", "h")
    admin, of_domain = started.login(harbour), started.login(domain)
    owner = _operator(ship)
    with pytest.raises(BadRequest, match="is a domain; a light_ship associates with a harbour"):
        owner.call(RequestAssociation(address=domain.url))
    with pytest.raises(BadRequest, match="is a harbour; a domain associates with a network"):
        of_domain.call(RequestAssociation(address=harbour.url))
    owner.call(RequestAssociation(address=harbour.url))
    (asked,) = admin.call(ListAssociations(status="pending")).associations
    assert (asked.kind, asked.name) == ("light_ship", "s (red)")
    assert admin.call(AcceptAssociation(association_id=asked.association_id)).status == "accepted"
    with pytest.raises(NotFound, match="no operation"):
        admin.call(RequestAssociation(address=domain.url))
    owner.close()
    for client in (admin, of_domain):
        client.close()


def _operator(node: demo.processes.NodeProcess):  # type: ignore[no-untyped-def]
    """The owner of a node's home: whoever has its key."""
    from syft_ext.identity import Identity
    from syft_ext.transport import Connection, open_transport

    identity = Identity.load_or_create(node.home / "node.key")
    return Connection(open_transport(node.url), identity, node_key=identity.verify_key)


def test_the_command_has_what_a_kind_needs(package: str) -> None:
    shown = command(package, "--help").stdout
    assert re.search(r"harbour +Run a harbour; decide which light ships join it\.", shown)
    assert re.search(r"light-ship +Run a light ship\.", shown)
    harbour = command(package, "harbour", "--help").stdout
    for name in ("start", "setup", "adopt", "requests", "accept", "deny", "remove", "associations"):
        assert re.search(rf"^  {name} ", harbour, re.MULTILINE), name
    ship = command(package, "light-ship", "--help").stdout
    assert re.search(r"^  start +Run a Light ship\.", ship, re.MULTILINE)
    for name in ("setup", "accept", "requests"):
        assert not re.search(rf"^  {name} ", ship, re.MULTILINE), name
    assert command(package, "light-ship", "setup").returncode == 2
    shown = command(package, "config", "show", "light_ship", GRID_COLOUR="blue").stdout
    assert re.search(r"colour +blue", shown)
    assert "'users' is no kind" in command(package, "config", "show", "users").stderr
    refused = command(package, "users", "reset-totp", "a@b.org", "--home", "/", "--kind", "light_ship").stderr
    assert "there are: network, domain, harbour" in refused


def test_a_variable_of_a_kind_that_is_not_installed_is_a_mistake(tmp_path: Path) -> None:
    done = grid("config", "show", "domain", "--home", str(tmp_path), GRID_COLOUR="blue")
    assert done.code == 1
    assert "unknown variable GRID_COLOUR" in done.err


@pytest.mark.parametrize(
    ("entries", "says"),
    [
        ("[grid.node_kinds]\nharbour = nowhere:HARBOUR", "should bring the kind of node harbour: No module"),
        ("[grid.node_kinds]\nharbour = harbour:build_harbour", "is not the row of the kind of node harbour"),
        ("[grid.node_kinds]\nhaven = harbour:HARBOUR", "is not the row of the kind of node haven"),
        ("[grid.node_kinds]\ndomain = harbour:HARBOUR", "brings the kind of node domain, as apps.domain.app"),
        ("[grid.commands]\nlogin = harbour:lit", "brings the command login, which there is already"),
        ("[grid.commands]\ndomain = harbour:lit", "brings the command domain, which there is already"),
        ("[grid.commands]\nsail = harbour:lit", "and is no click command"),
        ("[grid.node_kinds]\nharbour = harbour:NOTHING", "should bring the kind of node harbour: "),
        ("[grid.commands]\nsail = harbour:nothing", "should bring the command sail: "),
        ("[grid.commands]\nsail = nowhere:sail", "should bring the command sail: No module"),
    ],
)
def test_what_a_package_brings_wrongly_is_said(tmp_path: Path, entries: str, says: str) -> None:
    install(tmp_path, entries, harbour=HARBOUR)
    done = command(str(tmp_path), "--help")
    assert done.returncode == 1
    assert says in done.stderr
    assert "Traceback" not in done.stderr


def test_a_package_brings_a_command(tmp_path: Path) -> None:
    sail = """
        import click

        @click.command(help="Sail to HARBOUR. It takes a while.")
        @click.argument("harbour")
        def sail(harbour):
            click.echo(f"at {harbour}")
    """
    install(tmp_path, "[grid.commands]\nsail = sail:sail", sail=sail)
    assert re.search(r"^  sail +Sail to HARBOUR\.", command(str(tmp_path), "--help").stdout, re.MULTILINE)
    done = command(str(tmp_path), "sail", "Genoa")
    assert (done.returncode, done.stdout) == (0, "at Genoa\n")


def test_the_owner_is_set_up_where_a_kind_has_one(tmp_path: Path, package: str) -> None:
    password = {"GRID_OWNER_PASSWORD": PASSWORD}
    done = command(package, "harbour", "setup", "--home", str(tmp_path / "h"), "--email", OWNER, **password)
    assert (done.returncode, done.stdout) == (0, f"{OWNER} owns this harbour now\n"), done.stderr
