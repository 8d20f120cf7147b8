"""The gate that an output leaves by: once for each round, whatever the Domain repeats, restores or keeps back.

The worker seals receipt and numbers under a fresh key OK and splits OK among the hosts' release keys, each
share for exactly this sealed output. The Domain stores the sealed output first and then asks the hosts; each
host gives its share for the first output of a manifest that it is asked about, and for no other, ever
(:class:`~syft_ext.confidential.grants.Release`). One output of a round thus rests on a comparison at each
host, not on the worker doing the same twice.

A sealed output is ``MAGIC ‖ u32 length ‖ header ‖ chunks``; its content is ``u32 length ‖ signed receipt ‖
numbers``.
"""

from __future__ import annotations

import secrets
import struct
from collections.abc import Callable, Iterable, Iterator, Sequence
from hmac import compare_digest
from typing import Annotated, ClassVar

from blake3 import blake3
from msgspec import Meta

from syft_ext.confidential.canonical import Digest, Nonce, Signed, Statement
from syft_ext.confidential.grants import ConfirmRequest, Release, ReleaseInfo, ReleaseShares, ReturnInfo
from syft_ext.confidential.hpke import hkdf, open_sealed, seal
from syft_ext.confidential.receipts import Receipt
from syft_ext.confidential.rounds import RoundKey
from syft_ext.confidential.shares import combine, split
from syft_ext.confidential.stream import CHUNK, ChunkOpener, seal_chunks, sealed_length
from syft_ext.errors import InvalidStatement, SealBroken

__all__ = ["OutputHeader", "OutputSealing", "SealedOutput", "open_output_key", "return_share"]

MAGIC = b"GRIDOUT1"
_LENGTH = struct.Struct(">I")
_KEY_SIZE = 32
Buffer = bytes | bytearray | memoryview


class OutputHeader(Statement, frozen=True):
    """What an output is sealed for.

    Attributes:
        manifest: M. ok_commit: commitment to the output's key. salt: fresh. length: bytes of its content.
    """

    statement: ClassVar[str] = "output header"
    max_bytes: ClassVar[int] = 4 << 10

    manifest: Digest
    ok_commit: Digest
    salt: Nonce
    length: Annotated[int, Meta(ge=5, lt=1 << 44)]


class OutputSealing:
    """One sealing of one output, inside the worker: its pieces once, in order, then the shares of its key.

    Args:
        manifest: M.
        receipt: signed by the session's key; its ``output`` is the BLAKE3 of ``numbers``.
        numbers: pieces of ``length`` bytes together.
    """

    def __init__(
        self, manifest: bytes, receipt: Signed[Receipt], numbers: Iterable[Buffer], length: int
    ) -> None:
        said = receipt.encode()
        self._key = secrets.token_bytes(_KEY_SIZE)
        content = _LENGTH.size + len(said) + length
        header = OutputHeader(manifest, _commit(self._key), secrets.token_bytes(32), content)
        encoded = header.encode()
        self._head = MAGIC + _LENGTH.pack(len(encoded)) + encoded
        pieces = _chain([_LENGTH.pack(len(said)), said], numbers)
        self._chunks = seal_chunks(_data_key(self._key, header), header.digest(), pieces, content)
        self._manifest, self._digest, self._complete = manifest, blake3(max_threads=1), False
        self.size = len(self._head) + sealed_length(content)

    def pieces(self) -> Iterator[Buffer]:
        """The sealed output, piece by piece, once. Raises ``ValueError`` for numbers of another length."""
        for piece in _chain([self._head], self._chunks):
            self._digest.update(piece)
            yield piece
        self._complete = True

    def shares(self, keys: Sequence[RoundKey]) -> ReleaseShares:
        """OK, one share for each host. ``RuntimeError`` before all pieces were taken.

        Args:
            keys: the round's keys that the manifest names, in the policy's order of hosts.
        """
        if not self._complete:
            raise RuntimeError("an output is released when all of it is there")
        output = self._digest.digest()
        sealed = tuple(
            seal(
                key.suite,
                key.release,
                ReleaseInfo(self._manifest, key.host, key.digest(), output).digest(),
                share,
            )
            for key, share in zip(keys, split(self._key, len(keys)), strict=True)
        )
        return ReleaseShares(self._manifest, output, self.size, sealed)


