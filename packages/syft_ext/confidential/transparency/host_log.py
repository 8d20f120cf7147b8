"""A key host's public log: what its operator approved and refused, in a signed hash chain.

Whoever has read it up to an entry notices when that is changed or taken back. It says which policies the host
serves; which workloads a policy takes stands in the policy.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from syft_ext.confidential.canonical import Count, Digest, Key, Nonce, Signed, Statement, Time
from syft_ext.errors import InvalidStatement

__all__ = ["HostLogEntry", "LogAction", "open_log"]

LogAction = Literal[
    "approved", "retired", "revoked", "denied", "allowed", "recovered", "succeeded", "succeeds"
]


class HostLogEntry(Statement, frozen=True):
    """One decision of a host's operator; signed by the host.

    Attributes:
        sequence: 1, 2, …. previous: digest of the entry before it; 32 zero bytes before the first.
        policy: whose digest was "approved", "retired" or "revoked"; 32 zero bytes for the others.
        what: KIND VALUE of what is "denied" or "allowed" again; the key (hex) that this host is "succeeded" by, or
            that it "succeeds"; "" for the others.
        incarnation: the host's, from this entry on.
    """

    statement: ClassVar[str] = "host log entry"
    max_bytes: ClassVar[int] = 4 << 10

    host: Key
    sequence: Annotated[int, Meta(ge=1, lt=1 << 62)]
    previous: Digest
    at: Time
    action: LogAction
    policy: Digest
    what: Annotated[str, Meta(max_length=512)]
    incarnation: Nonce


def open_log(
    entries: Sequence[Signed[HostLogEntry]], host: bytes, after: tuple[Count, Digest] = (0, bytes(32))
) -> list[HostLogEntry]:
    """The entries, if ``host`` signed each and each follows on the one before it.

    Args:
        entries: in order, as the host gave them.
        after: sequence and digest of the last entry that was read before; of none.

    Raises :class:`~syft_ext.errors.BadSignature`, or :class:`~syft_ext.errors.InvalidStatement` where the log is
    not what it was.
    """
    sequence, previous = after
    opened = []
    for signed in entries:
        entry = signed.open(HostLogEntry, host)
        if (entry.host, entry.sequence, entry.previous) != (host, sequence + 1, previous):
            raise InvalidStatement(f"entry {sequence + 1} of the host's log does not follow on what was read")
        sequence, previous = entry.sequence, entry.digest()
        opened.append(entry)
    return opened
