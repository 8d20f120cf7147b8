"""``grid users``: the people who have an account at a node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.home import home_of, resolve_settings
from apps.cli.kind_name import KindName
from apps.cli.output import format_option, print_done, print_record, print_rows, secret
from apps.cli.people import session_rows, user_id_of

__all__ = ["COMMANDS", "users"]

COMMANDS = {
    "users": "The people who have an account at a node.",
}

_COLUMNS = ("email", "role", "groups", "flags", "totp", "disabled", "id")
_SESSIONS = ("id", "created", "expires_in_minutes", "remote", "verify_key", "current")


@click.group(
    help="""Make, change and remove accounts. WHO is an e-mail address or an id.

\b
Examples:
  grid users create ann@example.org --role "Compliance Officer"
  grid users update ann@example.org --group oncology --disable
  grid users list --role User
"""
)
def users() -> None:
    pass


@users.command("list", help="Everybody who has an account, or those who match.")
@click.option("--email", default="", help="What the e-mail address contains.")
@click.option("--role", default="", help="The role's name.")
@click.option("--group", default="", help="The group's name.")
@url_option
@format_option
def list_users(email: str, role: str, group: str, url: str, form: str) -> None:
    with open_client(url) as client:
        found = client.users.search(email, role, group)
    print_rows([_row(user) for user in found], _COLUMNS, form, empty="Nobody matches.")


@users.command(help="One account.")
@click.argument("who")
@url_option
@format_option
def show(who: str, url: str, form: str) -> None:
    with open_client(url) as client:
        print_record(_row(client.users.get(user_id_of(client, who))), form)


@users.command(
    help="""Make an account for somebody.

\b
The password comes from --password-file, GRID_NEW_PASSWORD or GRID_NEW_PASSWORD_FILE,
or is asked for, unseen, when this runs in a terminal.
"""
)
@click.argument("email")
@click.option("--role", default="User", show_default=True, help="The role's name.")
@click.option("--group", "groups", multiple=True, help="A group's name. Can be repeated.")
@click.option("--password-file", default=None, help="File that holds the password.")
@url_option
@format_option
def create(
    email: str, role: str, groups: tuple[str, ...], password_file: str | None, url: str, form: str
) -> None:
    password = secret("GRID_NEW_PASSWORD", password_file, "Password of the new account", confirm=True)
    with open_client(url) as client:
        print_record(_row(client.users.create(email, password, role=role, groups=list(groups))), form)


@users.command(help="Change somebody else's account. What is not named stays.")
@click.argument("who")
@click.option("--email", default=None, help="The new e-mail address.")
@click.option("--role", default=None, help="The new role's name.")
@click.option("--group", "groups", multiple=True, help="The groups to be in from now on. Can be repeated.")
@click.option("--no-groups", is_flag=True, help="Take the account out of all groups.")
@click.option("--disable/--enable", "disabled", default=None, help="Whether it may be used at all.")
@click.option("--password", is_flag=True, help="Set a password (asked for, or GRID_NEW_PASSWORD).")
@click.option("--password-file", default=None, help="File that holds the new password.")
@url_option
@format_option
def update(who: str, url: str, form: str, **options: Any) -> None:
    changes = {name: options[name] for name in ("email", "role", "disabled") if options[name] is not None}
    if options["groups"] and options["no_groups"]:
        raise click.UsageError("--group and --no-groups exclude each other")
    if options["groups"] or options["no_groups"]:
        changes["groups"] = list(options["groups"])
    if options["password"] or options["password_file"]:
        changes["password"] = secret(
            "GRID_NEW_PASSWORD", options["password_file"], "New password", confirm=True
        )
    if not changes:
        raise click.UsageError("say what shall change")
    with open_client(url) as client:
        print_record(_row(client.users.update(user_id_of(client, who), **changes)), form)


@users.command(help="Delete somebody else's account. What they own stays.")
@click.argument("who")
@url_option
@format_option
def delete(who: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.users.delete(user_id_of(client, who))
    print_done("deleted", form)


@users.command(help="End all sessions of somebody and forget all their keys.")
@click.argument("who")
@url_option
@format_option
def revoke(who: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.users.revoke(user_id_of(client, who))
    print_done("revoked", form)


@users.command(help="Somebody's sessions.")
@click.argument("who")
@url_option
@format_option
def sessions(who: str, url: str, form: str) -> None:
    with open_client(url) as client:
        found = client.users.sessions(user_id_of(client, who))
    print_rows(session_rows(found), _SESSIONS, form, empty="No sessions.")


@users.command("end-session", help="End one session of somebody.")
@click.argument("who")
@click.argument("session_id")
@url_option
@format_option
def end_session(who: str, session_id: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.users.end_session(user_id_of(client, who), session_id)
    print_done("ended", form)


@users.command(
    "reset-totp",
    help="""Forget somebody's one-time codes, because they lost their device.

\b
The owner's can be reset only where the node lives, while it does not run:
  grid users reset-totp owner@example.org --home ./hospital
""",
)
@click.argument("who")
@click.option(
    "--home", type=click.Path(file_okay=False, exists=True, path_type=Path), help="The node's home."
)
@click.option("--kind", type=KindName(with_owner=True), default="domain", show_default=True)
@url_option
@format_option
def reset_totp(who: str, home: Path | None, kind: str, url: str, form: str) -> None:
    if home is not None:
        _reset_in(home, kind, who)
    else:
        with open_client(url) as client:
            client.users.reset_totp(user_id_of(client, who))
    print_done("reset", form)


def _reset_in(home: Path, kind: str, email: str) -> None:
    from apps.runner import build, lock_home
    from grid.accounts.bootstrap import forget_totp

    home = home_of(kind, home)
    with lock_home(home):
        node = build(kind, home, resolve_settings(kind, home, None, {}))
        try:
            forget_totp(node, email)
        finally:
            node.stop()


def _row(user: Any) -> dict[str, Any]:
    import msgspec

    row: dict[str, Any] = msgspec.to_builtins(user)
    return row
