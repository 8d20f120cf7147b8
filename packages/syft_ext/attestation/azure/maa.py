"""Microsoft Azure Attestation: tokens in which Microsoft's verifier says what it found in a guest's evidence.

A token is a passport: who accepts one trusts Microsoft as verifier, and the policy says so by naming the tenant
and pinning its keys. What a token measures is the guest's firmware, Microsoft's paravisor mostly; what the guest
booted stands in registers that it leaves out.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from typing import Any

import msgspec

from syft_ext.attestation.azure.maa_claims import Guest, MaaClaims, read_claims
from syft_ext.attestation.evidence import Companion, Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.jws import Jws, beside_key_set, read_jws
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.pins import is_pinned
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.texts import json_object, moment, said
from syft_ext.errors import EvidenceRefused

__all__ = ["MAA"]

_ISSUER = re.compile(r"https://[a-z0-9-]{1,63}(\.[a-z0-9-]{1,63}){1,4}\.attest\.azure\.net")
_COMPLIANT = "azure-compliant-cvm"


class _Facts(msgspec.Struct, frozen=True):
    claims: MaaClaims
    guest: Guest
    thumbprint: bytes


def _recognises(content: bytes) -> bool:
    try:
        token = read_jws(content)
        issuer = token.claims().get("iss")
    except EvidenceRefused:
        return False
    return isinstance(issuer, str) and _ISSUER.fullmatch(issuer) is not None


def _verify(evidence: Evidence, at: datetime) -> Verified:
    token = read_jws(evidence.content)
    runtimes, key_sets = _told_apart(evidence.beside)
    key = beside_key_set(key_sets, token)
    token.verify_rs256(key.public)
    raw = token.claims()
    claims, guest = read_claims(raw)
    for runtime in runtimes:
        _check_runtime(runtime.content, raw, guest)
    return Verified(
        kind="azure-maa",
        workload=(f"maa-{guest.type}:{guest.measurement.hex()}",),
        platform={"attestation_type": guest.type, "tcb_status": guest.tcb_status, "issuer": claims.issuer},
        claims={
            **raw,
            "issuer": claims.issuer,
            "attestation_type": _type(claims, guest),
            "compliance": guest.compliance,
            "tcb": guest.tcb_status,
            "report_data": guest.report_data.hex(),
            "valid_from": said(moment(claims.nbf)),
            "valid_to": said(moment(claims.exp)),
        },
        debug=guest.debug,
        not_before=moment(claims.nbf),
        not_after=moment(claims.exp),
        binding=claims.binding(),
        objections=tuple(_fixed(token, claims, guest, at)),
        facts=_Facts(claims, guest, key.thumbprint),
    )


def _type(claims: MaaClaims, guest: Guest) -> str:
    """What was attested, for people: with a virtual TPM, the hardware below it too."""
    if claims.type == guest.type:
        return claims.type
    return f"{claims.type}, x-ms-isolation-tee: {guest.type}, {guest.compliance}"


def _told_apart(beside: Iterable[Companion]) -> tuple[list[Companion], list[Companion]]:
    """The guest's runtime documents and the key sets beside a token; both have ``keys``, one has more."""
    runtimes: list[Companion] = []
    key_sets: list[Companion] = []
    for companion in beside:
        names = json_object(companion.content).keys()
        if names == {"keys"}:
            key_sets.append(companion)
        elif "vm-configuration" in names or "user-data" in names:
            runtimes.append(companion)
        else:
            raise refused(
                Reason.MALFORMED, "beside the token is neither a key set nor a guest's runtime document"
            )
    return runtimes, key_sets


def _check_runtime(document: bytes, raw: dict[str, Any], guest: Guest) -> None:
    """Refuse a runtime document that is not the one whose hash the hardware signed, or that the token repeats."""
    if guest.report_data != hashlib.sha256(document).digest() + bytes(32):
        raise refused(Reason.SIGNATURE, "the hardware's report is over another runtime document")
    isolation = raw.get("x-ms-isolation-tee")
    holder = isolation if isinstance(isolation, dict) else raw
    if holder.get("x-ms-runtime") != json_object(document):
        raise refused(Reason.SIGNATURE, "the token repeats another runtime document")


def _fixed(token: Jws, claims: MaaClaims, guest: Guest, at: datetime) -> Iterator[Objection]:
    """What speaks against a token whatever a policy says."""
    if at >= moment(claims.exp):
        yield Objection(Reason.EXPIRED, "the token has expired")
    if not _ISSUER.fullmatch(claims.issuer):
        yield Objection(Reason.INTEGRITY, "the token is not of a tenant of Microsoft Azure Attestation")
    if token.header.get("jku", f"{claims.issuer}/certs") != f"{claims.issuer}/certs":
        yield Objection(Reason.INTEGRITY, "the token names keys of another tenant than its issuer")
    if guest.compliance != _COMPLIANT:
        yield Objection(Reason.INTEGRITY, "the guest is not of Azure's confidential machines")
    if guest.migratable:
        yield Objection(Reason.INTEGRITY, "the guest may be moved by a migration agent")
    if guest.tcb_status not in (None, "UpToDate"):
        yield Objection(Reason.TCB_STATUS, f"the platform's level is {guest.tcb_status}")


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    if policy is None:
        return
    facts: _Facts = verified.facts
    claims, guest, references = facts.claims, facts.guest, policy.azure_maa
    if references is None:
        yield Objection(Reason.POLICY_KIND, "the policy does not trust Microsoft as verifier")
        return
    issued = moment(claims.iat)
    if claims.issuer != references.issuer:
        yield Objection(Reason.ROOT, "the token is of another tenant")
    if not is_pinned(facts.thumbprint, issued, references.keys):
        yield Objection(Reason.ROOT, "the key that signed the token is none of the policy's")
    if claims.policy_hash not in references.policy_hashes:
        yield Objection(Reason.POLICY_LAUNCH, "the tenant's own policy is none of the policy's")
    if at - issued > timedelta(seconds=policy.max_age):
        yield Objection(Reason.POLICY_AGE, f"the token was issued at {said(issued)}")
    if claims.type not in references.types:
        yield Objection(Reason.POLICY_PLATFORM, f"the policy does not name {claims.type[:40]}")
    if guest.measurement not in references.measurements:
        yield Objection(Reason.POLICY_WORKLOAD, "the guest's firmware is none of the policy's")
    if guest.level != 0:
        yield Objection(Reason.POLICY_LAUNCH, "the report was asked for at another privilege level than 0")
    if guest.host_data is not None and guest.host_data not in (references.host_data or (bytes(32),)):
        yield Objection(Reason.POLICY_LAUNCH, "what the host set at launch is none of the policy's")
    if not guest.secure_boot:
        yield Objection(Reason.POLICY_LAUNCH, "the guest was not started by secure boot")


MAA = Kind(name="azure-maa", recognises=_recognises, verify=_verify, objections=_objections)
"""Tokens of Microsoft's verifier; the tenant's key set lies beside them, and a policy pins its keys."""
