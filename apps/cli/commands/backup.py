"""``grid backup``, ``grid verify``, ``grid quarantine``: what a node keeps, copied, put back and looked
through."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from apps.cli.client import open_client, url_option
from apps.cli.kind_name import KindName
from apps.cli.output import ago, format_option, print_done, print_record, print_rows, secret
from syft_ext.units import scaled

if TYPE_CHECKING:
    from grid.config import NodeSettings
    from grid.installation.claim import Installation
    from grid.upkeep.places import Secret
    from grid.upkeep.restoring import Looked

__all__ = ["COMMANDS", "backup", "quarantine", "verify"]

COMMANDS = {
    "backup": "Copy a node, while it runs or not, and put it back.",
    "quarantine": "What was deleted on a node and waits to be gone.",
    "verify": "Look through a node's contents, database and audit log.",
}
WRONG = 1

_kind = click.option(
    "--kind", type=KindName(), default="domain", show_default=True, help="Which kind of node."
)
_home = click.option("--home", type=click.Path(file_okay=False, path_type=Path), help="The node's home.")
_snapshot = click.option(
    "--snapshot", default="", help="Of a folder: the name of one, or how it begins. [default: the newest]"
)
_place = click.argument("place", type=click.Path(path_type=Path))


@dataclass(frozen=True, slots=True)
class _Seal:
    """What a backup is sealed with, as the command line says it."""

    passphrase_file: str | None
    key_file: Path | None

    def secret(self, *, new: bool = False) -> Secret:
        from grid.upkeep.places import Secret
        from syft_ext.errors import BadRequest

        if self.key_file is not None:
            if self.passphrase_file is not None:
                raise click.UsageError("--key-file and --passphrase-file exclude each other")
            try:
                return Secret(bytes.fromhex(self.key_file.read_text().strip()), passphrase=False)
            except ValueError as error:
                raise BadRequest(
                    "a key file holds 64 hex digits (`grid backup key FILE` makes one)"
                ) from error
        phrase = secret(
            "GRID_BACKUP_PASSPHRASE", self.passphrase_file, "Passphrase of the backup", confirm=new
        )
        if not phrase:
            raise click.UsageError("a backup is sealed: give a passphrase or a key file")
        return Secret(phrase.encode(), passphrase=True)


def _sealed(command: Callable[..., None]) -> Callable[..., None]:
    """The options that say what a backup is sealed with: the command's argument ``seal``."""

    @wraps(command)
    def with_seal(*args: Any, passphrase_file: str | None, key_file: Path | None, **options: Any) -> None:
        command(*args, seal=_Seal(passphrase_file, key_file), **options)

    for option in (
        click.option("--key-file", type=click.Path(path_type=Path, dir_okay=False), help="File with a key."),
        click.option("--passphrase-file", default=None, help="File with the passphrase."),
    ):
        with_seal = option(with_seal)
    return with_seal


@click.group(
    help="""Copy a node, while it runs or not, and put it back.

\b
PLACE is a folder, which keeps many backups and each content once, or one file whose
name ends with .gridbackup. Both are sealed, with a passphrase (from
GRID_BACKUP_PASSPHRASE, GRID_BACKUP_PASSPHRASE_FILE, --passphrase-file, or asked for)
or with a key (--key-file). Without it nobody opens them, you neither.

\b
Examples:
  grid backup create /mnt/backups --home ./hospital
  grid backup list /mnt/backups
  grid backup verify /mnt/backups
  grid backup restore /mnt/backups --home ./hospital-again
  grid domain acknowledge-restore --home ./hospital-again
"""
)
def backup() -> None:
    pass


