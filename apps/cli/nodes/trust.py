"""``grid worker trust``: whose word counts for a Worker in confidential trainings, and how much they may have."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.home import home_of
from apps.cli.output import format_option, print_done, print_record, say

if TYPE_CHECKING:
    from syft_ext.confidential.trust import Trust

__all__ = ["trust"]


def _home_option(command: Any) -> Any:
    return click.option(
        "--home", type=click.Path(file_okay=False, path_type=Path), help="The Worker's home."
    )(command)


@click.group(
    help="""Pins for confidential trainings: which key hosts and authorities, which programs, how much in all.

With pins, this Worker takes part in confidential trainings alone (and in those by secure aggregation, if the pins
say so), and sends nothing in the clear. Without, it takes part in no confidential training, and says so.

\b
pins.toml:
  hosts = ["5f0c…", "91ab…", "c2d4…"]       # verify keys, from the key hosts' operators
  authorities = ["77aa…"]                   # who vouches for participants
  certificate = "participant.certificate"   # for this Worker's own key (`grid worker trust key`)
  evidence = ["terms.json"]                 # which programs are accepted; a policy's TOML will do, too
  rho = 0.5                                 # ρ that all rounds may cost together
  rounds = 40

\b
Examples:
  grid worker trust key --home ./worker
  grid worker trust set pins.toml --home ./worker
  grid worker trust show --home ./worker
"""
)
def trust() -> None:
    pass


@trust.command(help="The Worker's own verify key, which an authority certifies (`grid authority certify`).")
@_home_option
@format_option
def key(home: Path | None, form: str) -> None:
    from syft_ext.identity import Identity

    print_record({"key": Identity.load_or_create(_worker_home(home) / "node.key").verify_key}, form)


@trust.command(
    "set",
    help="""Take the pins in FILE (TOML), with what they name, into the Worker's home.

The Worker reads them when it starts: start it again.
""",
)
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@_home_option
@format_option
def set_pins(file: Path, home: Path | None, form: str) -> None:
    from grid.worker.pins import PINS, own_pins
    from syft_ext.confidential.pins import pins_to_document, read_pins
    from syft_ext.identity import Identity

    place = _worker_home(home)
    own_pins(file, Identity.load_or_create(place / "node.key"))
    document = json.dumps(pins_to_document(read_pins(file)), indent=1)
    temporary = place / f"{PINS}.new"
    with os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as out:
        out.write(document)
        out.flush()
        os.fsync(out.fileno())
    temporary.replace(place / PINS)
    print_done("set; start the Worker again", form, file=str(place / PINS))


@trust.command(help="The pins that are set, and what was given to rounds so far.")
@_home_option
@format_option
def show(home: Path | None, form: str) -> None:
    from grid.worker.pins import PARTICIPANT, PINS
    from syft_ext.confidential.pins import read_pins
    from syft_ext.federated.sealed.book import ParticipantBook

    place = _worker_home(home)
    if not (place / PINS).is_file():
        say("no pins are set: this Worker takes part in no confidential training", err=form == "json")
        if form == "json":
            print_record({}, form)
        return
    print_record(_shown(read_pins(place / PINS), ParticipantBook(place / PARTICIPANT).odometer), form)


@trust.command(help="Forget the pins: the Worker then takes part in no confidential training.")
@_home_option
@format_option
def clear(home: Path | None, form: str) -> None:
    from grid.worker.pins import PINS

    (_worker_home(home) / PINS).unlink(missing_ok=True)
    print_done("cleared; start the Worker again", form)


def _worker_home(home: Path | None) -> Path:
    """The Worker's home; a place where none is, is an error and not one without pins."""
    place = home_of("worker", home)
    if not (place / "node.key").is_file():
        raise click.ClickException(f"{place}: there is no Worker yet; its first start makes its key")
    return place


def _shown(found: Trust, odometer: Any) -> dict[str, Any]:
    from datetime import UTC, datetime

    from syft_ext.confidential.certificates import ParticipantCertificate
    from syft_ext.confidential.pins import pins_to_document

    certificate = ParticipantCertificate.decode(found.own_certificate.body)
    until = datetime.fromtimestamp(certificate.not_after, UTC).isoformat()
    shown = pins_to_document(found) | {
        "certificate": f"{certificate.subject}, until {until}",
        "rho_given": odometer.rho / 10**9,
        "rounds_given": len(odometer.rounds),
    }
    if not found.production:
        shown["warning"] = "these pins take simulated evidence, which protects nothing"
    return shown
