"""Rounds: what one is (its context), what of a model it takes (its layout), and the keys that hosts make for
it."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from msgspec import Meta

from syft_ext.confidential.canonical import (
    Count,
    Digest,
    Key,
    Nonce,
    ProcessId,
    Signed,
    Statement,
    Time,
)
from syft_ext.confidential.hpke import SuiteName, hkdf, public_size
from syft_ext.errors import InvalidStatement
from syft_ext.identity import node_id_of

__all__ = [
    "Head",
    "Purpose",
    "ReportLayout",
    "ReportTensor",
    "RoundContext",
    "RoundKey",
    "derive_secret",
    "open_round_keys",
]

Purpose = Literal["upload", "release"]


class ReportTensor(Statement, frozen=True):
    """One tensor of an update: floating point, for nothing else is clipped and noised."""

    statement: ClassVar[str] = "report tensor"

    name: Annotated[str, Meta(min_length=1, max_length=512)]
    dtype: Literal["F64", "F32", "F16", "BF16"]
    shape: Annotated[tuple[Annotated[int, Meta(ge=1, lt=1 << 40)], ...], Meta(max_length=16)]

    @property
    def size(self) -> int:
        """How many numbers it has."""
        size = 1
        for side in self.shape:
            size *= side
        return size


class ReportLayout(Statement, frozen=True):
    """The tensors of an update, in their order. All who take part have the same, or are counted as zeros."""

    statement: ClassVar[str] = "report layout"
    max_bytes: ClassVar[int] = 16 << 20

    tensors: Annotated[tuple[ReportTensor, ...], Meta(min_length=1, max_length=1 << 16)]

    def __post_init__(self) -> None:
        if len({tensor.name for tensor in self.tensors}) != len(self.tensors):
            raise InvalidStatement("two tensors of one name")
        if self.size >= 1 << 34:
            raise InvalidStatement("more than 2^34 numbers")

    @property
    def size(self) -> int:
        """How many numbers an update has."""
        return sum(tensor.size for tensor in self.tensors)


class RoundContext(Statement, frozen=True):
    """Which round it is. A host makes keys for one (domain, process, sequence) once, ever.

    The checkpoint that the round starts from is not in it: keys are made ahead of it, and uploads name it.

    Attributes:
        domain: the Domain's whole verify key, not its short id: nobody else can have the same.
        sequence: 1, 2, …; a round that failed is not tried again, the next number is.
        suite: how updates are sealed; the policy's.
        policy: digest of the :class:`~syft_ext.confidential.policy.ConfidentialPolicy`.
        plans: digests of the client plans of this training, ascending.
        layout: digest of the :class:`ReportLayout`.
    """

    statement: ClassVar[str] = "round context"

    domain: Key
    process: ProcessId
    sequence: Annotated[int, Meta(ge=1, lt=1 << 32)]
    suite: SuiteName
    policy: Digest
    plans: Annotated[tuple[Digest, ...], Meta(min_length=1, max_length=64)]
    layout: Digest

    def __post_init__(self) -> None:
        if tuple(sorted(set(self.plans))) != self.plans:
            raise InvalidStatement("plans are in ascending order, each once")

    @property
    def domain_id(self) -> str:
        """The Domain's id as other messages name it."""
        return node_id_of(self.domain.hex())


class OpenRounds(Statement, frozen=True):
    """A Domain asks the hosts to make keys for rounds of one training; signed by the Domain.

    Attributes:
        host: who is asked: what was signed for one host says nothing to another.
    """

    statement: ClassVar[str] = "open rounds"

    host: Key
    contexts: Annotated[tuple[RoundContext, ...], Meta(min_length=1, max_length=8)]
    at: Time


class Head(Statement, frozen=True):
    """Where a host's hash chain stands.

    Attributes:
        incarnation: changes whenever the host recovers from an older database.
        sequence: number of rows; 0 before the first.
        hash: digest of the last row; 32 zero bytes before the first.
    """

    statement: ClassVar[str] = "head"

    incarnation: Nonce
    sequence: Count
    hash: Digest


class RoundKey(Statement, frozen=True):
    """A host's two public keys of one round; signed by the host. Its digest is the key's id.

    Attributes:
        context: digest of the :class:`RoundContext`.
        upload: what shares of content keys are sealed to; the private half goes to an attested worker, once.
        release: what shares of the output's key are sealed to; the private half never leaves the host.
        not_before, upload_until, erase_at: when updates may be sealed to it, and when it is gone.
        simulated: the policy takes evidence that protects nothing.
    """

    statement: ClassVar[str] = "round key"
    max_bytes: ClassVar[int] = 8 << 10

    host: Key
    context: Digest
    suite: SuiteName
    upload: Annotated[bytes, Meta(min_length=32, max_length=2048)]
    release: Annotated[bytes, Meta(min_length=32, max_length=2048)]
    not_before: Time
    upload_until: Time
    erase_at: Time
    head: Head
    simulated: bool

    def __post_init__(self) -> None:
        size = public_size(self.suite)
        if len(self.upload) != size or len(self.release) != size or self.upload == self.release:
            raise InvalidStatement(f"two different public keys of {size} bytes")
        if not self.not_before < self.upload_until < self.erase_at:
            raise InvalidStatement("times out of order")


def derive_secret(seed: bytes, purpose: Purpose, context: RoundContext, host: bytes) -> bytes:
    """The secret (32 bytes, for :mod:`~syft_ext.confidential.hpke`) of a host's key of a round.

    Args:
        seed: the host's random bytes for this round and purpose, at least 32. Upload and release have seeds of
            their own, because the first is given away and erased sooner.

    It follows from the policy and the whole context: the same seed under another policy is another key.
    """
    if len(seed) < 32:
        raise ValueError("a seed has at least 32 bytes")
    return hkdf(
        seed, context.policy, b"grid round key v1\0" + purpose.encode() + b"\0" + host + context.digest()
    )


def open_round_keys(
    keys: tuple[Signed[RoundKey], ...], hosts: tuple[bytes, ...], context: RoundContext
) -> list[RoundKey]:
    """The keys of a round: one of each host in the policy's order, each signed by it, all for ``context``.

    Raises :class:`~syft_ext.errors.BadSignature` or :class:`~syft_ext.errors.InvalidStatement`.
    """
    if len(keys) != len(hosts):
        raise InvalidStatement(f"{len(keys)} round keys, the policy has {len(hosts)} hosts")
    digest, opened = context.digest(), []
    for signed, host in zip(keys, hosts, strict=True):
        key = signed.open(RoundKey, host)
        if key.host != host or key.context != digest or key.suite != context.suite:
            raise InvalidStatement("a round key of another host, round or suite")
        opened.append(key)
    if len({key for each in opened for key in (each.upload, each.release)}) != 2 * len(opened):
        raise InvalidStatement("two hosts have the same key")
    return opened
