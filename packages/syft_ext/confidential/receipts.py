"""What a worker says of an output that it made. Nothing in it depends on what any update held."""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from syft_ext.confidential.canonical import Digest, Key, Name, ProcessId, Signed, Statement
from syft_ext.confidential.manifest import Manifest
from syft_ext.confidential.policy import ConfidentialPolicy, Mechanism
from syft_ext.confidential.sessions import SessionStatement
from syft_ext.errors import InvalidStatement

__all__ = ["Receipt", "ReceiptBundle", "check_receipt"]


class Receipt(Statement, frozen=True):
    """One output of one manifest; signed by the session's key.

    Attributes:
        manifest: M.
        output: BLAKE3 of the released numbers.
        layout: digest of the :class:`~syft_ext.confidential.rounds.ReportLayout`.
        participants: uploads in the manifest, each of which counted (what opened to rubbish counted as zeros).
        bad_seals: uploads that could not be opened: that depends on their headers alone.
        rho: ρ of this round in 10^−9.
        sessions, grants: digests of the hosts' statements, in the policy's order.
        simulated: it ran where its operator could see everything.
    """

    statement: ClassVar[str] = "receipt"

    manifest: Digest
    policy: Digest
    domain: Key
    process: ProcessId
    sequence: Annotated[int, Meta(ge=1, lt=1 << 32)]
    base: Digest
    output: Digest
    layout: Digest
    participants: Annotated[int, Meta(ge=1, le=1 << 20)]
    bad_seals: Annotated[int, Meta(ge=0, le=1 << 20)]
    mechanism: Mechanism
    rho: Annotated[int, Meta(ge=0, lt=1 << 62)]
    workloads: Annotated[tuple[Name, ...], Meta(min_length=1, max_length=16)]
    evidence: Digest
    sessions: Annotated[tuple[Digest, ...], Meta(min_length=2, max_length=16)]
    grants: Annotated[tuple[Digest, ...], Meta(min_length=2, max_length=16)]
    simulated: bool


class ReceiptBundle(Statement, frozen=True):
    """A receipt and what its reader needs to check it: the hosts' statements about the session that signed it."""

    statement: ClassVar[str] = "receipt bundle"
    max_bytes: ClassVar[int] = 40 << 20

    receipt: Signed[Receipt]
    sessions: Annotated[tuple[Signed[SessionStatement], ...], Meta(min_length=2, max_length=16)]


def check_receipt(bundle: ReceiptBundle, policy: ConfidentialPolicy, manifest: Manifest) -> Receipt:
    """The receipt, if every host of ``policy`` vouched for the session that signed it, for this training, and
    it says what policy and manifest say.

    Args:
        policy, manifest: opened: the signatures of the scope's owner and of the Domain hold.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    if len(bundle.sessions) != len(policy.hosts):
        raise InvalidStatement("a receipt needs the word of each host")
    sessions = [
        signed.open(SessionStatement, host.key)
        for signed, host in zip(bundle.sessions, policy.hosts, strict=True)
    ]
    context, first = manifest.context, sessions[0]
    for host, session in zip(policy.hosts, sessions, strict=True):
        if (session.host, session.policy) != (host.key, context.policy):
            raise InvalidStatement("a session of another host or policy")
        if (session.domain, session.process) != (context.domain, context.process):
            raise InvalidStatement("a session of another training")
        if (session.worker, session.challenges, session.evidence, session.workloads) != (
            first.worker,
            first.challenges,
            first.evidence,
            first.workloads,
        ):
            raise InvalidStatement("the hosts speak of different sessions")
    receipt = bundle.receipt.open(Receipt, first.worker.sign)
    simulated = any(session.simulated for session in sessions)
    said = (
        receipt.manifest == manifest.digest(),
        receipt.policy == context.policy == policy.digest(),
        (receipt.domain, receipt.process, receipt.sequence)
        == (context.domain, context.process, context.sequence),
        (receipt.base, receipt.layout) == (manifest.base, context.layout),
        receipt.participants == len(manifest.entries) >= receipt.bad_seals,
        (receipt.mechanism, receipt.rho) == (policy.mechanism, policy.mechanism.rho),
        (receipt.workloads, receipt.evidence) == (first.workloads, first.evidence),
        receipt.sessions == tuple(signed.digest_as(SessionStatement) for signed in bundle.sessions),
        receipt.simulated == simulated,
    )
    if not all(said):
        raise InvalidStatement("the receipt says something else than its policy, manifest and sessions")
    if simulated and not policy.evidence.allow_simulator:
        raise InvalidStatement("a simulated session under a policy that takes none")
    return receipt
