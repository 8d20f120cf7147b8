"""What a participant pins, of its own and never from a Domain: whose word counts, and how much it gives at
most."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from fractions import Fraction

from syft_ext.attestation.policy import AttestationPolicy, policy_from_json
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.hpke import SUITES, SuiteName
from syft_ext.confidential.policy import NANO
from syft_ext.errors import InvalidConfig, InvalidStatement

__all__ = ["Trust"]


@dataclass(frozen=True, kw_only=True)
class Trust:
    """A participant's pins and limits. A confidential training that does not keep to them is not answered.

        trust = sy.Trust(
            hosts=["5f0c…", "91ab…", "c2d4…"],      # verify keys, as the key hosts' operators gave them to you
            authorities=["77aa…"],                  # who vouches for participants
            evidence=[policy],                      # what you accept as proof of which program runs
            certificate="participant.certificate",  # an authority's word for your own key
            rho=0.5, rounds=40,
        )
        sy.FLClient("grid.example.org", trust=trust)

    Attributes:
        hosts: verify keys (64 hex digits). Every host of a policy must be one of them.
        authorities: verify keys. Every authority of a policy must be one of them, or it could let in participants
            whom nobody vouched for.
        evidence: the terms for workers, or their JSON documents; a policy has one of these, to the last byte.
        certificate: the authority's word for the participant's own key, or its encoded bytes.
        owners: verify keys of the owners of scopes; none: anybody's, within the limits below.
        production: whether policies that protect nobody (simulated evidence, no noise) are refused.
        suites: how updates may be sealed.
        least_cohort: participants in a round, at least. least_hosts: key hosts of a policy, at least: all of them
            together can open updates.
        rho: ρ of zero-concentrated differential privacy that all rounds may cost together, over all Domains and
            scopes. rounds: how many rounds that may be.
        session_age: seconds since the hosts last appraised a worker of the training, at most; None: whether they
            did before is not asked for: they will not give a key without.
        secure_aggregation: whether trainings by it are answered too: without hardware and key hosts, the Domain
            sees the sum of a round (of ``least_cohort`` at least), and ``rho`` and ``rounds`` do not count them.
        least_witnesses: how many of ``hosts``, at least, have to have signed the head of the Domain's transparency
            log that the policy is shown to be in: each signs only what continues all that it signed before. 0: the
            Domain's own word is enough, and what this participant saw before.
        clock_skew: seconds by which others' clocks may be ahead of one's own.

    Raises :class:`~syft_ext.errors.InvalidConfig` for what pins nothing.
    """

    hosts: Iterable[str]
    authorities: Iterable[str]
    evidence: Iterable[AttestationPolicy | bytes]
    certificate: Signed[ParticipantCertificate] | bytes
    rho: float | Fraction
    rounds: int
    owners: Iterable[str] = ()
    production: bool = True
    suites: Iterable[SuiteName] = SUITES
    least_cohort: int = 2
    least_hosts: int = 2
    session_age: int | None = 86_400
    secure_aggregation: bool = False
    least_witnesses: int = 1
    clock_skew: int = 600
    host_keys: frozenset[bytes] = field(init=False, repr=False)
    authority_keys: frozenset[bytes] = field(init=False, repr=False)
    owner_keys: frozenset[bytes] = field(init=False, repr=False)
    terms: tuple[AttestationPolicy, ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        try:
            for name, keys in (
                ("host_keys", self.hosts),
                ("authority_keys", self.authorities),
                ("owner_keys", self.owners),
            ):
                object.__setattr__(self, name, frozenset(key_of(key) for key in keys))
            if isinstance(self.certificate, bytes):
                object.__setattr__(self, "certificate", Signed.decode(self.certificate))
        except InvalidStatement as error:
            raise InvalidConfig(f"trust: {error.detail}") from error
        for name in ("hosts", "authorities", "evidence", "owners", "suites"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        object.__setattr__(
            self,
            "terms",
            tuple(policy_from_json(each) if isinstance(each, bytes) else each for each in self.evidence),
        )
        for name in ("hosts", "authorities", "evidence", "suites"):
            if not getattr(self, name):
                raise InvalidConfig(f"trust: pins no {name}", field=name)
        if not set(self.suites) <= set(SUITES):
            raise InvalidConfig(f"trust: suites are {', '.join(SUITES)}", field="suites")
        if self.production and any(not policy.production for policy in self.terms):
            raise InvalidConfig(
                "trust: terms for evidence that protect nobody, for production", field="evidence"
            )
        if not (math.isfinite(self.rho) and self.rho >= 0) or self.rounds < 1 or self.least_cohort < 2:
            raise InvalidConfig("trust: rho is a number from 0, rounds are 1 or more, a cohort is 2 or more")
        if not 2 <= self.least_hosts <= len(self.host_keys):
            raise InvalidConfig(
                "trust: least_hosts is 2 or more, and no more than hosts", field="least_hosts"
            )
        if not 0 <= self.least_witnesses <= len(self.host_keys):
            raise InvalidConfig(
                "trust: least_witnesses is 0 or more, and no more than hosts", field="least_witnesses"
            )
        if self.clock_skew < 0 or (self.session_age is not None and self.session_age < 1):
            raise InvalidConfig("trust: times are seconds from 0")

    @property
    def rho_nano(self) -> int:
        """ρ in 10^−9, rounded down."""
        return math.floor(Fraction(self.rho) * NANO)

    @property
    def own_certificate(self) -> Signed[ParticipantCertificate]:
        """The certificate, decoded."""
        assert isinstance(self.certificate, Signed)
        return self.certificate
