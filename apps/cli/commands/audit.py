"""``grid audit``: who did what to which object by which grant, and whether the log is as it was written."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.client import open_client, open_own_node, url_option
from apps.cli.output import FAILED, ago, format_option, print_done, print_rows, say, say_json

if TYPE_CHECKING:
    from grid.storage.blobs.interface import BlobStore
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
    help="A node's home: no running node is needed. [contents that are not there: $GRID_CONTENTS]",
)
_archives_help = "Folder of the archives of older entries"
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
  grid audit export audit.jsonl --archives ./archives
  grid audit verify --file audit.jsonl --archives ./archives
  grid audit verify --home ./north


A node keeps its latest entries in the database (settings audit_kept, audit_age), and
older ones in archives: compressed exports among its contents, each signed and linked
to the one before it. A node's verification reads them all.
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
    with closing(open_own_node(home) if home is not None else open_client(url)) as node:
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
@click.option(
    "--archives",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help=f"With --file: {_archives_help[0].lower()}{_archives_help[1:]}, to be looked at too.",
)
@_home_option
@_database_option
@url_option
@click.pass_context
@format_option
def verify(
    ctx: click.Context,
    file: Path | None,
    verify_key: str,
    archives: Path | None,
    home: Path | None,
    database_url: str,
    url: str,
    form: str,
) -> None:
    from syft_ext.audit.export import not_looked_at, verify_export

    report: Any
    if file is not None:
        report = verify_export(file, verify_key=verify_key, archives=archives)
    elif home is not None:
        from grid.audit.checkpoints import FILE
        from grid.audit.log import verify_database

        with _opened(home, database_url) as (identity, database):
            store = _contents_of(home)
            report = verify_database(database, identity.verify_key, home / FILE, store)
    else:
        with open_client(url) as client:
            report = client.audit.verify()
    if form == "json":
        facts = {"intact": report.intact, "entries": report.entries, "signed_up_to": report.signed_up_to}
        facts["archives"] = report.archives
        say_json({**facts, "problems": list(report.problems)})
    elif report.intact:
        unseen = not_looked_at(report.first) if file is not None else ""
        read = f" ({report.archives} archives among them)" if report.archives else ""
        say(f"intact: {report.entries} entries{read}, signed up to entry {report.signed_up_to}{unseen}")
    else:
        for problem in report.problems:
            say(problem)
    ctx.exit(0 if report.intact else FAILED)


@audit.command(
    help="Write the log to PATH as JSON Lines, with signed checkpoints; exit code 1 if it is not intact."
)
@click.argument("path", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--archives",
    type=click.Path(path_type=Path, file_okay=False),
    help=f"{_archives_help}, which are written there too. [default: they are named in PATH]",
)
@_home_option
@_database_option
@url_option
@format_option
def export(
    path: Path,
    archives: Path | None,
    home: Path | None,
    database_url: str,
    url: str,
    form: str,
) -> None:
    from syft_ext.audit.export import verify_export

    if home is None:
        with open_client(url) as client:
            report: Any = client.audit.export(path, archives=archives)
    else:
        import time

        from grid.audit.archives import write_archives
        from grid.audit.checkpoints import FILE
        from grid.audit.log import export_database

        with _opened(home, database_url) as (identity, database):
            with path.open("wb") as file:
                file.writelines(export_database(database, identity, home / FILE, time.time()))
            if archives is not None:
                write_archives(database, _contents_of(home), archives)
        report = verify_export(path, verify_key=identity.verify_key, archives=archives)
    print_done(f"{report.entries} entries in {path}", form, problems=list(report.problems))
    if not report.intact:
        for problem in report.problems:
            say(problem, err=True)
        raise click.exceptions.Exit(FAILED)


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


def _contents_of(home: Path) -> BlobStore:
    """The store of contents of the node in ``home``, where its archives are."""
    from apps.assembly import open_contents

    return open_contents(home, os.environ.get("GRID_CONTENTS") or None, make=False)
