"""Two private networks behind routers that translate addresses, an internet between them, and a server in that.

    la ── ra ──┐
               wan ── srv          la 192.168.1.2, lb 192.168.2.2; on the wan: ra 203.0.113.11, rb 203.0.113.12,
    lb ── rb ──┘                   srv 203.0.113.1

Each is a network namespace with a name of this bed's own, so that several beds can be there at once.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Literal

from tests.nat.keeper import remove

__all__ = ["SERVER", "Bed", "Nat", "Place", "why_not"]

Place = Literal["la", "lb", "ra", "rb", "wan", "srv"]
PLACES: tuple[Place, ...] = ("la", "lb", "ra", "rb", "wan", "srv")
Nat = Literal["cone", "symmetric", "only-3478", "no-udp"]
"""How a router translates: the same outer port for an inner one; a new one for each flow; that, with UDP to
TURN's port only; that, with no UDP at all."""

SERVER = "203.0.113.1"
_PREFIX = "grid-nat"
_LIBC = ctypes.CDLL(None, use_errno=True)
_NEWNET = 0x40000000
_beds = itertools.count()

_RULES = """
table ip nat {{
  chain translated {{
    type nat hook postrouting priority srcnat
    oifname "wan" {masquerade}
  }}
}}
table ip filter {{
  chain through {{
    type filter hook forward priority filter; policy drop
    {lost}
    {blocked}
    ct state established,related accept
    iifname "lan" accept
  }}
  chain to_the_router {{
    type filter hook input priority filter; policy accept
    iifname "wan" ct state established,related accept
    iifname "wan" drop
  }}
}}
"""


@cache
def why_not() -> str:
    """Why no bed can be made here; "" if one can."""
    missing = [name for name in ("ip", "nft", "turnserver") if shutil.which(name) is None]
    if missing:
        return f"NATs are NOT tested: {', '.join(missing)} missing (Debian: iproute2, nftables, coturn)"
    sweep()
    name = f"{_PREFIX}-{os.getpid()}-{_began(os.getpid())}-try"
    try:
        _ip("netns", "add", name)
        rules = _rules("symmetric", 1)
        subprocess.run(["ip", "netns", "exec", name, "nft", "-f", "-"], input=rules, text=True, check=True,
                       capture_output=True)  # fmt: skip
    except (subprocess.CalledProcessError, OSError) as error:
        said = getattr(error, "stderr", "") or str(error)
        said = said.decode() if isinstance(said, bytes) else said
        return f"NATs are NOT tested: namespaces with translation need CAP_NET_ADMIN ({said.strip()[:200]})"
    finally:
        subprocess.run(["ip", "netns", "del", name], capture_output=True, check=False)
    return ""


