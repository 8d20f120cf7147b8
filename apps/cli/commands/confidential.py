"""``grid confidential``: what a Domain shows everybody of its confidential trainings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import click

from apps.cli.client import open_client, url_option
from apps.cli.output import ago, format_option, print_done, print_record, print_rows, say

if TYPE_CHECKING:
    from syft_ext.nodes.domain import DomainClient
    from syft_ext.nodes.transparency import ReadLog

__all__ = ["COMMANDS", "confidential"]

COMMANDS = {
    "confidential": "A Domain's log of confidential trainings; putting them right after a restore.",
}
_ENTRIES = ("number", "published", "kind", "subject", "detail")


@click.group(
    help="What a Domain shows everybody of its confidential trainings; and what its owner does for them."
)
def confidential() -> None:
    pass


@confidential.command(
    help="""After the Domain's database was restored (and `grid domain acknowledge-restore`): ask the key hosts.

No round that they know is opened again, and the transparency log is what it was. Exits with 1 where a host did not
answer: run it again when it does.
"""
)
@url_option
@format_option
def resync(url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        done = cast("DomainClient", client).confidential.resync()
    print_record(
        {"rounds over": done.rounds, "log entries taken up": done.entries, "silent": done.silent}, form
    )
    if done.silent:
        raise click.exceptions.Exit(1)


@confidential.group(
    help="""The Domain's transparency log: policies, key hosts, programs, and what was revoked of them.

It only grows, and everybody is shown the same. Each of these commands holds it against what you saw before.

\b
Examples:
  grid confidential log show
  grid confidential log save mine.head
  grid confidential log check --with theirs.head --host 5f0e…c1=http://keys.example.org:5003
  grid confidential log add workload 77ab…09 "release 1.4, commit 6e9b754"
"""
)
def log() -> None:
    pass


@log.command(help="Every entry, the newest last; who signed the head is said first.")
@url_option
@format_option
def show(url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        read = _read(client)
    for line in _said(read):
        say(line, err=True)
    rows = [
        {
            "number": number,
            "published": ago(entry.at) if form == "table" else entry.at,
            "kind": entry.kind,
            "subject": entry.subject.hex(),
            "detail": entry.detail,
        }
        for number, entry in enumerate(read.entries)
    ]
    print_rows(rows, _ENTRIES, form, empty="Nothing was published.")


@log.command(help="Write the head to FILE, for others to hold against what they are shown.")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@url_option
@format_option
def save(file: Path, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        read = _read(client)
    file.write_bytes(read.witnessed.encode())
    print_done(f"{file}: the head of {read.head.size} entries", form, file=str(file), size=read.head.size)


@log.command(
    help="""Hold the log against heads that others saved, and against the copies that key hosts have.

Exits with 1, and says what is different, where the Domain has shown another log to anybody. Whose --with FILE is
older than the log is now is no difference.
"""
)
@click.option(
    "--with",
    "heads",
    multiple=True,
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="What `grid confidential log save` wrote for somebody else.",
)
@click.option("--host", "hosts", multiple=True, help="KEY=URL of a key host.")
@url_option
@format_option
def check(heads: tuple[Path, ...], hosts: tuple[str, ...], url: str, form: str) -> None:
    from syft_ext.confidential.transparency.log import TreeHead, Witnessed
    from syft_ext.errors import GridError

    with open_client(url, "domain") as client:
        read = _read(client)
    found: dict[str, str] = {}
    for file in heads:
        try:
            other = Witnessed.decode(file.read_bytes()).head.open(TreeHead, read.head.log)
            if other.size > read.head.size:
                found[str(file)] = f"has seen {other.size} entries, {read.head.size} are shown here"
                continue
            read.check_older(other)
            found[str(file)] = ""
        except GridError as error:
            found[str(file)] = error.detail
    for each in hosts:
        found[each] = _different(read, each)
    rows = [{"held against": name, "": said or "the same"} for name, said in found.items()]
    rows.insert(0, {"held against": "what you saw before", "": "the same"})
    print_rows(rows, ("held against", ""), form, empty="")
    if any(found.values()):
        raise click.exceptions.Exit(1)


def _different(read: ReadLog, place: str) -> str:
    """What is different in the copy of a key host, KEY=URL; "" for nothing."""
    from apps.cli.peers import call_peer
    from syft_ext.confidential.transparency.log import LogEntry
    from syft_ext.errors import GridError
    from syft_ext.messages.key_host import GetLogCopy

    key, equals, url = place.partition("=")
    if not equals:
        raise click.UsageError("--host is KEY=URL")
    entries: list[Any] = []
    try:
        while True:
            copy = call_peer(key, url, GetLogCopy(log=read.head.log.hex(), offset=len(entries), limit=1000))
            entries += map(LogEntry.decode, copy.entries)
            if copy.conflict:
                return "the Domain has shown this host two views, and signed both"
            if len(entries) >= copy.size or not copy.entries:
                break
    except GridError as error:
        return error.detail
    if len(entries) > len(read.entries):
        return f"has {len(entries)} entries, {len(read.entries)} are shown here"
    if tuple(entries) != read.entries[: len(entries)]:
        return "the log shows two views: this host's copy is another"
    return ""


@log.command(
    help="Publish a program (workload), or that something is revoked, by its digest or key: for ever."
)
@click.argument("kind", type=click.Choice(["workload", "revocation"]))
@click.argument("subject")
@click.argument("detail", default="")
@url_option
@format_option
def add(kind: Any, subject: str, detail: str, url: str, form: str) -> None:
    with open_client(url, "domain") as client:
        cast("DomainClient", client).confidential.log.publish(kind, subject, detail)
        read = _read(client)
    print_record({"entries": read.head.size, "root": read.head.root.hex()}, form)


def _read(client: Any) -> ReadLog:
    """The log, held against what this user saw of it, and remembered."""
    from syft_ext.federated.sealed.book import ParticipantBook

    read = cast("DomainClient", client).confidential.log.read()
    book = ParticipantBook()
    seen = book.odometer.head_of(read.head.log)
    if seen is not None:
        read.check_older(seen)
    book.count(lambda odometer: odometer.following(read.head))
    return read


def _said(read: ReadLog) -> list[str]:
    signed = {each.signer.hex()[:16] for each in read.witnessed.witnesses}
    lines = [
        f"{read.head.size} entries, root {read.head.root.hex()}, signed by the Domain and {len(signed)} others"
    ]
    for each in read.hosts:
        lines.append(f"  {each.host}: {each.refused or f'has signed {each.size} entries'}")
    return lines
