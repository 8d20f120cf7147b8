"""An operator, a Domain or a host who cheats: there is no output, whichever way, and never another one."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from grid.confidential_worker import uploads
from grid.confidential_worker.evidence import LauncherSource
from syft_ext.attestation.evidence import Evidence
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import Bytes, FramePipe, Missing, Read, RoundJob
from syft_ext.confidential.grants import Grant, GrantInfo
from syft_ext.confidential.hpke import seal
from syft_ext.confidential.rounds import RoundKey, derive_secret
from syft_ext.confidential.sealing import MAX_HEAD, read_head
from syft_ext.confidential.sessions import Challenge, SessionStatement
from syft_ext.confidential.uploads import UploadStatement
from syft_ext.errors import Unavailable
from syft_ext.identity import Identity
from tests.confidential.worker.site import Host, Outcome, Site, SiteOperator, update_of
from tests.confidential.world import NOW, changed, digest

UPDATES = [update_of(n) for n in range(3)]


@pytest.fixture
def site() -> Site:
    return Site(UPDATES, noise=0)


def refused(outcome: Outcome, code: str) -> None:
    assert outcome == Outcome(code), "a code, and not a byte of output"


# -- blobs


class Cheat(SiteOperator):
    """Cheats with some of the reads.

    Attributes:
        which: numbers of the questions that are answered by ``how``; None: all.
    """

    def __init__(
        self, site: Site, which: set[int] | None, how: Callable[[bytes, Read], bytes | None]
    ) -> None:
        super().__init__(site)
        self.which, self.how = which, how

    def read(self, question: Read) -> bytes | None:
        right = super().read(question)
        assert right is not None
        if self.which is not None and len(self.reads) - 1 not in self.which:
            return right
        return self.how(right, question)


def flipped(data: bytes, question: Read) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def first_flipped(data: bytes, question: Read) -> bytes:
    return bytes([data[0] ^ 1]) + data[1:]


#: Three uploads, each read as: its start, its head again, its one chunk.
READS = range(9)


@pytest.mark.parametrize("which", READS)
@pytest.mark.parametrize("how", [flipped, first_flipped])
def test_one_damaged_answer_ends_the_job(site: Site, which: int, how: Callable[[bytes, Read], bytes]) -> None:
    """Also of the first look at a head, from which it is told whether an upload opens at all: who could choose
    that would choose whose update is in which of two outputs."""
    found = Cheat(site, {which}, how).run()
    if which % 3 == 0 and how is flipped:
        # Beyond the head: it is read again with its chunk.
        assert found.code is None
    else:
        refused(found, "blob_changed")


@pytest.mark.parametrize("which", READS)
def test_a_missing_answer_ends_the_job(site: Site, which: int) -> None:
    refused(Cheat(site, {which}, lambda data, question: None).run(), "blob_missing")


@pytest.mark.parametrize("which", READS)
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda data: b""])
def test_more_or_fewer_bytes_end_the_job(site: Site, which: int, change: Callable[[bytes], bytes]) -> None:
    refused(Cheat(site, {which}, lambda data, question: change(data)).run(), "blob_changed")


def test_a_whole_other_upload_ends_the_job(site: Site) -> None:
    """Two uploads swapped, and one in the place of all: each opens for itself, and counts once."""
    blobs = list(site.blobs.values())
    first, second = list(site.blobs)[:2]

    def swapped(data: bytes, question: Read) -> bytes:
        other = {first: blobs[1], second: blobs[0]}.get(question.blob)
        return data if other is None else other[question.offset : question.offset + question.length]

    def repeated(data: bytes, question: Read) -> bytes:
        return blobs[0][question.offset : question.offset + question.length]

    refused(Cheat(site, None, swapped).run(), "blob_changed")
    refused(Cheat(site, None, repeated).run(), "blob_changed")


class Large(Site):
    size = 400_000


def test_what_is_swapped_between_the_sweeps_ends_the_job(monkeypatch: pytest.MonkeyPatch) -> None:
    """A participant and the operator: two versions under one content key, small for the norm, then huge."""
    monkeypatch.setattr(uploads, "KEEP", 0)
    site = Large([update_of(n, Large.size) for n in range(2)], noise=0)
    honest = SiteOperator(site)
    assert honest.run().code is None
    reads = len(honest.reads)
    # Of each upload: its start, its head, and three sweeps over two chunks.
    assert reads == 2 * (2 + 3 * 2)
    for which in (2 + 2, 2 + 3, 2 + 4, 2 + 5, 8 + 7):
        refused(Cheat(site, {which}, flipped).run(), "blob_changed")
        refused(Cheat(site, {which}, lambda data, question: None).run(), "blob_missing")


def test_bytes_are_asked_for_once_in_order_and_again_where_they_are_not_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    site = Large([update_of(n, Large.size) for n in range(2)], noise=0)
    for keep, sweeps in ((uploads.KEEP, 1), (0, 3)):
        monkeypatch.setattr(uploads, "KEEP", keep)
        operator = SiteOperator(site)
        assert operator.run().code is None
        expected = []
        for blob in (entry.upload for entry in site.round.entries):
            digest = UploadStatement.decode(blob.body).blob
            length = len(site.blobs[digest])
            start = read_head(site.blobs[digest])[2]
            chunk = (1 << 20) + 16
            chunks = [(start, chunk), (start + chunk, length - start - chunk)]
            stretches = [(0, MAX_HEAD), (0, start), *chunks * sweeps]
            expected += [Read(digest, offset, size) for offset, size in stretches]
        assert operator.reads == expected


# -- statements


def signed(statement: Any, identity: Identity) -> bytes:
    return Signed.make(statement, identity).encode()


def jobs(site: Site) -> dict[str, tuple[RoundJob, str]]:
    """Jobs that are not what they should be, and why they are refused."""
    job, round = site.job, site.round
    other = Site(UPDATES[:2], noise=0)
    weaker = changed(site.policy, budget=changed(site.policy.budget, scope="other"))
    one = signed(changed(round, entries=round.entries[:1]), site.domain)
    twice = signed(changed(round, entries=(round.entries[0], *round.entries[:2])), site.domain)
    disordered = signed(changed(round, entries=round.entries[::-1]), site.domain)
    unsigned = changed(round.entries[0], upload=changed(round.entries[0].upload, signature=b"\0" * 64))
    other_layout = changed(site.layout, tensors=(changed(site.layout.tensors[0], name="v"),))
    swapped_keys = [job.round_keys[1], job.round_keys[0], job.round_keys[2]]
    second_key = signed(changed(site.keys[0], upload=site.keys[0].upload[::-1]), site.hosts[0])

    def with_(**fields: Any) -> RoundJob:
        return msgspec.structs.replace(job, **fields)

    return {
        "policy of another": (with_(policy=other.job.policy), "manifest_refused"),
        "policy by nobody": (with_(policy=signed(site.policy, site.domain)), "policy_refused"),
        "another policy of the owner": (with_(policy=signed(weaker, site.owner)), "manifest_refused"),
        "no policy": (with_(policy=b""), "policy_refused"),
        "manifest of one": (with_(manifest=one), "manifest_refused"),
        "an upload twice": (with_(manifest=twice), "manifest_refused"),
        "uploads in another order": (with_(manifest=disordered), "manifest_refused"),
        "an upload that nobody signed": (
            with_(manifest=signed(changed(round, entries=(unsigned, *round.entries[1:])), site.domain)),
            "manifest_refused",
        ),
        "another base": (
            with_(manifest=signed(changed(round, base=digest("other")), site.domain)),
            "manifest_refused",
        ),
        "manifest by another Domain": (with_(manifest=signed(round, site.owner)), "manifest_refused"),
        "no manifest": (with_(manifest=b"\xc1"), "manifest_refused"),
        "round keys in another order": (with_(round_keys=swapped_keys), "round_keys_refused"),
        "fewer round keys": (with_(round_keys=job.round_keys[:2]), "round_keys_refused"),
        "another round key of a host": (
            with_(round_keys=[second_key, *job.round_keys[1:]]),
            "round_keys_refused",
        ),
        "another layout": (with_(layout=other_layout.encode()), "layout_refused"),
    }


@pytest.mark.parametrize("name", list(jobs(Site(UPDATES, noise=0))))
def test_a_job_that_does_not_fit_is_refused_before_a_host_charges(site: Site, name: str) -> None:
    job, code = jobs(site)[name]
    operator = SiteOperator(site)
    operator.job = lambda: job  # type: ignore[method-assign]
    refused(operator.run(), code)
    assert not operator.reads and not any(op == "grant" for _, op, _, _ in operator.relayed)


def test_a_certificate_that_has_ended_by_the_hosts_clocks_is_refused(site: Site) -> None:
    class Later(Host):
        def attest(self, ask: AttestAsk) -> SessionStatement:
            return changed(super().attest(ask), at=NOW + 90_000, not_after=NOW + 99_000)

    operator = SiteOperator(site)
    operator.hosts = {key_of(each): Later(site, each) for each in site.hosts}
    refused(operator.run(), "manifest_refused")


def test_a_production_policy_takes_no_simulated_evidence() -> None:
    site = Site(UPDATES, production=True)
    operator = SiteOperator(site)
    refused(operator.run(), "policy_refused")
    assert not operator.relayed


def test_evidence_of_an_operator_is_simulated_or_none(site: Site) -> None:
    for answer in (
        msgspec.msgpack.encode(Evidence("snp", b"x")),
        b"rubbish",
        None,
    ):
        operator = SiteOperator(site)
        operator.quote = lambda binding, answer=answer: answer  # type: ignore[method-assign,misc]
        refused(operator.run(), "no_evidence")


# -- hosts


def one_host(site: Site, cheat: type[Host], index: int = 1) -> SiteOperator:
    operator = SiteOperator(site)
    identity = site.hosts[index]
    operator.hosts[key_of(identity)] = cheat(site, identity)
    return operator


class TwoKeys(Host):
    """Made two keys for the round, and has shown the other to this participant (H5)."""

    def secret(self) -> bytes:
        return derive_secret(bytes(32), "upload", self.site.context, self.key)


class OtherManifest(Host):
    def grant(self, ask: GrantAsk) -> Grant:
        return changed(super().grant(ask), manifest=digest("other"))


class OtherInfo(Host):
    """Sealed for another manifest than it says."""

    def grant(self, ask: GrantAsk) -> Grant:
        grant = super().grant(ask)
        worker = SessionStatement.decode(ask.sessions[0].body).worker
        info = GrantInfo(grant.host, digest("other"), grant.session, grant.key)
        return changed(grant, sealed=seal("x25519", worker.kem, info.digest(), self.secret()))


class ShortSecret(Host):
    def secret(self) -> bytes:
        return super().secret()[:16]


class Cheaper(Host):
    def grant(self, ask: GrantAsk) -> Grant:
        return changed(super().grant(ask), rho=1)


class OtherSession(Host):
    def attest(self, ask: AttestAsk) -> SessionStatement:
        other = changed(ask.worker, sign=secrets.token_bytes(32))
        return changed(super().attest(ask), worker=other)


class OtherTraining(Host):
    def attest(self, ask: AttestAsk) -> SessionStatement:
        return changed(super().attest(ask), process="f" * 32)


class OtherProgram(Host):
    def attest(self, ask: AttestAsk) -> SessionStatement:
        return changed(super().attest(ask), workloads=("simulator:other",))


class LongAgo(Host):
    def attest(self, ask: AttestAsk) -> SessionStatement:
        return changed(super().attest(ask), at=NOW - 301)


class OtherCaller(Host):
    def challenge(self, ask: ChallengeAsk) -> Challenge:
        return changed(super().challenge(ask), caller=bytes(32))


class Rubbish(Host):
    def answer(self, operation: str, body: bytes) -> bytes:
        return b"\xc1" if operation == "attest" else super().answer(operation, body)


class NotSigned(Host):
    """By a key that is not the host's."""

    def answer(self, operation: str, body: bytes) -> bytes:
        if operation == "attest":
            return signed(self.attest(AttestAsk.decode(body)), Identity.generate())
        return super().answer(operation, body)


