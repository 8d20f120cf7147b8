"""``grid join``: take part in a training with a file or folder of one's own, until it ends."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from apps.cli.output import format_option, print_record, say
from apps.cli.ways import way_taken

if TYPE_CHECKING:
    from syft_ext.federated.joining import Joined

__all__ = ["COMMANDS", "join"]

COMMANDS = {
    "join": "Take part in a training with a file or folder of yours.",
}


@click.command(
    help="""Take part in TRAINING (NAME/VERSION) at the Domain at ADDRESS with DATA, until it ends.

\b
What will run is shown first. It runs where reviewers at the Domain approved
exactly that; else where you agree, by --digest, or by typing "yes" when asked.
DATA stays where it is: what leaves is what the training's plan makes of it.

\b
ADDRESS is that of the Domain, or of its Network with the Domain's key or name:
  grid join http://localhost:5000 biopsies/1.0 biopsies.csv
  grid join grid+https://network.example/north biopsies/1.0 biopsies.csv
"""
)
@click.argument("address")
@click.argument("training")
@click.argument("data", type=click.Path(exists=True, path_type=Path))
@click.option("--digest", default="", help="The definition that you agree to, whoever else has or has not.")
@click.option("--cycles", type=click.IntRange(min=1), default=None, help="Stop after so many reports.")
@click.option(
    "--token", default="", envvar="GRID_TRAINING_TOKEN", help="The training's own token, if it asks."
)
@format_option
def join(
    address: str, training: str, data: Path, digest: str, cycles: int | None, token: str, form: str
) -> None:
    from syft_ext.federated.joining import join

    joined: Joined = join(
        address,
        training,
        data,
        digest=digest,
        max_cycles=cycles,
        auth_token=token,
        say=partial(say, err=form == "json"),
    )
    summary = joined.summary
    print_record(
        {
            "training": training,
            "definition": joined.digest,
            "cycles": summary.cycles,
            "missed": summary.missed,
            "samples": summary.samples,
            "loss": summary.loss,
            "accuracy": summary.accuracy,
            "ended": summary.reason,
            **way_taken(joined.path),
        },
        form,
    )
