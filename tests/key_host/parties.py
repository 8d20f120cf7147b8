"""Everybody around a round: hosts with databases of their own, a Domain, participants, and a worker."""

from __future__ import annotations

import secrets
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from tempfile import mkdtemp

from sqlalchemy import text

from grid import schema
from grid.key_host.core import HostCore, HostLimits
from grid.key_host.epochs import EpochKeys
from grid.key_host.granting import grant_key
from grid.key_host.policies import decide, register
from grid.key_host.releasing import confirm_output
from grid.key_host.rounds import open_rounds
from grid.key_host.sessions import attest, challenge
from grid.storage.sql.database import Database
from syft_ext.attestation.policy import AttestationPolicy, encode_policy
from syft_ext.attestation.simulator.evidence import make_simulated
from syft_ext.attestation.simulator.policy import SimulatorReferences
from syft_ext.clock import ManualClock
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.grants import (
    ConfirmRequest,
    Grant,
    GrantInfo,
    GrantRequest,
    Release,
    ReleaseInfo,
    ReleaseShares,
)
from syft_ext.confidential.hpke import open_sealed, public_key, seal
from syft_ext.confidential.manifest import Manifest, ManifestEntry
from syft_ext.confidential.policy import Budget, Cohort, ConfidentialPolicy, Host, Mechanism, Windows
from syft_ext.confidential.rounds import OpenRounds, RoundContext, RoundKey
from syft_ext.confidential.sessions import ChallengeSet, SessionStatement, WorkerKeys
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.identity import Identity
from syft_ext.messages.key_host import DecidePolicy

T0 = 1_800_000_000
WORKLOAD = bytes([7]) * 32
NANO = 10**9
RHO = NANO // 2
"""ρ of a round with noise multiplier 1, in 10^−9."""


@cache
def _template() -> Path:
    """A database whose tables are up to date, made once."""
    path = Path(mkdtemp()) / "node.db"
    db = Database(f"sqlite:///{path}")
    schema.upgrade(db)
    with db.engine.connect() as connection:
        connection.execute(text("SELECT 1"))
    db.fold()
    db.close()
    return path


def fresh_database(path: Path) -> Database:
    """An empty SQLite database at ``path``."""
    shutil.copyfile(_template(), path)
    return Database(f"sqlite:///{path}")


def empty(db: Database) -> None:
    """Make a SQLite database what it was when it was new."""
    path = str(db.url.database)
    db.close()
    for suffix in ("-wal", "-shm"):
        Path(path + suffix).unlink(missing_ok=True)
    shutil.copyfile(_template(), path)


