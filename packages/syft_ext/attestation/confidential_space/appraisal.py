"""Confidential Space's tokens as kinds of evidence."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from hmac import compare_digest

from syft_ext.attestation.binding import Binding
from syft_ext.attestation.confidential_space.policy import SpaceImage, SpaceReferences
from syft_ext.attestation.confidential_space.token import (
    ISSUER,
    Container,
    SignedToken,
    SpaceClaims,
    read_claims,
    read_token,
    verify_oidc,
    verify_pki,
)
from syft_ext.attestation.evidence import Objection, Reason, Verified
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.pins import is_pinned
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.texts import base64url, base64url_encoded, moment, said
from syft_ext.errors import EvidenceRefused

__all__ = ["OIDC", "PKI", "ROOT", "pki_kind"]

ROOT = "148b293821bb0c6a317f413c8ba475814091cb22d49b9e3c94198db8e8f86c39"
"""SHA-256 of Google's "Confidential Space Root CA", valid until 2034."""

_MAX_LIFE = 3600
"""Seconds that a token lives at most; all that were seen live so long."""

_GOOGLE = 11129
"""``oemid``: Google's number as a maker (RFC 9711, 4.2.3)."""


def pki_kind(roots: Collection[str]) -> Kind:
    """Tokens with a chain to one of these roots (SHA-256 of each, hexadecimal)."""
    return Kind(
        name="confidential-space-pki",
        recognises=lambda content: _recognises(content, chain=True),
        verify=lambda evidence, at: _verified("confidential-space-pki", verify_pki(evidence, roots), at),
        objections=_objections,
        bound=_bound,
    )


def _recognises(content: bytes, chain: bool) -> bool:
    try:
        token = read_token(content)
        return ("x5c" in token.header) == chain and read_claims(token.claims()).iss == ISSUER
    except EvidenceRefused:
        return False


def _verified(kind: str, signed: SignedToken, at: datetime) -> Verified:
    claims, container = signed.claims, signed.claims.submods.container
    level = None if claims.tdx is None else claims.tdx.gcp_attester_tcb_status
    shown = {
        **signed.raw,
        "image_digest": container.image_digest,
        "support_attributes": claims.submods.confidential_space.support_attributes,
        "env_override": container.env_override,
        "tdx": signed.raw.get("tdx"),
        "valid_from": said(moment(claims.nbf)),
        "valid_to": said(moment(claims.exp)),
    }
    if signed.leaf is not None:
        shown["leaf"] = [said(time) for time in signed.leaf]
    return Verified(
        kind=kind,
        workload=(f"cs:{container.image_digest}",),
        platform={"hwmodel": claims.hwmodel, "swversion": claims.version, "tcb_status": level},
        claims=shown,
        debug=_debug(claims),
        not_before=signed.window.not_before,
        not_after=signed.window.not_after,
        binding=_nonce(claims),
        objections=(*signed.window.objections(at), *_fixed(claims, at)),
        facts=signed,
    )


def _debug(claims: SpaceClaims) -> bool:
    """Whether somebody may log in to the machine: as the token says, and as its image is known for."""
    return claims.dbgstat != "disabled-since-boot" or not claims.submods.confidential_space.support_attributes


def _nonce(claims: SpaceClaims) -> bytes:
    """What the only nonce is in base64url; empty: there are several, or it is something else."""
    try:
        return base64url(claims.nonces[0]) if len(claims.nonces) == 1 else b""
    except EvidenceRefused:
        return b""


