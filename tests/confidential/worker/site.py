"""One round with everybody in it: participants who sealed, key hosts in memory, and an operator at the worker's
pipe.

The hosts do what a worker sees of key hosts, with real keys and statements; they appraise nothing and keep no
ledger (``tests/key_host`` is about those that do). The operator is honest; a test makes it otherwise by a
subclass.
"""

from __future__ import annotations

import secrets
import socket
import threading
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import msgspec
import numpy as np
from blake3 import blake3
from numpy.typing import NDArray

from grid.confidential_worker.evidence import EvidenceSource, LauncherSource
from grid.confidential_worker.operator import Operator
from grid.confidential_worker.program import serve
from syft_ext.attestation.evidence import Evidence
from syft_ext.confidential.asks import AttestAsk, ChallengeAsk, GrantAsk, evidence_digest
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.frames import (
    Bytes,
    FramePipe,
    FromOperator,
    FromWorker,
    GaveUp,
    Missing,
    OutputPart,
    Quote,
    Read,
    Relay,
    Result,
    RoundJob,
    operator_pipe,
    worker_pipe,
)
from syft_ext.confidential.grants import (
    ConfirmRequest,
    Grant,
    GrantInfo,
    GrantRequest,
    Release,
    ReleaseShares,
)
from syft_ext.confidential.hpke import public_key, seal
from syft_ext.confidential.kernel.clipping import Clip
from syft_ext.confidential.manifest import Declaration, Manifest
from syft_ext.confidential.receipts import Receipt, ReceiptBundle, check_receipt
from syft_ext.confidential.release import SealedOutput, open_output_key, return_share
from syft_ext.confidential.rounds import ReportLayout, ReportTensor
from syft_ext.confidential.sessions import Challenge, SessionStatement
from syft_ext.errors import Unavailable
from syft_ext.identity import Identity
from tests.confidential.world import HEAD, NOW, World

__all__ = ["Host", "Opened", "Outcome", "Site", "SiteOperator", "clipped", "update_of"]


class Site(World):
    """A round of so many participants, with updates of so many numbers.

    Attributes:
        blobs: the sealed uploads by their digest.
        declarations: what their participants said of them, in the manifest's order.
    """

    size = 500

    def __init__(self, updates: Sequence[bytes], **fields: Any) -> None:
        super().__init__(participants=[Identity.generate() for _ in updates], **fields)
        self.updates = list(updates)
        self.blobs: dict[bytes, bytes] = {}
        self.declarations: list[Declaration] = []
        for i, content in enumerate(self.updates):
            self.add(*self.sealed(i, content))

    def add(self, blob: bytes, declaration: Declaration) -> None:
        """Take a sealed upload as the Domain does."""
        self.blobs[blake3(blob).digest()] = blob
        self.declarations.append(declaration)

    @cached_property
    def layout(self) -> ReportLayout:
        return ReportLayout((ReportTensor("w", "F32", (self.size,)),))

    @cached_property
    def round(self) -> Manifest:
        """What goes into the output."""
        return self.manifest(*self.declarations)

    @cached_property
    def job(self) -> RoundJob:
        """What the worker is given."""
        return RoundJob(
            policy=self.signed_policy.encode(),
            round_keys=[key.encode() for key in self.round_keys],
            layout=self.layout.encode(),
            manifest=Signed.make(self.round, self.domain).encode(),
        )

    def open(self, output: bytes, release: bytes, sessions: Sequence[bytes]) -> Opened:
        """What hosts and Domain do with a sealed output."""
        statements: tuple[Signed[SessionStatement], ...] = tuple(Signed.decode(each) for each in sessions)
        signer = SessionStatement.decode(statements[0].body).worker.sign
        signed: Signed[ReleaseShares] = Signed.decode(release)
        shares = signed.open(ReleaseShares, signer)
        assert (shares.manifest, shares.output, shares.length) == (
            self.round.digest(),
            blake3(output).digest(),
            len(output),
        )
        secret = secrets.token_bytes(32)
        releases = []
        for index, (host, key) in enumerate(zip(self.hosts, self.keys, strict=True)):
            request = ConfirmRequest(
                key.host, shares.manifest, shares.output, public_key(self.suite, secret), NOW
            )
            back = return_share(key, self.secret(host, "release"), index, shares, request)
            releases.append(Release(key.host, shares.manifest, shares.output, key.digest(), back, HEAD))
        opened = SealedOutput(
            open_output_key(secret, self.keys, releases),
            self.round.digest(),
            lambda offset, length: output[offset : offset + length],
        )
        numbers = b"".join(bytes(piece) for piece in opened.numbers())
        receipt = check_receipt(ReceiptBundle(opened.receipt, statements), self.policy, self.round)
        assert receipt.output == blake3(numbers).digest()
        return Opened(np.frombuffer(numbers, "<i8"), receipt)

    def expected(self, *without: int) -> NDArray[Any]:
        """The sum of the clipped updates, without noise."""
        clip = Clip(self.policy.mechanism.clip, self.policy.mechanism.grid_bits)
        total = np.zeros(self.size, np.int64)
        for i, content in enumerate(self.updates):
            if i not in without:
                total += clipped(clip, np.frombuffer(content, "<f4"))
        return total


class Opened(msgspec.Struct):
    """An output whose key the hosts gave."""

    numbers: Any
    receipt: Receipt


class Outcome(msgspec.Struct):
    """How a job ended: with an output, or a code."""

    code: str | None
    output: bytes = b""
    release: bytes = b""


def clipped(clip: Clip, values: NDArray[Any]) -> NDArray[Any]:
    """One vector, clipped."""
    shift = clip.shift(clip.largest(values))
    total = np.zeros(len(values), np.int64)
    clip.add(total, values, shift, clip.factor(clip.squares(values, shift)))
    return total


