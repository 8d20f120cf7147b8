"""A sealed update: what its header binds, what each share is sealed for, and what its participant signs.

A sealed blob is ``MAGIC ‖ u32 length ‖ header ‖ u32 length ‖ shares ‖ chunks`` (big-endian; chunks:
:mod:`~syft_ext.confidential.sealing`). Chunks carry the header's digest as associated data; the participant
signs the digest of the whole blob beside it.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from msgspec import Meta

from syft_ext.confidential.canonical import Count, Digest, Key, Nonce, ProcessId, Statement
from syft_ext.confidential.hpke import SuiteName
from syft_ext.confidential.stream import CHUNK

__all__ = ["SealedHeader", "SealedShares", "ShareInfo", "UploadStatement"]

KeyIds = Annotated[tuple[Digest, ...], Meta(min_length=2, max_length=16)]


class SealedHeader(Statement, frozen=True):
    """What an update is sealed for.

    Attributes:
        context: digest of the round's context.
        base: BLAKE3 of the checkpoint that it was trained from.
        assignment: the participant's part in the cycle.
        participant: their key.
        keys: ids of the round's keys, in the policy's order of hosts.
        ck_commit: commitment to the content key, because AES-GCM makes none.
        salt: fresh for each sealing; the data key follows from the content key and it.
        chunk: bytes of a chunk.
        length: bytes of the content.
    """

    statement: ClassVar[str] = "sealed header"
    max_bytes: ClassVar[int] = 8 << 10

    context: Digest
    base: Digest
    assignment: ProcessId
    participant: Key
    keys: KeyIds
    ck_commit: Digest
    salt: Nonce
    chunk: Annotated[int, Meta(ge=CHUNK, le=CHUNK)]
    length: Annotated[int, Meta(ge=1, lt=1 << 44)]


class SealedShares(Statement, frozen=True):
    """The content key's shares, each sealed to its host's upload key, in the policy's order of hosts."""

    statement: ClassVar[str] = "sealed shares"
    max_bytes: ClassVar[int] = 32 << 10

    sealed: Annotated[
        tuple[Annotated[bytes, Meta(min_length=64, max_length=2048)], ...], Meta(min_length=2, max_length=16)
    ]


class ShareInfo(Statement, frozen=True):
    """What one share is sealed for. Its digest is the HPKE info, recomputed by who opens it from what they
    know."""

    statement: ClassVar[str] = "share info"

    suite: SuiteName
    context: Digest
    base: Digest
    assignment: ProcessId
    participant: Key
    host: Key
    key: Digest
    index: Annotated[int, Meta(ge=1, le=16)]
    threshold: Annotated[int, Meta(ge=1, le=16)]
    hosts: Annotated[int, Meta(ge=2, le=16)]
    ck_commit: Digest


class UploadStatement(Statement, frozen=True):
    """A participant's word on one upload; signed by the participant. Manifests carry it, hosts count by it.

    Attributes:
        certificate: digest of the :class:`~syft_ext.confidential.certificates.ParticipantCertificate` they go by.
        header: digest of the :class:`SealedHeader`.
        shares: digest of the :class:`SealedShares`.
        blob: BLAKE3 of the whole sealed blob.
        length: bytes of the whole sealed blob.
    """

    statement: ClassVar[str] = "upload"
    max_bytes: ClassVar[int] = 4 << 10

    context: Digest
    base: Digest
    assignment: ProcessId
    participant: Key
    certificate: Digest
    keys: KeyIds
    ck_commit: Digest
    header: Digest
    shares: Digest
    blob: Digest
    length: Count
