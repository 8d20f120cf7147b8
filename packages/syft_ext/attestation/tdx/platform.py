"""The platform's certificate (PCK): which platform it is, and at which level its certificate was made."""

from __future__ import annotations

import msgspec
from cryptography import x509

from syft_ext.attestation.der import (
    INTEGER,
    OBJECT_IDENTIFIER,
    OCTET_STRING,
    SEQUENCE,
    Reader,
    read_integer,
    read_oid,
)
from syft_ext.attestation.evidence import Reason, refused

__all__ = ["Platform", "read_platform"]

_SGX = "1.2.840.113741.1.13.1"
_TCB, _PCE, _FMSPC = _SGX + ".2", _SGX + ".3", _SGX + ".4"
_PCE_SVN = _TCB + ".17"


class Platform(msgspec.Struct, frozen=True, kw_only=True):
    """What the extension of a PCK certificate states.

    Attributes:
        fmspc: the family of platforms, 6 bytes.
        pce: id of the provisioning enclave, 2 bytes.
        components: the 16 versions of the platform's parts.
        pce_svn: the version of the provisioning enclave.
    """

    fmspc: bytes
    pce: bytes
    components: tuple[int, ...]
    pce_svn: int


def read_platform(certificate: x509.Certificate) -> Platform:
    """The platform of a PCK certificate.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    try:
        found = certificate.extensions.get_extension_for_oid(x509.ObjectIdentifier(_SGX)).value
    except (x509.ExtensionNotFound, x509.DuplicateExtension, ValueError, TypeError):
        raise refused(Reason.CHAIN, "the leaf of the quote's chain is no platform's certificate") from None
    if not isinstance(found, x509.UnrecognizedExtension):
        raise refused(Reason.CHAIN, "the leaf of the quote's chain is no platform's certificate")
    whole = Reader(found.value)
    stated = _pairs(whole.take(SEQUENCE))
    whole.end()
    levels = _pairs(_need(stated, _TCB, SEQUENCE))
    components = tuple(_number(levels, f"{_TCB}.{index}") for index in range(1, 17))
    fmspc, pce = _need(stated, _FMSPC, OCTET_STRING), _need(stated, _PCE, OCTET_STRING)
    if len(fmspc) != 6 or len(pce) != 2:
        raise refused(Reason.MALFORMED, "the platform's certificate names no platform")
    return Platform(fmspc=fmspc, pce=pce, components=components, pce_svn=_number(levels, _PCE_SVN))


def _pairs(value: bytes) -> dict[str, tuple[int, bytes]]:
    found, items = dict[str, tuple[int, bytes]](), Reader(value)
    while items.more:
        pair = Reader(items.take(SEQUENCE))
        name = read_oid(pair.take(OBJECT_IDENTIFIER))
        if name in found:
            raise refused(Reason.MALFORMED, "the platform's certificate states something twice")
        found[name] = pair.any()
        pair.end()
    return found


def _need(stated: dict[str, tuple[int, bytes]], name: str, tag: int) -> bytes:
    found = stated.get(name)
    if found is None or found[0] != tag:
        raise refused(Reason.MALFORMED, f"the platform's certificate lacks {name}")
    return found[1]


def _number(stated: dict[str, tuple[int, bytes]], name: str) -> int:
    found = read_integer(_need(stated, name, INTEGER))
    if not 0 <= found <= 0xFFFF:
        raise refused(Reason.MALFORMED, f"the platform's certificate has no version in {name}")
    return found
