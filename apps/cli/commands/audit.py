"""``grid audit``: who did what to which object by which grant, and whether the log is as it was written."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.client import open_client, open_worker, url_option
from apps.cli.output import ago, format_option, print_rows

if TYPE_CHECKING:
    from grid.storage.sql.database import Database
    from syft_ext.identity import Identity

__all__ = ["COMMANDS", "audit"]

COMMANDS = {
    "audit": "Who did what to which object by which grant.",
}

_COLUMNS = ("seq", "when", "who", "operation", "objects", "grants", "outcome", "detail")

_home_option = click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="A node's home: no running node is needed.",
)
_database_option = click.option(
    "--database-url",
    envvar="GRID_DATABASE_URL",
    default="",
    help="With --home: where the node's database is, if not there. [$GRID_DATABASE_URL]",
)


@click.group(
    help="""Who did what to which object by which grant.

\b
Examples:
  grid audit show --actor ann@lab.example --outcome refused
  grid audit verify
  grid audit export audit.jsonl
  grid audit verify --file audit.jsonl
  grid audit verify --home ./north
"""
)
def audit() -> None:
    pass


@audit.command(help="Entries of the log, the newest first.")
@click.option("--actor", default="", help="Id, key or e-mail of who did it.")
@click.option("--object", "object_id", default="", help="What it was done to.")
@click.option("--grant", "grant_id", default="", help="By which grant.")
@click.option("--operation", default="", help="Its name, or its group: datasets.")
@click.option("--outcome", default="", help='"ok", an error\'s code, or "refused": all but ok.')
@click.option("--since", default=None, type=click.DateTime(), help="From then on (local time).")
@click.option("--until", default=None, type=click.DateTime(), help="Before then (local time).")
@click.option("--limit", default=50, type=click.IntRange(1, 1000), help="At most so many.", show_default=True)
@click.option(
    "--home",
    type=click.Path(path_type=Path, file_okay=False),
    help="The home of a running Worker, which knows no logins.",
)
@url_option
@format_option
def show(home: Path | None, url: str, form: str, since: Any, until: Any, **filters: Any) -> None:
    import msgspec

    from syft_ext.messages.audit import ListAudit

    moments = {"since": since, "until": until}
    filters |= {name: moment.timestamp() for name, moment in moments.items() if moment is not None}
    with closing(open_worker(home) if home is not None else open_client(url)) as node:
        entries = node.call(ListAudit(**filters)).entries
    rows = [
        {
            **msgspec.to_builtins(entry),
            "when": ago(entry.at),
            "who": entry.actor_name or entry.actor or entry.actor_kind,
        }
        for entry in entries
    ]
    print_rows(rows, _COLUMNS, form, empty="no entries")


@audit.command(
    help="Check every entry, the chain and the signed checkpoints; exit code 1 if something is wrong."
)
@click.option("--file", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="An export.")
@click.option("--key", "verify_key", default="", help="With --file: the node's key, if you know it.")
@_home_option
@_database_option
@url_option
@click.pass_context
def verify(
    ctx: click.Context, file: Path | None, verify_key: str, home: Path | None, database_url: str, url: str
) -> None:
    from syft_ext.audit.export import verify_export

    report: Any
    if file is not None:
        report = verify_export(file, verify_key=verify_key)
    elif home is not None:
        from grid.audit.checkpoints import FILE
        from grid.audit.log import verify_database

        with _opened(home, database_url) as (identity, database):
            report = verify_database(database, identity.verify_key, home / FILE)
    else:
        with open_client(url) as client:
            report = client.audit.verify()
    if report.intact:
        click.echo(f"intact: {report.entries} entries, signed up to entry {report.signed_up_to}")
        return
    for problem in report.problems:
        click.echo(problem)
    ctx.exit(1)


@audit.command(help="Write the whole log to PATH as JSON Lines, with signed checkpoints.")
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@_home_option
@_database_option
@url_option
def export(path: Path, home: Path | None, database_url: str, url: str) -> None:
    if home is None:
        with open_client(url) as client:
            report = client.audit.export(path)
        click.echo(f"{report.entries} entries in {path}" + ("" if report.intact else f"\n{report}"))
        return
    import time

    from grid.audit.checkpoints import FILE
    from grid.audit.log import export_database

    with _opened(home, database_url) as (identity, database), path.open("wb") as file:
        file.writelines(export_database(database, identity, home / FILE, time.time()))
    click.echo(f"written to {path}")


@contextmanager
def _opened(home: Path, database_url: str) -> Iterator[tuple[Identity, Database]]:
    """The identity and the database of the node in ``home``, which may be running or not."""
    from grid.storage.sql.database import Database
    from syft_ext.errors import NotFound
    from syft_ext.identity import Identity

    if not (home / "node.key").exists() or not (database_url or (home / "node.db").exists()):
        raise NotFound(f"{home} is no home of a node")
    database = Database(database_url or f"sqlite:///{home / 'node.db'}")
    try:
        yield Identity.load_or_create(home / "node.key"), database
    finally:
        database.close()
