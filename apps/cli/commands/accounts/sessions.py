"""``grid login``, ``logout``, ``whoami``."""

from __future__ import annotations

import os
from typing import Any

import click

from apps.cli.output import address_text, format_option, print_done, print_record, print_rows, secret
from apps.cli.ways import way_taken

__all__ = ["COMMANDS", "login", "logout", "whoami"]

COMMANDS = {
    "login": "Log in to a node and keep the session.",
    "logout": "End a session.",
    "whoami": "The sessions that are kept, and who you are there.",
}


@click.command(
    help="""Log in to the node at URL and keep the session (not the password) in your own folder.

\b
Notebooks and scripts of yours on this machine use it too. If your account asks for
a one-time code, it comes from GRID_TOTP, or is asked for in a terminal.

\b
Examples:
  grid login http://localhost:5000
  GRID_PASSWORD_FILE=pw grid login https://domain.example.org --email me@example.org
"""
)
@click.argument("url")
@click.option("--email", default="", help="Your e-mail address. [default: $GRID_EMAIL]")
@click.option("--password-file", default=None, help="File that holds the password.")
@click.option("--ca-file", default=None, help="A private certificate authority, if the node uses one.")
@format_option
def login(url: str, email: str, password_file: str | None, ca_file: str | None, form: str) -> None:
    from syft_ext.nodes.login import login as log_in

    email = address_text(email, "GRID_EMAIL", "E-mail")
    password = secret("GRID_PASSWORD", password_file, "Password")
    totp = os.environ.get("GRID_TOTP", "")
    with log_in(url, email, password, totp=totp, save=True, ca_file=ca_file) as client:
        assert client.session is not None
        record = {
            "user": client.session.email,
            "node": client.name,
            "kind": client.kind,
            "url": client.address,
            **way_taken(client.connection.path),
        }
    print_record(record, form)


@click.command(help="End the session at URL, there and on this machine.")
@click.argument("url")
@format_option
def logout(url: str, form: str) -> None:
    from syft_ext.nodes.login import logout as log_out

    log_out(url)
    print_done("logged out", form)


def _reached(address: str) -> dict[str, Any]:
    """The way that leads to a node now, or why none does."""
    from syft_ext.errors import GridError
    from syft_ext.nodes.login import open_session
    from syft_ext.transport.address import NodeAddress

    try:
        connection, _ = open_session(NodeAddress.parse(address))
    except GridError as error:
        return {"way": f"none: {error}"}
    try:
        return way_taken(connection.path)
    finally:
        connection.close()


@click.command(help="The sessions that are kept on this machine.")
@click.option("--ways", is_flag=True, help="Call each node, and say by which way it is reached.")
@format_option
def whoami(form: str, ways: bool) -> None:
    import time

    from syft_ext.profile.credentials import list_sessions

    sessions = list_sessions()
    rows: list[dict[str, Any]] = [
        {
            "user": each.email,
            "node": each.node_name,
            "kind": each.node_kind,
            "url": each.address,
            "minutes_left": max(0, round((each.expires_at - time.time()) / 60)),
        }
        for each in sessions
    ]
    columns: tuple[str, ...] = ("user", "node", "kind", "url", "minutes_left")
    if ways:
        columns = (*columns, "way")
        for each, row in zip(sessions, rows, strict=True):
            row.update(_reached(each.address))
    print_rows(rows, columns, form, empty="You are not logged in anywhere: grid login URL")
