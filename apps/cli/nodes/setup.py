"""``grid <kind> setup``: the first owner of a fresh node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from apps.cli.home import home_of, resolve_settings
from apps.cli.output import address_text, format_option, print_done, secret
from apps.kinds import NodeApp

__all__ = ["setup_command"]


def setup_command(app: NodeApp) -> click.Command:
    """For a kind whose nodes have an owner."""
    kind = app.kind.command
    port = app.settings_class()().port
    usual = f"http://127.0.0.1:{port}"

    @click.command(
        "setup",
        short_help="Make the first owner of a fresh node.",
        help=f"""Make the first owner of a fresh {app.kind.title}. That is possible once.

\b
The password comes from GRID_OWNER_PASSWORD, GRID_OWNER_PASSWORD_FILE or
--password-file, or is asked for, unseen, when this runs in a terminal.

\b
Examples:
  grid {kind} setup --url http://localhost:{port} --email me@example.org
  grid {kind} setup --home ./{kind} --email me@example.org   (the node not running)
""",
    )
    @click.option("--url", default="", help=f"The running node. [default: {usual}]")
    @click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The node's home instead.")
    @click.option("--email", default="", help="The owner's e-mail address. [default: $GRID_OWNER_EMAIL]")
    @click.option("--password-file", default=None, help="File that holds the password.")
    @click.option("--name", default="", help="How the node is called from now on.")
    @click.option("--allow-signup", is_flag=True, help="Let strangers make themselves an account.")
    @format_option
    def setup(
        url: str,
        home: Path | None,
        email: str,
        password_file: str | None,
        name: str,
        allow_signup: bool,
        form: str,
    ) -> None:
        if url and home:
            raise click.UsageError("--url and --home exclude each other")
        email = address_text(email, "GRID_OWNER_EMAIL", "E-mail")
        password = secret("GRID_OWNER_PASSWORD", password_file, "Password", confirm=True)
        values = {"email": email, "password": password, "node_name": name, "allow_user_signup": allow_signup}
        if home is not None:
            _set_up_home(app.kind.name, home, values)
        else:
            _set_up_url(url or usual, values)
        print_done(f"{email} owns this {app.kind.name} now", form)

    return setup


def _set_up_url(url: str, values: dict[str, Any]) -> None:
    from syft_ext.messages.accounts import CreateOwner
    from syft_ext.nodes.login import connect

    with connect(url) as client:
        client.call(CreateOwner(**values))


def _set_up_home(kind: str, home: Path, values: dict[str, Any]) -> None:
    from apps.runner import build, lock_home
    from grid.accounts.bootstrap import bootstrap_owner
    from syft_ext.errors import Conflict

    home = home_of(kind, home)
    with lock_home(home):
        node = build(kind, home, resolve_settings(kind, home, None, {}))
        try:
            if not bootstrap_owner(node, values.pop("email"), values.pop("password"), **values):
                raise Conflict("this node has its owner already")
        finally:
            node.stop()
