"""The commands of a key host's operator, on the machine that it runs on: signed with the host's own key."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click

from apps.cli.client import open_own_node
from apps.cli.home import home_of
from apps.cli.output import ago, format_option, print_done, print_record, print_rows, say

__all__ = ["KEY_HOST_COMMANDS"]

_POLICIES = ("digest", "state", "simulated", "registered", "scope")
_ROWS = ("sequence", "at", "what", "cost", "context", "manifest", "hash")
_SCOPES = ("scope", "spent", "total", "rounds", "burnt")
_LISTS = ("issuer", "entries", "of", "until", "since")
_DENIALS = ("kind", "value", "reason", "since")


def _home_option(command: Any) -> Any:
    return click.option(
        "--home", type=click.Path(file_okay=False, path_type=Path), help="The running key host's home."
    )(command)


@click.command(help="The policies that were handed in here, and what was decided about each.")
@_home_option
@format_option
def policies(home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.key_host import ListHostPolicies

    rows = [msgspec.to_builtins(each) for each in _call(home, ListHostPolicies()).policies]
    if form == "table":
        rows = [row | {"registered": ago(row["registered_at"])} for row in rows]
    print_rows(rows, _POLICIES, form, empty="No policy was handed in here.")


@click.command(
    help="""Let this host make and give keys for the policy DIGEST: all of its 64 digits, as its owner told you.

Read the policy before you approve it (`grid policy show DIGEST`), and compare the digest with what its owner, the
participants and the other hosts have: whoever handed it in may have handed in another.

\b
Examples:
  grid key-host approve 5f0e…c1 --home ./keys
  grid key-host approve 5f0e…c1 --retire --home ./keys
  grid key-host approve 5f0e…c1 --revoke --home ./keys
"""
)
@click.argument("digest")
@click.option("--retire", "decision", flag_value="retired", help="No new rounds; open ones finish.")
@click.option("--revoke", "decision", flag_value="revoked", help="No keys at all, for ever.")
@click.option(
    "--domain", "domains", multiple=True, help="Verify key of a Domain that may use it. [default: any]"
)
@_home_option
@format_option
def approve(
    digest: str, decision: str | None, domains: tuple[str, ...], home: Path | None, form: str
) -> None:
    import msgspec

    from syft_ext.messages.key_host import DecidePolicy

    state: Any = decision or "approved"
    try:
        message = msgspec.convert({"digest": digest, "state": state, "domains": domains}, DecidePolicy)
    except msgspec.ValidationError as error:
        raise click.UsageError(
            "digests and keys are all of their 64 digits: see `grid key-host policies`"
        ) from error
    print_record(msgspec.to_builtins(_call(home, message)), form)


@click.command(help="What was charged here: each scope's budget, and the newest rows of the ledger.")
@click.option("--limit", default=20, show_default=True, type=click.IntRange(1, 1000), help="How many rows.")
@_home_option
@format_option
def ledger(limit: int, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.key_host import ListLedgerRows

    view = msgspec.to_builtins(_call(home, ListLedgerRows(limit=limit)))
    if form == "json":
        print_record(view, form)
        return
    print_rows(view["scopes"], _SCOPES, form, empty="No scope has spent anything.")
    rows = [row | {"at": ago(row["at"])} for row in view["rows"]]
    print_rows(rows, _ROWS, form, empty="The ledger has no rows.")
    if not view["whole"]:
        say(
            "ROWS OF THE LEDGER DO NOT FIT EACH OTHER: somebody changed the database. Run `grid key-host recover`."
        )


@click.command(
    help="""Refuse something on top of any policy: KIND is workload, certificate, subject or platform.

\b
Examples:
  grid key-host deny workload snp:5fee… --reason "leaks through its log" --home ./keys
  grid key-host deny platform "tcb.microcode<213" --home ./keys
  grid key-host deny subject AUTHORITY:Hospital --home ./keys
  grid key-host deny workload snp:5fee… --lift --home ./keys
  grid key-host deny --home ./keys
"""
)
@click.argument("kind", required=False, type=click.Choice(["workload", "certificate", "subject", "platform"]))
@click.argument("value", required=False)
@click.option("--reason", default="", help="Why: for who reads this later.")
@click.option("--lift", is_flag=True, help="Allow it again.")
@_home_option
@format_option
def deny(kind: Any, value: str | None, reason: str, lift: bool, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.key_host import Deny, ListDenials

    if kind is not None and not value:
        raise click.UsageError(f"which {kind}?")
    message: Any = ListDenials()
    if kind is not None:
        message = Deny(kind=kind, value=value or "", reason=reason, lift=lift)
    rows = [msgspec.to_builtins(each) for each in _call(home, message).denials]
    if form == "table":
        rows = [row | {"since": ago(row["at"])} for row in rows]
    print_rows(rows, _DENIALS, form, empty="Nothing is denied here.")


@click.command(
    help="""Go on after the database was restored, with what the other hosts know of what was spent.

