"""Which commands there are: found without importing them, so that ``grid --help`` is instant.

A command is named, with the line that ``grid --help`` shows, in ``COMMANDS`` of the file in ``apps/cli/commands``,
or in a folder below, that defines it under its own name. A package brings one by an entry point of the group
``grid.commands``, whose object is a click command; and each kind of node has one (:mod:`apps.kinds`).
"""

from __future__ import annotations

import ast
import re
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import click

from apps.kinds import app_names, app_of

__all__ = ["GROUP", "command_names", "find_command", "help_line", "node_commands"]

GROUP = "grid.commands"
_FOLDER = Path(__file__).parent / "commands"
_DECLARATION = re.compile(r"^COMMANDS = (\{[^}]*\})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class CommandPlace:
    """Where a command is defined, and what ``grid --help`` says of it."""

    module: str
    help: str


@cache
def _own() -> dict[str, CommandPlace]:
    found: dict[str, CommandPlace] = {}
    for file in sorted(_FOLDER.rglob("*.py")):
        declared = _DECLARATION.search(file.read_text())
        if declared is None:
            continue
        for name, line in ast.literal_eval(declared[1]).items():
            if name in found:
                raise RuntimeError(f"two files declare the command {name}")
            found[name] = CommandPlace(_module(file), line)
    return dict(sorted(found.items()))


def _module(file: Path) -> str:
    return ".".join((f"{__package__}.commands", *file.relative_to(_FOLDER).with_suffix("").parts))


@cache
def node_commands() -> dict[str, str]:
    """The commands of the kinds of node, and the kind of each."""
    return {name.replace("_", "-"): name for name in app_names()}


@cache
def _installed() -> dict[str, Any]:
    """Entry points of installed packages, by the name of their command."""
    from syft_ext.installed import entry_points_of

    found: dict[str, Any] = {}
    for entry in entry_points_of(GROUP):
        before = found.setdefault(entry.name, entry)
        if entry.name in _own() or entry.name in node_commands() or before.value != entry.value:
            raise click.ClickException(
                f"{entry.value} brings the command {entry.name}, which there is already"
            )
    return found


def command_names() -> list[str]:
    """All of them: those of nodes first, then the others by name."""
    return [*node_commands(), *_own(), *sorted(_installed())]


def find_command(name: str) -> click.Command | None:
    """The command itself; what defines it is imported."""
    if name in _own():
        command: click.Command = getattr(import_module(_own()[name].module), name.replace("-", "_"))
        return command
    if name in node_commands():
        from apps.cli.nodes.group import node_group

        return node_group(app_of(node_commands()[name]))
    return _load(name) if name in _installed() else None


def _load(name: str) -> click.Command:
    entry = _installed()[name]
    try:
        command = entry.load()
    except Exception as error:
        raise click.ClickException(f"{entry.value} should bring the command {name}: {error}") from error
    if not isinstance(command, click.Command):
        raise click.ClickException(f"{entry.value} should bring the command {name}, and is no click command")
    return command


def help_line(name: str) -> str:
    """What ``grid --help`` says of a command."""
    if name in _own():
        return _own()[name].help
    if name in node_commands():
        return app_of(node_commands()[name]).help
    return _load(name).get_short_help_str(limit=80)
