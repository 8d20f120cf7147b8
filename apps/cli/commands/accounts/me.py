"""``grid me``: one's own account at a node."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import ago, format_option, print_done, print_record, print_rows, secret
from apps.cli.people import session_rows

__all__ = ["COMMANDS", "me"]

COMMANDS = {
    "me": "Your own account: password, keys, sessions, one-time codes.",
}

_KEYS = ("verify_key", "name", "used", "current")
_SESSIONS = ("id", "created", "expires_in_minutes", "remote", "verify_key", "current")
_PASSWORD_FILE = click.option("--password-file", default=None, help="File that holds your password.")


@click.group(
    help="""Your own account: password, keys, sessions, one-time codes.

\b
Your password comes from --password-file, GRID_PASSWORD or GRID_PASSWORD_FILE, or is
asked for, unseen, when this runs in a terminal.

\b
Examples:
  grid me show
  grid me password
  grid me totp enrol
"""
)
def me() -> None:
    pass


@me.command(help="Who you are, what you may, and how much of it you use.")
@url_option
@format_option
def show(url: str, form: str) -> None:
    import msgspec

    with open_client(url) as client:
        mine = client.me
        record = msgspec.to_builtins(mine.view)
        used = mine.quotas
    if used and form == "table":
        from syft_ext.client.quotas import amount

        record |= {
            each.name: f"{amount(each.name, each.used)} of {amount(each.name, each.limit)}" for each in used
        }
    elif used:
        record["quotas"] = msgspec.to_builtins(used)
    print_record(record, form)


@me.command(help="Change your e-mail address.")
@click.argument("email")
@_PASSWORD_FILE
@url_option
@format_option
def email(email: str, password_file: str | None, url: str, form: str) -> None:
    with open_client(url) as client:
        print_done(client.me.change_email(email, _password(password_file)).email, form)


@me.command(help="Change your password. Your other sessions and keys end.")
@_PASSWORD_FILE
@click.option("--new-password-file", default=None, help="File that holds the new one. [or GRID_NEW_PASSWORD]")
@url_option
@format_option
def password(password_file: str | None, new_password_file: str | None, url: str, form: str) -> None:
    with open_client(url) as client:
        old = _password(password_file)
        new = secret("GRID_NEW_PASSWORD", new_password_file, "New password", confirm=True)
        client.me.change_password(old, new)
    print_done("changed", form)


# -- keys ----------------------------------------------------------------------------------------------


@me.group(help="Your public keys: a message that one of them signed is yours.")
def keys() -> None:
    pass


@keys.command("list", help="Your keys.")
@url_option
@format_option
def list_keys(url: str, form: str) -> None:
    import msgspec

    with open_client(url) as client:
        rows = [msgspec.to_builtins(key) | {"used": ago(key.used_at)} for key in client.me.keys]
    print_rows(rows, _KEYS, form, empty="No keys.")


@keys.command(help="Make the key in KEY_FILE yours; a new one is made there if there is none.")
@click.argument("key_file", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--name", default="", help="What you call it.")
@_PASSWORD_FILE
@url_option
@format_option
def register(key_file: Path, name: str, password_file: str | None, url: str, form: str) -> None:
    import msgspec

    from syft_ext.identity import Identity

    with open_client(url) as client:
        identity = Identity.load_or_create(key_file)
        key = client.me.keys.register(identity, _password(password_file), name=name)
    print_record(msgspec.to_builtins(key), form)


@keys.command("remove", help="Forget a key of yours; the sessions bound to it end.")
@click.argument("verify_key")
@url_option
@format_option
def remove_key(verify_key: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.me.keys.remove(verify_key)
    print_done("removed", form)


# -- sessions ------------------------------------------------------------------------------------------


@me.group(help="Your logins that are still good.")
def sessions() -> None:
    pass


@sessions.command("list", help="Your sessions.")
@url_option
@format_option
def list_sessions(url: str, form: str) -> None:
    with open_client(url) as client:
        rows = session_rows(client.me.sessions.all())
    print_rows(rows, _SESSIONS, form, empty="No sessions: your key alone identifies you.")


@sessions.command("end", help="End one of your sessions.")
@click.argument("session_id")
@url_option
@format_option
def end_session(session_id: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.me.sessions.end(session_id)
    print_done("ended", form)


# -- one-time codes ------------------------------------------------------------------------------------


@me.group(help="One-time codes of an authenticator app, as a second factor of your login.")
def totp() -> None:
    pass


@totp.command(help="Begin: show the secret to your app, then `grid me totp confirm CODE`.")
@_PASSWORD_FILE
@url_option
@format_option
def enrol(password_file: str | None, url: str, form: str) -> None:
    with open_client(url) as client:
        found = client.me.enrol_totp(_password(password_file))
    print_record({"secret": found.secret, "uri": found.uri}, form)


@totp.command(help="Use one-time codes from now on. Prints your recovery codes: keep them safe.")
@click.argument("code")
@url_option
@format_option
def confirm(code: str, url: str, form: str) -> None:
    from syft_ext.messages.own_account import ConfirmTotp

    with open_client(url) as client:
        _print_codes(client.call(ConfirmTotp(code=code)).codes, form)


@totp.command(help="New recovery codes; the old ones are good no more.")
@click.argument("code", default="")
@_PASSWORD_FILE
@url_option
@format_option
def codes(code: str, password_file: str | None, url: str, form: str) -> None:
    with open_client(url) as client:
        _print_codes(client.me.renew_recovery_codes(_code(code), _password(password_file)), form)


@totp.command(help="Stop using one-time codes.")
@click.argument("code", default="")
@_PASSWORD_FILE
@url_option
@format_option
def remove(code: str, password_file: str | None, url: str, form: str) -> None:
    with open_client(url) as client:
        client.me.remove_totp(_code(code), _password(password_file))
    print_done("removed", form)


def _print_codes(codes: list[str], form: str) -> None:
    print_rows([{"recovery_code": code} for code in codes], ("recovery_code",), form, empty="")


def _password(file: str | None) -> Any:
    return secret("GRID_PASSWORD", file, "Password")


def _code(given: str) -> str:
    """The one-time code: given, from GRID_TOTP, or asked for at a terminal."""
    if given or os.environ.get("GRID_TOTP"):
        return given or os.environ["GRID_TOTP"]
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise click.UsageError("no one-time code: give CODE or set GRID_TOTP")
    return str(click.prompt("One-time code", err=True))
