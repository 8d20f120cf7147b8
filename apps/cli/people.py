"""What the commands about people share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

__all__ = ["PERMISSIONS", "may_option", "session_rows", "user_id_of", "wanted_flags", "with_emails"]

#: The seven permission flags, as people say them.
PERMISSIONS = (
    "triage_requests",
    "edit_settings",
    "create_users",
    "create_groups",
    "edit_roles",
    "manage_infrastructure",
    "upload_data",
)

F = TypeVar("F", bound=Callable[..., Any])


def may_option(what: str) -> Callable[[F], F]:
    """The option ``--may``, for what permits things."""
    help_text = f"What {what} permits. Can be repeated."
    return click.option("--may", "may", multiple=True, type=click.Choice(PERMISSIONS), help=help_text)


def wanted_flags(may: tuple[str, ...], nothing: bool) -> Any:
    """The flags to carry from now on; None when the command does not say."""
    if may and nothing:
        raise click.UsageError("--may and --may-nothing exclude each other")
    return [f"can_{flag}" for flag in may] if may or nothing else None


def user_id_of(client: Any, who: str) -> str:
    """The id of whom ``who`` names: an e-mail address, or an id."""
    return str(client.users.id_of(who))


def with_emails(client: Any, rows: list[dict[str, Any]], field: str = "user_id") -> list[dict[str, Any]]:
    """The rows, each with a ``user``: the e-mail address of whom ``field`` names, where it may be known."""
    known = client.users.addresses() if rows else {}
    return [{"user": known.get(row[field], row[field]), **row} for row in rows]


def session_rows(sessions: Any) -> list[dict[str, Any]]:
    """Sessions as rows of a table: since when, and for how many minutes more each is good."""
    import time

    import msgspec

    from apps.cli.output import ago

    left = [max(0, round((each.expires_at - time.time()) / 60)) for each in sessions]
    return [
        msgspec.to_builtins(each) | {"created": ago(each.created_at), "expires_in_minutes": minutes}
        for each, minutes in zip(sessions, left, strict=True)
    ]
