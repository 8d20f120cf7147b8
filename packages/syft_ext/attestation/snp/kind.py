"""SEV-SNP reports held against reference values."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from syft_ext.attestation.evidence import Objection, Reason, Verified
from syft_ext.attestation.kind import Kind
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.snp.policy import SnpReferences
from syft_ext.attestation.snp.tcb import Tcb
from syft_ext.attestation.snp.verify import SnpFacts, recognises, verify

__all__ = ["SNP", "against"]

_NOBODY = (bytes(32),)


def _objections(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> Iterator[Objection]:
    if policy is None:
        return
    if policy.snp is None:
        yield Objection(Reason.POLICY_KIND, "the policy has no reference values for SEV-SNP")
        return
    yield from against(verified.facts, policy.snp)


def against(facts: SnpFacts, references: SnpReferences) -> Iterator[Objection]:
    """What in a verified report does not fit reference values."""
    report = facts.report
    if report.measurement not in references.measurements:
        yield Objection(Reason.POLICY_WORKLOAD, f"the launch digest is {report.measurement.hex()}")
    yield from _launch(facts, references)
    yield from _level(facts, references)
    yield from _platform(facts, references)


def _launch(facts: SnpFacts, references: SnpReferences) -> Iterator[Objection]:
    report = facts.report
    wrong = Reason.POLICY_LAUNCH
    if report.host_data not in (references.host_data or _NOBODY):
        yield Objection(wrong, f"the host data are {report.host_data.hex()}")
    if references.id_key_digests and report.id_key_digest not in references.id_key_digests:
        yield Objection(wrong, f"the launch was signed by the key {report.id_key_digest.hex()}")
    authors = references.author_key_digests
    if authors and not (report.author_key and report.author_key_digest in authors):
        yield Objection(wrong, f"that key was signed by {report.author_key_digest.hex()}")
    if report.vmpl not in references.vmpls:
        yield Objection(wrong, f"the report was asked for at the privilege level {report.vmpl}")
    if report.guest_svn < references.min_guest_svn:
        yield Objection(wrong, f"the guest's version is {report.guest_svn}")
    if report.abi < references.min_abi:
        yield Objection(wrong, f"the guest asks for the firmware's interface {report.abi} only")
    if report.smt and not references.allow_smt:
        yield Objection(wrong, "the guest lets others run on its cores (SMT)")
    if report.cxl and not references.allow_cxl:
        yield Objection(wrong, "the guest lets its memory be on devices (CXL)")
    if missing := references.guest_policy_required & ~report.policy:
        yield Objection(wrong, f"the guest's policy lacks the bits {missing:#x}")


def _level(facts: SnpFacts, references: SnpReferences) -> Iterator[Objection]:
    wrong = Reason.POLICY_PLATFORM
    minimum = next((one for one in references.minima if one.product == facts.product), None)
    if minimum is None:
        yield Objection(wrong, f"the policy names no least level of {facts.product}")
        return
    least = Tcb(
        fmc=minimum.fmc, bl=minimum.boot_loader, tee=minimum.tee, snp=minimum.snp, ucode=minimum.microcode
    )
    levels = {"reported": facts.reported, "committed": facts.committed, "launch": facts.launch}
    for name, level in levels.items():
        if not level.reaches(least):
            stated = ", ".join(f"{part} {value}" for part, value in level.stated().items())
            yield Objection(wrong, f"the {name} level is below the policy's: {stated}")
    if facts.current != facts.committed and not references.allow_provisional:
        yield Objection(wrong, "the firmware is provisional: its owner has not committed to it")


def _platform(facts: SnpFacts, references: SnpReferences) -> Iterator[Objection]:
    report, leaf = facts.report, facts.leaf
    wrong = Reason.POLICY_PLATFORM
    if report.version < references.min_version:
        yield Objection(wrong, f"the report has version {report.version}")
    if report.signing_key not in references.signing_keys:
        yield Objection(wrong, f"the report is signed by a {report.signing_key}")
    if report.signing_key == "VLEK" and leaf.cloud not in references.clouds:
        yield Objection(wrong, f"the chip is in the cloud {leaf.cloud[:80]!r}")
    if references.chips and report.chip_id not in references.chips:
        yield Objection(wrong, f"the chip is {report.chip_id.hex()}")
    if missing := references.platform_required & ~report.platform_info:
        yield Objection(wrong, f"the platform lacks the features {missing:#x}")
    if missing := references.mitigations_required & ~(report.launch_mitigations & report.current_mitigations):
        yield Objection(wrong, f"the platform lacks the mitigations {missing:#x}")
    if references.revocation_required and not facts.revocation_checked:
        yield Objection(Reason.COLLATERAL_MISSING, "AMD's revocation list is not beside the report")


SNP = Kind(name="sev-snp", recognises=recognises, verify=verify, objections=_objections, lists=("ARK-",))
