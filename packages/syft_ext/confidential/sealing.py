"""Sealing an update for one round, and opening it inside the worker.

Each sealing draws a content key CK of its own, which nobody keeps: the update is sealed under a key that
follows from it and the header's salt, and CK itself goes in shares, one sealed to each host's upload key for
exactly this place (:class:`~syft_ext.confidential.uploads.ShareInfo`). The header names a commitment to CK,
for AES-GCM makes none: no two sets of shares open one blob to two contents.

CK is used through labelled HKDF only: for the data, the commitment, and the worker's noise.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hmac import compare_digest

from blake3 import blake3

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.confidential.hpke import hkdf, open_sealed, seal
from syft_ext.confidential.manifest import Declaration, ManifestEntry
from syft_ext.confidential.policy import ConfidentialPolicy
from syft_ext.confidential.rounds import RoundContext, RoundKey
from syft_ext.confidential.shares import combine, split
from syft_ext.confidential.stream import CHUNK, ChunkOpener, seal_chunks, sealed_length
from syft_ext.confidential.uploads import SealedHeader, SealedShares, ShareInfo, UploadStatement
from syft_ext.errors import InvalidStatement, SealBroken
from syft_ext.identity import Identity

__all__ = [
    "MAGIC",
    "MAX_HEAD",
    "NOISE_LABEL",
    "Place",
    "Sealing",
    "commit_to",
    "head_of",
    "open_content_key",
    "opener_of",
    "read_head",
    "share_info",
]

MAGIC = b"GRIDSEA1"
"""What a sealed update begins with."""
MAX_HEAD = len(MAGIC) + 8 + SealedHeader.max_bytes + SealedShares.max_bytes
"""Bytes before the chunks, at most."""
NOISE_LABEL = b"grid noise v1\0"
"""The label under which the worker derives an upload's part of the noise from its content key."""

KEY_SIZE = 32
_LENGTH = struct.Struct(">I")
Buffer = bytes | bytearray | memoryview


@dataclass(frozen=True, slots=True)
class Place:
    """Where an update belongs. All of it was checked before
    (:func:`~syft_ext.confidential.offer.verify_offer`).

    Attributes:
        keys: the round's keys in the policy's order of hosts.
        base: BLAKE3 of the checkpoint that it was trained from.
        assignment: the participant's part in the cycle.
        certificate: what the participant goes by.
    """

    policy: ConfidentialPolicy
    context: RoundContext
    keys: Sequence[RoundKey]
    base: bytes
    assignment: str
    certificate: Signed[ParticipantCertificate]


def commit_to(content_key: bytes) -> bytes:
    """The commitment to a content key (32 bytes): nobody finds another key with the same."""
    return hkdf(content_key, b"", b"grid seal commit v1\0")


def share_info(
    place: SealedHeader | UploadStatement,
    policy: ConfidentialPolicy,
    context: RoundContext,
    index: int,
    key: RoundKey,
) -> ShareInfo:
    """What the share of host ``index`` (from 0) is sealed for. Who opens it computes it from what the
    manifest, the policy and the host's own statement say, and from nothing that came with the share."""
    return ShareInfo(
        suite=context.suite,
        context=context.digest(),
        base=place.base,
        assignment=place.assignment,
        participant=place.participant,
        host=key.host,
        key=key.digest(),
        index=index + 1,
        threshold=policy.threshold,
        hosts=len(policy.hosts),
        ck_commit=place.ck_commit,
    )


