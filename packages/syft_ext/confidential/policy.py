"""What a confidential training may do, as its scope's owner signed it. All who take part check the same bytes.

The numbers of the mechanism are whole: the clip norm counts grid units of 2^−``grid_bits``, the noise
multiplier and ρ count 10^−9, and ρ rounds up. Zero-concentrated differential privacy: Bun and Steinke 2016; of
the discrete Gaussian on a grid: Canonne, Kamath and Steinke 2020.
"""

from __future__ import annotations

import hashlib
from fractions import Fraction
from functools import lru_cache
from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from syft_ext.attestation.policy import AttestationPolicy, decode_policy
from syft_ext.confidential.canonical import Count, Digest, Key, Name, Statement, Time
from syft_ext.confidential.hpke import SuiteName
from syft_ext.errors import GridError, InvalidStatement

__all__ = [
    "MOST_CLIP",
    "NANO",
    "Budget",
    "Cohort",
    "ConfidentialPolicy",
    "Host",
    "Mechanism",
    "Windows",
    "scope_id",
]

NANO = 1_000_000_000
MOST_CLIP = 1 << 24
"""The largest clip norm in grid units: up to it the scaled vector is proved to stay within the norm."""


def scope_id(owner: bytes, name: str) -> bytes:
    """The id of a scope (32 bytes): nobody but its owner can spend from it, whatever they name theirs."""
    return hashlib.sha256(b"grid scope v1\0" + owner + name.encode()).digest()


@lru_cache(maxsize=64)
def _evidence_policy(encoded: bytes) -> AttestationPolicy:
    return decode_policy(encoded)


class Host(Statement, frozen=True):
    """A key host.

    Attributes:
        key: what it signs with, and is known by.
        url: where it is asked; nothing rests on it.
    """

    statement: ClassVar[str] = "host"

    key: Key
    name: Name
    url: Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[!-~]+\Z")]


class Cohort(Statement, frozen=True):
    """Whose updates go into one output.

    Attributes:
        least, most: how many participants a round has.
        authorities: who says that a participant is one; without one, anybody is as many as they like.
        participations: rounds of one participant in this scope, at most, over all policies and trainings.
        separation: granted rounds from one of theirs to the next, at least.
    """

    statement: ClassVar[str] = "cohort"

    least: Annotated[int, Meta(ge=2, le=1 << 20)]
    most: Annotated[int, Meta(ge=2, le=1 << 20)]
    authorities: Annotated[tuple[Key, ...], Meta(min_length=1, max_length=16)]
    participations: Annotated[int, Meta(ge=1, le=1 << 20)]
    separation: Annotated[int, Meta(ge=1, le=1 << 20)] = 1

    def __post_init__(self) -> None:
        if self.least > self.most:
            raise InvalidStatement("a cohort of at least more than at most")
        if tuple(sorted(set(self.authorities))) != self.authorities:
            raise InvalidStatement("authorities are in ascending order, each once")


