"""``grid training``: the trainings of a Domain."""

from __future__ import annotations

from typing import Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import format_option, print_rows

__all__ = ["COMMANDS", "training"]

COMMANDS = {
    "training": "List, watch and cancel trainings.",
}


@click.group(help=COMMANDS["training"])
def training() -> None:
    pass


@training.command("list", help="The trainings of a Domain, newest first.")
@url_option
@format_option
def training_list(url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.federated import ListProcesses

    with open_client(url, "domain") as client:
        found = client.call(ListProcesses()).processes
    rows = [
        msgspec.to_builtins(each) | {"cycles": f"{each.cycles_completed}/{each.num_cycles or '∞'}"}
        for each in found
    ]
    columns = ("name", "version", "status", "cycles", "admitted", "reported", "owner", "process_id")
    print_rows(rows, columns, form, empty="No trainings.")


@training.command(
    "watch",
    help="""Follow a training until it ends: cycles, participants, loss.

\b
WHICH is NAME, NAME/VERSION, or the training's id.
""",
)
@click.argument("which")
@click.option("--timeout", type=float, default=None, help="Stop watching after so many seconds.")
@url_option
@format_option
def training_watch(which: str, timeout: float | None, url: str, form: str) -> None:
    import msgspec

    with open_client(url, "domain") as client:
        found = _find(client, which)
        metrics = found.watch(timeout=timeout)
        status = found.view.status
    rows = [msgspec.to_builtins(cycle) for cycle in metrics]
    columns = ("cycle", "status", "admitted", "reported", "samples", "loss", "accuracy")
    print_rows(rows, columns, form, empty=f"The training is {status}.")


@training.command("cancel", help="End a training for good; its checkpoints stay. WHICH as in `watch`.")
@click.argument("which")
@click.option("--reason", default="", help="What its history says.")
@url_option
def training_cancel(which: str, reason: str, url: str) -> None:
    with open_client(url, "domain") as client:
        _find(client, which).cancel(reason)
    click.echo("cancelled")


def _find(client: Any, which: str) -> Any:
    """The training that NAME, NAME/VERSION or an id names."""
    from syft_ext.errors import NotFound

    name, separator, version = which.rpartition("/")
    for each in client.trainings.all():
        if which in (each.id, each.name) or (separator and (each.name, each.version) == (name, version)):
            return each
    raise NotFound(f"there is no training {which!r}")
