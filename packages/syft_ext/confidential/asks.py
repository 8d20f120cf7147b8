"""What a worker asks of key hosts, through its Domain, and what hosts tell one another of what was spent.

An ask is nothing that anybody believes: what counts in it is signed, or bound to evidence. The Domain hands it to
the operation of the same name (:mod:`syft_ext.messages.key_host`), and the answer back.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from syft_ext.attestation.binding import Binding
from syft_ext.attestation.evidence import Evidence
from syft_ext.confidential.canonical import Count, Digest, Key, ProcessId, Signed, Statement, Time
from syft_ext.confidential.grants import GrantRequest
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import Head, RoundKey
from syft_ext.confidential.sessions import ChallengeSet, SessionStatement, WorkerKeys

__all__ = [
    "AttestAsk",
    "ChallengeAsk",
    "GrantAsk",
    "ScopeCharge",
    "ScopeRows",
    "ScopeSpent",
    "evidence_digest",
]


class ChallengeAsk(Statement, frozen=True):
    """``key_host.challenge``: answered with a :class:`~syft_ext.confidential.sessions.Challenge`."""

    statement: ClassVar[str] = "challenge ask"

    worker: WorkerKeys


class AttestAsk(Statement, frozen=True):
    """``key_host.attest``: answered with a signed :class:`~syft_ext.confidential.sessions.SessionStatement`.

    Attributes:
        policy: digest of the policy that the evidence is to be appraised under.
        domain, process: the training that the session is for.
        challenges: of all hosts, in the policy's order; the evidence is bound to their digest.
        runtime: digest of the image or runtime that the worker claims to be; part of the binding.
    """

    statement: ClassVar[str] = "attest ask"
    max_bytes: ClassVar[int] = 1 << 20

    policy: Digest
    domain: Key
    process: ProcessId
    worker: WorkerKeys
    challenges: ChallengeSet
    runtime: Annotated[bytes, Meta(max_length=64)]
    evidence: Evidence

    def binding(self) -> Binding:
        """What the evidence has to be bound to. The key that signs is in it through the challenges, each of which
        is for both keys."""
        return Binding(
            session_key=self.worker.kem,
            policy=self.policy,
            runtime=self.runtime,
            domain=self.domain.hex(),
            process=self.process,
            challenge=self.challenges.digest(),
        )


def evidence_digest(evidence: Evidence) -> bytes:
    """What statements name evidence by (32 bytes): its content and what is beside it."""
    return hashlib.sha256(b"grid evidence v1\0" + msgspec.msgpack.encode(evidence)).digest()


class GrantAsk(Statement, frozen=True):
    """``key_host.grant``: answered with a signed :class:`~syft_ext.confidential.grants.Grant`.

    Attributes:
        request: signed by the session's key.
        sessions: what each host said of the session, in the policy's order: the host that is asked learns from
            them how far the others are, and what they remember of itself.
        keys: the round's keys, in the policy's order.
    """

    statement: ClassVar[str] = "grant ask"
    max_bytes: ClassVar[int] = 32 << 20

    request: Signed[GrantRequest]
    sessions: Annotated[tuple[Signed[SessionStatement], ...], Meta(min_length=2, max_length=16)]
    keys: Annotated[tuple[Signed[RoundKey], ...], Meta(min_length=2, max_length=16)]


class ScopeCharge(Statement, frozen=True):
    """One granted round of a scope: what it cost (10^−9 of ρ), and who took part."""

    statement: ClassVar[str] = "scope charge"

    context: Digest
    manifest: Digest
    policy: Digest
    rho: Count
    persons: Annotated[tuple[Digest, ...], Meta(max_length=1 << 20)]


class ScopeSpent(Statement, frozen=True):
    """All granted rounds of a scope that a host knows of, in the order in which it learned of them.

    Attributes:
        burnt: the host takes all of it for spent.
    """

    statement: ClassVar[str] = "scope spent"

    scope: Digest
    burnt: bool
    charges: Annotated[tuple[ScopeCharge, ...], Meta(max_length=1 << 20)]


class ScopeRows(Statement, frozen=True):
    """What a host knows of what was spent, told to another that recovers; signed by the host that tells.

    Attributes:
        recipient: the host that asked, whom alone it is for. at: when, seconds since the epoch.
        policies: those of these scopes that the host has.
    """

    statement: ClassVar[str] = "scope rows"
    max_bytes: ClassVar[int] = 64 << 20

    host: Key
    recipient: Key
    at: Time
    head: Head
    policies: Annotated[tuple[Signed[ConfidentialPolicy], ...], Meta(max_length=4096)]
    scopes: Annotated[tuple[ScopeSpent, ...], Meta(max_length=4096)]
