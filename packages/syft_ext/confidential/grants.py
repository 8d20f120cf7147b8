"""What leaves a host: the round's upload key, for one manifest, to one attested worker; and later its share of
the output's key, for one output, to the Domain."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from syft_ext.confidential.canonical import Digest, Key, Statement, Time
from syft_ext.confidential.rounds import Head

__all__ = [
    "ConfirmRequest",
    "Grant",
    "GrantInfo",
    "GrantRequest",
    "Release",
    "ReleaseInfo",
    "ReleaseShares",
    "ReturnInfo",
]

_Sealed = Annotated[bytes, Meta(min_length=48, max_length=2048)]


class GrantRequest(Statement, frozen=True):
    """A worker asks a host for its key; signed by the session's key.

    Attributes:
        host: who is asked.
        manifest: M.
        sessions: digests of the session statements of all hosts that go with it, in the policy's order.
    """

    statement: ClassVar[str] = "grant request"

    host: Key
    manifest: Digest
    sessions: Annotated[tuple[Digest, ...], Meta(min_length=2, max_length=16)]


class GrantInfo(Statement, frozen=True):
    """What a granted key is sealed for; its digest is the HPKE info."""

    statement: ClassVar[str] = "grant info"

    host: Key
    manifest: Digest
    session: Digest
    key: Digest


class Grant(Statement, frozen=True):
    """A host's key of a round, sealed to a worker; signed by the host, after the charge is on its disk.

    Attributes:
        manifest: M: the only one that this host grants this round for.
        session: digest of the host's own :class:`~syft_ext.confidential.sessions.SessionStatement`.
        key: id of the round key.
        sealed: the 32-byte secret of its upload key, sealed to the worker's ``kem`` under :class:`GrantInfo`.
        rho: what was charged, in 10^−9.
        head: where the host's chain stands after the charge.
    """

    statement: ClassVar[str] = "grant"

    host: Key
    manifest: Digest
    session: Digest
    key: Digest
    sealed: _Sealed
    rho: Annotated[int, Meta(ge=0, lt=1 << 62)]
    head: Head


class ReleaseInfo(Statement, frozen=True):
    """What a share of an output's key is sealed to a host for; its digest is the HPKE info. It names the sealed
    output, so that a host can open its share only of the one output that it set."""

    statement: ClassVar[str] = "release info"

    manifest: Digest
    host: Key
    key: Digest
    output: Digest


class ReleaseShares(Statement, frozen=True):
    """The output's key in shares, one sealed to each host's release key; signed by the session's key.

    Attributes:
        output: BLAKE3 of the sealed output.
        length: its bytes.
        sealed: one share for each host, in the policy's order.
    """

    statement: ClassVar[str] = "release shares"

    manifest: Digest
    output: Digest
    length: Annotated[int, Meta(ge=1, lt=1 << 44)]
    sealed: Annotated[tuple[_Sealed, ...], Meta(min_length=2, max_length=16)]


class ConfirmRequest(Statement, frozen=True):
    """The Domain has the sealed output on its disk and asks a host for its share; signed by the Domain.

    Attributes:
        recipient: the HPKE public key (the round's suite) that the share is sealed to.
    """

    statement: ClassVar[str] = "confirm request"

    host: Key
    manifest: Digest
    output: Digest
    recipient: Annotated[bytes, Meta(min_length=32, max_length=2048)]
    at: Time


class ReturnInfo(Statement, frozen=True):
    """What a host seals its share to the Domain for; its digest is the HPKE info."""

    statement: ClassVar[str] = "return info"

    host: Key
    manifest: Digest
    output: Digest
    key: Digest


class Release(Statement, frozen=True):
    """A host released its share of one output; signed by the host. It releases no share of another, ever.

    Attributes:
        sealed: its share of the output's key, sealed to the Domain's recipient key under :class:`ReturnInfo`.
    """

    statement: ClassVar[str] = "release"

    host: Key
    manifest: Digest
    output: Digest
    key: Digest
    sealed: _Sealed
    head: Head
