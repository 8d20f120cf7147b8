"""The commands of a kind of node, made from its row in :mod:`apps.kinds`."""

from __future__ import annotations

import click

from apps.cli.nodes.adopt import adopt_command
from apps.cli.nodes.associations import hub_commands
from apps.cli.nodes.restored import acknowledge_command, status_command
from apps.cli.nodes.setup import setup_command
from apps.cli.nodes.start import StartCommand
from apps.kinds import NodeApp

__all__ = ["node_group"]


def node_group(app: NodeApp) -> click.Group:
    """``grid <kind>``."""
    kind = app.kind
    commands: list[click.Command] = [StartCommand(app)]
    if kind.has_owner:
        commands.append(setup_command(app))
    commands += app.own_commands()
    if kind.accepts:
        commands += hub_commands(kind)
    commands += [adopt_command(kind), acknowledge_command(kind), status_command(kind)]
    return click.Group(kind.command, {command.name or "": command for command in commands}, help=app.help)
