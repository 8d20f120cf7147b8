"""The appraisal of evidence, whatever its kind.

The order is the same for all: sizes, parsing, the chain to a pinned root, collateral, the evidence's signature;
then what speaks against it whatever a policy says (window, debug, revoked, level); then the policy; then the
session. Nothing of the evidence is used before its signature holds.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

import msgspec

from syft_ext.attestation.azure.maa import MAA
from syft_ext.attestation.azure.vtpm import AZURE_HCL, AZURE_VTPM
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.confidential_space.appraisal import OIDC, PKI
from syft_ext.attestation.evidence import (
    Appraisal,
    Evidence,
    Objection,
    Reason,
    Verified,
    check_sizes,
    refused,
)
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.nitro.appraisal import NITRO
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.simulator.evidence import SIMULATOR
from syft_ext.attestation.snp.kind import SNP
from syft_ext.attestation.tdx.kind import SGX, TDX

__all__ = ["appraise", "kinds", "lists_of", "objections", "recognise", "verify"]

_ALL: tuple[Kind, ...] = (SNP, TDX, SGX, NITRO, PKI, OIDC, AZURE_VTPM, AZURE_HCL, MAA, SIMULATOR)
_KINDS = {kind.name: kind for kind in _ALL}


def kinds() -> tuple[str, ...]:
    """The kinds of evidence that are appraised here."""
    return tuple(_KINDS)


def lists_of(kind: str | None) -> tuple[str, ...]:
    """How the names of those begin whose revocation lists count for a kind of evidence; None: for any."""
    of = _KINDS.values() if kind is None else [_kind(kind)]
    return tuple(dict.fromkeys(name for each in of for name in each.lists))


def recognise(content: bytes) -> str:
    """The kind of evidence that has the structure of ``content``: by its bytes alone, never by a name.

    Raises :class:`~syft_ext.errors.EvidenceRefused` where none has, or more than one.
    """
    check_sizes(Evidence("", content))
    found = [kind.name for kind in _KINDS.values() if kind.recognises(content)]
    if len(found) != 1:
        raise refused(Reason.UNKNOWN_KIND, "this is no evidence of a kind that is known here")
    return found[0]


def verify(evidence: Evidence, at: datetime) -> Verified:
    """The evidence's signature, chain and window at a time; what speaks against it is in its ``objections``.

    Raises :class:`~syft_ext.errors.EvidenceRefused` where its signature or chain does not hold.
    """
    if at.tzinfo is None:
        raise ValueError("a time without a zone is no time")
    check_sizes(evidence)
    verified = _kind(evidence.kind).verify(evidence, at)
    found = list(verified.objections)
    if at < verified.not_before and not any(one.reason is Reason.NOT_YET_VALID for one in found):
        found.append(Objection(Reason.NOT_YET_VALID, f"not valid before {verified.not_before.isoformat()}"))
    if at > verified.not_after and not any(one.reason is Reason.EXPIRED for one in found):
        found.append(Objection(Reason.EXPIRED, f"not valid after {verified.not_after.isoformat()}"))
    if verified.debug and not any(one.reason is Reason.DEBUG for one in found):
        found.append(Objection(Reason.DEBUG, "it runs in debug mode: its operator can look into it"))
    return msgspec.structs.replace(verified, objections=tuple(found))


def objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    """All that speaks against evidence: whatever a policy says, and by this policy, or in want of one."""
    yield from verified.objections
    if verified.simulated and not (policy is not None and policy.allow_simulator and not policy.production):
        yield Objection(Reason.SIMULATED, "it is made by software, and protects nothing from its operator")
    yield from _kind(verified.kind).objections(verified, policy, at)


def appraise(evidence: Evidence, policy: AttestationPolicy, at: datetime, expected: Binding) -> Appraisal:
    """The attestation result of evidence that holds at ``at``, for this policy and the ``expected`` session.

    Raises :class:`~syft_ext.errors.EvidenceRefused` with the first reason against it.
    """
    verified = verify(evidence, at)
    for objection in objections(verified, policy, at):
        raise refused(objection.reason, objection.detail)
    if not _kind(verified.kind).bound(verified, expected):
        raise refused(Reason.BINDING, "it was made for another session, or for none")
    return Appraisal(
        kind=verified.kind,
        workload=verified.workload,
        platform=verified.platform,
        debug=verified.debug,
        simulated=verified.simulated,
        not_before=verified.not_before,
        not_after=verified.not_after,
        binding=verified.binding,
    )


def _kind(name: str) -> Kind:
    found = _KINDS.get(name)
    if found is None:
        raise refused(Reason.UNKNOWN_KIND, f"evidence of the kind {name[:40]!r} is not known here")
    return found