@backup.command(help="Make a key in FILE, to seal backups with. Keep it elsewhere than the backups.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@format_option
def key(file: Path, form: str) -> None:
    fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(fd, "w") as out:
        out.write(os.urandom(32).hex() + "\n")
    print_done(f"a new key is in {file}", form, file=str(file))


@backup.command(
    help="Copy the node in a home to PLACE: key, settings, database, contents, audit log, at one moment. "
    "Exit code 1 if contents of it are damaged: these are not in the copy."
)
@_place
@_kind
@_home
@_sealed
@format_option
@click.pass_context
def create(
    ctx: click.Context,
    place: Path,
    kind: str,
    home: Path | None,
    form: str,
    seal: _Seal,
) -> None:
    from grid.upkeep.creating import create as make
    from syft_ext.clock import SystemClock

    with _installation(kind, home) as (installation, _):
        made = make(installation, place, seal.secret(new=not place.exists()), SystemClock())
    lines = [
        f"{made.name}: {made.rows} rows, {made.contents} contents of {scaled(made.size, 'B')}, "
        f"{made.copied} of them copied now"
    ]
    lines += [f"not in the backup, for it is damaged here: content {digest}" for digest in made.lost]
    print_done(lines, form, **asdict(made))
    if made.lost:
        ctx.exit(WRONG)


@backup.command("list", help="The backups in a folder.")
@_place
@_sealed
@format_option
def listed(place: Path, form: str, seal: _Seal) -> None:
    from grid.upkeep.places import open_folder
    from grid.upkeep.records import BackupHead, read_records

    folder, rows = open_folder(place, seal.secret()), []
    for name in folder.snapshots():
        with folder.snapshot(name) as reader:
            head = _head(next(read_records(reader)), BackupHead)
        rows.append({"snapshot": name, "made_at": head.at, "kind": head.kind, "node": head.node_id})
    print_rows(rows, ("snapshot", "made_at", "kind", "node"), form, empty="no backups")


def _head(record: Any, kind: Any) -> Any:
    import msgspec

    return msgspec.convert(record[1], kind)


@backup.command("verify", help="Read all of a backup; exit code 1 if something is wrong with it.")
@_place
@_snapshot
@_sealed
@format_option
@click.pass_context
def verify_backup(
    ctx: click.Context,
    place: Path,
    snapshot: str,
    form: str,
    seal: _Seal,
) -> None:
    from grid.upkeep.restoring import look_through

    looked = look_through(place, seal.secret(), snapshot)
    whole = (
        f"whole: {looked.head.kind} {looked.head.node_id} of {ago(looked.head.at)}, {looked.rows} rows, "
        f"{looked.contents} contents of {scaled(looked.size, 'B')}"
    )
    print_done(looked.problems or whole, form, **_facts(looked))
    if looked.problems:
        ctx.exit(WRONG)


def _facts(looked: Looked) -> dict[str, Any]:
    """What a backup is of and has, and what is wrong with it."""
    return {
        "kind": looked.head.kind,
        "node_id": looked.head.node_id,
        "at": looked.head.at,
        "rows": looked.rows,
        "contents": looked.contents,
        "size": looked.size,
        "problems": looked.problems,
    }


@backup.command(
    help="Put a backup into an empty home (and database, and store of contents). The node waits then until you "
    "say `grid KIND acknowledge-restore`."
)
@_place
@_kind
@_home
@click.option("--database-url", envvar="DATABASE_URL", default="", help="An empty database. [$DATABASE_URL]")
@click.option("--contents", default="", help="URL of an empty store of contents.")
@_snapshot
@_sealed
@format_option
def restore(
    place: Path,
    kind: str,
    home: Path | None,
    database_url: str,
    contents: str,
    snapshot: str,
    form: str,
    seal: _Seal,
) -> None:
    from apps.assembly import open_contents
    from apps.cli.home import home_of
    from apps.runner import lock_home
    from grid.upkeep.restoring import restore as put_back

    target = home_of(kind, home)
    sealed = seal.secret()
    looked = put_back(
        place,
        sealed,
        target,
        database_url,
        lambda: open_contents(target, contents or None),
        kind=kind,
        now=time.time(),
        snapshot=snapshot,
    )
    lock_home(target).close()
    lines = [
        f"{looked.rows} rows and {looked.contents} contents of {looked.head.node_id} are in {target}",
        f"start it, and say `grid {kind} acknowledge-restore`: until then nothing that is counted is spent",
    ]
    print_done(lines, form, home=str(target), **_facts(looked))


# -- looked through ---------------------------------------------------------------------------------------


@click.command(
    help="""Look through a node's contents, database, references and audit log.

\b
The node may run or not; nothing is changed. Exit code 1 if something is wrong. That a
restored database waits to be acknowledged is said, and is not wrong.

\b
Examples:
  grid verify --home ./hospital
  grid verify --home ./hospital --rate 20000000 --format json
"""
)
@_kind
@_home
@click.option("--rate", type=click.IntRange(1), default=None, help="Bytes of contents a second at most.")
@format_option
@click.pass_context
def verify(ctx: click.Context, kind: str, home: Path | None, rate: int | None, form: str) -> None:
    from grid.upkeep.verification import verify as look
    from syft_ext.clock import SystemClock

    with _installation(kind, home) as (installation, _):
        findings = [*look(installation, SystemClock(), rate=rate)]
    rows = [
        {"part": each.part, "result": each.code or "ok", "detail": each.text, "affects": list(each.affects)}
        for each in findings
    ]
    print_rows(rows, ("part", "result", "affects", "detail"), form, empty="")
    if any(each.wrong for each in findings):
        ctx.exit(WRONG)


@contextmanager
def _installation(kind: str, home: Path | None) -> Iterator[tuple[Installation, NodeSettings]]:
    """What is there of a node that has been started, whether it runs or not; nothing is made."""
    from apps.assembly import open_installation
    from apps.cli.home import home_of, resolve_settings
    from grid.upkeep.restoring import check_finished
    from syft_ext.errors import NotFound

    place = home_of(kind, home)
    settings: NodeSettings = resolve_settings(kind, place, None, {}).settings
    check_finished(place)
    if not (place / "node.key").exists() or not (settings.database_url or (place / "node.db").exists()):
        raise NotFound(f"{place} is no home of a node")
    installation = open_installation(kind, place, settings.database_url or None, settings.contents or None)
    try:
        yield installation, settings
    finally:
        installation.database.close()


# -- the quarantine ---------------------------------------------------------------------------------------


@click.group(
    help="""What was deleted on a node, or found there and referred to by nothing, and waits to be gone.

\b
Examples:
  grid quarantine show
  grid quarantine list
  grid quarantine bring-back DIGEST
"""
)
def quarantine() -> None:
    pass


@quarantine.command(help="How much waits; which contents are damaged; when all were read through.")
@url_option
@format_option
def show(url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.contents import GetContents

    with open_client(url) as client:
        print_record(msgspec.to_builtins(client.call(GetContents())), form)


@quarantine.command("list", help="What waits, the latest first.")
@click.option(
    "--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="At most so many."
)
@url_option
@format_option
def waiting(limit: int, url: str, form: str) -> None:
    import msgspec

    from syft_ext.messages.contents import ListQuarantine

    with open_client(url) as client:
        found = client.call(ListQuarantine(limit=limit)).contents
    rows = [msgspec.to_builtins(each) for each in found]
    print_rows(rows, ("name", "why", "size", "since_at", "until_at"), form, empty="nothing waits")


@quarantine.command("bring-back", help="Put the content DIGEST back among the others.")
@click.argument("digest")
@url_option
@format_option
def bring_back(digest: str, url: str, form: str) -> None:
    from syft_ext.messages.contents import BringBack

    with open_client(url) as client:
        done = client.call(BringBack(digest=digest))
    print_done(f"{done.digest} is back, {scaled(done.size, 'B')}", form, digest=done.digest, size=done.size)