Asks the hosts of all policies here, and those that are named: each of whom you know that its database was not
restored, too. Every round that is not released is over afterwards, for ever; what is charged is what any of them
knows. Where too few of a policy's hosts answer, nothing is done, unless --burn gives up what is left of a budget.
"""
)
@click.option("--burn", is_flag=True, help="Where too few answer: nothing is left of the budget.")
@click.option("--peer", "named", multiple=True, metavar="KEY=URL", help="Another host to ask.")
@_home_option
@format_option
def recover(burn: bool, named: tuple[str, ...], home: Path | None, form: str) -> None:
    import msgspec

    from apps.cli.peers import rows_of_peers
    from syft_ext.messages.key_host import ListHostPolicies, Recover

    place = home_of("key_host", home)
    peers: dict[str, str] = {}
    for policy in _call(home, ListHostPolicies()).policies:
        peers |= policy.hosts
    for each in named:
        key, equals, url = each.partition("=")
        if not equals:
            raise click.UsageError("--peer is KEY=URL")
        peers[key] = url
    rows = rows_of_peers(place, peers, say)
    print_record(msgspec.to_builtins(_call(home, Recover(rows=rows, burn=burn))), form)


def _call(home: Path | None, message: Any) -> Any:
    connection = open_own_node(home_of("key_host", home))
    try:
        return connection.call(message)
    finally:
        connection.close()


@click.command(
    help="""Makers' lists of revoked certificates (AMD's, Intel's) that this host holds all evidence against.

They count when evidence is appraised, at every grant, and before an output leaves, whatever lies beside it. FILE
is DER or PEM; of each issuer the newest list is kept.

\b
Examples:
  grid key-host revocations --home ./keys
  grid key-host revocations Milan.crl pckcrl.pem --home ./keys
  grid key-host revocations --drop ARK-Milan --home ./keys
"""
)
@click.argument(
    "files", nargs=-1, metavar="[FILE]...", type=click.Path(exists=True, dir_okay=False, path_type=Path)
)
@click.option("--drop", metavar="ISSUER", help="Forget the list of this issuer.")
@_home_option
@format_option
def revocations(files: tuple[Path, ...], drop: str | None, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages import key_host_revocations as lists

    if drop is not None and files:
        raise click.UsageError("lists are given, or one is dropped")
    messages: list[Any] = [lists.KeepRevocationList(content=path.read_bytes()) for path in files]
    if drop is not None:
        messages = [lists.DropRevocationList(issuer=drop)]
    for message in messages or [lists.ListRevocationLists()]:
        view = _call(home, message)
    rows = [msgspec.to_builtins(each) for each in view.lists]
    if form == "table":
        for row in rows:
            row["of"], row["since"] = ago(row["not_before"]), ago(row["added_at"])
            row["until"] = f"{datetime.fromtimestamp(row['not_after'], UTC):%Y-%m-%d}"
    print_rows(rows, _LISTS, form, empty="This host has no revocation lists of its own.")


@click.command(
    "hand-over",
    help="""Give this host up for another key: it makes and gives no key any more, for ever.

KEY is the verify key of a key host that you have started anew, with a home of its own. FILE is written for its
`grid key-host take-over`: it holds what was spent here, and the word of this host's key. Hosts and participants
follow the new key by that word; so keep it, and this home, until all of them have seen it.

\b
Example:
  grid key-host hand-over 91ab…44 --file handover.bin --home ./keys
  grid key-host take-over handover.bin --file succession.bin --home ./new-keys
  grid policy publish consortium.toml --key consortium.key --succession succession.bin
""",
)
@click.argument("key")
@click.option(
    "--file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="Where to write it."
)
@click.option("--end-rounds", is_flag=True, help="Rounds that are under way are over.")
@_home_option
@format_option
def hand_over(key: str, file: Path, end_rounds: bool, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.key_host_successions import HandOver

    try:
        message = msgspec.convert({"new": key, "end_rounds": end_rounds}, HandOver)
    except msgspec.ValidationError as error:
        raise click.UsageError("a verify key is all of its 64 digits") from error
    given = _call(home, message)
    file.write_bytes(msgspec.msgpack.encode([given.succession, given.rows]))
    print_done(f"this host was given up for {key}; {file} is for that one", form, file=str(file))


@click.command(
    "take-over",
    help="""Go on for a key host that was given up for this one: what was spent there is spent here.

Writes the succession, signed by both keys: policies that name this host are published with it.
""",
)
@click.argument("handed", metavar="FILE", type=click.Path(path_type=Path, exists=True, dir_okay=False))
@click.option(
    "--file",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="Where to write the succession.",
)
@_home_option
@format_option
def take_over(handed: Path, file: Path, home: Path | None, form: str) -> None:
    import msgspec

    from syft_ext.messages.key_host_successions import TakeOver

    try:
        succession, rows = msgspec.msgpack.decode(handed.read_bytes(), type=tuple[bytes, bytes])
    except msgspec.DecodeError as error:
        raise click.UsageError(f"{handed} was not written by `grid key-host hand-over`") from error
    file.write_bytes(_call(home, TakeOver(succession=succession, rows=rows)).succession)
    print_done(f"{file}: what policies that name this host are published with", form, file=str(file))


KEY_HOST_COMMANDS: tuple[click.Command, ...] = (
    policies,
    approve,
    ledger,
    deny,
    revocations,
    recover,
    hand_over,
    take_over,
)