class Bed:
    """The namespaces, until :meth:`close`, or until this process is gone: then a keeper removes them."""

    def __init__(self) -> None:
        sweep()
        stem = f"{_PREFIX}-{os.getpid()}-{_began(os.getpid())}-{next(_beds)}"
        self.names: dict[Place, str] = {place: f"{stem}-{place}" for place in PLACES}
        self._keeper = subprocess.Popen(
            [sys.executable, "-m", "tests.nat.keeper", *self.names.values()],
            stdin=subprocess.PIPE,
            cwd=Path(__file__).parents[2],
            start_new_session=True,
        )
        try:
            self._make()
        except BaseException:
            self.close()
            raise

    def _make(self) -> None:
        for name in self.names.values():
            _ip("netns", "add", name)
            _ip("-n", name, "link", "set", "lo", "up")
        self._on("wan", "link", "add", "internet", "type", "bridge")
        self._on("wan", "link", "set", "internet", "up")
        uplinks: dict[Place, str] = {"ra": "203.0.113.11", "rb": "203.0.113.12", "srv": SERVER}
        for place, address in uplinks.items():
            self._join("wan", f"to-{place}", place, "wan")
            self._on("wan", "link", "set", f"to-{place}", "master", "internet")
            self._on(place, "addr", "add", f"{address}/24", "dev", "wan")
        # A server without a default route has nowhere to send what is meant for a private address, and coturn then
        # gives the whole relayed address up. Here it has one, which leads nowhere.
        self._join("srv", "elsewhere", "srv", "nowhere")
        self._on("srv", "addr", "add", "198.51.100.1/32", "dev", "elsewhere")
        self._on("srv", "route", "add", "default", "dev", "elsewhere")
        lans: dict[Place, Place] = {"la": "ra", "lb": "rb"}
        for number, (inner, router) in enumerate(lans.items(), 1):
            self._join(router, "lan", inner, "eth")
            self._on(router, "addr", "add", f"192.168.{number}.1/24", "dev", "lan")
            self._on(inner, "addr", "add", f"192.168.{number}.2/24", "dev", "eth")
            self._on(inner, "route", "add", "default", "via", f"192.168.{number}.1")
            self.run(router, "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")

    def translate(self, a: Nat, b: Nat, *, loss: int = 0) -> None:
        """How the routers translate from now on, and how many of 100 UDP packets each loses on the way in."""
        places: dict[Place, Nat] = {"ra": a, "rb": b}
        for place, nat in places.items():
            self.run(place, "nft", "-f", "-", text=f"flush ruleset\n{_rules(nat, loss)}")

    def lost(self) -> int:
        """UDP packets that were lost on purpose since :meth:`translate`."""
        said = self.run("ra", "nft", "list", "ruleset") + self.run("rb", "nft", "list", "ruleset")
        return sum(int(count) for count in re.findall(r"numgen .*? counter packets (\d+)", said))

    def command(self, place: Place, *arguments: str) -> list[str]:
        """``arguments`` as a command that runs there."""
        return ["ip", "netns", "exec", self.names[place], *arguments]

    def run(self, place: Place, *arguments: str, text: str | None = None) -> str:
        """What the command writes. Raises when it fails."""
        done = subprocess.run(
            self.command(place, *arguments), input=text, text=True, capture_output=True, check=False
        )
        if done.returncode:
            raise RuntimeError(f"{' '.join(arguments)} at {place}: {done.stderr.strip()}")
        return done.stdout

    def file(self, place: Place) -> Path:
        """What stands for the namespace."""
        return Path("/run/netns") / self.names[place]

    @contextlib.contextmanager
    def standing_in(self, place: Place) -> Iterator[None]:
        """What this thread opens and starts is there."""
        with self.file(place).open() as there, Path("/proc/thread-self/ns/net").open() as here:
            enter(there.fileno())
            try:
                yield
            finally:
                enter(here.fileno())

    def close(self) -> None:
        """Remove them, with all that runs in them."""
        assert self._keeper.stdin is not None
        self._keeper.stdin.close()
        self._keeper.wait()

    def _on(self, place: Place, *arguments: str) -> None:
        _ip("-n", self.names[place], *arguments)

    def _join(self, one: Place, interface: str, other: Place, peer: str) -> None:
        link = ["link", "add", interface, "type", "veth", "peer", "name", peer]
        self._on(one, *link, "netns", self.names[other])
        self._on(one, "link", "set", interface, "up")
        self._on(other, "link", "set", peer, "up")


def enter(namespace: int) -> None:
    """From now on this thread is in the network namespace that the descriptor stands for."""
    if _LIBC.setns(namespace, _NEWNET):
        raise OSError(ctypes.get_errno(), "setns")


def sweep() -> None:
    """Remove what beds left whose maker and keeper are both gone."""
    listed = subprocess.run(["ip", "netns", "list"], capture_output=True, text=True, check=False).stdout
    for line in listed.splitlines():
        found = re.match(rf"({_PREFIX}-(\d+)-(\d+)-\S+)", line)
        if found and _began(int(found[2])) != int(found[3]):
            remove([found[1]])


def _began(pid: int) -> int:
    """When the process began, in ticks of the machine; 0 for one that is gone."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[19])
    except (FileNotFoundError, ProcessLookupError):
        return 0


def _rules(nat: Nat, loss: int) -> str:
    blocked = {
        "only-3478": 'iifname "lan" meta l4proto udp udp dport != 3478 drop',
        "no-udp": 'iifname "lan" meta l4proto udp drop',
    }
    return _RULES.format(
        masquerade="masquerade" if nat == "cone" else "masquerade fully-random",
        blocked=blocked.get(nat, ""),
        lost=f'iifname "wan" meta l4proto udp numgen random mod 100 < {loss} counter drop' if loss else "",
    )


def _ip(*arguments: str) -> None:
    subprocess.run(["ip", *arguments], check=True, capture_output=True, text=True)
