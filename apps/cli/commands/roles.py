"""``grid roles`` and ``grid groups``: what people may do at a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from apps.cli.client import open_client, url_option
from apps.cli.commands.users import user_id_of
from apps.cli.output import format_option, print_record, print_rows

__all__ = ["groups", "roles"]

#: The seven permission flags, as people say them.
_MAY = (
    "triage_requests",
    "edit_settings",
    "create_users",
    "create_groups",
    "edit_roles",
    "manage_infrastructure",
    "upload_data",
)

F = TypeVar("F", bound=Callable[..., Any])


def _may_option(what: str) -> Callable[[F], F]:
    help_text = f"What {what} permits. Can be repeated."
    return click.option("--may", "may", multiple=True, type=click.Choice(_MAY), help=help_text)


@click.group(
    help="""Make and change roles. Each user has one. WHICH is a name or an id.

\b
Examples:
  grid roles create Steward --may upload_data --may triage_requests
  grid roles update Steward --may upload_data
"""
)
def roles() -> None:
    pass


@roles.command("list", help="All roles, and what they permit.")
@url_option
@format_option
def list_roles(url: str, form: str) -> None:
    with open_client(url) as client:
        found = client.roles.all()
    print_rows([_role_row(role) for role in found], ("id", "name", "may", "seed"), form, empty="None.")


@roles.command("create", help="Make a role, with permissions that you have yourself.")
@click.argument("name")
@_may_option("it")
@url_option
@format_option
def create_role(name: str, may: tuple[str, ...], url: str, form: str) -> None:
    with open_client(url) as client:
        print_record(_role_row(client.roles.create(name, **{f"can_{flag}": True for flag in may})), form)


@roles.command("update", help="Change a role's name, or what it permits from now on.")
@click.argument("which")
@click.option("--name", default=None, help="The new name.")
@_may_option("it, and nothing else,")
@click.option("--may-nothing", is_flag=True, help="Take all permissions from it.")
@url_option
@format_option
def update_role(
    which: str, name: str | None, may: tuple[str, ...], may_nothing: bool, url: str, form: str
) -> None:
    flags = _wanted(may, may_nothing)
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if flags is not None:
        changes |= {f"can_{flag}": f"can_{flag}" in flags for flag in _MAY}
    with open_client(url) as client:
        print_record(_role_row(client.roles.update(client.roles[which].id, **changes)), form)


@roles.command("delete", help="Delete a role that nobody has.")
@click.argument("which")
@url_option
def delete_role(which: str, url: str) -> None:
    with open_client(url) as client:
        client.roles.delete(client.roles[which].id)
    click.echo("deleted")


@click.group(
    help="""Make and change groups: to share with, and to permit things to. WHICH is a name or an id.

\b
Examples:
  grid groups create oncology --user ann@example.org
  grid groups create stewards --may upload_data --user bob@example.org
  grid groups update stewards --add ann@example.org --remove bob@example.org
"""
)
def groups() -> None:
    pass


@groups.command("list", help="All groups.")
@url_option
@format_option
def list_groups(url: str, form: str) -> None:
    with open_client(url) as client:
        found = client.groups.all()
    print_rows([_group_row(group) for group in found], ("name", "users", "may", "id"), form, empty="None.")


@groups.command("create", help="Make a group; what it permits you must have yourself.")
@click.argument("name")
@click.option("--user", "people", multiple=True, help="Who is in it: e-mail or id. Can be repeated.")
@_may_option("membership")
@url_option
@format_option
def create_group(name: str, people: tuple[str, ...], may: tuple[str, ...], url: str, form: str) -> None:
    with open_client(url) as client:
        members = [user_id_of(client, who) for who in people]
        made = client.groups.create(name, members, flags=_wanted(may, False) or [])
        print_record(_group_row(made), form)


@groups.command("update", help="Change a group: its name, who is in it, what it permits from now on.")
@click.argument("which")
@click.option("--name", default=None, help="The new name.")
@click.option("--add", multiple=True, help="Who comes in: e-mail or id. Can be repeated.")
@click.option("--remove", multiple=True, help="Who goes: e-mail or id. Can be repeated.")
@_may_option("membership, and nothing else,")
@click.option("--may-nothing", is_flag=True, help="Take all permissions from it.")
@url_option
@format_option
def update_group(
    which: str,
    name: str | None,
    add: tuple[str, ...],
    remove: tuple[str, ...],
    may: tuple[str, ...],
    may_nothing: bool,
    url: str,
    form: str,
) -> None:
    with open_client(url) as client:
        group = client.groups[which]
        members = {*group.users, *(user_id_of(client, who) for who in add)}
        members -= {user_id_of(client, who) for who in remove}
        users = sorted(members) if add or remove else None
        flags = _wanted(may, may_nothing)
        print_record(_group_row(client.groups.update(group.id, name=name, users=users, flags=flags)), form)


@groups.command("delete", help="Delete a group; its users stay.")
@click.argument("which")
@url_option
def delete_group(which: str, url: str) -> None:
    with open_client(url) as client:
        client.groups.delete(client.groups[which].id)
    click.echo("deleted")


def _wanted(may: tuple[str, ...], nothing: bool) -> Any:
    """The flags to carry from now on; None when the command does not say."""
    if may and nothing:
        raise click.UsageError("--may and --may-nothing exclude each other")
    return [f"can_{flag}" for flag in may] if may or nothing else None


def _role_row(role: Any) -> dict[str, Any]:
    may = [flag for flag in _MAY if getattr(role, f"can_{flag}")]
    return {"id": role.id, "name": role.name, "may": may, "seed": role.seed}


def _group_row(group: Any) -> dict[str, Any]:
    may = [flag.removeprefix("can_") for flag in group.flags]
    return {"id": group.id, "name": group.name, "users": group.users, "may": may}