class GrantNotSigned(Host):
    def answer(self, operation: str, body: bytes) -> bytes:
        if operation == "grant":
            return signed(self.grant(GrantAsk.decode(body)), Identity.generate())
        return super().answer(operation, body)


@pytest.mark.parametrize(
    ("cheat", "code"),
    [
        (TwoKeys, "grants_refused"),
        (OtherManifest, "grants_refused"),
        (OtherInfo, "grants_refused"),
        (ShortSecret, "grants_refused"),
        (Cheaper, "grants_refused"),
        (GrantNotSigned, "grants_refused"),
        (OtherSession, "host_refused"),
        (OtherTraining, "host_refused"),
        (OtherProgram, "host_refused"),
        (LongAgo, "host_refused"),
        (OtherCaller, "host_refused"),
        (Rubbish, "host_refused"),
        (NotSigned, "host_refused"),
    ],
)
@pytest.mark.parametrize("index", [0, 2])
def test_a_host_that_cheats_ends_the_job(site: Site, cheat: type[Host], code: str, index: int) -> None:
    refused(one_host(site, cheat, index).run(), code)


@pytest.mark.parametrize("operation", ["challenge", "attest", "grant"])
def test_a_host_that_does_not_answer_ends_the_job(site: Site, operation: str) -> None:
    class Silent(SiteOperator):
        def relay(self, host: Host, asked: str, body: bytes) -> bytes | None:
            return None if asked == operation else super().relay(host, asked, body)

    refused(Silent(site).run(), "host_refused")