@dataclass
class Party:
    """A Domain with its participants and their authority, and a worker that it runs, at some key hosts."""

    hosts: list[HostCore]
    clock: ManualClock
    owner: Identity = field(default_factory=Identity.generate)
    domain: Identity = field(default_factory=Identity.generate)
    authority: Identity = field(default_factory=Identity.generate)
    simulator: Identity = field(default_factory=Identity.generate)
    people: dict[str, Identity] = field(default_factory=dict)
    process: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def now(self) -> int:
        return int(self.clock.now())

    # -- policies -----------------------------------------------------------------------------------

    def attestation(self, **changes: object) -> AttestationPolicy:
        values: dict[str, object] = {
            "production": False,
            "allow_simulator": True,
            "simulator": SimulatorReferences(keys=(key_of(self.simulator),), workloads=(WORKLOAD,)),
        }
        return AttestationPolicy(**(values | changes))  # type: ignore[arg-type]

    def policy(
        self,
        *,
        rounds: int = 10,
        least: int = 2,
        most: int = 1 << 20,
        participations: int = 1 << 20,
        separation: int = 1,
        dishonest: int = 0,
        erase: int = 86_400,
        scope: str = "scope",
        **changes: object,
    ) -> ConfidentialPolicy:
        """A policy whose budget pays for ``rounds`` rounds."""
        most = min(most, 1 << 20)
        values: dict[str, object] = {
            "owner": key_of(self.owner),
            "attestation": encode_policy(self.attestation()),
            "hosts": tuple(
                Host(key=core.key, name=f"host {core.key.hex()[:8]}", url="http://localhost:1")
                for core in sorted(self.hosts, key=lambda core: core.key)
            ),
            "threshold": len(self.hosts),
            "cohort": Cohort(
                least=least,
                most=most,
                authorities=(key_of(self.authority),),
                participations=participations,
                separation=separation,
            ),
            "mechanism": Mechanism(clip=1 << 20, grid_bits=20, noise_multiplier=NANO, denominator=least),
            "budget": Budget(scope=scope, rho=rounds * RHO, delta=1_000_000),
            "plans": (bytes(32),),
            "rounds": 1 << 20,
            "windows": Windows(upload=min(3600, erase - 1), erase=erase),
            "not_after": T0 + 365 * 86_400,
            "dishonest": dishonest,
        }
        return ConfidentialPolicy(**(values | changes))  # type: ignore[arg-type]

    def approved(self, policy: ConfidentialPolicy, **changes: object) -> ConfidentialPolicy:
        """The policy, registered and approved everywhere."""
        for core in self.hosts:
            register(core, Signed.make(policy, self.owner), "")
            decide(core, DecidePolicy(digest=policy.digest().hex(), state="approved", **changes))  # type: ignore[arg-type]
        return policy

    # -- rounds -------------------------------------------------------------------------------------

    def context(self, policy: ConfidentialPolicy, sequence: int = 1, process: str = "") -> RoundContext:
        return RoundContext(
            domain=key_of(self.domain),
            process=process or self.process,
            sequence=sequence,
            suite="x25519",
            policy=policy.digest(),
            plans=(bytes(32),),
            layout=bytes(32),
        )

    def ordered(self, policy: ConfidentialPolicy) -> list[HostCore]:
        """The hosts in the policy's order."""
        by_key = {core.key: core for core in self.hosts}
        return [by_key[host.key] for host in policy.hosts]

    def opening(self, core: HostCore, *contexts: RoundContext) -> Signed[OpenRounds]:
        return Signed.make(OpenRounds(host=core.key, contexts=contexts, at=self.now), self.domain)

    def open(self, policy: ConfidentialPolicy, context: RoundContext) -> list[Signed[RoundKey]]:
        """The round's keys, in the policy's order."""
        return [open_rounds(core, self.opening(core, context))[0] for core in self.ordered(policy)]

    # -- uploads and manifests ----------------------------------------------------------------------

    def certificate(self, name: str, person: Identity, **changes: object) -> Signed[ParticipantCertificate]:
        values: dict[str, object] = {
            "authority": key_of(self.authority),
            "subject": name,
            "participant": key_of(person),
            "not_before": 0,
            "not_after": T0 + 400 * 86_400,
        }
        return Signed.make(ParticipantCertificate(**(values | changes)), self.authority)  # type: ignore[arg-type]

    def entry(
        self, name: str, context: RoundContext, keys: Sequence[bytes], /, **changes: object
    ) -> ManifestEntry:
        """An upload of somebody, signed by them."""
        person = self.people.setdefault(name, Identity.generate())
        certificate = self.certificate(name, person)
        values: dict[str, object] = {
            "context": context.digest(),
            "base": bytes(32),
            "assignment": secrets.token_hex(16),
            "participant": key_of(person),
            "certificate": certificate.digest_as(ParticipantCertificate),
            "keys": tuple(keys),
            "ck_commit": secrets.token_bytes(32),
            "header": secrets.token_bytes(32),
            "shares": secrets.token_bytes(32),
            "blob": secrets.token_bytes(32),
            "length": 100,
        }
        upload = Signed.make(UploadStatement(**(values | changes)), person)  # type: ignore[arg-type]
        return ManifestEntry(upload=upload, certificate=certificate)

    def manifest(
        self,
        context: RoundContext,
        keys: Sequence[Signed[RoundKey]],
        names: Sequence[str] = ("ada", "ben"),
        entries: Sequence[ManifestEntry] | None = None,
    ) -> Signed[Manifest]:
        """A manifest of these people's uploads, or of these entries."""
        ids = tuple(key.digest_as(RoundKey) for key in keys)
        given = [self.entry(name, context, ids) for name in names] if entries is None else list(entries)
        given.sort(key=lambda each: UploadStatement.decode(each.upload.body).assignment)
        manifest = Manifest(context=context, base=bytes(32), keys=ids, entries=tuple(given))
        return Signed.make(manifest, self.domain)

    # -- a worker -----------------------------------------------------------------------------------

    def session(self, policy: ConfidentialPolicy, process: str = "") -> WorkerSession:
        """A worker that has attested to all hosts."""
        worker = WorkerSession(self, policy, process or self.process)
        worker.attest()
        return worker


