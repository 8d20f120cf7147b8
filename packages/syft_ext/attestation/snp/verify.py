"""SEV-SNP evidence: a report, and beside it the signer's certificate, AMD's intermediate one and its root."""

from __future__ import annotations

import hmac
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec
from cryptography import x509

from syft_ext.attestation.certificates import (
    MAX_CHAIN,
    RevocationLists,
    Window,
    check_authority,
    fingerprint,
    load_certificate,
    load_list,
    was_issued,
)
from syft_ext.attestation.companions import Companions
from syft_ext.attestation.evidence import Companion, Evidence, Objection, Reason, Verified, refused
from syft_ext.attestation.snp.leaf import Leaf, read_leaf
from syft_ext.attestation.snp.report import REPORT_SIZE, SnpReport, looks_like_report, read_report
from syft_ext.attestation.snp.table import read_table, unpacked
from syft_ext.attestation.snp.tcb import Tcb, unpack

__all__ = ["ROOTS", "SnpFacts", "recognises", "verify", "verify_report"]

ROOTS = {
    "69d063b45344d26a2e94e1f4210de49ef555308287d4c174445c95639a540bcd": "Milan",
    "4c6598d19c18719c5dfd4a7d335f674e5bfe1d8f800cea2cf270c10d103db2f1": "Genoa",
    "1f084161a44bb6d93778a904877d4819cafa5d05ef4193b2ded9dd9c73dd3f6a": "Turin",
}
"""AMD's root certificates (ARK), by SHA-256 of their DER, and whose they are:
https://kdsintf.amd.com/vcek/v1/…/cert_chain, compared with the copies in go-sev-guest and virtee/sev."""

_NAMES = {"Milan": "Milan", "Genoa": "Genoa", "Bergamo": "Genoa", "Siena": "Genoa", "Turin": "Turin"}
"""Which root speaks for a product that a certificate names: Bergamo and Siena are variants of Genoa."""

_PROCESSORS = {
    "Milan": ((25, range(16)),),
    "Genoa": ((25, range(16, 32)), (25, range(160, 176))),
    "Turin": ((26, range(18)),),
}
"""Family and models of the processors of a product."""


class SnpFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the policy's half needs, verified. ``revocation_checked``: AMD's list was there."""

    report: SnpReport
    leaf: Leaf
    product: str
    current: Tcb
    reported: Tcb
    committed: Tcb
    launch: Tcb
    revocation_checked: bool


def recognises(content: bytes) -> bool:
    """Whether it is a report of SEV-SNP, alone or with the table of certificates that hosts hand out with it."""
    return looks_like_report(content[:REPORT_SIZE]) and (
        len(content) == REPORT_SIZE or read_table(content[REPORT_SIZE:]) is not None
    )


def verify(evidence: Evidence, at: datetime) -> Verified:
    """Verify a report; see :attr:`syft_ext.attestation.kind.Kind.verify`.

    Something beside it that is neither a certificate nor a list must be what its report data are the digest of.
    """
    content, with_it = evidence.content, unpacked(evidence.beside)
    if len(content) > REPORT_SIZE:
        table = read_table(content[REPORT_SIZE:])
        if table is None:
            raise refused(Reason.MALFORMED, "behind the report is something else than its certificates")
        with_it += [Companion("certificates behind the report", one) for one in table]
        content = content[:REPORT_SIZE]
    beside = Companions(with_it)
    verified = verify_report(content, beside, at)
    return msgspec.structs.replace(
        verified, objections=(*verified.objections, *beside.uncommitted(verified.binding))
    )


def verify_report(content: bytes, beside: Companions, at: datetime) -> Verified:
    """Verify the report alone: for evidence that has one within."""
    report = read_report(content)
    authorities = [load_certificate(der) for der in beside.certificates if not _is_leaf(der)]
    if len(beside.certificates) > 4 * MAX_CHAIN:
        raise refused(Reason.TOO_LARGE, "there are too many certificates beside the report")
    leaf = _signer(report, [leaf for leaf in map(read_leaf, beside.certificates) if leaf is not None])
    lists = RevocationLists([load_list(der) for der in beside.revocations])
    window = Window()
    intermediate, root, revocation = _chain(leaf, authorities, lists, window, at)
    if not report.is_signed_by(leaf.key):
        raise refused(Reason.SIGNATURE, "the report is not what the chip signed")
    window.add(f"certificate {leaf.name}", leaf.not_before, leaf.not_after)
    window.add_certificate(f"certificate {_common_name(intermediate)}", intermediate)
    window.add_certificate(f"certificate {_common_name(root)}", root)
    facts = SnpFacts(
        report=report,
        leaf=leaf,
        product=(product := ROOTS[fingerprint(root)]),
        current=unpack(report.current_tcb, product),
        reported=unpack(report.reported_tcb, product),
        committed=unpack(report.committed_tcb, product),
        launch=unpack(report.launch_tcb, product),
        revocation_checked=revocation is not None,
    )
    return Verified(
        kind="sev-snp",
        workload=(f"snp:{report.measurement.hex()}",),
        platform=_platform(facts),
        claims=_claims(facts, window),
        debug=report.debug,
        not_before=window.not_before,
        not_after=window.not_after,
        binding=report.report_data,
        objections=(*window.objections(at), *(revocation or ()), *report.objections(), *_mismatches(facts)),
        facts=facts,
    )


def _is_leaf(der: bytes) -> bool:
    return read_leaf(der) is not None


def _signer(report: SnpReport, leaves: list[Leaf]) -> Leaf:
    """The certificate of the key that signed: of the right kind, and the one whose key fits if there are
    several."""
    wanted = [leaf for leaf in leaves if leaf.name == f"SEV-{report.signing_key}"]
    if not wanted:
        raise refused(Reason.ENDORSEMENT_MISSING, f"the certificate of the {report.signing_key} is missing")
    if len(wanted) > MAX_CHAIN:
        raise refused(Reason.TOO_LARGE, "there are too many certificates of chips beside the report")
    return next((leaf for leaf in wanted if len(wanted) > 1 and report.is_signed_by(leaf.key)), wanted[0])


def _chain(
    leaf: Leaf,
    authorities: list[x509.Certificate],
    lists: RevocationLists,
    window: Window,
    at: datetime,
) -> tuple[x509.Certificate, x509.Certificate, list[Objection] | None]:
    """The intermediate certificate and the pinned root above a leaf, and what the root revoked."""
    roots = [one for one in authorities if fingerprint(one) in ROOTS and was_issued(one, one)]
    if not roots:
        raise refused(Reason.ROOT, "no root of AMD that is pinned here is beside the report")
    found = [one for one in authorities if leaf.was_issued_by(one)]
    if not found:
        raise refused(Reason.CHAIN, f"no certificate beside the report issued the {leaf.name}")
    chains = [(one, root) for one in found for root in roots if was_issued(one, root)]
    if not chains:
        raise refused(Reason.CHAIN, f"the certificate that issued the {leaf.name} is not under a pinned root")
    revocations = list[list[Objection] | None]()
    for intermediate, root in chains:
        check_authority(intermediate, 0)
        check_authority(root, 1)
        product = ROOTS[fingerprint(root)]
        middle = "SEV-VLEK-" if leaf.name == "SEV-VLEK" else "SEV-"
        if leaf.issuer_name != middle + product or _NAMES.get(leaf.product.split("-")[0]) != product:
            raise refused(
                Reason.CERTIFICATE, f"the {leaf.name} is of {leaf.product[:40]!r}, its root of {product}"
            )
        serials = {f"the certificate {_common_name(intermediate)}": intermediate.serial_number}
        revocations.append(lists.check(root, _common_name(root), serials, Window(), at))
    # The same key may be certified twice, once in a certificate that was revoked: then the other one counts.
    best = next((index for index, revoked in enumerate(revocations) if not revoked), 0)
    intermediate, root = chains[best]
    serials = {f"the certificate {_common_name(intermediate)}": intermediate.serial_number}
    return intermediate, root, lists.check(root, _common_name(root), serials, window, at)


def _mismatches(facts: SnpFacts) -> Iterator[Objection]:
    """Whether the certificate is this chip's, at the level that the report states."""
    report, leaf, product = facts.report, facts.leaf, facts.product
    if leaf.tcb != facts.reported:
        yield Objection(Reason.CERTIFICATE, "the certificate is for another level than the report states")
    if report.processor is not None:
        family, model, _ = report.processor
        if not any(family == known and model in models for known, models in _PROCESSORS[product]):
            yield Objection(Reason.CERTIFICATE, f"the report names a processor that is no {product}")
    if _chip_matches(report, leaf) is False:
        yield Objection(Reason.CERTIFICATE, "the certificate is for another chip")


