"""A key host (a real process) whose disk is full: nothing is granted or released, and it goes on by itself."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

import tests.key_host.parties as parties
from syft_ext.errors import KeyRefused, Unavailable
from tests.key_host.test_grants import Round
from tests.key_host.test_node import RemoteHost, remote

__all__ = ["remote"]


@pytest.fixture(autouse=True)
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The home of the first host: 24 MB; skips where nothing may be mounted."""
    path = tmp_path / "host0"
    path.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=24m", "none", str(path)], capture_output=True)
    if done.returncode:
        pytest.skip("no right to mount a small disk")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=False)


def _fill(ballast: Path) -> None:
    for size in (1 << 16, 512):  # what is left goes bit by bit
        with ballast.open("ab", buffering=0) as file, pytest.raises(OSError, match="No space"):
            while True:
                file.write(bytes(size))


def _ledger(host: RemoteHost) -> tuple[list[str], list[tuple[int, int]], bool]:
    """What its rows say (the latest first), what is spent, whether its chain holds; by its operator's command."""
    told: dict[str, Any] = host.operate("ledger")
    scopes = [(each["spent"], each["rounds"]) for each in told["scopes"]]
    return [row["what"] for row in told["rows"]], scopes, told["whole"]


def test_a_full_disk_gives_nothing_away(small_disk: Path, remote: parties.Party) -> None:
    policy = remote.approved(remote.policy(rounds=2))
    host, other = (cast(RemoteHost, each) for each in remote.hosts)
    one = Round(remote, policy)
    one.host = cast(Any, host)
    ballast = small_disk / "ballast"

    _fill(ballast)
    for _ in range(3):
        with pytest.raises(Unavailable, match="full"):
            one.grant()
    assert one.worker.opened(cast(Any, other), one.worker.grant(cast(Any, other), one.manifest, one.keys))
    ballast.unlink()
    assert _ledger(host) == ([], [(0, 0)], True), "nothing was charged for what was not given"
    key = one.worker.opened(one.host, one.grant())
    assert _ledger(host) == (["grant"], [(parties.RHO, 1)], True)

    outputs = [one.worker.output(one.manifest, one.keys, each * 32) for each in (b"o", b"p")]
    _fill(ballast)
    with pytest.raises(Unavailable, match="full"):
        one.worker.confirm(one.host, one.manifest, outputs[0])
    ballast.unlink()
    assert _ledger(host)[0] == ["grant"], "no output was noted"
    # Killed while there was no room, or not: the ledger is whole, and the key is the same one.
    assert host.node is not None
    host.node.kill()
    host.start()
    assert one.worker.opened(one.host, one.grant()) == key
    one.worker.confirm(one.host, one.manifest, outputs[1])
    with pytest.raises(KeyRefused) as refusal:
        one.worker.confirm(one.host, one.manifest, outputs[0])
    assert refusal.value.extra["reason"] == "other-output"
    assert _ledger(host) == (["release", "grant"], [(parties.RHO, 1)], True)
