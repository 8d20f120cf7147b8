"""A small confidential training: everybody's keys, and what each of them signs."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, TypeVar

import msgspec

from syft_ext.attestation.evidence import Evidence
from syft_ext.attestation.policy import AttestationPolicy, encode_policy
from syft_ext.attestation.simulator.evidence import make_simulated
from syft_ext.attestation.simulator.policy import SimulatorReferences
from syft_ext.attestation.snp.policy import SnpMinimum, SnpReferences
from syft_ext.confidential.asks import AttestAsk, evidence_digest
from syft_ext.confidential.canonical import Signed, Statement, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.hpke import SuiteName, public_key
from syft_ext.confidential.manifest import Declaration, Manifest
from syft_ext.confidential.offer import RecordedSession
from syft_ext.confidential.policy import NANO, Budget, Cohort, ConfidentialPolicy, Host, Mechanism, Windows
from syft_ext.confidential.receipts import Receipt, ReceiptBundle
from syft_ext.confidential.rounds import (
    Head,
    ReportLayout,
    ReportTensor,
    RoundContext,
    RoundKey,
    derive_secret,
    open_round_keys,
)
from syft_ext.confidential.sealing import Place, Sealing
from syft_ext.confidential.sessions import (
    Challenge,
    ChallengeSet,
    Denials,
    HostHead,
    SessionStatement,
    WorkerKeys,
)
from syft_ext.confidential.transparency.log import Inclusion, LogEntry, LogShown, Witnessed, head_over
from syft_ext.confidential.transparency.merkle import consistency_proof, inclusion_proof, leaf_hash
from syft_ext.identity import Identity

__all__ = ["BASE", "NOW", "PROCESS", "World", "changed", "digest"]

NOW = 1_800_000_000
BASE = hashlib.sha256(b"base").digest()
PROCESS = "0123456789abcdef" * 2
PLATFORM = Identity.generate()
"""Who signs simulated evidence."""
WORKLOAD = hashlib.sha256(b"the program").digest()
MINIMUM = SnpMinimum(product="Milan", boot_loader=3, tee=0, snp=8, microcode=115)
HEAD = Head(b"\1" * 32, 7, b"\2" * 32)


def digest(text: str) -> bytes:
    """32 bytes that stand for a content."""
    return hashlib.sha256(text.encode()).digest()


S = TypeVar("S", bound=msgspec.Struct)


def evidence_policy(production: bool) -> AttestationPolicy:
    """What evidence is accepted: the simulator's, or of one launch digest on an AMD machine."""
    if not production:
        references = SimulatorReferences(keys=(key_of(PLATFORM),), workloads=(WORKLOAD,))
        return AttestationPolicy(production=False, allow_simulator=True, simulator=references)
    snp = SnpReferences(measurements=(b"\5" * 48,), minima=(MINIMUM,))
    return AttestationPolicy(production=True, snp=snp)


def changed(statement: S, **fields: Any) -> S:
    """The same statement with other fields."""
    return msgspec.structs.replace(statement, **fields)


