"""A session: keys of this process, what all hosts say of it, and the round's secrets that they grant it."""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import msgspec

from grid.confidential_worker.evidence import EvidenceSource
from grid.confidential_worker.job import OpenedJob
from grid.confidential_worker.operator import GivingUp, Operator, giving_up
from syft_ext.attestation.evidence import Evidence
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk, evidence_digest
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import MAX_BODY
from syft_ext.confidential.grants import Grant, GrantInfo, GrantRequest
from syft_ext.confidential.hpke import SECRET_SIZE, open_sealed, public_key
from syft_ext.confidential.rounds import RoundKey
from syft_ext.confidential.sessions import (
    CHALLENGE_LIFE,
    Challenge,
    ChallengeSet,
    SessionStatement,
    WorkerKeys,
)
from syft_ext.errors import InvalidStatement
from syft_ext.identity import Identity

__all__ = ["Session"]

_NONE_YET = Evidence("", b"")


class Session:
    """Of one process, for one job. Its secrets are in this process's memory and nowhere else.

    Attributes:
        identity: signs grants' requests, the receipt and the release.
        statements: what each host said of it, in the policy's order; ``signed`` are the same as they came.
        evidence: the digest of what it was said of.
        grants: digests of the hosts' grants, once :meth:`secrets` was called.
    """

    def __init__(self, job: OpenedJob, operator: Operator, source: EvidenceSource) -> None:
        """Raises :class:`~grid.confidential_worker.operator.GivingUp` unless all hosts appraised it."""
        self._job, self._operator = job, operator
        self._secret = secrets.token_bytes(SECRET_SIZE)
        self.identity = Identity.generate()
        self._worker = WorkerKeys(kem=public_key(job.policy.suite, self._secret), sign=key_of(self.identity))
        challenges = ChallengeSet(tuple(self._challenge(host.key) for host in job.policy.hosts))
        context = job.manifest.context
        ask = AttestAsk(
            policy=context.policy,
            domain=context.domain,
            process=context.process,
            worker=self._worker,
            challenges=challenges,
            runtime=b"",  # hosts read it from the evidence
            evidence=_NONE_YET,
        )
        evidence = source.evidence(ask.binding(), context.domain_id)
        self.evidence, self._challenges = evidence_digest(evidence), challenges.digest()
        body = msgspec.structs.replace(ask, evidence=evidence).encode()
        self.signed = tuple(self._attest(host.key, body) for host in job.policy.hosts)
        self.statements = [SessionStatement.decode(each.body) for each in self.signed]
        self._agree()
        self.grants: tuple[bytes, ...] = ()

    @property
    def at(self) -> int:
        """Seconds since the epoch by the hosts' clocks, the one in the middle."""
        times = sorted(each.at for each in self.statements)
        return times[len(times) // 2]

    @property
    def simulated(self) -> bool:
        """Whether a host says that the evidence protects nothing."""
        return any(each.simulated for each in self.statements)

    def secrets(self) -> list[bytes]:
        """The round's upload secrets, in the policy's order: the hosts charge for them.

        Raises :class:`~grid.confidential_worker.operator.GivingUp` unless all hosts grant them.
        """
        digests = tuple(each.digest_as(SessionStatement) for each in self.signed)
        found, grants = [], []
        for key, session in zip(self._job.keys, digests, strict=True):
            secret, grant = self._grant(key, session, digests)
            found.append(secret)
            grants.append(grant)
        self.grants = tuple(grants)
        return found

    def _challenge(self, host: bytes) -> Challenge:
        body = ChallengeAsk(self._worker).encode()
        answer = self._operator.relay(host, "challenge", body, Challenge.max_bytes)
        with giving_up("host_refused"):
            challenge = Challenge.decode(answer)
            if challenge.host != host or challenge.caller != self._worker.digest():
                raise InvalidStatement("a challenge of another host, or for another caller")
        return challenge

    def _attest(self, host: bytes, body: bytes) -> Signed[SessionStatement]:
        answer = self._operator.relay(host, "attest", body, MAX_BODY)
        context = self._job.manifest.context
        with giving_up("host_refused"):
            signed: Signed[SessionStatement] = Signed.decode(answer)
            said = signed.open(SessionStatement, host)
            if (said.host, said.worker, said.challenges, said.evidence) != (
                host,
                self._worker,
                self._challenges,
                self.evidence,
            ):
                raise InvalidStatement("a statement about another session")
            if (said.policy, said.domain, said.process) != (
                context.policy,
                context.domain,
                context.process,
            ):
                raise InvalidStatement("a statement for another training")
        return signed

    def _agree(self) -> None:
        """All hosts saw one program, at one time."""
        first, times = self.statements[0], [each.at for each in self.statements]
        if any(each.workloads != first.workloads for each in self.statements):
            raise GivingUp("host_refused")
        if max(times) - min(times) > CHALLENGE_LIFE:
            raise GivingUp("host_refused")
        if self.simulated and not self._job.policy.evidence.allow_simulator:
            raise GivingUp("host_refused")

    def _grant(self, key: RoundKey, session: bytes, sessions: Sequence[bytes]) -> tuple[bytes, bytes]:
        job = self._job
        request = Signed.make(GrantRequest(key.host, job.digest, tuple(sessions)), self.identity)
        body = GrantAsk(request, self.signed, job.signed_keys).encode()
        answer = self._operator.relay(key.host, "grant", body, MAX_BODY)
        with giving_up("grants_refused"):
            signed: Signed[Grant] = Signed.decode(answer)
            grant = signed.open(Grant, key.host)
            named = (grant.host, grant.manifest, grant.session, grant.key)
            if named != (key.host, job.digest, session, key.digest()):
                raise InvalidStatement("a grant for something else")
            if grant.rho != job.policy.mechanism.rho:
                raise InvalidStatement("another charge than the policy's")
            info = GrantInfo(grant.host, grant.manifest, grant.session, grant.key)
            secret = open_sealed(job.policy.suite, self._secret, info.digest(), grant.sealed)
            # A host with two keys for one round would choose, attempt by attempt, whose uploads open.
            if public_key(job.policy.suite, secret) != key.upload:
                raise InvalidStatement("a secret that is not of the key that participants sealed to")
        return secret, signed.digest_as(Grant)
