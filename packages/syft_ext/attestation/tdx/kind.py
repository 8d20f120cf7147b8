"""TDX quotes held against reference values; SGX quotes, which look alike, are recognised and refused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from syft_ext.attestation.evidence import Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.tdx.policy import TdxReferences, TdxWorkload
from syft_ext.attestation.tdx.quote import Body, looks_like_quote
from syft_ext.attestation.tdx.verify import TdxFacts, verify

__all__ = ["SGX", "TDX"]

_NOBODY = (bytes(48),)


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    facts: TdxFacts = verified.facts
    if policy is None:
        yield from _unallowed(facts)
        return
    if policy.tdx is None:
        yield Objection(Reason.POLICY_KIND, "the policy has no reference values for TDX")
        return
    if not any(_runs(facts.body, workload) for workload in policy.tdx.workloads):
        yield Objection(Reason.POLICY_WORKLOAD, f"the measured program is {verified.workload[0]}")
    yield from _launch(facts.body, policy.tdx)
    yield from _level(facts, policy.tdx, at)


def _unallowed(facts: TdxFacts) -> Iterator[Objection]:
    """What needs a policy that allows it."""
    status = None if facts.level is None else facts.level.status
    if status is not None and status != "UpToDate":
        yield Objection(
            Reason.TCB_STATUS, f"the platform's level is {status[:60]}, and no policy accepts that"
        )
    if facts.body.service_td and any(facts.body.service_td):
        yield Objection(Reason.INTEGRITY, "a service TD is bound to it, and no policy names that")


def _runs(body: Body, workload: TdxWorkload) -> bool:
    expected = (workload.rtmr0, workload.rtmr1, workload.rtmr2, workload.rtmr3)
    registers = all(not wanted or own == wanted for own, wanted in zip(body.registers, expected, strict=True))
    return body.mrtd == workload.mrtd and registers


def _launch(body: Body, references: TdxReferences) -> Iterator[Objection]:
    wrong = Reason.POLICY_LAUNCH
    if missing := references.attributes_required & ~body.attributes:
        yield Objection(wrong, f"the TD's attributes lack {missing:#x}")
    if surplus := body.attributes & ~references.attributes_allowed:
        yield Objection(wrong, f"the TD's attributes have {surplus:#x}")
    if surplus := body.features & ~references.features_allowed:
        yield Objection(wrong, f"the TD's features have {surplus:#x}")
    if references.modules and body.seam not in references.modules:
        yield Objection(Reason.POLICY_PLATFORM, f"the TDX module is {body.seam.hex()}")
    named: tuple[tuple[str, bytes, tuple[bytes, ...]], ...] = (
        ("configuration id", body.config_id, references.config_ids),
        ("owner", body.owner, references.owners),
        ("owner's configuration", body.owner_config, references.owner_configs),
        ("service TD", body.service_td or bytes(48), references.service_tds),
    )
    for what, value, accepted in named:
        if value not in (accepted or _NOBODY):
            yield Objection(wrong, f"the {what} is {value.hex()}")


def _level(facts: TdxFacts, references: TdxReferences, at: datetime) -> Iterator[Objection]:
    wrong = Reason.POLICY_PLATFORM
    level = facts.level
    if level is None or level.status is None:
        yield Objection(Reason.TCB_UNKNOWN, "nothing is stated about the platform's level")
        return
    if level.status not in references.statuses:
        yield Objection(Reason.TCB_STATUS, f"the platform's level is {level.status[:60]}")
    elif level.status != "UpToDate":
        unknown = [one for one in level.advisories if one not in references.advisories]
        if unknown:
            yield Objection(Reason.TCB_STATUS, f"advisories stand open: {', '.join(unknown)[:200]}")
    if facts.evaluation_number < references.min_evaluation_number:
        yield Objection(wrong, f"Intel's statements are of the evaluation {facts.evaluation_number}")
    if references.max_level_age is not None:
        oldest = min(level.dates)
        if at - oldest > timedelta(seconds=references.max_level_age):
            yield Objection(Reason.POLICY_AGE, f"the platform's level is of {oldest:%Y-%m-%d}")


def _refuse_sgx(evidence: Evidence, at: datetime) -> Verified:
    raise refused(Reason.UNSUPPORTED, "this is a quote of an SGX enclave: only TDs are appraised here")


def _nothing(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterable[Objection]:
    return ()


TDX = Kind(
    name="tdx",
    recognises=lambda content: looks_like_quote(content) == "tdx",
    verify=verify,
    objections=_objections,
    lists=("Intel SGX ",),
)
SGX = Kind(
    name="sgx",
    recognises=lambda content: looks_like_quote(content) == "sgx",
    verify=_refuse_sgx,
    objections=_nothing,
)
