"""COSE_Sign1 (RFC 9052, section 4.2): one signature over protected headers and a payload.

What is not signed is not used: the algorithm is the caller's, and the protected header has to say the same;
unprotected headers are read, and that is all. ``external`` data are empty in attestation documents, and there for
the vectors.
"""

from __future__ import annotations

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, utils

from syft_ext.attestation import cbor
from syft_ext.attestation.evidence import Reason, refused

__all__ = ["ES256", "ES384", "Sign1", "read_sign1", "signed_bytes", "verify_ecdsa"]

ES256, ES384 = -7, -35
"""The algorithms' numbers in COSE headers (RFC 9053, section 2.1)."""

_ALGORITHM = 1
_TAG = b"\xd2"  # 18, COSE_Sign1
_CURVES: dict[int, tuple[type[ec.EllipticCurve], hashes.HashAlgorithm, int]] = {
    ES256: (ec.SECP256R1, hashes.SHA256(), 32),
    ES384: (ec.SECP384R1, hashes.SHA384(), 48),
}


class Sign1(msgspec.Struct, frozen=True):
    """A COSE_Sign1 as it was read; nothing of it is to be believed before :meth:`verify` returned.

    Attributes:
        protected: the bytes of the protected header, as signed.
        headers: what they say.
        unprotected: what anybody may have written beside it.
        payload: the signed bytes.
        signature: R and S, big-endian, as long as the curve's order each.
    """

    protected: bytes
    headers: dict[int | str, cbor.Value]
    unprotected: dict[int | str, cbor.Value]
    payload: bytes
    signature: bytes

    def verify(self, key: ec.EllipticCurvePublicKey, algorithm: int, external: bytes = b"") -> None:
        """Return if ``key`` signed this by ``algorithm`` (:data:`ES256`, :data:`ES384`).

        Raises:
            EvidenceRefused: ``unsupported`` (of the header, or the key's curve), ``signature``.
        """
        if self.headers.get(_ALGORITHM) != algorithm:
            raise refused(Reason.UNSUPPORTED, "the protected header names another signature algorithm")
        curve, digest, width = _CURVES[algorithm]
        if not isinstance(key.curve, curve):
            raise refused(Reason.UNSUPPORTED, "the key is on another curve than its signature algorithm")
        data = signed_bytes(self.protected, self.payload, external)
        verify_ecdsa(key, self.signature, data, digest, width)


def verify_ecdsa(
    key: ec.EllipticCurvePublicKey, signature: bytes, data: bytes, digest: hashes.HashAlgorithm, width: int
) -> None:
    """Return if ``signature``, R‖S of ``width`` bytes each and big-endian, is ``key``'s over ``data``.

    Raises:
        EvidenceRefused: ``signature``.
    """
    if len(signature) != 2 * width:
        raise refused(Reason.SIGNATURE, f"the signature has not {2 * width} bytes")
    r, s = int.from_bytes(signature[:width], "big"), int.from_bytes(signature[width:], "big")
    try:
        key.verify(utils.encode_dss_signature(r, s), data, ec.ECDSA(digest))
    except InvalidSignature as error:
        raise refused(Reason.SIGNATURE, "the signature does not verify") from error


def read_sign1(data: bytes) -> Sign1:
    """The COSE_Sign1 that ``data`` is, with its tag 18 or without.

    Raises:
        EvidenceRefused: ``malformed``: also where a header occurs protected and unprotected (RFC 9052, section 3),
            or the payload is elsewhere.
    """
    parts = cbor.decode(data[1:] if data[:1] == _TAG else data)
    if not isinstance(parts, list) or len(parts) != 4:
        raise refused(Reason.MALFORMED, "not a COSE_Sign1: an array of four")
    protected, unprotected, payload, signature = parts
    if not isinstance(protected, bytes) or not isinstance(payload, bytes) or not isinstance(signature, bytes):
        raise refused(Reason.MALFORMED, "protected header, payload and signature of a COSE_Sign1 are bytes")
    if not isinstance(unprotected, dict):
        raise refused(Reason.MALFORMED, "the unprotected header of a COSE_Sign1 is a map")
    headers = cbor.decode(protected) if protected else {}
    if not isinstance(headers, dict):
        raise refused(Reason.MALFORMED, "the protected header of a COSE_Sign1 is a map")
    if not headers.keys().isdisjoint(unprotected.keys()):
        raise refused(Reason.MALFORMED, "a COSE header that is protected and unprotected")
    return Sign1(protected, headers, unprotected, payload, signature)


def signed_bytes(protected: bytes, payload: bytes, external: bytes = b"") -> bytes:
    """The ``Sig_structure`` of RFC 9052, section 4.4: what the signature of a COSE_Sign1 is over."""
    return cbor.encode(["Signature1", protected, external, payload])
