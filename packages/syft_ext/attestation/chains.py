"""Chains that come within evidence: ordinary X.509 certificates (RFC 5280, section 6) below a pinned root.

For AWS and Google. What a chain is for is not looked up in it: the caller knows whose root it is.
"""

from __future__ import annotations

import itertools
from collections.abc import Collection, Iterable, Sequence

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm

from syft_ext.attestation.certificates import (
    MAX_CHAIN,
    Window,
    check_authority,
    check_pinned,
    load_certificate,
    was_issued,
)
from syft_ext.attestation.companions import Companions
from syft_ext.attestation.evidence import Companion, Reason, refused

__all__ = ["check_chain", "check_given_root", "public_key"]

_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.UnsupportedGeneralNameType,
)


def check_chain(chain: Sequence[bytes], roots: Collection[str], window: Window) -> list[x509.Certificate]:
    """The certificates of ``chain``, in DER, root first, each the issuer of the next, the leaf last.

    Their dates are added to ``window``.

    Args:
        roots: pinned roots, by :func:`~syft_ext.attestation.certificates.fingerprint`. A root is trusted for its
            bytes: its own signature is not looked at.

    Raises:
        EvidenceRefused: ``malformed``, ``chain``, ``root``.
    """
    if not 2 <= len(chain) <= MAX_CHAIN:
        raise refused(Reason.CHAIN, f"a chain has 2 to {MAX_CHAIN} certificates, not {len(chain)}")
    certificates = [load_certificate(one) for one in chain]
    check_pinned(certificates[0], roots)
    *authorities, leaf = certificates
    for position, authority in enumerate(authorities):
        _check_critical(authority)
        check_authority(authority, below=len(authorities) - position - 1)
    _check_leaf(leaf)
    for issuer, issued in itertools.pairwise(certificates):
        if not was_issued(issued, issuer):
            raise refused(Reason.CHAIN, "a certificate that its predecessor in the chain did not issue")
    for position, certificate in enumerate(certificates):
        window.add_certificate(f"certificate {position} of the chain", certificate)
    return certificates


def check_given_root(root: bytes, beside: Iterable[Companion]) -> None:
    """Refuse a root that is another one than what lies beside the evidence; pinned it must be all the same.

    Raises:
        EvidenceRefused: ``malformed`` (something that is no certificate), ``root``.
    """
    found = Companions(beside)
    if found.revocations or found.signed or found.documents or found.opaque:
        raise refused(Reason.MALFORMED, "beside this evidence lies its root, and nothing else")
    if any(certificate != root for certificate in found.certificates):
        raise refused(Reason.ROOT, "the root beside the evidence is another one than its chain's")


def public_key(certificate: x509.Certificate) -> object:
    """The key that it certifies, of whatever kind.

    Raises:
        EvidenceRefused: ``unsupported``.
    """
    try:
        return certificate.public_key()
    except _UNREADABLE as error:
        raise refused(Reason.UNSUPPORTED, "a certificate with a key that cannot be read") from error


def _check_critical(certificate: x509.Certificate) -> None:
    """What is critical and not understood stops a chain (RFC 5280, section 4.2)."""
    try:
        extensions = list(certificate.extensions)
    except _UNREADABLE as error:
        raise refused(Reason.CHAIN, "a certificate whose extensions cannot be read") from error
    for extension in extensions:
        if extension.critical and extension.oid not in (x509.BasicConstraints.oid, x509.KeyUsage.oid):
            raise refused(Reason.CHAIN, "a certificate with a critical extension that is not understood here")


def _check_leaf(certificate: x509.Certificate) -> None:
    """The last certificate's key makes signatures, and issues nothing."""
    _check_critical(certificate)
    for extension in certificate.extensions:
        if isinstance(extension.value, x509.BasicConstraints) and extension.value.ca:
            raise refused(Reason.CHAIN, "the last certificate of the chain is an authority's")
        if isinstance(extension.value, x509.KeyUsage) and not extension.value.digital_signature:
            raise refused(Reason.CHAIN, "the last certificate's key is not for signatures")
