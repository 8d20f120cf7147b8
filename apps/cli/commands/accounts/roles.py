"""``grid roles``: what people may do at a node, by role."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_done, print_record, print_rows
from apps.cli.people import PERMISSIONS, may_option, wanted_flags

__all__ = ["COMMANDS", "roles"]

COMMANDS = {
    "roles": "What people may do, by role.",
}


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
    print_rows(
        [_role_row(role) for role in found], ("id", "name", "may", "seed"), form, empty="There are no roles."
    )


@roles.command("create", help="Make a role, with permissions that you have yourself.")
@click.argument("name")
@may_option("it")
@url_option
@format_option
def create_role(name: str, may: tuple[str, ...], url: str, form: str) -> None:
    with open_client(url) as client:
        print_record(_role_row(client.roles.create(name, **{f"can_{flag}": True for flag in may})), form)


@roles.command("update", help="Change a role's name, or what it permits from now on.")
@click.argument("which")
@click.option("--name", default=None, help="The new name.")
@may_option("it, and nothing else,")
@click.option("--may-nothing", is_flag=True, help="Take all permissions from it.")
@url_option
@format_option
def update_role(
    which: str, name: str | None, may: tuple[str, ...], may_nothing: bool, url: str, form: str
) -> None:
    flags = wanted_flags(may, may_nothing)
    changes: dict[str, Any] = {} if name is None else {"name": name}
    if flags is not None:
        changes |= {f"can_{flag}": f"can_{flag}" in flags for flag in PERMISSIONS}
    with open_client(url) as client:
        print_record(_role_row(client.roles.update(client.roles[which].id, **changes)), form)


@roles.command("delete", help="Delete a role that nobody has.")
@click.argument("which")
@url_option
@format_option
def delete_role(which: str, url: str, form: str) -> None:
    with open_client(url) as client:
        client.roles.delete(client.roles[which].id)
    print_done("deleted", form)


def _role_row(role: Any) -> dict[str, Any]:
    may = [flag for flag in PERMISSIONS if getattr(role, f"can_{flag}")]
    return {"id": role.id, "name": role.name, "may": may, "seed": role.seed}