class Sealing:
    """One sealing of one update: its pieces once, in order, and then what its participant declares of it.

    Args:
        place: what it is sealed for.
        pieces: the update, of ``length`` bytes together (at least 1).
        participant: who signs it; the key of the place's certificate.

    Attributes:
        size: bytes of the sealed blob.

    Raises :class:`~syft_ext.errors.InvalidStatement` for a certificate of another key.
    """

    def __init__(self, place: Place, pieces: Iterable[Buffer], length: int, participant: Identity) -> None:
        certificate = ParticipantCertificate.decode(place.certificate.body)
        if certificate.participant != key_of(participant):
            raise InvalidStatement("the certificate is another participant's")
        content_key = secrets.token_bytes(KEY_SIZE)
        self._header = SealedHeader(
            context=place.context.digest(),
            base=place.base,
            assignment=place.assignment,
            participant=certificate.participant,
            keys=tuple(key.digest() for key in place.keys),
            ck_commit=commit_to(content_key),
            salt=secrets.token_bytes(32),
            chunk=CHUNK,
            length=length,
        )
        self._shares = SealedShares(
            tuple(
                seal(
                    place.context.suite,
                    key.upload,
                    share_info(self._header, place.policy, place.context, index, key).digest(),
                    share,
                )
                for index, (key, share) in enumerate(
                    zip(place.keys, split(content_key, len(place.policy.hosts)), strict=True)
                )
            )
        )
        self._head = head_of(self._header, self._shares)
        self._chunks = seal_chunks(
            _data_key(content_key, self._header), self._header.digest(), pieces, length
        )
        self._certificate, self._participant = place.certificate, participant
        self._digest = blake3(max_threads=1)
        self._complete = False
        self.size = len(self._head) + sealed_length(length)

    def pieces(self) -> Iterator[bytes]:
        """The sealed blob, piece by piece. Nothing keeps it: it can be had once.

        Raises ``ValueError`` when the update is longer or shorter than was said.
        """
        for piece in self._all():
            self._digest.update(piece)
            yield piece
        self._complete = True  # and only then: an update that turned out longer was written, too

    def _all(self) -> Iterator[bytes]:
        yield self._head
        yield from self._chunks

    def declaration(self) -> Declaration:
        """What the participant says of the blob, signed. ``RuntimeError`` before all of it was taken."""
        if not self._complete:
            raise RuntimeError("a blob is declared when all of it is there")
        header = self._header
        upload = UploadStatement(
            context=header.context,
            base=header.base,
            assignment=header.assignment,
            participant=header.participant,
            certificate=self._certificate.digest_as(ParticipantCertificate),
            keys=header.keys,
            ck_commit=header.ck_commit,
            header=header.digest(),
            shares=self._shares.digest(),
            blob=self._digest.digest(),
            length=self.size,
        )
        entry = ManifestEntry(Signed.make(upload, self._participant), self._certificate)
        return Declaration(header, self._shares, entry)


def head_of(header: SealedHeader, shares: SealedShares) -> bytes:
    """What comes before the chunks of a blob."""
    parts = (header.encode(), shares.encode())
    return MAGIC + b"".join(_LENGTH.pack(len(part)) + part for part in parts)


def read_head(start: Buffer) -> tuple[SealedHeader, SealedShares, int]:
    """Header, shares, and where the chunks begin.

    Args:
        start: the first :data:`MAX_HEAD` bytes of the blob, or all of a shorter one.

    Raises :class:`~syft_ext.errors.InvalidStatement`.
    """
    view = memoryview(start)
    if bytes(view[: len(MAGIC)]) != MAGIC:
        raise InvalidStatement("this is no sealed update")
    header, at = _part(view, len(MAGIC), SealedHeader.max_bytes)
    shares, at = _part(view, at, SealedShares.max_bytes)
    return SealedHeader.decode(header), SealedShares.decode(shares), at


def open_content_key(
    upload: UploadStatement,
    shares: SealedShares,
    policy: ConfidentialPolicy,
    context: RoundContext,
    keys: Sequence[RoundKey],
    host_secrets: Sequence[bytes],
) -> bytes:
    """The content key of an upload, inside the worker.

    Args:
        upload: as its participant signed it, from the manifest.
        shares: those that the upload names (:func:`~syft_ext.confidential.manifest.check_header`).
        keys, host_secrets: of each host, in the policy's order.

    Raises :class:`~syft_ext.errors.SealBroken` when a share was sealed for anything else, or they do not belong
    together: that depends on the upload's public part alone.
    """
    found = [
        open_sealed(context.suite, secret, share_info(upload, policy, context, index, key).digest(), sealed)
        for index, (key, secret, sealed) in enumerate(zip(keys, host_secrets, shares.sealed, strict=True))
    ]
    content_key = combine(found, len(policy.hosts), KEY_SIZE)
    if not compare_digest(commit_to(content_key), upload.ck_commit):
        raise SealBroken("the shares are not of the content key that was committed to")
    return content_key


def opener_of(content_key: bytes, header: SealedHeader) -> ChunkOpener:
    """Opens the chunks that follow the head of the blob with this header."""
    return ChunkOpener(_data_key(content_key, header), header.digest(), header.length)


def _data_key(content_key: bytes, header: SealedHeader) -> bytes:
    return hkdf(content_key, header.salt, b"grid seal data v1\0")


def _part(view: memoryview, at: int, most: int) -> tuple[memoryview, int]:
    if len(view) < at + _LENGTH.size:
        raise InvalidStatement("a sealed update is cut off in its head")
    (length,) = _LENGTH.unpack_from(view, at)
    at += _LENGTH.size
    if length > most or len(view) < at + length:
        raise InvalidStatement("a sealed update is cut off in its head, or its head is too long")
    return view[at : at + length], at + length
