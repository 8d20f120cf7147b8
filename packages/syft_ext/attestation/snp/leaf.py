"""The certificate of a chip's or a cloud's key (AMD 57230, 3.1): read by hand, because its serial number is
zero, which RFC 5280 forbids and the library will not read for ever."""

from __future__ import annotations

from datetime import datetime

import msgspec
from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key

from syft_ext.attestation.der import (
    BIT_STRING,
    BOOLEAN,
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    SET,
    Reader,
    read_integer,
    read_moment,
    read_oid,
    read_text,
)
from syft_ext.attestation.evidence import Reason, refused
from syft_ext.attestation.snp.tcb import Tcb

__all__ = ["Leaf", "read_leaf"]

_AMD = "1.3.6.1.4.1.3704.1"
_COMMON_NAME = "2.5.4.3"
_PSS = "1.2.840.113549.1.1.10"
_VERSION_3 = 0xA0
_EXTENSIONS = 0xA3


class Leaf(msgspec.Struct, frozen=True, kw_only=True):
    """A VCEK's or VLEK's certificate.

    Attributes:
        name, issuer_name: common names ("SEV-VCEK", "SEV-Milan").
        product: with its stepping ("Milan-B0").
        chip: the hwID; of a VCEK only. 64 bytes, of Turin 8.
        cloud: the cspID; of a VLEK only.
    """

    name: str
    issuer_name: str
    issuer: bytes
    product: str
    not_before: datetime
    not_after: datetime
    key: ec.EllipticCurvePublicKey
    tcb: Tcb
    chip: bytes
    cloud: str
    signed: bytes
    signature: bytes

    def was_issued_by(self, issuer: x509.Certificate) -> bool:
        """Whether this is the issuer's name, and its key signed it: RSA-PSS with SHA-384, as all of AMD's."""
        try:
            key = issuer.public_key()
            if not isinstance(key, rsa.RSAPublicKey) or issuer.subject.public_bytes() != self.issuer:
                return False
            scheme = padding.PSS(padding.MGF1(hashes.SHA384()), 48)
            key.verify(self.signature, self.signed, scheme, hashes.SHA384())
        except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
            return False
        return True


def read_leaf(der: bytes) -> Leaf | None:
    """The certificate of an AMD key; ``None``: it is none.

    Raises :class:`~syft_ext.errors.EvidenceRefused` if it has an AMD key's name and cannot be read.
    """
    whole = Reader(der)
    outer = Reader(whole.take(SEQUENCE))
    whole.end()
    signed, body = outer.element(SEQUENCE)
    algorithm, _ = outer.element(SEQUENCE)
    signature = outer.take(BIT_STRING)
    outer.end()
    inner = Reader(body)
    if inner.peek() == _VERSION_3:
        inner.take(_VERSION_3)
    inner.take(INTEGER)
    inner_algorithm, _ = inner.element(SEQUENCE)
    issuer, issuer_parts = inner.element(SEQUENCE)
    validity = Reader(inner.take(SEQUENCE))
    name = _common_name(inner.take(SEQUENCE))
    if name not in ("SEV-VCEK", "SEV-VLEK"):
        return None
    key_der, _ = inner.element(SEQUENCE)
    extensions = _extensions(inner.take(_EXTENSIONS))
    inner.end()
    if algorithm != inner_algorithm or _algorithm(algorithm) != _PSS or signature[:1] != b"\0":
        raise refused(Reason.UNSUPPORTED, "AMD's certificates are signed with RSA-PSS")
    try:
        key = load_der_public_key(key_der)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        key = None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP384R1):
        raise refused(Reason.UNSUPPORTED, "AMD's keys are on the curve P-384")
    product = Reader(_value(extensions, ".2"))
    not_before, not_after = read_moment(*validity.any()), read_moment(*validity.any())
    validity.end()
    return Leaf(
        name=name,
        issuer_name=_common_name(issuer_parts),
        issuer=issuer,
        product=read_text(*product.any()),
        not_before=not_before,
        not_after=not_after,
        key=key,
        tcb=Tcb(
            bl=_component(extensions, ".3.1"),
            tee=_component(extensions, ".3.2"),
            snp=_component(extensions, ".3.3"),
            ucode=_component(extensions, ".3.8"),
            fmc=_component(extensions, ".3.9") if _AMD + ".3.9" in extensions else None,
        ),
        chip=_raw(extensions.get(_AMD + ".4", b"")),
        cloud=_text(extensions.get(_AMD + ".5", b"")),
        signed=signed,
        signature=signature[1:],
    )


def _algorithm(whole: bytes) -> str:
    return read_oid(Reader(Reader(whole).take(SEQUENCE)).take(OBJECT_IDENTIFIER))


def _common_name(parts: bytes) -> str:
    names, found = Reader(parts), list[str]()
    while names.more:
        entry = Reader(Reader(names.take(SET)).take(SEQUENCE))
        if read_oid(entry.take(OBJECT_IDENTIFIER)) == _COMMON_NAME:
            found.append(read_text(*entry.any()))
    return found[0] if len(found) == 1 else ""


def _extensions(wrapped: bytes) -> dict[str, bytes]:
    found = dict[str, bytes]()
    entries = Reader(Reader(wrapped).take(SEQUENCE))
    while entries.more:
        entry = Reader(entries.take(SEQUENCE))
        name = read_oid(entry.take(OBJECT_IDENTIFIER))
        if entry.more and entry.peek() == BOOLEAN:
            entry.take(BOOLEAN)
        value = entry.take(OCTET_STRING)
        entry.end()
        if name in found:
            raise refused(Reason.MALFORMED, "a certificate has an extension twice")
        found[name] = value
    return found


def _value(extensions: dict[str, bytes], name: str) -> bytes:
    found = extensions.get(_AMD + name)
    if found is None:
        raise refused(Reason.MALFORMED, f"the certificate of an AMD key lacks the extension {name}")
    return found


def _component(extensions: dict[str, bytes], name: str) -> int:
    value = Reader(_value(extensions, name))
    found = read_integer(value.take(INTEGER))
    value.end()
    if not 0 <= found <= 255:
        raise refused(Reason.MALFORMED, "a component of a TCB is 0 to 255")
    return found


def _raw(value: bytes) -> bytes:
    """The hwID stands bare; some tools expect it wrapped in an OCTET STRING."""
    if value[:1] == b"\x04" and len(value) in (10, 66):
        return Reader(value).take(OCTET_STRING)
    return value


def _text(value: bytes) -> str:
    return read_text(*Reader(value).any()) if value else ""
