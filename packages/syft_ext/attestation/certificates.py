"""Certificates and revocation lists, as the makers' chains need them: read, who issued whom, valid when, pinned
by hash.

Chains are short and each maker's has one shape, so there is no search for a path: who appraises says which
certificate issues which, and this says whether that holds.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from datetime import datetime

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.serialization import Encoding

from syft_ext.attestation.evidence import Objection, Reason, refused

__all__ = [
    "MAX_CHAIN",
    "RevocationLists",
    "Window",
    "check_authority",
    "check_pinned",
    "fingerprint",
    "load_certificate",
    "load_list",
    "was_issued",
]

MAX_CHAIN = 8
"""Certificates in one chain."""


_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
    Warning,
)
"""What the library says of bytes that are no certificate; it warns of serial numbers that are not positive."""


def load_certificate(der: bytes) -> x509.Certificate:
    """A certificate in DER, nothing behind it; its names and dates can be read."""
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = certificate.subject, certificate.issuer  # read when they are asked for, and not before
        _ = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    except _UNREADABLE:
        raise refused(Reason.MALFORMED, "a certificate cannot be read") from None
    return certificate


def load_list(der: bytes) -> x509.CertificateRevocationList:
    """A revocation list in DER; its issuer and dates can be read."""
    try:
        found = x509.load_der_x509_crl(der)
        _ = found.issuer, found.last_update_utc, found.next_update_utc
    except _UNREADABLE:
        raise refused(Reason.MALFORMED, "a revocation list cannot be read") from None
    return found


def fingerprint(certificate: x509.Certificate) -> str:
    """SHA-256 of the certificate's DER, in hexadecimal: what roots are pinned by."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def check_pinned(root: x509.Certificate, pins: Iterable[str]) -> None:
    """``root`` is one of the pinned certificates, by :func:`fingerprint`: what is sent is not trusted."""
    if fingerprint(root) not in pins:
        raise refused(Reason.ROOT, "the chain does not end in a pinned root")


def was_issued(certificate: x509.Certificate, issuer: x509.Certificate) -> bool:
    """Whether ``issuer``'s key signed ``certificate``, under its name."""
    try:
        certificate.verify_directly_issued_by(issuer)
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True


def check_authority(certificate: x509.Certificate, below: int) -> None:
    """``certificate`` may issue others, and a chain with ``below`` authorities between it and the leaf."""
    try:
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints).value
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, TypeError):
        raise refused(Reason.CHAIN, "an issuer's certificate does not say that it may issue") from None
    if not constraints.ca or not usage.key_cert_sign:
        raise refused(Reason.CHAIN, "a certificate was issued by one that may not")
    if constraints.path_length is not None and below > constraints.path_length:
        raise refused(Reason.CHAIN, "the chain is longer than an issuer allows")


class Window:
    """The time in which everything that was added is valid."""

    def __init__(self) -> None:
        self._parts: list[tuple[str, datetime, datetime]] = []

    def add(self, name: str, not_before: datetime, not_after: datetime) -> None:
        """Something with a name that people know it by."""
        self._parts.append((name, not_before, not_after))

    def add_certificate(self, name: str, certificate: x509.Certificate) -> None:
        """A certificate's validity."""
        self.add(name, certificate.not_valid_before_utc, certificate.not_valid_after_utc)

    @property
    def not_before(self) -> datetime:
        """When the last part becomes valid."""
        return max(start for _, start, _ in self._parts)

    @property
    def not_after(self) -> datetime:
        """When the first part expires."""
        return min(end for _, _, end in self._parts)

    def objections(self, at: datetime) -> list[Objection]:
        """What is not valid at ``at``, part by part."""
        found = list[Objection]()
        for name, start, end in self._parts:
            if at < start:
                found.append(Objection(Reason.NOT_YET_VALID, f"{name}: not before {start:%Y-%m-%d %H:%M:%S}"))
            if at > end:
                found.append(Objection(Reason.EXPIRED, f"{name}: until {end:%Y-%m-%d %H:%M:%S}"))
        return found


class RevocationLists:
    """The revocation lists beside evidence, each looked at for the issuer that asks."""

    def __init__(self, lists: Sequence[x509.CertificateRevocationList]) -> None:
        self._lists = lists

    def check(
        self, issuer: x509.Certificate, name: str, serials: dict[str, int], window: Window, at: datetime
    ) -> list[Objection] | None:
        """What ``issuer``'s lists say against certificates, named with their serial numbers.

        The list that is valid at ``at`` counts for the ``window``, or the newest one if none is; a certificate
        in any list that the issuer signed is revoked. ``None``: there is no list of this issuer.
        """
        own = [one for one in self._lists if one.issuer == issuer.subject]
        if not own:
            return None
        signed = [one for one in own if _signed_by(one, issuer) and one.next_update_utc is not None]
        if len(signed) < len(own):  # one that says nothing must not stand where one stood that says something
            return [Objection(Reason.COLLATERAL, f"{name} did not sign a revocation list that names it")]
        signed.sort(key=lambda one: (_covers(one, at), one.last_update_utc))
        newest = signed[-1]
        assert newest.next_update_utc is not None
        window.add(f"revocation list of {name}", newest.last_update_utc, newest.next_update_utc)
        return [
            Objection(Reason.REVOKED, f"{name} revoked {what}")
            for what, serial in serials.items()
            if any(one.get_revoked_certificate_by_serial_number(serial) is not None for one in signed)
        ]


def _covers(one: x509.CertificateRevocationList, at: datetime) -> bool:
    return one.next_update_utc is not None and one.last_update_utc <= at <= one.next_update_utc


def _signed_by(one: x509.CertificateRevocationList, issuer: x509.Certificate) -> bool:
    try:
        key, algorithm = issuer.public_key(), one.signature_hash_algorithm
        if isinstance(key, ec.EllipticCurvePublicKey) and algorithm is not None:
            key.verify(one.signature, one.tbs_certlist_bytes, ec.ECDSA(algorithm))
        elif isinstance(key, rsa.RSAPublicKey) and algorithm is not None:
            scheme = padding.PSS(padding.MGF1(algorithm), algorithm.digest_size)
            key.verify(one.signature, one.tbs_certlist_bytes, scheme, algorithm)
        else:
            return False
    except (InvalidSignature, UnsupportedAlgorithm, ValueError, TypeError):
        return False
    return True