def update_of(seed: int, size: int = Site.size, scale: float = 0.01) -> bytes:
    """An update; the larger ones are clipped."""
    return (np.random.default_rng(seed).normal(size=size) * scale).astype("<f4").tobytes()


class Host:
    """A key host, as a worker sees it."""

    def __init__(self, site: Site, identity: Identity) -> None:
        self.site, self.identity, self.key = site, identity, key_of(identity)
        self.granted: list[bytes] = []

    def challenge(self, ask: ChallengeAsk) -> Challenge:
        """As ``key_host.challenge``."""
        return Challenge(self.key, b"\1" * 32, ask.worker.digest(), NOW, secrets.token_bytes(32), bytes(32))

    def attest(self, ask: AttestAsk) -> SessionStatement:
        """As ``key_host.attest``, without an appraisal."""
        return self.site.session(
            self.identity,
            worker=ask.worker,
            challenges=ask.challenges.digest(),
            evidence=evidence_digest(ask.evidence),
            at=NOW,
        )

    def secret(self) -> bytes:
        """The round's upload secret."""
        return self.site.secret(self.identity, "upload")

    def grant(self, ask: GrantAsk) -> Grant:
        """As ``key_host.grant``, without a ledger."""
        mine = self.site.hosts.index(self.identity)
        said = ask.sessions[mine].open(SessionStatement, self.key)
        request = ask.request.open(GrantRequest, said.worker.sign)
        assert request.host == self.key
        assert request.sessions == tuple(each.digest_as(SessionStatement) for each in ask.sessions)
        self.granted.append(request.manifest)
        key = self.site.keys[mine].digest()
        info = GrantInfo(self.key, request.manifest, request.sessions[mine], key)
        sealed = seal(self.site.suite, said.worker.kem, info.digest(), self.secret())
        rho = self.site.policy.mechanism.rho
        return Grant(self.key, request.manifest, request.sessions[mine], key, sealed, rho, HEAD)

    def answer(self, operation: str, body: bytes) -> bytes:
        """What it answers to an ask, encoded."""
        if operation == "challenge":
            return self.challenge(ChallengeAsk.decode(body)).encode()
        if operation == "attest":
            return Signed.make(self.attest(AttestAsk.decode(body)), self.identity).encode()
        return Signed.make(self.grant(GrantAsk.decode(body)), self.identity).encode()


class SiteOperator:
    """Whoever runs the worker: honest, until a subclass is not.

    Attributes:
        reads: what was asked for of blobs, in order.
        relayed: host's index, operation, ask and answer of each relay.
        sessions: the hosts' statements, as relayed.
    """

    host: type[Host] = Host

    def __init__(self, site: Site) -> None:
        self.site = site
        self.hosts = {key_of(each): self.host(site, each) for each in site.hosts}
        self.reads: list[Read] = []
        self.relayed: list[tuple[int, str, bytes, bytes]] = []

    @property
    def sessions(self) -> list[bytes]:
        return [answer for _, operation, _, answer in self.relayed if operation == "attest"]

    def job(self) -> RoundJob:
        """What is to be done."""
        return self.site.job

    def read(self, question: Read) -> bytes | None:
        """Bytes of a blob."""
        blob = self.site.blobs[question.blob]
        return blob[question.offset : question.offset + question.length]

    def relay(self, host: Host, operation: str, body: bytes) -> bytes | None:
        """A host's answer."""
        return host.answer(operation, body)

    def quote(self, binding: bytes) -> bytes | None:
        """Evidence, which the hosts here take as it is."""
        return msgspec.msgpack.encode(Evidence("simulator", binding))

    def serve(self, pipe: FramePipe[FromOperator, FromWorker]) -> Outcome:
        """Hand out the job and answer until it ends."""
        pipe.send(self.job())
        output = bytearray()
        while True:
            match pipe.receive():
                case Read() as question:
                    self.reads.append(question)
                    self._answer(pipe, self.read(question))
                case Relay(host, operation, body):
                    asked = self.hosts[host]
                    answer = self.relay(asked, operation, body)
                    index = self.site.hosts.index(asked.identity)
                    self.relayed.append((index, operation, body, answer or b""))
                    self._answer(pipe, answer)
                case Quote(binding):
                    self._answer(pipe, self.quote(binding))
                case OutputPart(data):
                    output += data
                case Result(release):
                    return Outcome(None, bytes(output), release)
                case GaveUp(code):
                    return Outcome(code, bytes(output))
                case None:
                    return Outcome("gone", bytes(output))

    def _answer(self, pipe: FramePipe[FromOperator, FromWorker], data: bytes | None) -> None:
        pipe.send(Missing() if data is None else Bytes(memoryview(data)))

    def run(self, source: Callable[[Operator], EvidenceSource] = LauncherSource) -> Outcome:
        """A worker of this process, in a thread; its whole job."""
        ours, theirs = socket.socketpair()
        with ours, theirs:

            def work() -> None:
                operator = Operator(worker_pipe(theirs))
                try:
                    serve(operator, source(operator))
                except Unavailable:
                    pass
                finally:
                    theirs.shutdown(socket.SHUT_RDWR)

            thread = threading.Thread(target=work)
            thread.start()
            try:
                return self.serve(operator_pipe(ours))
            finally:
                ours.shutdown(socket.SHUT_RDWR)
                thread.join()

    def opened(self, outcome: Outcome) -> Opened:
        """The output, with its key from the hosts."""
        assert outcome.code is None, outcome.code
        return self.site.open(outcome.output, outcome.release, self.sessions)