@dataclass
class WorkerSession:
    """One process of a worker: its keys, and what the hosts said of it."""

    party: Party
    policy: ConfidentialPolicy
    process: str
    kem_secret: bytes = field(default_factory=lambda: secrets.token_bytes(32))
    sign: Identity = field(default_factory=Identity.generate)
    statements: list[Signed[SessionStatement]] = field(default_factory=list)

    @property
    def keys(self) -> WorkerKeys:
        return WorkerKeys(kem=public_key("x25519", self.kem_secret), sign=key_of(self.sign))

    def attest_ask(self, **changes: object) -> AttestAsk:
        """What it asks every host; the evidence is bound to its challenges."""
        hosts = self.party.ordered(self.policy)
        challenges = ChallengeSet(
            challenges=tuple(challenge(core, ChallengeAsk(worker=self.keys)) for core in hosts)
        )
        values: dict[str, object] = {
            "policy": self.policy.digest(),
            "domain": key_of(self.party.domain),
            "process": self.process,
            "worker": self.keys,
            "challenges": challenges,
            "runtime": b"",
            "evidence": self._evidence(b"0" * 64),
        }
        unbound = AttestAsk(**(values | changes))  # type: ignore[arg-type]
        if "evidence" in changes:
            return unbound
        return AttestAsk(**(values | changes | {"evidence": self._evidence(unbound.binding().digest)}))  # type: ignore[arg-type]

    def _evidence(self, binding: bytes) -> object:
        simulator = self.party.simulator
        return make_simulated(
            key_of(simulator),
            simulator.sign,
            workload=WORKLOAD,
            binding=binding,
            at=datetime.fromtimestamp(self.party.now, UTC),
            host="here",
        )

    def attest(self) -> None:
        ask = self.attest_ask()
        self.statements = [attest(core, ask) for core in self.party.ordered(self.policy)]

    def ask(
        self,
        core: HostCore,
        manifest: Signed[Manifest],
        keys: Sequence[Signed[RoundKey]],
        statements: Sequence[Signed[SessionStatement]] | None = None,
        /,
        **changes: object,
    ) -> GrantAsk:
        """What it asks ``core``, with these statements (all, by default)."""
        given = self.statements if statements is None else statements
        values: dict[str, object] = {
            "host": core.key,
            "manifest": manifest.digest_as(Manifest),
            "sessions": tuple(each.digest_as(SessionStatement) for each in given),
        }
        request = GrantRequest(**(values | changes))  # type: ignore[arg-type]
        return GrantAsk(request=Signed.make(request, self.sign), sessions=tuple(given), keys=tuple(keys))

    def grant(
        self, core: HostCore, manifest: Signed[Manifest], keys: Sequence[Signed[RoundKey]]
    ) -> Signed[Grant]:
        return grant_key(core, self.ask(core, manifest, keys), manifest)

    def opened(self, core: HostCore, signed: Signed[Grant]) -> bytes:
        """The secret in a grant."""
        grant = signed.open(Grant, core.key)
        info = GrantInfo(host=grant.host, manifest=grant.manifest, session=grant.session, key=grant.key)
        return open_sealed("x25519", self.kem_secret, info.digest(), grant.sealed)

    def output(
        self, manifest: Signed[Manifest], keys: Sequence[Signed[RoundKey]], output: bytes
    ) -> Signed[ReleaseShares]:
        """Shares of the key of an output with this digest."""
        digest = manifest.digest_as(Manifest)
        sealed = []
        for signed in keys:
            key = RoundKey.decode(signed.body)
            info = ReleaseInfo(manifest=digest, host=key.host, key=key.digest(), output=output)
            sealed.append(seal("x25519", key.release, info.digest(), secrets.token_bytes(32)))
        shares = ReleaseShares(manifest=digest, output=output, length=1, sealed=tuple(sealed))
        return Signed.make(shares, self.sign)

    def confirm(
        self, core: HostCore, manifest: Signed[Manifest], shares: Signed[ReleaseShares], **changes: object
    ) -> Signed[Release]:
        """The Domain asks for the host's share."""
        hosts = self.party.ordered(self.policy)
        values: dict[str, object] = {
            "host": core.key,
            "manifest": manifest.digest_as(Manifest),
            "output": ReleaseShares.decode(shares.body).output,
            "recipient": public_key("x25519", bytes(32)),
            "at": self.party.now,
        }
        request = ConfirmRequest(**(values | changes))  # type: ignore[arg-type]
        own = self.statements[hosts.index(core)]
        return confirm_output(core, Signed.make(request, self.party.domain), shares, own)


def make_party(folder: Path, count: int = 2, *, databases: Sequence[Database] = ()) -> Party:
    """``count`` hosts, with SQLite in ``folder`` or on ``databases``."""
    clock = ManualClock(float(T0))
    hosts = []
    for number in range(count):
        db = databases[number] if databases else fresh_database(folder / f"host{number}.db")
        epochs = EpochKeys(folder / f"epochs{number}", 86_400.0)
        core = HostCore(db, Identity.generate(), clock, epochs, HostLimits(simulator=True))
        core.prepare()
        hosts.append(core)
    return Party(hosts, clock)
