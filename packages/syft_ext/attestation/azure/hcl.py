"""The report of Azure's paravisor (HCL): the hardware's report, and the runtime document that it commits to."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
from typing import Any

import msgspec
from cryptography.hazmat.primitives.asymmetric import rsa

from syft_ext.attestation.evidence import Reason, refused
from syft_ext.attestation.snp.report import REPORT_SIZE

__all__ = ["HclReport", "attestation_key", "looks_like_hcl", "read_hcl"]

_MAGIC = b"HCLA"
_HEADER, _RUNTIME = 32, 20
_SNP = 2
_SHA256 = 1
_KEY = "HCLAkPub"


class HclReport(msgspec.Struct, frozen=True, kw_only=True):
    """``hardware`` is the report of SEV-SNP; nothing of ``runtime`` holds before :meth:`runtime_document`."""

    hardware: bytes
    runtime: bytes

    def runtime_document(self, report_data: bytes) -> dict[str, Any]:
        """The runtime document, if verified report data are its digest and zeros.

        Raises :class:`~syft_ext.errors.EvidenceRefused`.
        """
        stated = hashlib.sha256(self.runtime).digest() + bytes(32)
        if not hmac.compare_digest(stated, report_data):
            raise refused(Reason.SIGNATURE, "the hardware does not commit to the runtime document")
        try:
            document = msgspec.json.decode(self.runtime, type=dict[str, Any])
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            raise refused(Reason.MALFORMED, "the runtime document cannot be read") from None
        return document


def looks_like_hcl(content: bytes) -> bool:
    """Whether it has the header of such a report."""
    return content[:4] == _MAGIC and len(content) > _HEADER + REPORT_SIZE + _RUNTIME


def read_hcl(content: bytes) -> HclReport:
    """Read a report around one of SEV-SNP. Behind it may be zeros: it fills a field of the TPM's memory.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    if not looks_like_hcl(content):
        raise refused(Reason.MALFORMED, "this is no report of Azure's paravisor")
    start = _HEADER + REPORT_SIZE
    size, version, kind, digest, length = (
        int.from_bytes(content[start + 4 * index : start + 4 * index + 4], "little") for index in range(5)
    )
    if kind != _SNP:
        raise refused(Reason.UNSUPPORTED, "the paravisor's report is around another hardware than SEV-SNP")
    if version != 1 or digest != _SHA256 or size != _RUNTIME + length:
        raise refused(Reason.UNSUPPORTED, "the paravisor's report has another form")
    end = start + _RUNTIME + length
    if end > len(content) or int.from_bytes(content[8:12], "little") != end or any(content[end:]):
        raise refused(Reason.MALFORMED, "the paravisor's report has other sizes than it says")
    return HclReport(hardware=content[_HEADER:start], runtime=content[start + _RUNTIME : end])


def attestation_key(document: dict[str, Any]) -> rsa.RSAPublicKey:
    """The virtual TPM's key (a JWK, RFC 7517) in a runtime document that holds.

    Raises :class:`~syft_ext.errors.EvidenceRefused`.
    """
    keys = document.get("keys")
    found = (
        [one for one in keys if isinstance(one, dict) and one.get("kid") == _KEY]
        if isinstance(keys, list)
        else []
    )
    if len(found) != 1 or found[0].get("kty") != "RSA":
        raise refused(Reason.MALFORMED, "the runtime document has no attestation key")
    modulus, exponent = _number(found[0].get("n")), _number(found[0].get("e"))
    try:
        key = rsa.RSAPublicNumbers(exponent, modulus).public_key()
    except ValueError:
        raise refused(Reason.MALFORMED, "the virtual TPM's key is none") from None
    if not 2048 <= key.key_size <= 4096:
        raise refused(Reason.UNSUPPORTED, "virtual TPMs have keys of 2048 to 4096 bits")
    return key


def _number(stated: object) -> int:
    try:
        text = str(stated).rstrip("=")
        return int.from_bytes(
            base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True), "big"
        )
    except (binascii.Error, ValueError):
        raise refused(Reason.MALFORMED, "the virtual TPM's key cannot be read") from None
