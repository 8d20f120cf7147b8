"""What goes into one output: the round, the checkpoint, the keys and the uploads in order; signed by the
Domain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

from msgspec import Meta

from syft_ext.confidential.canonical import Digest, Signed, Statement
from syft_ext.confidential.certificates import ParticipantCertificate, open_certificate, person_of
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundContext
from syft_ext.confidential.uploads import SealedHeader, SealedShares, UploadStatement
from syft_ext.errors import InvalidStatement

__all__ = [
    "CheckedEntry",
    "Declaration",
    "Manifest",
    "ManifestEntry",
    "check_context",
    "check_declaration",
    "check_entry",
    "check_header",
    "check_manifest",
]


class ManifestEntry(Statement, frozen=True):
    """One upload, by its participant's own signature, and the certificate that they go by."""

    statement: ClassVar[str] = "manifest entry"

    upload: Signed[UploadStatement]
    certificate: Signed[ParticipantCertificate]


class Manifest(Statement, frozen=True):
    """One round's input. Its digest, M, is what hosts grant keys for, once; signed by the Domain.

    Attributes:
        base: BLAKE3 of the checkpoint that every upload was trained from.
        keys: ids of the round's keys in the policy's order of hosts.
        entries: the uploads, in ascending order of their assignments.
    """

    statement: ClassVar[str] = "manifest"
    max_bytes: ClassVar[int] = 64 << 20

    context: RoundContext
    base: Digest
    keys: Annotated[tuple[Digest, ...], Meta(min_length=2, max_length=16)]
    entries: Annotated[tuple[ManifestEntry, ...], Meta(min_length=1, max_length=1 << 20)]


class Declaration(Statement, frozen=True):
    """All that is public about an upload, before its bytes come: the Domain checks it with
    :func:`check_declaration` before it takes any, so that no round fails later for what could be seen at once."""

    statement: ClassVar[str] = "declaration"
    max_bytes: ClassVar[int] = 64 << 10

    header: SealedHeader
    shares: SealedShares
    entry: ManifestEntry


@dataclass(frozen=True, slots=True)
class CheckedEntry:
    """An entry whose signatures hold.

    Attributes:
        person: what the participations of its subject are counted by.
    """

    upload: UploadStatement
    certificate: ParticipantCertificate
    person: bytes


def check_context(context: RoundContext, policy: ConfidentialPolicy) -> None:
    """Raise :class:`~syft_ext.errors.InvalidStatement` unless ``context`` is a round that ``policy`` allows."""
    if context.policy != policy.digest() or context.suite != policy.suite:
        raise InvalidStatement("the round is of another policy or suite")
    if not set(context.plans) <= set(policy.plans):
        raise InvalidStatement("the round trains a plan that its policy does not name")
    if context.sequence > policy.rounds:
        raise InvalidStatement(f"round {context.sequence} of a policy for {policy.rounds}")
    policy.check_domain(context.domain)


def check_entry(
    entry: ManifestEntry,
    context: RoundContext,
    base: bytes,
    keys: tuple[bytes, ...],
    policy: ConfidentialPolicy,
    at: int,
) -> CheckedEntry:
    """An upload of this round: certificate and signature hold, and it names this round, base and these keys.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    certificate = open_certificate(entry.certificate, policy.cohort.authorities, at)
    upload = entry.upload.open(UploadStatement, certificate.participant)
    if upload.participant != certificate.participant:
        raise InvalidStatement("an upload in the name of another participant")
    if upload.certificate != certificate.digest():
        raise InvalidStatement("an upload under another certificate")
    if upload.context != context.digest() or upload.base != base or upload.keys != keys:
        raise InvalidStatement("an upload of another round, base or set of keys")
    return CheckedEntry(upload, certificate, person_of(certificate))


def check_header(
    header: SealedHeader, shares: SealedShares, upload: UploadStatement, policy: ConfidentialPolicy
) -> None:
    """Raise :class:`~syft_ext.errors.InvalidStatement` unless these are the header and shares that ``upload``
    names, and say the same as it."""
    if header.digest() != upload.header or shares.digest() != upload.shares:
        raise InvalidStatement("another header or other shares than what the participant signed")
    if len(shares.sealed) != len(policy.hosts):
        raise InvalidStatement("a share is sealed to each host")
    for name in ("context", "base", "assignment", "participant", "keys", "ck_commit"):
        if getattr(header, name) != getattr(upload, name):
            raise InvalidStatement(f"the header and what the participant signed differ in {name}")


def check_declaration(
    declaration: Declaration,
    context: RoundContext,
    base: bytes,
    keys: tuple[bytes, ...],
    policy: ConfidentialPolicy,
    at: int,
) -> CheckedEntry:
    """An upload of which everything public holds; its bytes have to be ``upload.length`` with BLAKE3
    ``upload.blob``.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    checked = check_entry(declaration.entry, context, base, keys, policy, at)
    check_header(declaration.header, declaration.shares, checked.upload, policy)
    return checked


def check_manifest(manifest: Manifest, policy: ConfidentialPolicy, at: int) -> list[CheckedEntry]:
    """All that a manifest must be, whoever looks: a host before it charges, the worker before it opens anything.

    What only one of them knows (that a key is the host's own, what was spent, who is denied) is theirs to check.

    Args:
        manifest: opened: the Domain's signature over it holds.
        at: seconds since the epoch.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    check_context(manifest.context, policy)
    if len(manifest.keys) != len(policy.hosts) or len(set(manifest.keys)) != len(manifest.keys):
        raise InvalidStatement("a manifest names one key of each host")
    if not policy.cohort.least <= len(manifest.entries) <= policy.cohort.most:
        raise InvalidStatement(
            f"{len(manifest.entries)} uploads; the policy takes {policy.cohort.least} to {policy.cohort.most}"
        )
    entries = [
        check_entry(entry, manifest.context, manifest.base, manifest.keys, policy, at)
        for entry in manifest.entries
    ]
    assignments = [entry.upload.assignment for entry in entries]
    if assignments != sorted(set(assignments)):
        raise InvalidStatement("uploads are in ascending order of their assignments, each once")
    for what in (
        [entry.upload.participant for entry in entries],
        [entry.certificate.subject for entry in entries],
        [entry.upload.blob for entry in entries],
        [entry.upload.ck_commit for entry in entries],
    ):
        if len(set(what)) != len(what):
            raise InvalidStatement("the same participant or upload twice")
    return entries
