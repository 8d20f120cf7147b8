"""What a Domain offers of a confidential round, and all that a participant checks before a byte of an update
leaves.

The hosts' statements decide: whoever holds all their keys opens an update, evidence or not. Evidence beside
them is verified again, refused when it does not hold, and called advisory when it does.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, ClassVar

import msgspec
from msgspec import Meta

from syft_ext.attestation.appraise import appraise
from syft_ext.attestation.evidence import Appraisal
from syft_ext.confidential.asks import AttestAsk, evidence_digest
from syft_ext.confidential.canonical import Digest, Key, ProcessId, Signed, Statement
from syft_ext.confidential.certificates import ParticipantCertificate, open_certificate
from syft_ext.confidential.manifest import check_context
from syft_ext.confidential.odometer import Odometer, same_incarnation
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import ReportLayout, RoundContext, RoundKey, open_round_keys
from syft_ext.confidential.sealing import Place
from syft_ext.confidential.sessions import CHALLENGE_LIFE, SessionStatement
from syft_ext.confidential.transparency.log import LogShown, check_head, check_included
from syft_ext.confidential.transparency.succession import Succession
from syft_ext.confidential.trust import Trust
from syft_ext.errors import EvidenceRefused, GridError, InvalidStatement, OfferRefused

__all__ = ["Expected", "Finding", "Offer", "RecordedSession", "VerifiedOffer", "heard", "verify_offer"]


class RecordedSession(Statement, frozen=True):
    """A session of the training's worker, as it was appraised before.

    Attributes:
        statements: one of each host, in the policy's order.
        ask: what the hosts were asked: the session's keys, the challenges that its evidence answers, the evidence.
    """

    statement: ClassVar[str] = "recorded session"
    max_bytes: ClassVar[int] = 36 << 20

    statements: Annotated[tuple[Signed[SessionStatement], ...], Meta(min_length=2, max_length=16)]
    ask: AttestAsk


class Offer(Statement, frozen=True):
    """What a Domain says of a participant's part in a round. It is not signed: nothing in it rests on its word.

    Attributes:
        keys: the hosts' keys of the round, in the policy's order.
        recorded: the newest session of the training's worker, where there is one.
        log: that the policy is in the Domain's transparency log.
        successions: how the policy's key hosts follow those that participants may have pinned.
    """

    statement: ClassVar[str] = "offer"
    max_bytes: ClassVar[int] = 64 << 20

    policy: Signed[ConfidentialPolicy]
    context: RoundContext
    layout: ReportLayout
    keys: Annotated[tuple[Signed[RoundKey], ...], Meta(min_length=2, max_length=16)]
    base: Digest
    assignment: ProcessId
    recorded: Annotated[tuple[RecordedSession, ...], Meta(max_length=1)]
    log: LogShown
    successions: Annotated[tuple[Succession, ...], Meta(max_length=64)] = ()


@dataclass(frozen=True, slots=True)
class Expected:
    """What a participant knows without asking.

    Attributes:
        domain: the Domain's key, as it was pinned at the first contact.
        process, assignment: the training, and the part in the cycle that it trained for.
        policy: digest of the policy in the definition that it agreed to.
        base: BLAKE3 of the checkpoint that it downloaded.
        plans: BLAKE3 of each plan that the training has for participants, ascending: those it agreed to.
        layout: of the update, by the model that it downloaded.
        participant: its own key.
        log_size: of the Domain's log, as it was last seen when the offer was asked for: what is offered of it
            continues that.
    """

    domain: Key
    process: str
    assignment: str
    policy: Digest
    base: Digest
    plans: tuple[Digest, ...]
    layout: ReportLayout
    participant: Key
    log_size: int = 0


class Finding(msgspec.Struct, frozen=True):
    """One check that held.

    Attributes:
        check: its name, as in the refusal that it would have been.
        said: what holds, for people.
        pin: which of the participant's own facts or limits it was held against.
        advisory: it protects nothing by itself: hosts decide.
    """

    check: str
    said: str
    pin: str
    advisory: bool = False


@dataclass(frozen=True, slots=True)
class VerifiedOffer:
    """An offer that passed every check, at a time.

    Attributes:
        place: what the update is sealed for.
        policy: the terms. rho: what the round costs, in 10^−9.
        findings: what was checked, in order.
        appraisal: of the recorded evidence; None where there was none.
        fresh: the hosts appraised a worker minutes ago.
        at: seconds since the epoch.
        odometer: the participant's count with what was seen of the hosts, without this round.
    """

    place: Place
    policy: ConfidentialPolicy
    rho: int
    findings: tuple[Finding, ...]
    appraisal: Appraisal | None
    fresh: bool
    at: int
    odometer: Odometer


def verify_offer(
    offer: bytes, expected: Expected, trust: Trust, odometer: Odometer, at: int
) -> VerifiedOffer:
    """Check everything about an offer that a participant can check.

    Args:
        offer: encoded :class:`Offer`, from a Domain that nobody trusts.
        odometer: what was given so far.
        at: the participant's own time, seconds since the epoch.

    Raises :class:`~syft_ext.errors.OfferRefused`; ``extra["check"]`` names the check: ``encoding``, ``owner``,
    ``hosts``, ``scope``, ``authorities``, ``terms``, ``production``, ``cohort``, ``suite``, ``round``, ``agreed``,
    ``layout``, ``base``, ``log``, ``keys``, ``time``, ``certificate``, ``sessions``, ``denied``, ``heads``,
    ``evidence``, ``odometer``. Where ``extra["yet"]`` is true, another offer may hold later.
    """
    return _Verification(_decoded(offer), expected, trust, odometer, at).run()


def heard(offer: bytes, trust: Trust, odometer: Odometer) -> Odometer:
    """What is remembered of an offer that was refused: how key hosts follow others, by both their words."""
    try:
        found = _decoded(offer)
    except OfferRefused:
        return odometer
    return odometer.hearing(found.successions, trust.host_keys)


def _decoded(offer: bytes) -> Offer:
    try:
        return Offer.decode(offer)
    except GridError as error:
        raise OfferRefused(error.detail, check="encoding") from error


class _Verification:
    def __init__(self, offer: Offer, expected: Expected, trust: Trust, odometer: Odometer, at: int) -> None:
        self._offer, self._expected, self._trust, self._at = offer, expected, trust, at
        self._odometer = odometer
        self._hosts = trust.host_keys
        self._findings: list[Finding] = []
        self._check = ""

    def run(self) -> VerifiedOffer:
        try:
            policy = self._policy()
            self._terms(policy)
            self._round(policy)
            self._log(policy)
            keys = self._keys(policy)
            self._certificate(policy)
            appraisal, fresh = self._recorded(policy, keys)
            self._begin("odometer")
            self._odometer.check(
                self._offer.context, self._expected.participant, policy.mechanism.rho, self._trust
            )
            self._found(f"the round costs ρ = {policy.mechanism.rho / 1e9:g}", "your limits of ρ and rounds")
        except OfferRefused:
            raise
        except GridError as error:
            raise OfferRefused(error.detail, check=self._check, **_reason(error)) from error
        offer = self._offer
        place = Place(policy, offer.context, keys, offer.base, offer.assignment, self._trust.own_certificate)
        return VerifiedOffer(
            place,
            policy,
            policy.mechanism.rho,
            tuple(self._findings),
            appraisal,
            fresh,
            self._at,
            self._odometer,
        )

    def _begin(self, check: str) -> None:
        self._check = check

    def _require(self, holds: bool, otherwise: str) -> None:
        if not holds:
            raise OfferRefused(otherwise, check=self._check)

    def _found(self, said: str, pin: str, *, advisory: bool = False) -> None:
        self._findings.append(Finding(self._check, said, pin, advisory))

    def _policy(self) -> ConfidentialPolicy:
        self._begin("owner")
        signed = self._offer.policy
        owners = self._trust.owner_keys
        self._require(not owners or signed.signer in owners, "the policy's owner is none that you pinned")
        policy = signed.open(ConfidentialPolicy, signed.signer)
        self._require(policy.owner == signed.signer, "the policy is signed by somebody else than its owner")
        self._found(
            "the policy is signed by the owner of its scope", "owners" if owners else "no owner is pinned"
        )
        return policy

    def _terms(self, policy: ConfidentialPolicy) -> None:
        trust = self._trust
        self._begin("hosts")
        self._odometer = self._odometer.succeeding(self._offer.successions, trust.host_keys)
        heirs = self._odometer.successors
        given_up = [host.name for host in policy.hosts if host.key in heirs]
        self._require(not given_up, f"the policy has a key of {', '.join(given_up)} that was given up")
        self._hosts = self._odometer.speakers(trust.host_keys)
        keys = {host.key for host in policy.hosts}
        self._require(keys <= self._hosts, "the policy has a key host that you did not pin")
        followed = len(keys - trust.host_keys)
        self._require(
            len(policy.hosts) >= trust.least_hosts,
            f"the policy has {len(policy.hosts)} key hosts, you want {trust.least_hosts}",
        )
        under = f", {followed} under a key that the one you pinned signed" if followed else ""
        self._found(f"all {len(policy.hosts)} key hosts are yours{under}; all of them are needed", "hosts")
        self._begin("scope")
        self._odometer.check_scope(policy.scope, [host.key for host in policy.hosts])
        self._found("no key host of the scope is left out: what it spent is known", "what you gave before")
        self._begin("authorities")
        self._require(
            set(policy.cohort.authorities) <= trust.authority_keys,
            "the policy has an authority that you did not pin",
        )
        self._found("only whom your authorities vouch for takes part", "authorities")
        self._begin("production")
        self._require(
            policy.production or not trust.production,
            "the policy protects nobody: it takes simulated evidence",
        )
        self._found(
            "a production policy" if policy.production else "a policy that protects nobody", "production"
        )
        self._begin("terms")
        self._require(policy.evidence in trust.terms, "the policy takes other evidence than you accept")
        self._found("workers are held to your terms", "evidence")
        self._begin("cohort")
        self._require(
            policy.cohort.least >= trust.least_cohort,
            f"the policy sums as few as {policy.cohort.least}, you want {trust.least_cohort}",
        )
        self._found(f"at least {policy.cohort.least} participants in a round", "least_cohort")
        self._begin("suite")
        self._require(
            policy.suite in tuple(trust.suites),
            f"updates are sealed by {policy.suite}, which you do not take",
        )
        self._found(f"sealed by {policy.suite}", "suites")

    def _round(self, policy: ConfidentialPolicy) -> None:
        offer, expected = self._offer, self._expected
        self._begin("round")
        context = offer.context
        check_context(context, policy)
        self._begin("agreed")
        self._require(
            policy.digest() == expected.policy, "the policy is another than the training's that you agreed to"
        )
        self._found("the policy is that of the training you agreed to", "the definition")
        self._begin("round")
        self._require(context.domain == expected.domain, "the round is of another Domain")
        self._require(context.process == expected.process, "the round is of another training")
        self._require(expected.plans == context.plans, "the round is of other plans than you agreed to")
        self._require(offer.assignment == expected.assignment, "the offer is for another assignment")
        self._found(
            f"round {context.sequence} of your training at this Domain, of the plans you agreed to",
            "the Domain's key",
        )
        self._begin("layout")
        self._require(
            context.layout == offer.layout.digest() and offer.layout == expected.layout,
            "the round's layout is not of the model that you downloaded",
        )
        self._found("the layout is of the model you downloaded", "the model")
        self._begin("base")
        self._require(
            offer.base == expected.base, "the round starts from another checkpoint than you downloaded"
        )
        self._found("the round starts from the checkpoint you downloaded", "the model")

    def _log(self, policy: ConfidentialPolicy) -> None:
        """The policy is published, in a log that shows everybody the same and takes nothing back."""
        self._begin("log")
        shown, trust, log = self._offer.log, self._trust, self._expected.domain
        keys, witnessed = self._hosts, shown.witnessed
        known = self._odometer.knows_head(check_head(witnessed, log, keys, 0, None, ()))
        seen = None if known else self._odometer.head_of(log)
        if seen is not None and seen.size != self._expected.log_size:
            raise OfferRefused(
                "more of the Domain's log was seen since this was asked for: ask again",
                check=self._check,
                yet=True,
            )
        head = check_head(witnessed, log, keys, 0, seen, shown.consistency)
        try:
            check_head(witnessed, log, keys, trust.least_witnesses, None, ())
        except InvalidStatement as error:  # all else holds: too few have signed
            raise OfferRefused(error.detail, check=self._check, yet=True) from error
        entry = check_included(shown.inclusion, head)
        self._require(
            (entry.kind, entry.subject) == ("policy", policy.digest()),
            "what is shown of the Domain's log is another entry than the policy's",
        )
        self._require(
            head.at <= self._at + trust.clock_skew, "the head of the Domain's log is of another day"
        )
        self._odometer = self._odometer.following(head)
        signers = {each.signer for each in shown.witnessed.witnesses} & self._hosts
        self._found(
            f"the policy is in the Domain's log of {head.size} entries, signed by {len(signers)} of your hosts",
            "hosts, what you saw of the log",
        )

    def _keys(self, policy: ConfidentialPolicy) -> list[RoundKey]:
        self._begin("keys")
        keys = open_round_keys(
            self._offer.keys, tuple(host.key for host in policy.hosts), self._offer.context
        )
        self._require(
            self._trust.production is False or not any(key.simulated for key in keys),
            "a key host made its key for simulated evidence",
        )
        self._found("each host signed its own keys for this round and policy", "hosts")
        self._begin("time")
        at, windows = self._at, policy.windows
        self._require(at <= policy.not_after, "the policy has ended")
        for key in keys:
            self._require(key.not_before <= at + self._trust.clock_skew, "a key is not yet to be sealed to")
            self._require(at < key.upload_until, "the time to upload is over")
            self._require(
                key.upload_until <= key.not_before + windows.upload
                and key.erase_at <= key.not_before + windows.erase,
                "a host keeps its key longer than the policy says",
            )
        self._found("updates are taken now, and keys erased as the policy says", "your clock")
        return keys

    def _certificate(self, policy: ConfidentialPolicy) -> None:
        self._begin("certificate")
        certificate = open_certificate(self._trust.own_certificate, policy.cohort.authorities, self._at)
        self._require(
            certificate.participant == self._expected.participant, "your certificate is for another key"
        )
        self._found(f"you take part as {certificate.subject}", "certificate")

    def _recorded(self, policy: ConfidentialPolicy, keys: list[RoundKey]) -> tuple[Appraisal | None, bool]:
        self._begin("sessions")
        age = self._trust.session_age
        if not self._offer.recorded:
            if age is not None:
                raise OfferRefused(
                    "no key host has said yet that it appraised a worker of this training",
                    check=self._check,
                    yet=True,
                )
            return None, False
        recorded = self._offer.recorded[0]
        sessions = self._sessions(recorded, policy, keys)
        oldest = min(session.at for session in sessions)
        self._require(age is None or self._at - oldest <= age, "the hosts appraised a worker too long ago")
        self._found("each host appraised the same worker for this training and policy", "hosts, your clock")
        self._denied(sessions, policy)
        self._heads(sessions)
        appraisal = self._evidence(recorded, sessions, policy)
        skew = self._trust.clock_skew
        fresh = all(
            abs(self._at - session.at) <= skew and self._at <= session.not_after for session in sessions
        )
        return appraisal, fresh

    def _sessions(
        self, recorded: RecordedSession, policy: ConfidentialPolicy, keys: list[RoundKey]
    ) -> list[SessionStatement]:
        self._require(len(recorded.statements) == len(policy.hosts), "not each host speaks of the worker")
        sessions = []
        for signed, host, key in zip(recorded.statements, policy.hosts, keys, strict=True):
            session = signed.open(SessionStatement, host.key)
            context = self._offer.context
            about = (session.host, session.policy, session.domain, session.process)
            self._require(
                about == (host.key, context.policy, context.domain, context.process),
                "a host speaks of a session of another host, policy or training",
            )
            self._require(
                session.at <= self._at + self._trust.clock_skew, "a host's statement is of the future"
            )
            self._require(
                same_incarnation(key.head, session.head),
                "a host recovered since it made its key, or before it spoke",
            )
            sessions.append(session)
        first = sessions[0]
        self._require(
            all(
                (each.worker, each.challenges, each.evidence, each.workloads, each.simulated)
                == (first.worker, first.challenges, first.evidence, first.workloads, first.simulated)
                for each in sessions
            ),
            "the hosts speak of different workers",
        )
        times = [session.at for session in sessions]
        self._require(max(times) - min(times) <= CHALLENGE_LIFE, "the hosts' statements are minutes apart")
        self._require(
            not (first.simulated and policy.production), "a simulated worker under a production policy"
        )
        return sessions

    def _denied(self, sessions: list[SessionStatement], policy: ConfidentialPolicy) -> None:
        self._begin("denied")
        certificate = self._trust.own_certificate.digest_as(ParticipantCertificate)
        for session in sessions:
            denied = session.denied
            self._require(policy.digest() not in denied.policies, "a key host's owner revoked this policy")
            self._require(
                not set(denied.workloads) & set(session.workloads),
                "a key host's owner refuses this worker's program",
            )
            self._require(
                certificate not in denied.certificates, "a key host's owner refuses your certificate"
            )
        self._found("no host's owner refuses policy, program or your certificate", "hosts")

    def _heads(self, sessions: list[SessionStatement]) -> None:
        self._begin("heads")
        for session in sessions:
            self._odometer = self._odometer.seeing(session)
        self._found("no host's chain is older than what you saw", "what you saw before")

    def _evidence(
        self, recorded: RecordedSession, sessions: list[SessionStatement], policy: ConfidentialPolicy
    ) -> Appraisal:
        self._begin("evidence")
        ask, first = recorded.ask, sessions[0]
        self._require(
            (ask.policy, ask.domain, ask.process, ask.worker, ask.challenges.digest())
            == (first.policy, first.domain, first.process, first.worker, first.challenges),
            "the evidence is of another session than the hosts speak of",
        )
        challenges = ask.challenges.challenges
        self._require(
            tuple(each.host for each in challenges) == tuple(host.key for host in policy.hosts)
            and all(each.caller == ask.worker.digest() for each in challenges),
            "the challenges are not one of each host, for this worker",
        )
        self._require(
            evidence_digest(ask.evidence) == first.evidence, "other evidence than the hosts appraised"
        )
        when = datetime.fromtimestamp(min(session.at for session in sessions), UTC)
        appraisal = appraise(ask.evidence, policy.evidence, when, ask.binding())
        self._require(
            appraisal.workload == first.workloads and appraisal.simulated == first.simulated,
            "the evidence says something else than the hosts do",
        )
        self._found(
            f"evidence of the worker ({appraisal.kind}) holds: {', '.join(appraisal.workload)}",
            "evidence",
            advisory=True,
        )
        return appraisal


def _reason(error: GridError) -> dict[str, str]:
    return {"reason": str(error.extra.get("reason", ""))} if isinstance(error, EvidenceRefused) else {}
