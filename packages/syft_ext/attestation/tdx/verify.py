"""TDX evidence: a quote, which holds the platform's certificates, and beside it Intel's collateral."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from syft_ext.attestation.certificates import (
    RevocationLists,
    Window,
    check_authority,
    check_pinned,
    load_certificate,
    load_list,
    was_issued,
)
from syft_ext.attestation.companions import Companions
from syft_ext.attestation.evidence import Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.tdx.collateral import Collateral, Signers, is_signed, read_collateral
from syft_ext.attestation.tdx.levels import TdxLevel, evaluate
from syft_ext.attestation.tdx.platform import Platform, read_platform
from syft_ext.attestation.tdx.policy import NEVER_ACCEPTED, STATUSES
from syft_ext.attestation.tdx.quote import Body, TdxQuote, read_quote

__all__ = ["ROOTS", "TdxFacts", "verify"]

ROOTS = ("44a0196b2b99f889b8e149e95b807a350e7424964399e885a7cbb8ccfab674d3",)
"""Intel SGX Root CA, by SHA-256 of its DER
(https://certificates.trustedservices.intel.com/Intel_SGX_Provisioning_Certification_RootCA.cer)."""

_LEAF = "Intel SGX PCK Certificate"
_DEBUG, _UNTRUSTED = 0x01, 0xFE
_KNOWN_ATTRIBUTES = 0xFF | 0b11111 << 27 | 1 << 63
_FIXED_FEATURES = 0x3


class TdxFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy's half needs, verified. ``level`` is ``None`` where collateral is missing."""

    body: Body
    level: TdxLevel | None
    evaluation_number: int


def verify(evidence: Evidence, at: datetime) -> Verified:
    """Verify a quote; see :attr:`syft_ext.attestation.kind.Kind.verify`."""
    quote = read_quote(evidence.content)
    beside = Companions(evidence.beside)
    window = Window()
    signers, platform = _signers(quote, window)
    _check_signatures(quote, signers.leaf)
    certificates = [load_certificate(der) for der in beside.certificates]
    lists = RevocationLists([load_list(der) for der in beside.revocations])
    collateral = read_collateral(beside, certificates, lists, signers, platform, window, at)
    level = None
    if collateral.info is not None and collateral.identity is not None:
        level = evaluate(quote.body, quote.qe, platform, collateral.info, collateral.identity)
    facts = TdxFacts(
        body=quote.body,
        level=level,
        evaluation_number=min(
            (one.tcb_evaluation_data_number for one in (collateral.info, collateral.identity) if one),
            default=0,
        ),
    )
    return Verified(
        kind="tdx",
        workload=_workload(quote.body),
        platform=_platform(facts, platform),
        claims=_claims(quote, platform, signers.leaf, facts, collateral, window),
        debug=bool(quote.body.attributes & _DEBUG),
        not_before=window.not_before,
        not_after=window.not_after,
        binding=quote.body.report_data,
        objections=(
            *window.objections(at),
            *collateral.objections,
            *_against_level(level),
            *_against_body(quote.body),
            *beside.uncommitted(quote.body.report_data),
        ),
        facts=facts,
    )


def _signers(quote: TdxQuote, window: Window) -> tuple[Signers, Platform]:
    """The quote's own chain, up to the pinned root."""
    if len(quote.chain) != 3:
        raise refused(Reason.CHAIN, "the platform's chain is a certificate, its authority's and the root's")
    leaf, authority, root = (load_certificate(_der(block)) for block in quote.chain)
    check_pinned(root, ROOTS)
    for certificate, issuer in ((leaf, authority), (authority, root), (root, root)):
        if not was_issued(certificate, issuer):
            raise refused(Reason.CHAIN, "the platform's certificates did not issue each other")
    check_authority(authority, 0)
    check_authority(root, 1)
    if _common_name(leaf) != _LEAF:
        raise refused(Reason.CHAIN, "the leaf of the quote's chain is no platform's certificate")
    window.add_certificate("certificate of the platform", leaf)
    window.add_certificate("certificate of the platform's authority", authority)
    window.add_certificate("certificate of Intel's root", root)
    return Signers(leaf=leaf, authority=authority, root=root), read_platform(leaf)


def _check_signatures(quote: TdxQuote, leaf: x509.Certificate) -> None:
    """The platform's key signed the quoting enclave's report, which commits to a key, which signed the quote."""
    key = leaf.public_key()
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise refused(Reason.UNSUPPORTED, "platforms' keys are on the curve P-256")
    if not is_signed(key, quote.qe_signature, quote.qe.raw):
        raise refused(Reason.SIGNATURE, "the quoting enclave's report is not what the platform signed")
    committed = hashlib.sha256(quote.key + quote.authentication).digest() + bytes(32)
    if not hmac.compare_digest(committed, quote.qe.report_data):
        raise refused(Reason.SIGNATURE, "the quoting enclave does not commit to the key that signed")
    try:
        own = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), b"\x04" + quote.key)
    except ValueError:
        raise refused(Reason.SIGNATURE, "the quoting enclave's key is not on its curve") from None
    if not is_signed(own, quote.signature, quote.signed):
        raise refused(Reason.SIGNATURE, "the quote is not what the quoting enclave signed")


