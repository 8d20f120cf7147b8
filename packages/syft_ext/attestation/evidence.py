"""What is appraised, what comes of it, and why it is refused: the words that all kinds of evidence share."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from syft_ext.errors import EvidenceRefused

__all__ = [
    "MAX_COMPANIONS",
    "MAX_COMPANION_SIZE",
    "MAX_EVIDENCE_SIZE",
    "Appraisal",
    "Companion",
    "Evidence",
    "Objection",
    "Reason",
    "Verified",
    "check_sizes",
    "refused",
]

MAX_EVIDENCE_SIZE = 64 * 1024
"""Bytes of evidence; the largest recorded one (an Azure token) has a tenth of it."""

MAX_COMPANIONS = 32
"""Certificates, revocation lists and documents beside one piece of evidence."""

MAX_COMPANION_SIZE = 1024 * 1024
"""Bytes of one of them, and of all together: Intel's collateral has some 20 kB, AMD's lists 1 kB."""


class Reason(StrEnum):
    """Why evidence is refused. Codes are stable: receipts, audit logs and tests hold them."""

    TOO_LARGE = "too-large"
    """More bytes or parts than are looked at."""
    MALFORMED = "malformed"
    """Not the exact structure of its kind."""
    UNKNOWN_KIND = "unknown-kind"
    """Of no kind that is appraised here."""
    UNSUPPORTED = "unsupported"
    """A version, algorithm or kind of key that is not appraised here."""
    ENDORSEMENT_MISSING = "endorsement-missing"
    """A certificate, key or key set that the signature needs is not beside it."""
    CHAIN = "chain"
    """Certificates that do not issue each other as they must."""
    ROOT = "root"
    """The chain does not end in a pinned root."""
    NOT_YET_VALID = "not-yet-valid"
    """The time is before the window of the evidence, a certificate or collateral."""
    EXPIRED = "expired"
    """The time is after that window."""
    REVOKED = "revoked"
    """A certificate, or the TCB, was revoked by who issued it."""
    COLLATERAL_MISSING = "collateral-missing"
    """No signed statement is there about this platform's level, or about revocation."""
    COLLATERAL = "collateral"
    """Collateral whose signature does not hold, or which is about another platform."""
    SIGNATURE = "signature"
    """The evidence is not what was signed."""
    CERTIFICATE = "certificate"
    """The signer's certificate is for another chip, product or level than the evidence says."""
    DEBUG = "debug"
    """Who runs it can look into it."""
    SIMULATED = "simulated"
    """Made by software: it protects nothing from whoever runs it."""
    TCB_UNKNOWN = "tcb-unknown"
    """The maker states no level that this platform reaches."""
    TCB_STATUS = "tcb-status"
    """The platform's level, as its maker states it, is not one that is accepted."""
    INTEGRITY = "integrity"
    """Something that voids the protection whatever a policy says: a migration agent, a report made by the
    host…"""
    POLICY_KIND = "policy-kind"
    """The policy has no reference values for this kind."""
    POLICY_WORKLOAD = "policy-workload"
    """The measured program is none of the policy's reference values."""
    POLICY_PLATFORM = "policy-platform"
    """The platform does not fit the policy: product, level, features."""
    POLICY_LAUNCH = "policy-launch"
    """How it was started does not fit the policy: arguments, host data, signer, privilege level."""
    POLICY_AGE = "policy-age"
    """The evidence, or what it says of its level, is older than the policy allows."""
    BINDING = "binding"
    """It was made for another session, or for none."""


class Companion(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """Something beside evidence: a certificate, a list, collateral, a key set. ``name`` says to people what it
    is; what it is taken for follows from its content."""

    name: str
    content: bytes


class Evidence(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What an attester states about itself, as it was signed, and what is needed beside it.

    ``kind`` is one of :func:`syft_ext.attestation.appraise.kinds`.
    """

    kind: str
    content: bytes
    beside: tuple[Companion, ...] = ()


class Objection(msgspec.Struct, frozen=True):
    """One reason to refuse evidence; ``detail`` says it to people."""

    reason: Reason
    detail: str


class Verified(msgspec.Struct, frozen=True, kw_only=True):
    """Evidence whose signature and chain hold: what it states, and what speaks against it whatever a policy
    says.

    Attributes:
        workload: names of the measured code, most specific first ("snp:5fee…", "cs:sha256:e2e5…").
        platform: what it runs on and at which level: for people and the audit log.
        claims: all that it states, in plain values (``bytes`` in hexadecimal), under the names of its format.
        not_before, not_after: the window in which everything that it rests on is valid.
        binding: where its kind carries :attr:`syft_ext.attestation.binding.Binding.digest`; empty: it carries
            none.
        facts: for the policy's half of its kind.
    """

    kind: str
    workload: tuple[str, ...]
    platform: dict[str, Any]
    claims: dict[str, Any]
    debug: bool
    not_before: datetime
    not_after: datetime
    binding: bytes
    simulated: bool = False
    objections: tuple[Objection, ...] = ()
    facts: Any = None


class Appraisal(msgspec.Struct, frozen=True, kw_only=True):
    """The attestation result: evidence that holds, at a time, for a policy and a session.

    ``debug`` is never true here; it is kept so that whoever stores results stores that this was looked at.
    Other attributes as in :class:`Verified`.
    """

    kind: str
    workload: tuple[str, ...]
    platform: dict[str, Any]
    debug: bool
    simulated: bool
    not_before: datetime
    not_after: datetime
    binding: bytes


def refused(reason: Reason, detail: str) -> EvidenceRefused:
    """The exception for a reason, to be raised."""
    return EvidenceRefused(detail, reason=str(reason))


def check_sizes(evidence: Evidence) -> None:
    """Refuse more than is looked at, before anything of it is."""
    if not evidence.content:
        raise refused(Reason.MALFORMED, "the evidence is empty")
    if len(evidence.content) > MAX_EVIDENCE_SIZE:
        raise refused(Reason.TOO_LARGE, f"evidence has at most {MAX_EVIDENCE_SIZE} bytes")
    if len(evidence.beside) > MAX_COMPANIONS:
        raise refused(Reason.TOO_LARGE, f"at most {MAX_COMPANIONS} things are beside evidence")
    if sum(len(companion.content) for companion in evidence.beside) > MAX_COMPANION_SIZE:
        raise refused(Reason.TOO_LARGE, f"what is beside evidence has at most {MAX_COMPANION_SIZE} bytes")