@pytest.mark.parametrize("operation", ["challenge", "attest", "grant"])
def test_a_host_in_the_place_of_another_ends_the_job(site: Site, operation: str) -> None:
    """The operator relays to one host, and hands its answer out for all."""

    class One(SiteOperator):
        def relay(self, host: Host, asked: str, body: bytes) -> bytes | None:
            if asked == operation == "grant":
                return (
                    self.relayed[-1][3]
                    if self.relayed[-1][1] == "grant"
                    else super().relay(host, asked, body)
                )
            first = self.hosts[key_of(self.site.hosts[0])]
            return super().relay(first if asked == operation else host, asked, body)

    code = "grants_refused" if operation == "grant" else "host_refused"
    refused(One(site).run(), code)


# -- the pipe


class Babbling(SiteOperator):
    """Answers a kind of question with something that is no answer."""

    def __init__(self, site: Site, kind: str, answer: Any) -> None:
        super().__init__(site)
        self.kind, self.answer = kind, answer

    def read(self, question: Read) -> bytes | None:
        return b"r" if self.kind == "read" else super().read(question)

    def _answer(self, pipe: FramePipe[Any, Any], data: bytes | None) -> None:
        if (self.kind == "read" and data == b"r") or (self.kind == "relay" and self.relayed[-1:]):
            pipe.send(self.answer)
        else:
            super()._answer(pipe, data)