def _against_level(level: TdxLevel | None) -> Iterator[Objection]:
    if level is None:
        return
    yield from level.objections
    if level.status is None:
        return
    if level.status == "Revoked":
        yield Objection(Reason.REVOKED, "Intel has revoked the platform's level")
    elif level.status in NEVER_ACCEPTED or level.status not in STATUSES:
        advisories = f" ({', '.join(level.advisories)})" if level.advisories else ""
        yield Objection(Reason.TCB_STATUS, f"the platform's level is {level.status[:60]}{advisories}")


def _against_body(body: Body) -> Iterator[Objection]:
    if body.attributes & _DEBUG:
        yield Objection(Reason.DEBUG, "the TD's attributes allow its host to debug it")
    if body.attributes & _UNTRUSTED:
        yield Objection(Reason.INTEGRITY, "the TD's attributes make it untrusted")
    if body.attributes & ~_KNOWN_ATTRIBUTES:
        yield Objection(Reason.INTEGRITY, "the TD's attributes have bits that are not known")
    if body.features & _FIXED_FEATURES != _FIXED_FEATURES:
        yield Objection(Reason.INTEGRITY, "the TD's features lack what every TD has")


def _workload(body: Body) -> tuple[str, ...]:
    """One name for firmware, kernel and command line together; then each measurement."""
    code = hashlib.sha384(body.mrtd + body.registers[1] + body.registers[2]).hexdigest()
    registers = (f"tdx-rtmr{index}:{value.hex()}" for index, value in enumerate(body.registers))
    return (f"tdx:{code}", f"tdx-mrtd:{body.mrtd.hex()}", *registers)


def _platform(facts: TdxFacts, platform: Platform) -> dict[str, Any]:
    level = facts.level
    return {
        "fmspc": platform.fmspc.hex(),
        "tcb_status": level and level.status,
        "advisories": list(level.advisories) if level else [],
        "tcb_evaluation_data_number": facts.evaluation_number,
        "tee_tcb_svn": facts.body.svn.hex(),
    }


def _claims(
    quote: TdxQuote,
    platform: Platform,
    leaf: x509.Certificate,
    facts: TdxFacts,
    collateral: Collateral,
    window: Window,
) -> dict[str, Any]:
    body = quote.body
    claims: dict[str, Any] = {
        "quote_version": quote.version,
        "body_type": quote.body_type,
        "pck_svn": list(platform.components),
        "pcesvn": platform.pce_svn,
        "pck_valid": [_moment(leaf.not_valid_before_utc), _moment(leaf.not_valid_after_utc)],
        "trailing_bytes": quote.trailing,
        "qe_isvsvn": quote.qe.svn,
        "mrseam": body.seam.hex(),
        "mrsignerseam": body.seam_signer.hex(),
        "seamattributes": body.seam_attributes.hex(),
        "tdattributes": body.attributes.to_bytes(8, "little").hex(),
        "xfam": body.features.to_bytes(8, "little").hex(),
        "mrtd": body.mrtd.hex(),
        "mrconfigid": body.config_id.hex(),
        "mrowner": body.owner.hex(),
        "mrownerconfig": body.owner_config.hex(),
        **{f"rtmr{index}": value.hex() for index, value in enumerate(body.registers)},
        "report_data": body.report_data.hex(),
        "debug": bool(body.attributes & _DEBUG),
        # A window in which it is accepted is there only where everything is that this rests on.
        "valid_from": _moment(window.not_before) if collateral.complete else None,
        "valid_to": _moment(window.not_after) if collateral.complete else None,
        **_platform(facts, platform),
    }
    if body.svn2 is not None and body.service_td is not None:
        claims |= {"tee_tcb_svn2": body.svn2.hex(), "mrservicetd": body.service_td.hex()}
    return claims


def _der(block: bytes) -> bytes:
    try:
        return base64.b64decode(b"".join(block.split(b"-----")[2].split()), validate=True)
    except ValueError:
        raise refused(Reason.MALFORMED, "the platform's certificates cannot be read") from None


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%SZ}"


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value) if len(found) == 1 else ""
