"""The bed itself: what it translates, and that nothing of it stays."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from grid.peers.ice_servers import IceUrl
from grid.peers.probing import probe_stun, probe_turn
from tests.coturn import SECRET, Coturn
from tests.nat.bed import SERVER, Bed, Nat


def test_a_router_translates_as_it_is_told(bed: Bed, coturn: Coturn) -> None:
    """Seen from outside, the cone keeps an inner port for all that it talks to, and the symmetric one does not."""
    from tests.nat.mapping import outer_ports

    for nat, same in (("cone", True), ("symmetric", False)):
        bed.translate(nat, nat)  # type: ignore[arg-type]
        ports = outer_ports(bed, "la", 6)
        assert (len(set(ports)) == 1) is same, (nat, ports)


@pytest.mark.parametrize(
    ("nat", "stun", "udp", "tcp"),
    [
        ("symmetric", "ok", "ok", "ok"),
        ("only-3478", "ok", "ok", "ok"),
        ("no-udp", "failed", "failed", "ok"),
    ],
)
def test_doctor_behind_a_router(bed: Bed, coturn: Coturn, nat: Nat, stun: str, udp: str, tcp: str) -> None:
    bed.translate(nat, nat)
    with bed.standing_in("la"):
        found = [
            probe_stun(IceUrl.parse(f"stun:{SERVER}", "stun_servers"), 5.0),
            *[
                probe_turn(IceUrl.parse(f"turn:{SERVER}{suffix}", "turn_servers"), SECRET, 600, patience=5.0)
                for suffix in ("", "?transport=tcp")
            ],
        ]
    assert [result for result, _ in found] == [stun, udp, tcp], found
    if nat == "no-udp":
        assert "UDP is blocked on the way" in found[1][1] and "TCP gets through" in found[1][1]


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
def test_a_bed_goes_with_whoever_made_it(end: signal.Signals) -> None:
    """Also what runs in it."""
    made = subprocess.Popen(
        [sys.executable, "-m", "tests.nat.mapping"],
        stdout=subprocess.PIPE,
        text=True,
        cwd=Path(__file__).parents[2],
    )
    with made:
        assert made.stdout is not None
        *names, sleeper = made.stdout.readline().split()
        assert len(names) == 6 and all(Path("/run/netns", name).exists() for name in names)
        made.send_signal(end)
    deadline = time.monotonic() + 60
    while any(Path("/run/netns", name).exists() for name in names) or _runs(int(sleeper)):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _runs(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return "\nState:\tZ" not in Path(f"/proc/{pid}/status").read_text()