@pytest.mark.parametrize("kind", ["read", "relay"])
def test_what_is_no_answer_ends_the_job(site: Site, kind: str) -> None:
    refused(Babbling(site, kind, site.job).run(), "protocol")


@pytest.mark.parametrize("kind", ["read", "relay"])
def test_an_answer_that_is_too_long_is_not_read(site: Site, kind: str) -> None:
    operator = Babbling(site, kind, Bytes(memoryview(bytes(40 << 20))))
    with pytest.raises(Unavailable):  # the worker has given up and gone before it could be sent
        operator.run()


def test_a_job_comes_first_and_once(site: Site) -> None:
    operator = SiteOperator(site)
    operator.job = lambda: Missing()  # type: ignore[method-assign,assignment,return-value]
    refused(operator.run(), "protocol")


def test_a_fault_is_one_word(site: Site) -> None:
    """Not even its kind is told: it may follow from what was opened."""

    class Faulty(LauncherSource):
        def evidence(self, binding: bytes, domain: str) -> Evidence:
            raise RuntimeError("the third number of hospital 2 is 0.25")

    refused(SiteOperator(site).run(Faulty), "internal")


def test_a_round_key_names_its_round(site: Site) -> None:
    other = site.round_key(site.hosts[0], changed(site.context, sequence=2))
    assert isinstance(other, RoundKey)
    job = msgspec.structs.replace(
        site.job, round_keys=[signed(other, site.hosts[0]), *site.job.round_keys[1:]]
    )
    operator = SiteOperator(site)
    operator.job = lambda: job  # type: ignore[method-assign]
    refused(operator.run(), "round_keys_refused")
