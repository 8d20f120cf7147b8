"""``grid <kind> adopt``: go on with a database that its home refuses."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from grid.kinds import NodeKind

if TYPE_CHECKING:
    from grid.installation.adopt import Adoption
from apps.cli.output import format_option, print_done, say

__all__ = ["adopt_command"]


def adopt_command(kind: NodeKind) -> click.Command:
    """``grid <kind> adopt``."""

    @click.command(
        "adopt",
        short_help="Go on with a lost or restored database.",
        help=f"""Go on with the database that is there, although it is empty or older than the home says.

\b
Without this the {kind.title} does not start: what came since would be deleted as
garbage. Contents and unfinished uploads that the database does not know are moved
to HOME/quarantine; nothing is deleted. A database, or contents, of another node
are not taken over. Replicas with other homes: stop them first, adopt with each home.

\b
Examples:
  grid {kind.command} adopt --home ./{kind.command}         says what will happen, and asks
  grid {kind.command} adopt --home ./{kind.command} --yes   asks nothing
""",
    )
    @click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The node's home.")
    @click.option("--yes", is_flag=True, help="Do not ask.")
    @format_option
    def adopt(home: Path | None, yes: bool, form: str) -> None:
        from apps.assembly import adopt_installation
        from apps.cli.home import home_of, resolve_settings
        from apps.runner import lock_home

        place = home_of(kind.name, home)
        settings = resolve_settings(kind.name, place, None, {}).settings

        def agree(adoption: Adoption) -> bool:
            say(f"{adoption.reason.detail} [{adoption.reason.code}]", err=True)
            say(
                f"{adoption.contents} contents and {adoption.uploads} unfinished uploads ({adoption.size} bytes)"
                f" that the database does not know will be moved to {place / 'quarantine'}",
                err=True,
            )
            if yes:
                return True
            if not sys.stdin.isatty():
                raise click.UsageError("say --yes, or run this in a terminal to be asked")
            if not click.confirm("Go on with this database?", err=True):
                raise click.Abort
            return True

        with lock_home(place):
            done = adopt_installation(
                kind.name, place, settings.database_url or None, settings.contents or None, agree
            )
        print_done(
            "nothing was changed" if done is None else f"adopted; what was put aside is in {done}", form
        )

    return adopt