@dataclass
class World:
    """Everybody's keys, and what they sign. ``participants`` are numbered from 0."""

    suite: SuiteName = "x25519"
    production: bool = False
    noise: int = 2 * NANO
    owner: Identity = field(default_factory=Identity.generate)
    domain: Identity = field(default_factory=Identity.generate)
    authority: Identity = field(default_factory=Identity.generate)
    participants: list[Identity] = field(default_factory=lambda: [Identity.generate() for _ in range(4)])
    worker: Identity = field(default_factory=Identity.generate)
    process: str = PROCESS
    sequence: int = 1
    plan: bytes = hashlib.sha256(b"plan").digest()
    base: bytes = BASE
    tensors: tuple[ReportTensor, ...] = (ReportTensor("w", "F32", (3, 2)), ReportTensor("b", "F64", ()))

    def __post_init__(self) -> None:
        hosts = [Identity.generate() for _ in range(3)]
        self.hosts = sorted(hosts, key=lambda host: host.verify_key)

    @cached_property
    def layout(self) -> ReportLayout:
        return ReportLayout(self.tensors)

    @cached_property
    def policy(self) -> ConfidentialPolicy:
        return ConfidentialPolicy(
            owner=key_of(self.owner),
            attestation=encode_policy(evidence_policy(self.production)),
            hosts=tuple(
                Host(key_of(host), f"host {i}", f"http://127.0.0.1:{7000 + i}")
                for i, host in enumerate(self.hosts)
            ),
            threshold=len(self.hosts),
            cohort=Cohort(2, 100, (key_of(self.authority),), 5, 1),
            mechanism=Mechanism(1 << 20, 20, self.noise, 4),
            budget=Budget("study", NANO * 10 if self.noise else 0, 10**6),
            plans=(self.plan,),
            rounds=40,
            windows=Windows(3600, 7200),
            not_after=NOW + 86_400,
            suite=self.suite,
        )

    @cached_property
    def signed_policy(self) -> Signed[ConfidentialPolicy]:
        return Signed.make(self.policy, self.owner)

    @cached_property
    def context(self) -> RoundContext:
        return RoundContext(
            key_of(self.domain),
            self.process,
            self.sequence,
            self.suite,
            self.policy.digest(),
            (self.plan,),
            self.layout.digest(),
        )

    def secret(self, host: Identity, purpose: Any, context: RoundContext | None = None) -> bytes:
        """The private half of a host's key, as the host derives it."""
        seed = digest(f"{purpose} {host.verify_key}")
        return derive_secret(seed, purpose, context or self.context, key_of(host))

    def round_key(self, host: Identity, context: RoundContext | None = None, /, **fields: Any) -> RoundKey:
        """A host's statement of its keys."""
        context = context or self.context
        key = RoundKey(
            key_of(host),
            context.digest(),
            self.suite,
            public_key(self.suite, self.secret(host, "upload", context)),
            public_key(self.suite, self.secret(host, "release", context)),
            NOW - 60,
            NOW + 3540,
            NOW + 7140,
            HEAD,
            not self.production,
        )
        return changed(key, **fields)

    @cached_property
    def round_keys(self) -> tuple[Signed[RoundKey], ...]:
        return tuple(Signed.make(self.round_key(host), host) for host in self.hosts)

    def certificate(self, i: int, **fields: Any) -> ParticipantCertificate:
        """What the authority says of a participant."""
        certificate = ParticipantCertificate(
            key_of(self.authority),
            f"hospital {i}",
            key_of(self.participants[i]),
            NOW - 86_400,
            NOW + 86_400,
        )
        return changed(certificate, **fields)

    def signed_certificate(self, i: int, **fields: Any) -> Signed[ParticipantCertificate]:
        return Signed.make(self.certificate(i, **fields), self.authority)

    @property
    def keys(self) -> list[RoundKey]:
        """The round's keys, opened."""
        hosts = tuple(host.key for host in self.policy.hosts)
        return open_round_keys(self.round_keys, hosts, self.context)

    def place(self, i: int) -> Place:
        """Where participant ``i``'s update of this round belongs."""
        certificate = self.signed_certificate(i)
        return Place(self.policy, self.context, self.keys, self.base, f"{i:032x}", certificate)

    def sealed(self, i: int, content: bytes = b"numbers") -> tuple[bytes, Declaration]:
        """A sealed update of participant ``i``, and what they declare of it."""
        sealing = Sealing(self.place(i), [content], len(content), self.participants[i])
        blob = b"".join(sealing.pieces())
        return blob, sealing.declaration()

    def manifest(self, *declarations: Declaration) -> Manifest:
        """A manifest of these uploads."""
        keys = tuple(key.digest() for key in self.keys)
        return Manifest(self.context, self.base, keys, tuple(each.entry for each in declarations))

    def receipt(self, manifest: Manifest, output: bytes, /, **fields: Any) -> ReceiptBundle:
        """A receipt of the worker, and the hosts' word on its session."""
        sessions = tuple(Signed.make(self.session(host), host) for host in self.hosts)
        receipt = Receipt(
            manifest.digest(),
            self.policy.digest(),
            key_of(self.domain),
            self.process,
            self.sequence,
            self.base,
            output,
            self.layout.digest(),
            len(manifest.entries),
            0,
            self.policy.mechanism,
            self.policy.mechanism.rho,
            (f"simulator:{WORKLOAD.hex()}",),
            digest("evidence"),
            tuple(each.digest_as(SessionStatement) for each in sessions),
            (digest("grant"),) * 3,
            not self.production,
        )
        return ReceiptBundle(Signed.make(changed(receipt, **fields), self.worker), sessions)

    @cached_property
    def worker_keys(self) -> WorkerKeys:
        return WorkerKeys(public_key(self.suite, digest("worker")), key_of(self.worker))

    def session(self, host: Identity, /, **fields: Any) -> SessionStatement:
        """What a host says of the worker."""
        session = SessionStatement(
            key_of(host),
            self.worker_keys,
            digest("challenges"),
            self.policy.digest(),
            key_of(self.domain),
            self.process,
            (f"simulator:{WORKLOAD.hex()}",),
            digest("evidence"),
            not self.production,
            NOW - 10,
            NOW + 600,
            HEAD,
            tuple(HostHead(key_of(each), HEAD) for each in self.hosts if each is not host),
            Denials(),
        )
        return changed(session, **fields)

    def ask(self, **fields: Any) -> AttestAsk:
        """What the hosts were asked about the worker, with simulated evidence that is bound to it."""
        caller = self.worker_keys.digest()
        challenges = ChallengeSet(
            tuple(
                Challenge(key_of(host), b"\1" * 32, caller, NOW - 20, bytes([i]) * 32, bytes(32))
                for i, host in enumerate(self.hosts)
            )
        )
        ask = AttestAsk(
            self.policy.digest(),
            key_of(self.domain),
            self.process,
            self.worker_keys,
            challenges,
            b"",
            Evidence("simulator", b""),
        )
        ask = changed(ask, **fields)
        evidence = make_simulated(
            key_of(PLATFORM),
            PLATFORM.sign,
            workload=WORKLOAD,
            binding=ask.binding().digest,
            at=datetime.fromtimestamp(NOW - 15, UTC),
            host="here",
        )
        return changed(ask, evidence=fields.get("evidence", evidence))

    def recorded(self, ask: AttestAsk | None = None, **fields: Any) -> RecordedSession:
        """What each host said of the worker, as a Domain hands it on."""
        ask = ask or self.ask()
        about: dict[str, Any] = {
            "challenges": ask.challenges.digest(),
            "evidence": evidence_digest(ask.evidence),
            "worker": ask.worker,
            **fields,
        }
        return RecordedSession(
            tuple(Signed.make(self.session(host, **about), host) for host in self.hosts), ask
        )

    def shown(self, *before: LogEntry, since: int = 0, after: int = 1, **fields: Any) -> LogShown:
        """The Domain's log: ``before``, the policy, and ``after`` more entries; signed by the Domain and the
        hosts, with the proof that it continues its first ``since`` entries.

        Args:
            fields: ``keeper`` and ``witnesses``: who signs the head instead. ``policy``: what is logged instead.
        """
        policy = fields.get("policy", self.policy.digest())
        later = [LogEntry("workload", digest(f"later {i}"), NOW, "") for i in range(after)]
        entries = [*before, LogEntry("policy", policy, NOW - 500, ""), *later]
        leaves = [leaf_hash(entry.encode()) for entry in entries]
        head = head_over(key_of(self.domain), entries, fields.get("at", NOW - 400))
        witnesses = fields.get("witnesses", self.hosts)
        return LogShown(
            Witnessed(
                Signed.make(head, fields.get("keeper", self.domain)),
                tuple(Signed.make(head, witness) for witness in witnesses),
            ),
            Inclusion(entries[len(before)], len(before), tuple(inclusion_proof(leaves, len(before)))),
            tuple(consistency_proof(leaves, since)) if 0 < since < len(leaves) else (),
        )


def all_statements() -> list[type[Statement]]:
    """Every kind of statement there is."""

    def below(kind: type[Statement]) -> list[type[Statement]]:
        return [kind, *(each for child in kind.__subclasses__() for each in below(child))]

    return [kind for kind in below(Statement) if kind is not Statement and kind.statement]
