"""The matrix: who translates how, who names which servers, and how the two then meet, or do not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from tests.nat.bed import Nat
from tests.nat.site import NONE, STUN, TURN, TURN_TCP, Servers

__all__ = ["CELLS", "SERVERS", "SLICE", "Cell"]

SERVERS: Mapping[str, Servers] = {"none": NONE, "stun": STUN, "turn": TURN, "turn-tcp": TURN_TCP}
DIRECT = frozenset({"host", "srflx", "prflx"})
RELAYED = frozenset({"relay"})


@dataclass(frozen=True, slots=True)
class Cell:
    """One of the matrix. The caller is behind ``a``, the Domain behind ``b``.

    Attributes:
        caller, domain: which servers either knows: names of :data:`SERVERS`.
        meets: whether they do; else there is no session, and that is what is expected.
        relayed: whether a TURN server carries for one of them at least.
        loss: UDP packets of 100 that are lost on either's way in.
    """

    name: str
    a: Nat
    b: Nat
    caller: str
    domain: str
    meets: bool
    relayed: bool = False
    loss: int = 0

    @property
    def servers(self) -> tuple[str, str]:
        """What the Network and the Domain name: the caller takes the Network's, and the Domain its own."""
        return self.caller, self.domain


CELLS = (
    Cell("cone, without STUN", "cone", "cone", "none", "none", meets=False),
    Cell("cone, STUN", "cone", "cone", "stun", "stun", meets=True),
    Cell("cone and symmetric, STUN only", "cone", "symmetric", "stun", "stun", meets=False),
    Cell("symmetric, STUN only", "symmetric", "symmetric", "stun", "stun", meets=False),
    Cell("symmetric, TURN for the caller", "symmetric", "symmetric", "turn", "stun", meets=True, relayed=True),
    Cell("symmetric, TURN for the Domain", "symmetric", "symmetric", "stun", "turn", meets=True, relayed=True),
    Cell("cone and symmetric, TURN for the caller", "cone", "symmetric", "turn", "stun", meets=True, relayed=True),
    Cell("symmetric, TURN for both", "symmetric", "symmetric", "turn", "turn", meets=True, relayed=True),
    Cell("cone, TURN for both, and not used", "cone", "cone", "turn", "turn", meets=True),
    Cell("symmetric, TURN over TCP for both", "symmetric", "symmetric", "turn-tcp", "turn-tcp", meets=True,
         relayed=True),
    Cell("UDP to 3478 only, TURN for the caller", "only-3478", "only-3478", "turn", "stun", meets=False),
    Cell("UDP to 3478 only, TURN for both", "only-3478", "only-3478", "turn", "turn", meets=True, relayed=True),
    Cell("no UDP, TURN over UDP for both", "no-udp", "no-udp", "turn", "turn", meets=False),
    Cell("no UDP, TURN over TCP for both", "no-udp", "no-udp", "turn-tcp", "turn-tcp", meets=True, relayed=True),
    Cell("cone, STUN, 1 % lost", "cone", "cone", "stun", "stun", meets=True, loss=1),
    Cell("cone, STUN, 3 % lost", "cone", "cone", "stun", "stun", meets=True, loss=3),
    Cell("cone, STUN, 10 % lost", "cone", "cone", "stun", "stun", meets=True, loss=10),
    Cell("symmetric, TURN for both, 3 % lost", "symmetric", "symmetric", "turn", "turn", meets=True, relayed=True,
         loss=3),
)  # fmt: skip
#: Those that the suite runs; all of one pair of servers, so that nodes are started once.
SLICE = tuple(cell for cell in CELLS if cell.servers == ("turn", "stun"))
