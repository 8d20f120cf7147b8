"""``grid settings``: what a node's owner changes while it runs."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_record

__all__ = ["COMMANDS", "settings"]

COMMANDS = {
    "settings": "What a node's owner changes while it runs.",
}


@click.group(
    help="""The settings that a node's owner changes while it runs.

\b
How a node is started (ports, TLS, limits) is `grid config`.

\b
Examples:
  grid settings show
  grid settings set --allow-signup --session-lifetime 7200
  grid settings set --require-totp
"""
)
def settings() -> None:
    pass


@settings.command(help="All settings.")
@url_option
@format_option
def show(url: str, form: str) -> None:
    import msgspec

    with open_client(url) as client:
        print_record(msgspec.to_builtins(client.settings.view), form)


@settings.command("set", help="Change settings; they act at once. What is not named stays.")
@click.option("--name", "node_name", default=None, help="How people call the node.")
@click.option(
    "--allow-signup/--no-allow-signup",
    "allow_user_signup",
    default=None,
    help="Whether strangers may make themselves an account.",
)
@click.option("--session-lifetime", type=float, default=None, help="Seconds that a login is good for.")
@click.option("--key-lifetime", type=float, default=None, help="Seconds that a key alone identifies a user.")
@click.option(
    "--require-totp/--no-require-totp",
    "require_totp",
    default=None,
    help="Whether permissions count only for those whose login asks for a one-time code.",
)
@url_option
@format_option
def change(url: str, form: str, **options: Any) -> None:
    import msgspec

    changes = {name: value for name, value in options.items() if value is not None}
    if not changes:
        raise click.UsageError("say what shall change")
    with open_client(url) as client:
        print_record(msgspec.to_builtins(client.settings.update(**changes).view), form)
