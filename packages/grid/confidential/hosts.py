"""Key hosts, as a Domain calls them: over the signed message plane, each by the key that the policy names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from grid.network.peer_connections import PeerConnections
from syft_ext.clock import Clock
from syft_ext.confidential.policy import Host
from syft_ext.errors import BadRequest, GridError, KeyRefused, Unavailable
from syft_ext.identity import Identity
from syft_ext.messages import Message
from syft_ext.transport import Transport

__all__ = ["FINAL", "KeyHosts", "RoundFailed"]

FINAL = frozenset(
    {
        "attempts",
        "budget",
        "charged",
        "other-context",
        "other-key",
        "other-manifest",
        "other-output",
        "over",
        "released",
        "unknown-round",
    }
)
"""Why a host refuses a round, where waiting does not help: that round will never have an output."""


class RoundFailed(BadRequest):
    """This round can have no output any more: whoever says so is named, with the reason."""


class KeyHosts:
    """Args:
    opener: makes the transport for an address, and decides what may be connected to: a policy's owner names it.
    """

    def __init__(self, identity: Identity, clock: Clock, opener: Callable[[str], Transport]) -> None:
        self._connections = PeerConnections(identity, clock, opener)

    def close(self) -> None:
        """Close the connections to all of them."""
        self._connections.close()

    def call(self, host: Host, message: Message, *, timeout: float = 30.0) -> Any:
        """The host's reply. Raises what it refuses with, and :class:`Unavailable` where it does not answer."""
        return self._connections.connect(host.url, host.key.hex()).call(message, timeout=timeout)

    def work(self, host: Host, message: Message, *, timeout: float = 60.0) -> Any:
        """As :meth:`call`, within the work on a round.

        Raises :class:`Unavailable`, naming the host, for what may pass: it is not reached, its operator has not
        decided, its ledger waits to be recovered; and :class:`RoundFailed` for what cannot.
        """
        try:
            return self.call(host, message, timeout=timeout)
        except GridError as error:
            raise explained(host, error) from error


def explained(host: Host, error: GridError) -> GridError:
    """What a host's refusal, or its silence, means for a round."""
    said = f"key host {host.name}: {error.detail}"
    if isinstance(error, KeyRefused):
        reason = error.extra.get("reason")
        return RoundFailed(said, reason=reason, host=host.name) if reason in FINAL else Unavailable(said)
    if isinstance(error, BadRequest):  # it looked at what we sent, and that will not change
        return RoundFailed(said, host=host.name)
    return Unavailable(
        said
    )  # among it a ledger that waits to be recovered: then the round is over, or goes on
