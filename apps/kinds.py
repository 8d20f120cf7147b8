"""The kinds of node, one row for each. To add one is to add a row, and a folder ``apps/<kind>`` with its app.py.

A package brings one by an entry point of the group ``grid.node_kinds``: its name is the kind's, its object a row.
What a row names is imported when it is used, so that ``grid --help`` is instant.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any

from grid.kinds import NodeKind

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from grid.config import NodeSettings
    from grid.node import Node

__all__ = ["GROUP", "NodeApp", "app_names", "app_of", "apps"]

GROUP = "grid.node_kinds"


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeApp:
    """What a kind of node is made of. ``module:name`` says where something is.

    Attributes:
        kind: the facts about it that the platform asks for.
        settings: its settings, a subclass of :class:`grid.config.NodeSettings`.
        build: makes the node, of its home and settings.
        help: what ``grid --help`` says of its commands.
        examples: how it is started, for ``grid <kind> start --help``.
        commands: a sequence of commands beside those that every such kind has; empty when there are none.
        on_ready: called with the node once it listens, before it says that it is ready; empty for nothing.
    """

    kind: NodeKind
    settings: str
    build: str
    help: str
    examples: str
    commands: str = ""
    on_ready: str = ""

    def settings_class(self) -> type[NodeSettings]:
        """The class of its settings, imported now."""
        found: type[NodeSettings] = _find(self.settings)
        return found

    def builder(self) -> Callable[[Path, Any], Node]:
        """What makes a node of its home and settings, imported now."""
        found: Callable[[Path, Any], Node] = _find(self.build)
        return found

    def own_commands(self) -> Sequence[click.Command]:
        """Its commands beside those that every such kind has, imported now."""
        return _find(self.commands) if self.commands else ()

    def ready(self, node: Node) -> None:
        """Do what is to be done once ``node`` listens."""
        if self.on_ready:
            _find(self.on_ready)(node)


_ROWS = (
    NodeApp(
        kind=NodeKind(name="network", has_owner=True, accepts=("domain",), presents="domain"),
        settings="grid.config:NetworkSettings",
        build="apps.network.app:build",
        help="Run a Network; decide which Domains join it.",
        examples="  grid network start --port 5000 --home ./net",
        commands="apps.cli.nodes.associations:NETWORK_COMMANDS",
    ),
    NodeApp(
        kind=NodeKind(
            name="domain",
            has_owner=True,
            asks="network",
            accepts=("worker",),
            participants=("worker",),
            needs_address=True,
        ),
        settings="grid.config:DomainSettings",
        build="apps.domain.app:build",
        help="Run a Domain; join it to a Network; decide which Workers join it.",
        examples="  GRID_OWNER_EMAIL=me@example.org GRID_OWNER_PASSWORD_FILE=pw \\\n"
        "      grid domain start --port 5001 --home ./hospital --name Hospital",
        commands="apps.cli.nodes.associations:DOMAIN_COMMANDS",
    ),
    NodeApp(
        kind=NodeKind(name="worker", asks="domain"),
        settings="grid.config:WorkerSettings",
        build="apps.worker.app:build",
        help="Run a Worker on your data; approve trainings.",
        examples="  grid worker start --domain http://localhost:5001 --data records.csv \\\n"
        "      --target diagnosis --trust domain",
        commands="apps.cli.nodes.worker:WORKER_COMMANDS",
        on_ready="apps.worker.app:join",
    ),
    NodeApp(
        kind=NodeKind(name="key_host"),
        settings="grid.config:KeyHostSettings",
        build="apps.key_host.app:build",
        help="Run a key host; approve policies; see what was granted.",
        examples="  grid key-host start --port 5003 --home ./keys --name Keys --epochs /media/keys/epochs",
        commands="apps.cli.nodes.key_host:KEY_HOST_COMMANDS",
    ),
)
_BUILT_IN = {row.kind.name: row for row in _ROWS}


def app_names() -> list[str]:
    """The kinds that there are; nothing of an installed package is imported to tell."""
    return [*_BUILT_IN, *(name for name in _installed() if name not in _BUILT_IN)]


def apps() -> list[NodeApp]:
    """All rows. Raises :class:`~syft_ext.errors.InvalidConfig` when a package brings one that cannot be used."""
    return [app_of(name) for name in app_names()]


@cache
def app_of(kind: str) -> NodeApp:
    """The row of ``kind``. Raises :class:`~syft_ext.errors.InvalidConfig`, naming the kinds there are."""
    if kind in _BUILT_IN:
        return _BUILT_IN[kind]
    from syft_ext.errors import InvalidConfig

    entry = _installed().get(kind)
    if entry is None:
        raise InvalidConfig(f"there is no kind of node {kind[:40]!r}; there are: {', '.join(app_names())}")
    try:
        row = entry.load()
    except Exception as error:
        raise InvalidConfig(f"{entry.value} should bring the kind of node {kind}: {error}") from error
    if not isinstance(row, NodeApp) or row.kind.name != kind:
        raise InvalidConfig(f"{entry.value} is not the row of the kind of node {kind}")
    return row


@cache
def _installed() -> dict[str, Any]:
    """Entry points of installed packages, by the kind that they bring."""
    from syft_ext.installed import entry_points_of

    places = {name: row.build for name, row in _BUILT_IN.items()}
    found: dict[str, Any] = {}
    for entry in entry_points_of(GROUP):
        if places.setdefault(entry.name, entry.value) != entry.value:
            from syft_ext.errors import InvalidConfig

            other = places[entry.name]
            raise InvalidConfig(f"{entry.value} brings the kind of node {entry.name}, as {other} does")
        found[entry.name] = entry
    return found


def _find(place: str) -> Any:
    module, _, name = place.partition(":")
    return getattr(import_module(module), name)