def return_share(
    key: RoundKey, secret: bytes, index: int, shares: ReleaseShares, request: ConfirmRequest
) -> bytes:
    """At a host: its share of the output's key, sealed to the Domain. Only after it noted on its disk that this
    output is the one of this manifest.

    Args:
        key, secret: the host's round key, and the secret of its release key.
        index: the host's place in the policy, from 0.

    Raises :class:`~syft_ext.errors.SealBroken` when the share was sealed for another output, manifest, host or
    key, :class:`~syft_ext.errors.InvalidStatement` when the request is for another output.
    """
    if (request.host, request.manifest, request.output) != (key.host, shares.manifest, shares.output):
        raise InvalidStatement("the request is for another output, or another host")
    info = ReleaseInfo(shares.manifest, key.host, key.digest(), shares.output)
    if index >= len(shares.sealed):
        raise InvalidStatement("there is no share for this host")
    share = open_sealed(key.suite, secret, info.digest(), shares.sealed[index])
    back = ReturnInfo(key.host, shares.manifest, shares.output, key.digest())
    return seal(key.suite, request.recipient, back.digest(), share)


def open_output_key(secret: bytes, keys: Sequence[RoundKey], releases: Sequence[Release]) -> bytes:
    """At the Domain: the output's key, from the releases of all hosts.

    Args:
        secret: of the recipient key that the hosts were asked with.
        keys: the round's keys, in the policy's order of hosts.
        releases: one of each, in that order; each opened with its host's signature.

    Raises :class:`~syft_ext.errors.SealBroken`, or :class:`~syft_ext.errors.InvalidStatement` for releases
    that are not all about one output.
    """
    if len({(each.manifest, each.output) for each in releases}) != 1:
        raise InvalidStatement("releases of different outputs")
    found = []
    for key, each in zip(keys, releases, strict=True):
        if (each.host, each.key) != (key.host, key.digest()):
            raise InvalidStatement("a release of another host or key")
        info = ReturnInfo(key.host, each.manifest, each.output, each.key)
        found.append(open_sealed(key.suite, secret, info.digest(), each.sealed))
    return combine(found, len(keys), _KEY_SIZE)


class SealedOutput:
    """A sealed output whose key is there: receipt and numbers, a chunk at a time.

    Args:
        key: OK. manifest: M, which it has to be of.
        read: ``read(offset, length)`` gives bytes of the sealed output; its BLAKE3 was compared before.

    Attributes:
        receipt: not verified: :func:`~syft_ext.confidential.receipts.check_receipt` does.

    Raises :class:`~syft_ext.errors.SealBroken` or :class:`~syft_ext.errors.InvalidStatement`.
    """

    def __init__(self, key: bytes, manifest: bytes, read: Callable[[int, int], Buffer]) -> None:
        prefix = bytes(read(0, len(MAGIC) + _LENGTH.size))
        if len(prefix) != len(MAGIC) + _LENGTH.size or not prefix.startswith(MAGIC):
            raise InvalidStatement("this is no sealed output")
        (length,) = _LENGTH.unpack_from(prefix, len(MAGIC))
        if length > OutputHeader.max_bytes:
            raise InvalidStatement("the header of a sealed output is too long")
        header = OutputHeader.decode(bytes(read(len(prefix), length)))
        if header.manifest != manifest:
            raise InvalidStatement("an output of another manifest")
        if not compare_digest(_commit(key), header.ok_commit):
            raise SealBroken("the shares are not of the key that the output was sealed with")
        self._opener = ChunkOpener(_data_key(key, header), header.digest(), header.length)
        self._start, self._read, self._header = len(prefix) + length, read, header
        said = bytearray()
        pieces = self._content()
        size = None
        while size is None or len(said) < size:
            piece = next(pieces, None)
            if piece is None:
                raise InvalidStatement("a sealed output is shorter than its receipt")
            said += piece
            if size is None:
                (size,) = _LENGTH.unpack_from(said)
                size += _LENGTH.size
                if size > Signed.max_bytes:
                    raise InvalidStatement("the receipt in a sealed output is too long")
        self.receipt: Signed[Receipt] = Signed.decode(bytes(said[_LENGTH.size : size]))
        self._before = size
        self.length = header.length - size

    def numbers(self) -> Iterator[memoryview]:
        """The numbers' bytes (:attr:`length`), in order; each view is good until the next one.

        Raises :class:`~syft_ext.errors.SealBroken`.
        """
        left = self._before
        for piece in self._content():
            skipped = min(left, len(piece))
            left -= skipped
            if skipped < len(piece):
                yield piece[skipped:]

    def _content(self) -> Iterator[memoryview]:
        into = bytearray(min(CHUNK, self._header.length))
        for number in range(self._opener.count):
            offset, length = self._opener.place(number)
            yield self._opener.open(number, self._read(self._start + offset, length), into)


def _chain(first: Iterable[Buffer], then: Iterable[Buffer]) -> Iterator[Buffer]:
    yield from first
    yield from then


def _commit(key: bytes) -> bytes:
    return hkdf(key, b"", b"grid output commit v1\0")


def _data_key(key: bytes, header: OutputHeader) -> bytes:
    return hkdf(key, header.salt, b"grid output data v1\0")
