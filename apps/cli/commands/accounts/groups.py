"""``grid groups``: groups of people, and what they may do."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_done, print_record, print_rows
from apps.cli.people import may_option, user_id_of, wanted_flags

__all__ = ["COMMANDS", "groups"]

COMMANDS = {
    "groups": "Groups of people, and what they may do.",
}


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
        known = client.users.addresses() if found and form == "table" else {}
    rows = [_group_row(group) for group in found]
    rows = [row | {"users": [known.get(each, each) for each in row["users"]]} for row in rows]
    print_rows(rows, ("name", "users", "may", "id"), form, empty="There are no groups.")


@groups.command("create", help="Make a group; what it permits you must have yourself.")
@click.argument("name")
@click.option("--user", "people", multiple=True, help="Who is in it: e-mail or id. Can be repeated.")
@may_option("membership")
@url_option
@format_option
def create_group(name: str, people: tuple[str, ...], may: tuple[str, ...], url: str, form: str) -> None:
    with open_client(url) as client:
        members = [user_id_of(client, who) for who in people]
        made = client.groups.create(name, members, flags=wanted_flags(may, False) or [])
        print_record(_group_row(made), form)


@groups.command("update", help="Change a group: its name, who is in it, what it permits from now on.")
@click.argument("which")
@click.option("--name", default=None, help="The new name.")
@click.option("--add", multiple=True, help="Who comes in: e-mail or id. Can be repeated.")
@click.option("--remove", multiple=True, help="Who goes: e-mail or id. Can be repeated.")
@may_option("membership, and nothing else,")
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
        flags = wanted_flags(may, may_nothing)
        print_record(_group_row(client.groups.update(group.id, name=name, users=users, flags=flags)), form)


@groups.command("delete", help="Delete a group; its users stay.")
@click.argument("which")
@url_option
@format_option
def delete_group(which: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.groups.delete(client.groups[which].id)
    print_done("deleted", form)


def _group_row(group: Any) -> dict[str, Any]:
    may = [flag.removeprefix("can_") for flag in group.flags]
    return {"id": group.id, "name": group.name, "users": group.users, "may": may}