class Mechanism(Statement, frozen=True):
    """Clipping and noise, on whole numbers.

    Attributes:
        clip: the largest Euclidean norm of one update, in grid units.
        grid_bits: a grid unit is 2^−grid_bits.
        noise_multiplier: σ over the clip norm, in 10^−9; 0 is no noise, and no privacy.
        denominator: what the sum is divided by, the same in each round.
    """

    statement: ClassVar[str] = "mechanism"

    clip: Annotated[int, Meta(ge=1, le=MOST_CLIP)]
    grid_bits: Annotated[int, Meta(ge=0, le=64)]
    noise_multiplier: Annotated[int, Meta(ge=0, le=1_000_000 * NANO)]
    denominator: Annotated[int, Meta(ge=1, le=1 << 20)]
    kind: Literal["gaussian"] = "gaussian"

    @property
    def sigma(self) -> Fraction:
        """The standard deviation of the noise on each number of the sum, in grid units, exactly."""
        return Fraction(self.noise_multiplier * self.clip, NANO)

    @property
    def rho(self) -> int:
        """ρ of one round in 10^−9, rounded up: clip² / (2 σ²). 0 where there is no noise, which is no privacy."""
        z = self.noise_multiplier
        return -(-(NANO**3) // (2 * z * z)) if z else 0


class Budget(Statement, frozen=True):
    """What all rounds of a scope may spend together.

    Attributes:
        scope: its name; with the policy's owner it makes the :func:`scope_id`.
        rho: in 10^−9, over all rounds of the scope; 0 for policies without noise, whose rounds are not private.
        delta: δ of the (ε, δ) that people are shown, in 10^−12.
    """

    statement: ClassVar[str] = "budget"

    scope: Name
    rho: Count
    delta: Annotated[int, Meta(ge=1, lt=10**12)]


class Windows(Statement, frozen=True):
    """Times of a round, in seconds from when its keys were made.

    Attributes:
        upload: until when updates are sealed to them.
        erase: when hosts forget them, released or not.
    """

    statement: ClassVar[str] = "windows"

    upload: Annotated[int, Meta(ge=1, le=14 * 86_400)]
    erase: Annotated[int, Meta(ge=2, le=15 * 86_400)]

    def __post_init__(self) -> None:
        if self.upload >= self.erase:
            raise InvalidStatement("keys are erased after the last upload")


class ConfidentialPolicy(Statement, frozen=True):
    """The terms of a confidential training. Its digest is what keys are derived for.

    Attributes:
        owner: whose scope is spent; the policy counts when they signed it.
        attestation: canonical bytes of the :class:`~syft_ext.attestation.policy.AttestationPolicy` that workers
            are held to (:attr:`evidence`). It says whether this is meant to protect anybody.
        hosts: the key hosts, by ascending key. All of them are needed (``threshold`` = n).
        dishonest: how many of them may lie or be rolled back before release-once and budget are lost.
        suite: how updates are sealed.
        plans: digests of the client plans that may be trained, ascending.
        rounds: how many rounds one training has, at most.
        not_after: no round begins later.
    """

    statement: ClassVar[str] = "confidential policy"
    max_bytes: ClassVar[int] = 256 << 10

    owner: Key
    attestation: Annotated[bytes, Meta(min_length=1, max_length=128 << 10)]
    hosts: Annotated[tuple[Host, ...], Meta(min_length=2, max_length=16)]
    threshold: Annotated[int, Meta(ge=1, le=16)]
    cohort: Cohort
    mechanism: Mechanism
    budget: Budget
    plans: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=64)]
    rounds: Annotated[int, Meta(ge=1, le=1 << 20)]
    windows: Windows
    not_after: Time
    dishonest: Annotated[int, Meta(ge=0, le=15)] = 0
    suite: SuiteName = "x25519"
    checkpoint: Literal["noised"] = "noised"
    metrics: Literal["none"] = "none"
    version: Literal[1] = 1

    def __post_init__(self) -> None:
        reason = self._unsound()
        if reason:
            raise InvalidStatement(reason)

    def _unsound(self) -> str:
        try:
            self.evidence  # noqa: B018 - reading it is the check
        except GridError as error:
            return error.detail
        n, mechanism = len(self.hosts), self.mechanism
        keys = tuple(host.key for host in self.hosts)
        if tuple(sorted(set(keys))) != keys:
            return "hosts are in ascending order of their keys, each once"
        if self.threshold > n:
            return "a threshold above the number of hosts"
        if 2 * self.threshold <= n + self.dishonest:
            return "quorums must meet in an honest host: threshold > (hosts + dishonest) / 2"
        if self.threshold < n:
            return "thresholds below the number of hosts are not built: all hosts are needed"
        if tuple(sorted(set(self.plans))) != self.plans:
            return "plans are in ascending order, each once"
        if self.cohort.most * mechanism.clip + 64 * mechanism.sigma >= 1 << 62:
            return "cohort.most · clip + 64 σ must stay below 2^62: sums would wrap around"
        if (mechanism.noise_multiplier == 0) != (self.budget.rho == 0):
            return "a policy without noise has no budget, and one with noise has one"
        if mechanism.rho > self.budget.rho:
            return "the budget does not pay for one round"
        if self.production and mechanism.noise_multiplier == 0:
            return "a production policy has noise"
        if self.production and self.owner in keys:
            return "the owner of a production policy is none of its hosts"
        return ""

    @property
    def evidence(self) -> AttestationPolicy:
        """Which evidence of a worker is accepted."""
        return _evidence_policy(self.attestation)

    @property
    def production(self) -> bool:
        """Whether it is meant to protect anybody: what does not (simulated evidence, no noise) is refused
        then."""
        return self.evidence.production

    @property
    def scope(self) -> bytes:
        """The id of the scope that its rounds are charged to."""
        return scope_id(self.owner, self.budget.scope)

    def host(self, key: bytes) -> Host:
        """The host with this key. Raises :class:`~syft_ext.errors.InvalidStatement` where the policy has none."""
        for host in self.hosts:
            if host.key == key:
                return host
        raise InvalidStatement("this is no host of the policy")

    def check_domain(self, domain: bytes) -> None:
        """Refuse a production policy under which the Domain could invent participants, or is a host itself.

        Raises :class:`~syft_ext.errors.InvalidStatement`.
        """
        if not self.production:
            return
        if domain in self.cohort.authorities:
            raise InvalidStatement(
                "a production policy's authority is not the Domain itself: it could invent participants"
            )
        if any(host.key == domain for host in self.hosts):
            raise InvalidStatement("a production policy's hosts are not the Domain itself")
