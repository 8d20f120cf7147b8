"""The Domain's transparency log: everybody is shown one history, and who shows another is found out."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import delete, insert

from apps.cli.main import cli
from grid.confidential.tables import ConfidentialLogHead, ConfidentialLogRow, ConfidentialLogWitness
from grid.key_host.service import KeyHostService
from grid.key_host.witnessing import log_copy
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import Host
from syft_ext.confidential.transparency.log import (
    Inclusion,
    LogEntry,
    TreeHead,
    Witnessed,
    check_head,
    check_included,
    head_over,
)
from syft_ext.confidential.transparency.merkle import leaf_hash, verify_consistency
from syft_ext.errors import GridError, InvalidStatement, KeyRefused
from syft_ext.messages.confidential import AppendLog, GetConsistency, GetInclusion, GetLogHead
from syft_ext.messages.key_host import AskWitness
from syft_ext.nodes.transparency import ReadLog
from tests.confidential_training.conftest import MODEL
from tests.confidential_training.consortium import Consortium, until
from tests.sdk.live import log_in
from tests.user_folder import fresh_user


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["confidential", "log", *arguments])


def opened(home: Consortium, plans: dict[str, bytes], name: str, **fields: Any) -> tuple[str, bytes]:
    """A training of which all hosts have signed the log, and its policy's digest."""
    policy = home.policy(plans, **fields)
    process_id = home.host(MODEL, home.approve(policy), plans, name=name)
    signed(home)
    return process_id, policy.digest()


def signed(home: Consortium) -> None:
    """Wait until each host has signed all of it."""
    log = home.service.log
    until(lambda: list(log.standing().values()) == [log.size()] * len(home.hosts))


def hosts_of(home: Consortium) -> list[Host]:
    return [Host(key_of(each.node.identity), each.node.name, each.url) for each in home.hosts]


def keys_of(home: Consortium) -> list[bytes]:
    return [host.key for host in hosts_of(home)]


def replace_log(home: Consortium, entries: Sequence[LogEntry]) -> None:
    """What whoever has the Domain's key and its database can do: another history, signed."""
    node = home.domain.node
    with node.db.transaction() as session:
        for table in (ConfidentialLogRow, ConfidentialLogHead, ConfidentialLogWitness):
            session.execute(delete(table))
        for number, entry in enumerate(entries):
            values = {"number": number, "kind": entry.kind, "subject": entry.subject.hex()}
            row = insert(ConfidentialLogRow).values(
                entry=entry.encode(), leaf=leaf_hash(entry.encode()), **values
            )
            session.execute(row)
            head = head_over(home.service.log.key, entries[: number + 1], entry.at)
            session.execute(
                insert(ConfidentialLogHead).values(
                    size=number + 1, signed=Signed.make(head, node.identity).encode()
                )
            )


def rows(home: Consortium) -> list[LogEntry]:
    return [LogEntry.decode(each) for each in home.service.log.entries(0, 1000)[0]]


def test_everybody_is_shown_the_same(home: Consortium, plans: dict[str, bytes]) -> None:
    _, policy = opened(home, plans, "shown")
    offer = home.join("anybody", "shown").offer()
    log, pins = home.service.log.key, keys_of(home)
    head = check_head(offer.log.witnessed, log, pins, len(pins), None, ())
    assert check_included(offer.log.inclusion, head).subject == policy
    assert {entry.subject for entry in rows(home) if entry.kind == "host"} == set(pins)

    # Anybody can ask for proofs, and they are of what was signed.
    proof = home.client.call(GetInclusion(subject=policy.hex()))
    read = home.client.confidential.log.read()
    inclusion = Inclusion(LogEntry.decode(proof.entry), proof.index, tuple(proof.proof))
    assert check_included(inclusion, read.head).kind == "policy"

    # It grows, and hosts sign what continues it.
    standing = home.client.confidential.log.publish("workload", "ab" * 32, "release 2")
    assert {each.host for each in standing} == {each.node.name for each in home.hosts}
    signed(home)
    later = home.client.confidential.log.read()
    way = home.client.call(GetConsistency(first=read.head.size)).proof
    verify_consistency(read.head.size, read.head.root, later.head.size, later.head.root, way)
    later.check_older(read.head)
    assert later.entries[-1].subject.hex() == "ab" * 32
    before = Witnessed.decode(home.client.call(GetLogHead(size=read.head.size)).statement)
    assert before.head.open(TreeHead, log) == read.head

    # Published twice, it is there once.
    home.client.confidential.log.publish("workload", "ab" * 32)
    assert home.service.log.size() == later.head.size


