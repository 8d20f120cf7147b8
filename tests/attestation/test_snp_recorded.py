"""Recorded reports of SEV-SNP: what they state, and each change refused."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from syft_ext.attestation.appraise import objections, recognise, verify
from syft_ext.attestation.evidence import Companion, Evidence, Reason, Verified
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.snp.policy import SnpMinimum, SnpReferences
from syft_ext.attestation.snp.verify import SnpFacts
from syft_ext.errors import EvidenceRefused
from tests.attestation.recorded import companion, entries, evidence, expected, moment

NAMES = entries("sev-snp")
LISTS = {product: f"snp/amd-{product.lower()}.crl.der" for product in ("Milan", "Genoa", "Turin")}
UNSTATED = {"kind", "files", "note", "must_refuse"}

pytestmark = pytest.mark.parametrize("name", NAMES)


def fitting_report(facts: SnpFacts) -> SnpReferences:
    """Reference values of exactly what a report states."""
    report = facts.report
    levels = (facts.reported, facts.committed, facts.launch)
    minimum = SnpMinimum(
        product=facts.product,
        boot_loader=min(level.bl for level in levels),
        tee=min(level.tee for level in levels),
        snp=min(level.snp for level in levels),
        microcode=min(level.ucode for level in levels),
        fmc=min(level.fmc or 0 for level in levels),
    )
    return SnpReferences(
        measurements=(report.measurement,),
        minima=(minimum,),
        host_data=(report.host_data,),
        signing_keys=(report.signing_key,),
        clouds=(facts.leaf.cloud,) if facts.leaf.cloud else (),
        vmpls=(report.vmpl,),
        min_version=report.version,
        allow_smt=report.smt,
        allow_provisional=facts.current != facts.committed,
        revocation_required=False,
    )


def piece(name: str) -> tuple[Evidence, dict[str, Any], datetime]:
    """A recorded report, what it yields, and a time inside its window."""
    said = expected(name)
    return evidence("sev-snp", name, *said["files"]), said, moment(said["valid_from"]) + timedelta(days=1)


def fitting(verified: Verified) -> AttestationPolicy:
    """A policy of exactly what a report states."""
    return AttestationPolicy(production=True, snp=fitting_report(verified.facts))


def test_it_yields_what_it_states(name: str) -> None:
    piece_, said, at = piece(name)
    assert recognise(piece_.content) == "sev-snp"
    verified = verify(piece_, at)
    for field in said.keys() - UNSTATED:
        assert verified.claims[field] == said[field], field
    reasons = [objection.reason for objection in objections(verified, fitting(verified), at)]
    assert reasons == ([Reason.DEBUG] if said["debug"] else [])


def test_it_holds_in_its_window_only(name: str) -> None:
    piece_, said, _ = piece(name)
    start, end = moment(said["valid_from"]), moment(said["valid_to"])
    debug = [Reason.DEBUG] if said["debug"] else []
    for at, wanted in [
        (start - timedelta(seconds=1), [Reason.NOT_YET_VALID]),
        (start, []),
        (end, []),
        (end + timedelta(seconds=1), [Reason.EXPIRED]),
    ]:
        assert [one.reason for one in verify(piece_, at).objections] == wanted + debug


def test_each_bit_that_is_signed_counts(name: str) -> None:
    piece_, _, at = piece(name)
    for byte in range(0, 0x2A0 + 144, 29):
        content = bytearray(piece_.content)
        content[byte] ^= 1 << byte % 8
        with pytest.raises(EvidenceRefused):
            verify(msgspec.structs.replace(piece_, content=bytes(content)), at)


def test_only_its_own_chain_will_do(name: str) -> None:
    piece_, said, at = piece(name)
    leaf, middle, root, *bound = piece_.beside
    other_leaf = "snp/virtee-milan-vcek.der" if "virtee" not in name else "snp/gosevguest-milan-vcek.der"
    product = "genoa" if said["product"] != "Genoa" else "milan"
    swapped = {
        "another chip's leaf": (companion(other_leaf), middle, root),
        "another product's intermediate": (leaf, companion(f"snp/amd-{product}-ask.der"), root),
        "another product's root": (leaf, middle, companion(f"snp/amd-{product}-ark.der")),
        "no leaf": (middle, root),
        "no intermediate": (leaf, root),
        "no root": (leaf, middle),
        "nothing": (),
    }
    for what, beside in swapped.items():
        with pytest.raises(EvidenceRefused):
            verify(msgspec.structs.replace(piece_, beside=(*beside, *bound)), at)
            pytest.fail(what)


def test_amds_list_counts_where_it_is_given(name: str) -> None:
    piece_, said, at = piece(name)
    listed = msgspec.structs.replace(piece_, beside=(*piece_.beside, companion(LISTS[said["product"]])))
    reasons = [objection.reason for objection in verify(listed, at).objections]
    assert Reason.NOT_YET_VALID in reasons  # the list is of August 2026
    then = moment("2026-09-01 00:00:00")
    outlived = [Reason.EXPIRED] if then > moment(said["valid_to"]) else []
    assert [one.reason for one in verify(listed, then).objections] == outlived + [Reason.DEBUG] * said[
        "debug"
    ]
    assert verify(listed, then).facts.revocation_checked


def test_what_is_beside_it_and_nothing_known_must_be_bound(name: str) -> None:
    piece_, _, at = piece(name)
    verify(piece_, at)
    for index, one in enumerate(piece_.beside):
        if not one.name.endswith(".cose"):
            continue
        for byte in (0, 50, len(one.content) - 1):
            content = bytearray(one.content)
            content[byte] ^= 1
            beside = list(piece_.beside)
            beside[index] = Companion(one.name, bytes(content))
            found = verify(msgspec.structs.replace(piece_, beside=tuple(beside)), at).objections
            assert Reason.BINDING in [objection.reason for objection in found]
    stray = (*piece_.beside, Companion("stray", b"something else"))
    found = verify(msgspec.structs.replace(piece_, beside=stray), at).objections
    assert Reason.BINDING in [objection.reason for objection in found]


@pytest.mark.parametrize("field", ["measurements", "host_data", "vmpls", "min_guest_svn", "clouds", "minima"])
def test_one_value_of_the_policy_that_differs_is_enough(name: str, field: str) -> None:
    piece_, _, at = piece(name)
    verified = verify(piece_, at)
    snp = fitting(verified).snp
    assert snp is not None
    report = verified.facts.report
    if field == "minima":
        higher = snp.minima[0].microcode + 1
        value: Any = (msgspec.structs.replace(snp.minima[0], microcode=higher),)
    else:
        value = {
            "measurements": (b"m" * 48,),
            "host_data": (b"h" * 32,),
            "vmpls": ((report.vmpl + 1) % 4,),
            "min_guest_svn": report.guest_svn + 1,
            "clouds": ("another cloud",),
        }[field]
    policy = AttestationPolicy(production=True, snp=msgspec.structs.replace(snp, **{field: value}))
    found = {objection.reason for objection in objections(verified, policy, at)} - {Reason.DEBUG}
    wanted = {
        "measurements": {Reason.POLICY_WORKLOAD},
        "clouds": {Reason.POLICY_PLATFORM} if report.signing_key == "VLEK" else set(),
        "minima": {Reason.POLICY_PLATFORM},
    }.get(field, {Reason.POLICY_LAUNCH})
    assert found == wanted
