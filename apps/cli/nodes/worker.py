"""The commands of a Worker's owner, on the machine that it runs on: signed with the Worker's own key."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from apps.cli.client import open_worker
from apps.cli.home import home_of
from apps.cli.output import format_option, print_record, print_rows

__all__ = ["WORKER_COMMANDS"]

_COLUMNS = ("name", "version", "decision", "state", "reports", "last_cycle", "last_loss", "last_error")


def _home_option(command: Any) -> Any:
    return click.option(
        "--home", type=click.Path(file_okay=False, path_type=Path), help="The running Worker's home."
    )(command)


@click.command(help="The trainings that this Worker has seen at its Domain, and what became of each.")
@_home_option
@format_option
def trainings(home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.worker import ListSeenTrainings

    found = _call(home, ListSeenTrainings()).trainings
    rows = [msgspec.to_builtins(each) for each in found]
    print_rows(rows, _COLUMNS, form, empty="The Domain has offered no training yet.")


@click.command(
    help="""Let this Worker take part in TRAINING (NAME/VERSION).

\b
Example:
  grid worker approve breast-cancer/1.0 --home ./worker
"""
)
@click.argument("training")
@_home_option
@format_option
def approve(training: str, home: Path | None, form: str) -> None:
    _decide(training, "approved", home, form)


@click.command(help="Keep this Worker out of TRAINING (NAME/VERSION); it leaves if it takes part already.")
@click.argument("training")
@_home_option
@format_option
def deny(training: str, home: Path | None, form: str) -> None:
    _decide(training, "denied", home, form)


@click.command(help="How this Worker is: objects, sandbox, load, whether it trains.")
@_home_option
@format_option
def status(home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.worker import GetWorkerStatus

    print_record(msgspec.to_builtins(_call(home, GetWorkerStatus())), form)


@click.command(
    help="""Forget the Domain that this Worker joined, and the Domain's key.

The Worker asks again at its next start: do this when the Domain was installed anew.
"""
)
@_home_option
def leave(home: Path | None) -> None:
    from syft_ext.messages.network import DeleteAssociation, ListAssociations

    for each in _call(home, ListAssociations()).associations:
        _call(home, DeleteAssociation(association_id=each.association_id))
    click.echo("left")


def _decide(training: str, decision: Any, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.worker import DecideTraining

    name, separator, version = training.rpartition("/")
    if not separator:
        raise click.UsageError("a training is NAME/VERSION: see `grid worker trainings`")
    view = _call(home, DecideTraining(name=name, version=version, decision=decision))
    print_record(msgspec.to_builtins(view), form)


def _call(home: Path | None, message: Any) -> Any:
    connection = open_worker(home_of("worker", home))
    try:
        return connection.call(message)
    finally:
        connection.close()


WORKER_COMMANDS: tuple[click.Command, ...] = (trainings, approve, deny, status, leave)
