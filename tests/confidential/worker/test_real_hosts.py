"""The worker and key hosts with databases: one output of a round, however often it is tried and by whom."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from blake3 import blake3

from grid.key_host.core import HostCore
from grid.key_host.granting import grant_key
from grid.key_host.releasing import confirm_output
from grid.key_host.sessions import attest, challenge
from syft_ext.attestation.simulator.evidence import make_simulated
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import Read, RoundJob
from syft_ext.confidential.grants import ConfirmRequest, Release, ReleaseShares
from syft_ext.confidential.hpke import public_key
from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.manifest import Manifest, ManifestEntry
from syft_ext.confidential.release import SealedOutput, open_output_key
from syft_ext.confidential.rounds import ReportLayout, ReportTensor, RoundContext, RoundKey
from syft_ext.confidential.sealing import Place, Sealing
from syft_ext.errors import GridError
from syft_ext.identity import Identity
from tests.confidential.worker.site import Host, Outcome, SiteOperator, clipped, update_of
from tests.confidential.world import changed
from tests.key_host.parties import WORKLOAD, Party, make_party

LAYOUT = ReportLayout((ReportTensor("w", "F32", (500,)),))
UPDATES = [update_of(n) for n in range(3)]


class Round:
    """One round of a party: three who sealed, and its manifest."""

    def __init__(self, party: Party) -> None:
        self.party = party
        self.policy = party.approved(party.policy())
        self.context: RoundContext = changed(party.context(self.policy), layout=LAYOUT.digest())
        self.signed_keys = party.open(self.policy, self.context)
        self.keys = [RoundKey.decode(each.body) for each in self.signed_keys]
        self.cores = {core.key: core for core in party.hosts}
        self.blobs: dict[bytes, bytes] = {}
        self.entries: list[ManifestEntry] = []
        for number, update in enumerate(UPDATES):
            person = Identity.generate()
            certificate = party.certificate(f"hospital {number}", person)
            place = Place(self.policy, self.context, self.keys, bytes(32), f"{number:032x}", certificate)
            sealing = Sealing(place, [update], len(update), person)
            blob = b"".join(sealing.pieces())
            self.blobs[blake3(blob).digest()] = blob
            self.entries.append(sealing.declaration().entry)
        self.manifest = party.manifest(self.context, self.signed_keys, entries=self.entries)

    @property
    def hosts(self) -> list[Identity]:
        return [core.identity for core in self.party.ordered(self.policy)]


class RealOperator(SiteOperator):
    """Carries the worker's asks to the hosts, as a Domain does."""

    def __init__(self, round: Round, manifest: Signed[Manifest] | None = None) -> None:
        self.round, self.manifest = round, manifest or round.manifest
        super().__init__(round)  # type: ignore[arg-type]
        self.refused: list[GridError] = []

    def job(self) -> RoundJob:
        return RoundJob(
            policy=Signed.make(self.round.policy, self.round.party.owner).encode(),
            round_keys=[each.encode() for each in self.round.signed_keys],
            layout=LAYOUT.encode(),
            manifest=self.manifest.encode(),
        )

    def read(self, question: Read) -> bytes | None:
        return self.round.blobs[question.blob][question.offset : question.offset + question.length]

    def relay(self, host: Host, operation: str, body: bytes) -> bytes | None:
        core = self.round.cores[host.key]
        try:
            answer: bytes = self._asked(core, operation, body).encode()
        except GridError as error:
            self.refused.append(error)
            return None
        return answer

    def _asked(self, core: HostCore, operation: str, body: bytes) -> Any:
        if operation == "challenge":
            return challenge(core, ChallengeAsk.decode(body))
        if operation == "attest":
            return attest(core, AttestAsk.decode(body))
        return grant_key(core, GrantAsk.decode(body), self.manifest)

    def quote(self, binding: bytes) -> bytes | None:
        party = self.round.party
        evidence = make_simulated(
            key_of(party.simulator),
            party.simulator.sign,
            workload=WORKLOAD,
            binding=binding,
            at=datetime.fromtimestamp(party.now, UTC),
            host="here",
        )
        return msgspec.msgpack.encode(evidence)

    def confirmed(self, outcome: Outcome) -> Any:
        """The numbers, once all hosts gave their share of the output's key."""
        assert outcome.code is None, (outcome.code, self.refused)
        party, secret = self.round.party, secrets.token_bytes(32)
        shares: Signed[ReleaseShares] = Signed.decode(outcome.release)
        manifest, output = self.manifest.digest_as(Manifest), blake3(outcome.output).digest()
        releases = []
        for core, session in zip(party.ordered(self.round.policy), self.sessions, strict=True):
            request = ConfirmRequest(core.key, manifest, output, public_key("x25519", secret), party.now)
            signed = Signed.make(request, party.domain)
            released = confirm_output(core, signed, shares, Signed.decode(session))
            releases.append(released.open(Release, core.key))
        key = open_output_key(secret, self.round.keys, releases)
        opened = SealedOutput(key, manifest, lambda offset, length: outcome.output[offset : offset + length])
        return np.frombuffer(b"".join(bytes(each) for each in opened.numbers()), "<i8")


@pytest.fixture
def held(tmp_path: Path) -> Round:
    return Round(make_party(tmp_path, 3))


def test_a_round_has_one_output_however_many_workers_try(held: Round) -> None:
    first = RealOperator(held)
    outcome = first.run()
    second = RealOperator(held)
    again = second.run()
    numbers = first.confirmed(outcome)
    assert (first.confirmed(outcome) == numbers).all(), "asked again, the same"
    with pytest.raises(GridError):
        second.confirmed(again)
    mechanism = held.policy.mechanism
    clip = Clip(mechanism.clip, mechanism.grid_bits)
    total = sum(clipped(clip, np.frombuffer(update, "<f4")) for update in UPDATES)
    noise = (numbers - total).astype(float)
    assert 0.8 * float(mechanism.sigma) < noise.std() < 1.2 * float(mechanism.sigma)


def test_another_manifest_of_the_round_is_granted_nothing(held: Round) -> None:
    """All but one, and all: the difference would be one update."""
    assert RealOperator(held).run().code is None
    fewer = held.party.manifest(held.context, held.signed_keys, entries=held.entries[:2])
    other = RealOperator(held, fewer)
    assert other.run() == Outcome("host_refused") and other.refused


def test_evidence_of_another_program_gets_no_session(held: Round) -> None:
    class Other(RealOperator):
        def quote(self, binding: bytes) -> bytes | None:
            return super().quote(binding[::-1])

    other = Other(held)
    assert other.run() == Outcome("host_refused")
    assert not any(operation == "grant" for _, operation, _, _ in other.relayed)
