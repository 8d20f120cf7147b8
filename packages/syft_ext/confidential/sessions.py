"""A worker's session: what hosts challenge it with, and what each says of it after it appraised the evidence."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from syft_ext.confidential.canonical import Digest, Key, Name, Nonce, ProcessId, Statement, Time
from syft_ext.confidential.rounds import Head
from syft_ext.errors import InvalidStatement

__all__ = [
    "CHALLENGE_LIFE",
    "Challenge",
    "ChallengeSet",
    "Denials",
    "HostHead",
    "SessionStatement",
    "WorkerKeys",
]

CHALLENGE_LIFE = 300
"""Seconds in which a challenge is answered, and by which statements of one session may differ in time."""
Workloads = Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]


class WorkerKeys(Statement, frozen=True):
    """The keys of one worker process, made at its start and gone with it.

    Attributes:
        kem: what keys are sealed to (:func:`~syft_ext.confidential.hpke.public_key`), of the policy's suite.
        sign: what it signs outputs and receipts with.
    """

    statement: ClassVar[str] = "worker keys"
    max_bytes: ClassVar[int] = 4 << 10

    kem: Annotated[bytes, Meta(min_length=32, max_length=2048)]
    sign: Key


class Challenge(Statement, frozen=True):
    """A host's challenge, without a row of state until it is answered: ``tag`` is a MAC of the host over the
    rest.

    Attributes:
        caller: digest of the :class:`WorkerKeys` that it is for.
    """

    statement: ClassVar[str] = "challenge"

    host: Key
    incarnation: Nonce
    caller: Digest
    at: Time
    nonce: Nonce
    tag: Digest


class ChallengeSet(Statement, frozen=True):
    """The challenges of all hosts in the policy's order. Evidence is bound to its digest."""

    statement: ClassVar[str] = "challenge set"

    challenges: Annotated[tuple[Challenge, ...], Meta(min_length=2, max_length=16)]


class HostHead(Statement, frozen=True):
    """What a host remembers of another: the newest head that it saw."""

    statement: ClassVar[str] = "host head"

    host: Key
    head: Head


class Denials(Statement, frozen=True):
    """What a host's owner refuses on top of any policy, ascending. The stricter of two hosts counts.

    Attributes:
        workloads: workload ids.
        certificates: digests of participants' certificates.
        policies: digests of revoked policies.
    """

    statement: ClassVar[str] = "denials"

    workloads: Annotated[tuple[Name, ...], Meta(max_length=4096)] = ()
    certificates: Annotated[tuple[Digest, ...], Meta(max_length=16384)] = ()
    policies: Annotated[tuple[Digest, ...], Meta(max_length=4096)] = ()

    def __post_init__(self) -> None:
        in_order = (
            tuple(sorted(set(self.workloads))) == self.workloads
            and tuple(sorted(set(self.certificates))) == self.certificates
            and tuple(sorted(set(self.policies))) == self.policies
        )
        if not in_order:
            raise InvalidStatement("denials are in ascending order, each once")


class SessionStatement(Statement, frozen=True):
    """A host appraised this session's evidence under this policy, at this time; signed by the host.

    Attributes:
        worker: the session's keys.
        challenges: digest of the :class:`ChallengeSet` that the evidence answers.
        policy: digest of the policy that it was appraised under.
        domain, process: the training that the session is for.
        workloads: what the evidence says is running.
        evidence: digest of the evidence.
        simulated: the evidence protects nothing.
        at, not_after: when it was appraised, and until when that counts.
        head: where the host's own chain stands.
        peers: what it remembers of the policy's other hosts, in the policy's order.
        denied: what its owner refuses.
    """

    statement: ClassVar[str] = "session"
    max_bytes: ClassVar[int] = 2 << 20

    host: Key
    worker: WorkerKeys
    challenges: Digest
    policy: Digest
    domain: Key
    process: ProcessId
    workloads: Workloads
    evidence: Digest
    simulated: bool
    at: Time
    not_after: Time
    head: Head
    peers: Annotated[tuple[HostHead, ...], Meta(max_length=15)]
    denied: Denials

    def __post_init__(self) -> None:
        if self.at >= self.not_after:
            raise InvalidStatement("a statement ends after it begins")