def _fixed(claims: SpaceClaims, at: datetime) -> Iterator[Objection]:
    """What speaks against a token whatever a policy says."""
    if at >= moment(claims.exp):  # a token is not valid in the moment that it names (RFC 7519, 4.1.4)
        yield Objection(Reason.EXPIRED, "the token has expired")
    if not 0 <= claims.exp - claims.iat <= _MAX_LIFE:
        yield Objection(Reason.INTEGRITY, "the token lives longer than Google's do")
    if claims.iss != ISSUER or claims.oemid != _GOOGLE:
        yield Objection(Reason.INTEGRITY, "the token is not of Google's verifier")
    if claims.swname != "CONFIDENTIAL_SPACE":
        yield Objection(
            Reason.INTEGRITY, "the machine does not run Confidential Space: its operator is root on it"
        )
    if not claims.secboot:
        yield Objection(Reason.INTEGRITY, "the machine was not started by secure boot")
    if claims.tdx is not None and claims.tdx.gcp_attester_tcb_status != "UpToDate":
        yield Objection(Reason.TCB_STATUS, f"the platform's level is {claims.tdx.gcp_attester_tcb_status}")


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    if policy is None:
        return
    signed: SignedToken = verified.facts
    references = policy.confidential_space
    if references is None:
        yield Objection(Reason.POLICY_KIND, "the policy has no reference values for Confidential Space")
        return
    claims = signed.claims
    issued = moment(claims.iat)
    if signed.thumbprint is not None and not is_pinned(signed.thumbprint, issued, references.keys):
        yield Objection(Reason.ROOT, "the key that signed the token is none of the policy's")
    if claims.aud != references.audience:
        yield Objection(Reason.POLICY_LAUNCH, "the token is for another audience")
    if at - issued > timedelta(seconds=policy.max_age):
        yield Objection(Reason.POLICY_AGE, f"the token was issued at {said(issued)}")
    yield from _platform_objections(claims, references, at)
    container = claims.submods.container
    images = [image for image in references.images if image.digest == container.image_digest]
    if not images:
        yield Objection(Reason.POLICY_WORKLOAD, "the container is none of the policy's")
    elif not any(_started_as(container, image) for image in images):
        yield Objection(Reason.POLICY_LAUNCH, "the container was started in another way than the policy says")
    if references.projects and (
        claims.submods.gce is None or claims.submods.gce.project_id not in references.projects
    ):
        yield Objection(Reason.POLICY_LAUNCH, "the machine is of another project")
    if references.service_accounts and not (
        claims.google_service_accounts
        and set(claims.google_service_accounts) <= set(references.service_accounts)
    ):
        yield Objection(Reason.POLICY_LAUNCH, "the machine runs for another service account")


def _platform_objections(
    claims: SpaceClaims, references: SpaceReferences, at: datetime
) -> Iterator[Objection]:
    space = claims.submods.confidential_space
    if claims.hwmodel not in references.hardware:
        yield Objection(Reason.POLICY_PLATFORM, f"the policy does not name {claims.hwmodel[:40]}")
    if claims.version < references.min_version:
        yield Objection(Reason.POLICY_PLATFORM, f"the machine's image is of version {claims.version}")
    if not set(references.support) <= set(space.support_attributes or ()):
        yield Objection(Reason.POLICY_PLATFORM, "the machine's image lacks a support attribute of the policy")
    if any(space.monitoring_enabled.values()) and not references.allow_memory_monitoring:
        yield Objection(Reason.POLICY_PLATFORM, "the operator watches the machine's memory")
    if claims.hwmodel == "GCP_INTEL_TDX" and claims.tdx is None:
        yield Objection(Reason.POLICY_PLATFORM, "the token does not say at which level the platform is")
    if claims.tdx is not None and at - claims.tdx.gcp_attester_tcb_date > timedelta(
        days=references.tcb_max_age
    ):
        yield Objection(Reason.POLICY_AGE, "the platform's level is older than the policy allows")


def _started_as(container: Container, image: SpaceImage) -> bool:
    """Whether arguments, environment and restarts are exactly those of the policy."""
    wanted = {variable.name: variable.value for variable in image.environment}
    return (
        tuple(container.args) == image.arguments
        and container.env.keys() == wanted.keys()
        and all(wanted[name] in (None, value) for name, value in container.env.items())
        and all(
            name in image.overridden and container.env.get(name) == value
            for name, value in (container.env_override or {}).items()
        )
        and not container.cmd_override
        and container.restart_policy == "Never"
    )


def _bound(verified: Verified, binding: Binding) -> bool:
    signed: SignedToken = verified.facts
    nonces = signed.claims.nonces
    return len(nonces) == 1 and compare_digest(
        nonces[0].encode("utf-8", "replace"), base64url_encoded(binding.digest)
    )


PKI = pki_kind({ROOT})
"""Tokens under Google's root: they can be checked without asking Google, and for as long as the root is valid."""

OIDC = Kind(
    name="confidential-space-oidc",
    recognises=lambda content: _recognises(content, chain=False),
    verify=lambda evidence, at: _verified("confidential-space-oidc", verify_oidc(evidence), at),
    objections=_objections,
    bound=_bound,
)
"""Tokens that a key of Google's set signed; the set lies beside them, and a policy pins its keys."""
