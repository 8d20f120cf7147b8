"""``grid environments``: compute environments that a Domain's owner makes for users."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_done, print_record, print_rows

__all__ = ["COMMANDS", "environments"]

COMMANDS = {
    "environments": "Compute environments of a Domain: sandboxed processes for users.",
}

_COLUMNS = ("user", "instance_type", "state", "reason", "id")


@click.group(help=COMMANDS["environments"])
def environments() -> None:
    pass


@environments.command(help="What environments may be made of.")
@url_option
@format_option
def types(url: str, form: str) -> None:
    rows = [
        {name: getattr(each, name) for name in each.__struct_fields__} for each in _workers(url).instances()
    ]
    columns = ("name", "threads", "memory", "cpu_seconds", "seconds", "provider")
    print_rows(rows, columns, form, empty="This Domain makes no environments.")


@environments.command(help="Make an environment for a user, and wait until it runs.")
@click.option("--user", default="", help="Id or e-mail address. [default: yourself]")
@click.option("--type", "instance_type", default="", help="A name of `types`. [default: the first]")
@click.option("--wait/--no-wait", default=True, help="Wait until it runs.")
@url_option
@format_option
def create(user: str, instance_type: str, wait: bool, url: str, form: str) -> None:
    print_record(_record(_workers(url).create(user, instance_type, wait=wait)), form)


@environments.command("list", help="Yours, or everybody's, the newest first.")
@click.option("--all", "include_all", is_flag=True, help="Those of all users.")
@click.option("--failed", is_flag=True, help="Also those that failed or were lost.")
@click.option("--destroyed", is_flag=True, help="Also those that were destroyed.")
@url_option
@format_option
def list_(include_all: bool, failed: bool, destroyed: bool, url: str, form: str) -> None:
    found = _workers(url).find(include_all=include_all, include_failed=failed, include_destroyed=destroyed)
    print_rows([_record(item) for item in found], _COLUMNS, form, empty="No environments.")


@environments.command(help="One environment: its limits, what it uses, and what happened to it.")
@click.argument("environment_id")
@url_option
@format_option
def show(environment_id: str, url: str, form: str) -> None:
    item = _workers(url).get(environment_id)
    history = [f"{step.state} {step.reason}".strip() for step in item.view.history]
    print_record({**_record(item), "history": history}, form)


@environments.command(help="End an environment, with all that is in it.")
@click.argument("environment_id")
@url_option
@format_option
def destroy(environment_id: str, url: str, form: str) -> None:
    print_done(_workers(url).destroy(environment_id).state, form)


def _workers(url: str) -> Any:
    client: Any = open_client(url, "domain")
    return client.workers


def _record(item: Any) -> dict[str, Any]:
    view = item.view
    return {name: getattr(view, name) for name in view.__struct_fields__ if name != "history"}
