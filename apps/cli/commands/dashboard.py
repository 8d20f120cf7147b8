"""``grid dashboard``: how much a node has of what."""

from __future__ import annotations

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record

__all__ = ["COMMANDS", "dashboard"]

COMMANDS = {
    "dashboard": "How much a node has of what.",
}


@click.command(help="The counters of a node: users, groups, sessions, associations, data, trainings.")
@url_option
@format_option
def dashboard(url: str, form: str) -> None:
    import msgspec

    with open_client(url) as client:
        view = msgspec.to_builtins(client.dashboard().view)
    print_record({name: value for name, value in view.items() if value is not None}, form)