def _chip_matches(report: SnpReport, leaf: Leaf) -> bool | None:
    """Whether the report names the certificate's chip; ``None``: one of them names none."""
    if leaf.name != "SEV-VCEK":
        return None
    if report.chip_masked and not any(report.chip_id):
        return None
    if len(leaf.chip) not in (8, 64):
        return False
    return hmac.compare_digest(leaf.chip.ljust(64, b"\0"), report.chip_id)


def _platform(facts: SnpFacts) -> dict[str, Any]:
    return {
        "product": facts.product,
        "tcb": facts.reported.stated(),
        "committed_tcb": facts.committed.stated(),
        "platform_info": hex(facts.report.platform_info),
        "chip_id": facts.report.chip_id.hex(),
        "cloud": facts.leaf.cloud,
    }


def _claims(facts: SnpFacts, window: Window) -> dict[str, Any]:
    report, matches = facts.report, _chip_matches(facts.report, facts.leaf)
    return {
        "product": facts.product,
        "valid_from": _moment(window.not_before),
        "valid_to": _moment(window.not_after),
        "version": report.version,
        "signing_key": report.signing_key,
        "vmpl": report.vmpl,
        "policy": hex(report.policy),
        "debug": report.debug,
        "migrate_ma": report.migrates,
        "smt": report.smt,
        "abi": list(report.abi),
        "guest_svn": report.guest_svn,
        "platform_info": hex(report.platform_info),
        "measurement": report.measurement.hex(),
        "report_data": report.report_data.hex(),
        "host_data": report.host_data.hex(),
        "id_key_digest": report.id_key_digest.hex(),
        "author_key_digest": report.author_key_digest.hex(),
        "chip_id": report.chip_id.hex(),
        "reported_tcb": facts.reported.stated(),
        "current_tcb": facts.current.stated(),
        "committed_tcb": facts.committed.stated(),
        "launch_tcb": facts.launch.stated(),
        "certificate_tcb": facts.leaf.tcb.stated(),
        "chip_id_matches": "n/a" if matches is None else matches,
        "processor": None if report.processor is None else list(report.processor),
        "certificate_product": facts.leaf.product,
        "cloud": facts.leaf.cloud or None,
        "revocation_checked": facts.revocation_checked,
    }


def _moment(moment: datetime) -> str:
    return f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S}"


def _common_name(certificate: x509.Certificate) -> str:
    found = certificate.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
    return str(found[0].value)[:80] if found else ""
