"""Real key hosts: processes that the command starts, asked over sockets, killed and restored like any other."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest

import tests.key_host.parties as parties
from syft_ext.clock import ManualClock, SystemClock
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk
from syft_ext.confidential.canonical import Signed
from syft_ext.confidential.grants import ConfirmRequest, Grant, Release, ReleaseShares
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import OpenRounds, RoundKey
from syft_ext.confidential.sessions import Challenge, HostHead, SessionStatement
from syft_ext.confidential.transparency.host_log import HostLogEntry, open_log
from syft_ext.errors import Forbidden, KeyRefused, LedgerRolledBack, Unauthenticated
from syft_ext.identity import Identity
from syft_ext.messages import Message, operations
from syft_ext.messages import key_host as m
from syft_ext.messages.key_host_successions import GetSuccessions
from syft_ext.transport import Connection, open_transport
from tests.key_host.test_grants import Round
from tests.nodes import NodeProcess

ROOT = Path(__file__).parents[2]


@dataclass
class RemoteHost:
    """A key host in a process of its own, as its Domain reaches it."""

    home: Path
    domain: Identity
    node: NodeProcess | None = None

    def start(self, *arguments: str) -> RemoteHost:
        flags = ["--port", "0", "--simulator", *arguments]
        self.node = NodeProcess("key-host", self.home, flags)
        self.key = bytes.fromhex(self.call(m.DescribeKeyHost()).key)
        return self

    def call(self, message: Message, identity: Identity | None = None) -> Any:
        assert self.node is not None
        own = Identity.load_or_create(self.home / "node.key").verify_key
        connection = Connection(open_transport(self.node.url), identity or self.domain, node_key=own)
        try:
            return connection.call(message)
        finally:
            connection.close()

    def operate(self, *words: str) -> Any:
        """A command of its operator; what it prints as JSON."""
        result = self.run(*words)
        assert result.returncode == 0, result.stderr
        return json.loads(result.stdout)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """A command of its operator, whatever becomes of it."""
        command = [
            sys.executable,
            "-m",
            "apps.cli",
            "key-host",
            *words,
            "--home",
            str(self.home),
            "--format",
            "json",
        ]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=240, env=os.environ)


def _register(host: RemoteHost, signed: Signed[ConfidentialPolicy], by: str) -> m.HostPolicy:
    return cast(m.HostPolicy, host.call(m.RegisterPolicy(policy=signed.encode())))


def _decide(host: RemoteHost, message: m.DecidePolicy) -> None:
    host.operate("approve", message.digest)


def _open(host: RemoteHost, signed: Signed[OpenRounds]) -> list[Signed[RoundKey]]:
    keys = host.call(m.OpenHostRounds(request=signed.encode())).keys
    return [Signed[RoundKey].decode(each) for each in keys]


def _challenge(host: RemoteHost, ask: ChallengeAsk) -> Challenge:
    return Challenge.decode(host.call(m.AskChallenge(ask=ask.encode())).statement)


def _attest(host: RemoteHost, ask: AttestAsk) -> Signed[SessionStatement]:
    return Signed[SessionStatement].decode(host.call(m.AskAttest(ask=ask.encode())).statement)


def _grant(host: RemoteHost, ask: GrantAsk, manifest: Signed[Manifest]) -> Signed[Grant]:
    answer = host.call(m.AskGrant(ask=ask.encode(), manifest=manifest.encode()))
    return Signed[Grant].decode(answer.statement)


def _confirm(
    host: RemoteHost,
    request: Signed[ConfirmRequest],
    shares: Signed[ReleaseShares],
    session: Signed[SessionStatement],
) -> Signed[Release]:
    message = m.AskConfirm(request=request.encode(), shares=shares.encode(), session=session.encode())
    return Signed[Release].decode(host.call(message).statement)


@pytest.fixture
def remote(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[parties.Party]:
    """Two key hosts in processes, and everybody around them, whose calls go over sockets."""
    for name, call in (
        ("register", _register),
        ("decide", _decide),
        ("open_rounds", _open),
        ("challenge", _challenge),
        ("attest", _attest),
        ("grant_key", _grant),
        ("confirm_output", _confirm),
    ):
        monkeypatch.setattr(parties, name, call)
    domain = Identity.generate()
    hosts = [RemoteHost(tmp_path / f"host{number}", domain).start() for number in (0, 1)]
    yield parties.Party(cast(Any, hosts), cast(ManualClock, SystemClock()), domain=domain)
    for host in hosts:
        if host.node is not None:
            host.node.stop()


def test_a_round_over_sockets_and_a_host_that_is_killed_after_its_grant(
    remote: parties.Party, tmp_path: Path
) -> None:
    policy = remote.approved(remote.policy(rounds=2))
    one = Round(remote, policy)
    host = cast(RemoteHost, one.host)
    key = one.worker.opened(one.host, one.grant())
    assert host.node is not None
    backup = tmp_path / "backup"
    host.node.kill()
    host.start()
    assert one.worker.opened(one.host, one.grant()) == key
    ledger = host.operate("ledger")
    assert [row["what"] for row in ledger["rows"]] == ["grant"] and ledger["whole"]
    (scope,) = ledger["scopes"]
    assert (scope["spent"], scope["total"]) == (parties.RHO, 2 * parties.RHO)
    one.all()
    shares = one.worker.output(one.manifest, one.keys, b"o" * 32)
    for core in remote.ordered(policy):
        one.worker.confirm(core, one.manifest, shares)
    with pytest.raises(KeyRefused):
        other = one.worker.output(one.manifest, one.keys, b"p" * 32)
        one.worker.confirm(one.host, one.manifest, other)
    entries = [Signed[HostLogEntry].decode(each) for each in host.call(m.GetHostLog()).entries]
    assert [each.action for each in open_log(entries, host.key)] == ["approved"]
    head = Signed[HostHead].decode(host.call(m.GetHead()).statement).open(HostHead, host.key)
    assert head.head.sequence == 2
    # Restored: the home and the database of an earlier moment, under the same key.
    host.node.stop()
    shutil.copytree(host.home, backup)
    host.start()
    Round(remote, policy, 2).all()
    third = Round(remote, policy, 3)  # its sessions tell the other host how far this one is
    with pytest.raises(KeyRefused):
        # The budget is spent; what its peer states is remembered all the same.
        third.worker.grant(remote.ordered(policy)[1], third.manifest, third.keys)
    assert host.node is not None
    host.node.stop()
    shutil.rmtree(host.home)
    shutil.copytree(backup, host.home)
    host.start()
    fourth = Round(remote, policy, 4)
    with pytest.raises(LedgerRolledBack, match="row 3 of this ledger, which is not there"):
        fourth.grant()
    recovered = host.operate(
        "recover", "--peer", f"{remote.ordered(policy)[1].key.hex()}={_url(remote, policy)}"
    )
    assert (recovered["learned"], recovered["burnt"]) == (1, [])
    with pytest.raises(KeyRefused, match="budget"):
        fifth = Round(remote, policy, 5)
        fifth.grant()


def test_a_host_goes_on_under_another_key_by_its_operators_commands(
    remote: parties.Party, tmp_path: Path
) -> None:
    """Processes, files and commands as docs/key-hosts.md has them; the old host is killed and put back, too."""
    policy = remote.approved(remote.policy(rounds=2))
    one = Round(remote, policy)
    one.all()
    old, other = (cast(RemoteHost, core) for core in remote.ordered(policy))
    fresh, handed, said = RemoteHost(tmp_path / "new", remote.domain), tmp_path / "h.bin", tmp_path / "s.bin"
    fresh.start()
    try:
        given_up = ("hand-over", fresh.key.hex(), "--file", str(handed))
        refusal = old.run(*given_up)
        assert refusal.returncode and "under way" in refusal.stderr and not handed.exists()
        old.operate(*given_up, "--end-rounds")
        wrong = other.run("take-over", str(handed), "--file", str(said))
        assert wrong.returncode and not said.exists(), "it was given up for another key"
        fresh.operate("take-over", str(handed), "--file", str(said))
        assert old.node is not None
        old.node.kill()
        old.start()
        with pytest.raises(KeyRefused, match="given up"):
            one.grant()

        remote.hosts[remote.hosts.index(cast(Any, old))] = cast(Any, fresh)
        follows = remote.policy(rounds=2)
        for host in (fresh, other):
            host.call(
                m.RegisterPolicy(
                    policy=Signed.make(follows, remote.owner).encode(), successions=[said.read_bytes()]
                )
            )
            host.operate("approve", follows.digest().hex())
        Round(remote, follows, 2).all()
        third = Round(remote, follows, 3)
        with pytest.raises(KeyRefused, match="budget"):
            third.grant()
        with pytest.raises(KeyRefused):
            _open(other, remote.opening(cast(Any, other), remote.context(policy, 4)))
        (scope,) = fresh.operate("ledger")["scopes"]
        assert scope["spent"] == scope["total"] == 2 * parties.RHO
        assert fresh.call(GetSuccessions()).successions == [said.read_bytes()]
    finally:
        for host in (old, fresh):
            assert host.node is not None
            host.node.stop()


def _url(remote: parties.Party, policy: ConfidentialPolicy) -> str:
    node = cast(RemoteHost, remote.ordered(policy)[1]).node
    assert node is not None
    return node.url


def test_who_may_do_what(remote: parties.Party) -> None:
    host = cast(RemoteHost, remote.hosts[0])
    operator = [
        m.ListHostPolicies(),
        m.DecidePolicy(digest="0" * 64, state="approved"),
        m.ListLedgerRows(),
        m.ListDenials(),
        m.Deny(kind="workload", value="x"),
        m.Recover(rows={}),
    ]
    for message in operator:
        with pytest.raises((Unauthenticated, Forbidden)):
            host.call(message)
    with pytest.raises(Forbidden):
        host.call(m.GetLedgerRows())
    assert host.call(m.DescribeKeyHost()).erasure.startswith("best effort")
    # A Domain that has rounds here is a node to it: no other operation of a key host is for nodes.
    offered = set(host.call(_metadata()).operations)
    assert {
        spec.name for spec in operations().values() if str(spec.permission).startswith("node")
    } & offered == set()


def _metadata() -> Message:
    from syft_ext.messages import GetMetadata

    return GetMetadata()


def test_a_key_host_is_slim(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from apps.key_host.app import build; "
        "from grid.config import KeyHostSettings; build(Path(sys.argv[1]), KeyHostSettings()).stop(); "
        "print(*sorted({'torch', 'pandas', 'pyarrow'} & set(sys.modules)))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "home")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert result.returncode == 0, result.stderr
    assert result.stdout.split() == []
