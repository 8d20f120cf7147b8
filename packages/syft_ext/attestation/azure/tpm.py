"""Quotes of a TPM 2.0: its registers and a nonce, signed by its attestation key (TPM 2.0 Library, part 2,
10.12.8)."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from syft_ext.attestation.evidence import Reason, refused

__all__ = ["MAGIC", "TpmQuote", "read_tpm_quote"]

MAGIC = bytes.fromhex("ff5443478018")
"""A structure that a TPM made itself (TPM_GENERATED_VALUE), and that is a quote (TPM_ST_ATTEST_QUOTE)."""

_SHA256 = 0x000B
_CLOCK_AND_FIRMWARE = 17 + 8


class TpmQuote(msgspec.Struct, frozen=True, kw_only=True):
    """What a TPM states: ``registers`` of its SHA-256 bank, in order, and the digest of their values."""

    message: bytes
    nonce: bytes
    registers: tuple[int, ...]
    digest: bytes

    def is_signed_by(self, key: rsa.RSAPublicKey, signature: bytes) -> bool:
        """RSASSA with SHA-256 over all of it."""
        try:
            key.verify(signature, self.message, padding.PKCS1v15(), hashes.SHA256())
        except (InvalidSignature, ValueError):
            return False
        return True

    def has(self, values: Mapping[int, bytes]) -> bool:
        """Whether the digest is that of these values of its registers."""
        if not values.keys() >= set(self.registers):
            return False
        stated = hashlib.sha256(b"".join(values[index] for index in self.registers)).digest()
        return hmac.compare_digest(stated, self.digest)


def read_tpm_quote(message: bytes) -> TpmQuote:
    """Read a quote, all of it; nothing of it holds before :meth:`TpmQuote.is_signed_by`.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    if message[: len(MAGIC)] != MAGIC:
        raise refused(Reason.MALFORMED, "this is no quote that a TPM made")
    rest = message[len(MAGIC) :]
    _, rest = _sized(rest)  # the signer's name, which the key replaces
    nonce, rest = _sized(rest)
    _, rest = _cut(rest, _CLOCK_AND_FIRMWARE)
    head, rest = _cut(rest, 4 + 2 + 1)
    if int.from_bytes(head[:4], "big") != 1 or int.from_bytes(head[4:6], "big") != _SHA256 or head[6] > 8:
        raise refused(Reason.UNSUPPORTED, "a quote is over registers of the SHA-256 bank")
    chosen, rest = _cut(rest, head[6])
    digest, rest = _sized(rest)
    if rest or len(digest) != 32:
        raise refused(Reason.MALFORMED, "the TPM's quote has another form")
    registers = tuple(index for index in range(8 * len(chosen)) if chosen[index // 8] >> index % 8 & 1)
    if not registers or registers[-1] > 23:
        raise refused(Reason.MALFORMED, "the TPM's quote is over registers that a TPM does not have")
    return TpmQuote(message=message, nonce=nonce, registers=registers, digest=digest)


def _cut(data: bytes, size: int) -> tuple[bytes, bytes]:
    if len(data) < size:
        raise refused(Reason.MALFORMED, "the TPM's quote ends within a part")
    return data[:size], data[size:]


def _sized(data: bytes) -> tuple[bytes, bytes]:
    size, rest = _cut(data, 2)
    return _cut(rest, int.from_bytes(size, "big"))