def test_nobody_without_the_right_publishes(home: Consortium, plans: dict[str, bytes]) -> None:
    opened(home, plans, "unsaid")
    stranger = home.join("stranger", "unsaid").session
    with pytest.raises(GridError) as caught:
        stranger.call(AppendLog(kind="revocation", subject="cd" * 32))
    assert caught.value.status in (401, 403)


def test_two_views_are_found(home: Consortium, plans: dict[str, bytes], tmp_path: Path) -> None:
    """By each host, by whoever has seen the other one, and by two people who compare."""
    opened(home, plans, "split", least=3)
    mine, url = tmp_path / "mine.head", home.domain.url
    assert run("save", str(mine), "--url", url).exit_code == 0
    read = home.client.confidential.log.read()
    honest = rows(home)
    other = LogEntry("policy", b"\7" * 32, honest[1].at, "another policy")
    places = [f"{host.key.hex()}={host.url}" for host in hosts_of(home)]
    same = run("check", "--with", str(mine), "--host", places[0], "--url", url, "--format", "json")
    assert same.exit_code == 0, same.output

    with forged_log(home, [honest[0], other, *honest[2:]]):
        is_found(home, plans, read, mine, places, tmp_path)
    with forged_log(home, honest[:1]), pytest.raises(InvalidStatement, match="entries"):  # taken back
        home.client.confidential.log.read().check_older(read.head)

    held = run("check", "--host", places[0], "--url", url, "--format", "json")
    assert held.exit_code == 1  # all is as it was, and what was shown in between is not forgotten
    assert any("signed both" in each[""] for each in json.loads(held.stdout))


@contextmanager
def forged_log(home: Consortium, entries: Sequence[LogEntry]) -> Iterator[None]:
    """The Domain's log is this one, for a while."""
    honest = rows(home)
    replace_log(home, entries)
    try:
        yield
    finally:
        replace_log(home, honest)
        home.service.witnessing.ask(home.policy({}))
        signed(home)


def is_found(
    home: Consortium, plans: dict[str, bytes], read: ReadLog, mine: Path, places: list[str], folder: Path
) -> None:
    head = home.service.log.head().head
    for host in hosts_of(home):
        with pytest.raises(
            KeyRefused
        ) as caught:  # shown it as an operator would, and not as this program does
            home.service.hosts.call(host, AskWitness(head=head.encode(), first=0, entries=[]))
        assert caught.value.extra["reason"] == "two-views"
    for served in home.hosts:  # each can prove it
        with served.node.service(KeyHostService).core.db.read() as session:
            copy = log_copy(session, read.head.log.hex(), 0, 1000)
        shown = Signed[TreeHead].decode(copy.conflict).open(TreeHead, read.head.log)
        ours = [LogEntry.decode(each) for each in copy.entries][: shown.size]
        assert head_over(read.head.log, ours, shown.at).root != shown.root
    forged = home.client.confidential.log.read()
    with pytest.raises(InvalidStatement, match="two views"):
        forged.check_older(read.head)
    url = home.domain.url
    again = run("check", "--url", url)  # the same user, who has seen the other one
    assert again.exit_code == 1 and "two views" in str(again.exception)
    with fresh_user(folder / "other"):  # another one, who was given the other head
        log_in(url)
        compared = run("check", "--with", str(mine), "--host", places[1], "--url", url, "--format", "json")
    assert compared.exit_code == 1, compared.exception
    said = {each["held against"]: each[""] for each in json.loads(compared.stdout)}
    assert "two views" in said[str(mine)] and "signed both" in said[places[1]]

    # Where a witness has signed what would have to go, it is not mended either: the node says so.
    with home.domain.node.db.transaction() as session:
        values = {"size": read.head.size, "host": "ff" * 32, "signed": b""}
        session.execute(insert(ConfidentialLogWitness).values(**values))
    home.service.witnessing.ask(home.policy(plans))
    until(lambda: "two histories" in home.service.warning())


def test_what_a_database_lost_is_taken_up_from_a_witness(home: Consortium, plans: dict[str, bytes]) -> None:
    opened(home, plans, "lost", least=4)
    old = rows(home)
    home.client.confidential.log.publish("workload", "11" * 32)
    home.client.confidential.log.publish("workload", "22" * 32)
    signed(home)
    newest = home.client.confidential.log.read()

    replace_log(home, old)  # a backup was put back
    home.service.witnessing.ask(home.policy(plans))
    signed(home)
    assert home.client.confidential.log.read().head == newest.head

    replace_log(home, old)  # and once more: something was published before anybody was asked
    home.client.confidential.log.publish("revocation", "33" * 32)
    home.service.witnessing.ask(home.policy(plans))
    signed(home)
    now = home.client.confidential.log.read()
    now.check_older(newest.head)
    assert now.entries[-1].subject.hex() == "33" * 32 and len(now.entries) == len(newest.entries) + 1
