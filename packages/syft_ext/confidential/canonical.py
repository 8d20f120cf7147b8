"""Statements: structures with exactly one encoding, so that a digest or a signature means one thing.

The canonical bytes of a statement are the MessagePack array of its fields in their order, integers in their
shortest form, without floats and without maps. Its digest is ``SHA-256("grid <name> v1\\0" ‖ bytes)``, and
what is signed (Ed25519, RFC 8032) is that digest: the name keeps a signature under one kind of statement from
being read as another.
"""

from __future__ import annotations

import hashlib
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

import msgspec
from msgspec import Meta

from syft_ext.errors import BadSignature, InvalidStatement
from syft_ext.identity import Identity, verify

__all__ = ["Count", "Digest", "Key", "Name", "Nonce", "ProcessId", "Signed", "Statement", "Time", "key_of"]

Digest = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""32 bytes: SHA-256 of a statement, or BLAKE3 of a content."""
Key = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""An Ed25519 verify key, raw."""
Nonce = Annotated[bytes, Meta(min_length=32, max_length=32)]
"""32 random bytes."""
ProcessId = Annotated[str, Meta(pattern=r"^[0-9a-f]{32}\Z")]
"""The id of a training, an assignment or another row of a Domain: 32 hex digits."""
Time = Annotated[int, Meta(ge=0, lt=1 << 40)]
"""Whole seconds since the epoch."""
Count = Annotated[int, Meta(ge=0, lt=1 << 62)]
"""A number that counts; 62 bits, so that sums of two stay in 63."""
Name = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[!-~]+( [!-~]+)*\Z")]
"""Printable ASCII, single spaces inside: no two names look the same."""

_ENCODER = msgspec.msgpack.Encoder()
S = TypeVar("S", bound="Statement")


class Statement(msgspec.Struct, array_like=True, forbid_unknown_fields=True, frozen=True):
    """The base of all statements. Fields are integers, bytes, text, truth values, and tuples and statements of
    these.

    Attributes:
        statement: the name of this kind, which goes into its digest.
        max_bytes: the longest encoding that is read, in bytes.
    """

    statement: ClassVar[str] = ""
    max_bytes: ClassVar[int] = 1 << 20

    def encode(self) -> bytes:
        """The canonical bytes."""
        return _ENCODER.encode(self)

    @classmethod
    def decode(cls, data: bytes | memoryview) -> Self:
        """The statement that ``data`` is the canonical encoding of.

        Raises :class:`~syft_ext.errors.InvalidStatement` for anything else: other bytes that a lenient reader
        would take for the same, fields that break their rules, more than :attr:`max_bytes` bytes.
        """
        if len(data) > cls.max_bytes:
            raise InvalidStatement(f"{cls.statement}: {len(data)} bytes, at most {cls.max_bytes} are read")
        try:
            value = msgspec.msgpack.decode(data, type=cls, strict=True)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise InvalidStatement(f"{cls.statement}: {error}") from error
        if value.encode() != data:
            raise InvalidStatement(f"{cls.statement}: not its canonical encoding")
        return value

    def digest(self) -> bytes:
        """SHA-256 over the kind's name and the canonical bytes (32 bytes)."""
        return digest_of(type(self), self.encode())


def digest_of(kind: type[Statement], data: bytes) -> bytes:
    """The digest of the statement of ``kind`` whose canonical bytes are ``data``."""
    return hashlib.sha256(f"grid {kind.statement} v1\0".encode() + data).digest()


def key_of(identity: Identity | str) -> bytes:
    """The raw verify key (32 bytes) of an identity, or of a key in hex digits.

    Raises :class:`~syft_ext.errors.InvalidStatement` for text that is no key.
    """
    text = identity if isinstance(identity, str) else identity.verify_key
    try:
        raw = bytes.fromhex(text)
    except ValueError as error:
        raise InvalidStatement("a verify key is 64 hex digits") from error
    if len(raw) != 32 or raw.hex() != text:
        raise InvalidStatement("a verify key is 64 hex digits")
    return raw


class Signed(Statement, Generic[S], frozen=True):
    """A statement as it travels: its canonical bytes, and who signed their digest.

    Nothing of it is verified until :meth:`open` is told *whose* word it has to be.
    """

    statement: ClassVar[str] = "signed"
    max_bytes: ClassVar[int] = 64 << 20

    body: bytes
    signer: Key
    signature: Annotated[bytes, Meta(min_length=64, max_length=64)]

    @classmethod
    def make(cls, statement: S, identity: Identity) -> Signed[S]:
        """``statement``, signed by ``identity``.

        Raises :class:`~syft_ext.errors.InvalidStatement` for a statement that nobody would read.
        """
        type(statement).decode(statement.encode())
        return Signed(
            body=statement.encode(), signer=key_of(identity), signature=identity.sign(statement.digest())
        )

    def open(self, kind: type[S], *signers: bytes) -> S:
        """The statement, if it is of ``kind`` and one of ``signers`` signed it.

        Raises :class:`~syft_ext.errors.BadSignature`, or :class:`~syft_ext.errors.InvalidStatement`.
        """
        if self.signer not in signers:
            raise BadSignature(f"this {kind.statement} is signed by nobody who may")
        if len(self.body) > kind.max_bytes:
            raise InvalidStatement(
                f"{kind.statement}: {len(self.body)} bytes, at most {kind.max_bytes} are read"
            )
        verify(self.signer.hex(), digest_of(kind, self.body), self.signature)
        return kind.decode(self.body)

    def digest_as(self, kind: type[Any]) -> bytes:
        """The digest of the statement, if it is of ``kind``: what others name it by."""
        return digest_of(kind, self.body)
