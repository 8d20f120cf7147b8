"""Reports of SEV-SNP of our own making: each rule by what breaks it, and it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.attestation.appraise import appraise, objections, recognise, verify
from syft_ext.attestation.binding import Binding
from syft_ext.attestation.evidence import Companion, Evidence, Verified
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.snp.policy import SnpMinimum, SnpReferences
from syft_ext.errors import EvidenceRefused
from tests.attestation.makers.amd import AT, House, Report, trusting
from tests.attestation.test_binding import BINDING

HOUSE = House()
MINIMUM = SnpMinimum(product="Milan", boot_loader=4, tee=0, snp=24, microcode=219)
REFERENCES = SnpReferences(measurements=(b"m" * 48,), minima=(MINIMUM,))


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    trusting(monkeypatch, HOUSE, House(product="Turin", root="turin"), House(product="Genoa", root="genoa"))


def policy(**changes: Any) -> AttestationPolicy:
    """The policy that the report as it must be fits, changed."""
    return AttestationPolicy(production=True, snp=msgspec.structs.replace(REFERENCES, **changes))


def reasons(evidence: Evidence, at: datetime = AT, accepting: AttestationPolicy | None = None) -> set[str]:
    """Why it is refused, whether its signature holds or not."""
    try:
        return {str(one.reason) for one in objections(verify(evidence, at), accepting, at)}
    except EvidenceRefused as error:
        return {error.extra["reason"]}


def test_a_report_of_this_session_is_accepted() -> None:
    evidence = HOUSE.evidence(Report(report_data=BINDING.digest).signed(), None, HOUSE.revocations())
    appraisal = appraise(evidence, policy(), AT, BINDING)
    assert appraisal.workload == (f"snp:{'6d' * 48}",)
    assert not appraisal.debug and not appraisal.simulated and appraisal.binding == BINDING.digest
    assert appraisal.not_before <= AT <= appraisal.not_after


@pytest.mark.parametrize("field", BINDING.__struct_fields__)
def test_a_report_of_another_session_is_refused(field: str) -> None:
    other: Binding = msgspec.structs.replace(BINDING, **{field: getattr(BINDING, field)[1:]})
    evidence = HOUSE.evidence(Report(report_data=BINDING.digest).signed(), None, HOUSE.revocations())
    with pytest.raises(EvidenceRefused) as caught:
        appraise(evidence, policy(), AT, other)
    assert caught.value.extra["reason"] == "binding"


def test_a_part_of_the_binding_is_none() -> None:
    evidence = HOUSE.evidence(
        Report(report_data=BINDING.digest[:32] + bytes(32)).signed(), None, HOUSE.revocations()
    )
    with pytest.raises(EvidenceRefused) as caught:
        appraise(evidence, policy(), AT, BINDING)
    assert caught.value.extra["reason"] == "binding"


def test_products_differ_in_their_order() -> None:
    turin = House(product="Turin", root="turin")
    packed = bytes([1, 2, 3, 4, 0, 0, 0, 81])
    report = Report(
        version=5,
        current=packed,
        reported=packed,
        committed=packed,
        launch=packed,
        processor=(26, 2, 1),
        chip=b"8 bytes!" + bytes(56),
    )
    leaf = turin.leaf(chip=b"8 bytes!", tcb=(1, 2, 3, 4, 81))
    evidence = turin.evidence(report.signed(), leaf)
    assert reasons(evidence) == set()
    assert verify(evidence, AT).claims["reported_tcb"] == {"fmc": 1, "bl": 2, "tee": 3, "snp": 4, "ucode": 81}
    of_milan = HOUSE.evidence(report.signed(), HOUSE.leaf(chip=b"8 bytes!", tcb=(1, 2, 3, 81)))
    assert reasons(of_milan) == {"certificate"}


def test_a_clouds_key_is_bound_to_no_chip() -> None:
    report = Report(keys=1 << 2, chip=bytes(64), vmpl=1).signed()
    evidence = HOUSE.evidence(report, HOUSE.leaf(name="SEV-VLEK"), HOUSE.revocations(), middle="SEV-VLEK-")
    assert reasons(evidence) == set()
    fitting = {"signing_keys": ("VLEK",), "clouds": ("a cloud",), "vmpls": (0, 1)}
    assert reasons(evidence, accepting=policy(**fitting)) == set()
    assert reasons(evidence, accepting=policy(**{**fitting, "vmpls": (0,)})) == {"policy-launch"}
    assert reasons(evidence, accepting=policy(**{**fitting, "clouds": ("another",)})) == {"policy-platform"}
    assert reasons(evidence, accepting=policy(vmpls=(1,))) == {"policy-platform"}


@dataclass(frozen=True)
class Broken:
    """A report that is not as it must be."""

    report: Report
    reason: str


@pytest.mark.parametrize(
    "broken",
    [
        Broken(Report(policy=0x20000 | 1 << 19), "debug"),
        Broken(Report(policy=0x20000 | 1 << 18), "integrity"),
        Broken(Report(policy=0x20000 | 1 << 26), "integrity"),
        Broken(Report(policy=0x10000), "integrity"),
        Broken(Report(vmpl=4), "integrity"),
        Broken(Report(vmpl=0xFFFFFFFF), "integrity"),
        Broken(Report(migration_agent=bytes(32)), "integrity"),
        Broken(Report(algorithm=2), "unsupported"),
        Broken(Report(version=1), "unsupported"),
        Broken(Report(version=6), "unsupported"),
        Broken(Report(keys=7 << 2), "unsupported"),
        Broken(Report(keys=1 << 2), "endorsement-missing"),
        Broken(Report(chip=b"x" * 64), "certificate"),
        Broken(Report(chip=bytes(64)), "certificate"),
        Broken(Report(processor=(25, 17, 1)), "certificate"),
        Broken(Report(reported=bytes([4, 0, 0, 0, 0, 0, 23, 219])), "certificate"),
        Broken(Report(key="another chip"), "signature"),
    ],
    ids=lambda broken: f"{broken.reason}-{broken.report}"[:60],
)
def test_what_no_policy_makes_good(broken: Broken) -> None:
    assert reasons(HOUSE.evidence(broken.report.signed())) == {broken.reason}


def test_a_masked_chip_is_bound_by_its_level_only() -> None:
    assert reasons(HOUSE.evidence(Report(chip=bytes(64), keys=2).signed())) == set()
    assert reasons(HOUSE.evidence(Report(chip=b"x" * 64, keys=2).signed())) == {"certificate"}


def test_chains() -> None:
    report = Report().signed()
    good = HOUSE.evidence(report)
    assert reasons(good) == set()
    stranger = House(root="stranger")
    genoa = House(product="Genoa", root="genoa")
    assert reasons(stranger.evidence(report)) == {"root"}
    leaf, ask, ark = HOUSE.leaf(), HOUSE.ask(), HOUSE.ark
    chains = {
        "a stranger's root beside": ((leaf, ask, ark, stranger.ark), None),
        "a stranger's intermediate": ((leaf, stranger.ask(), ark), "chain"),
        "a stranger's leaf": ((stranger.leaf(), ask, ark), "chain"),
        "a stranger's leaf and intermediate": ((stranger.leaf(), stranger.ask(), ark), "chain"),
        "another product": ((genoa.leaf(), genoa.ask(), genoa.ark), "certificate"),
        "another product's root": ((leaf, ask, genoa.ark), "chain"),
        "a leaf that says another product": (
            (HOUSE.leaf(stated_product="Genoa-B1"), ask, ark),
            "certificate",
        ),
        "a cloud's intermediate": ((leaf, HOUSE.ask("SEV-VLEK-"), ark), "chain"),
        "another chip's leaf": ((HOUSE.leaf(key="another chip"), ask, ark), "signature"),
        "another chip's leaf beside": ((HOUSE.leaf(key="another chip"), leaf, ask, ark), None),
        "another chip's id": ((HOUSE.leaf(chip=b"y" * 64), ask, ark), "certificate"),
        "a level that was rolled back": ((HOUSE.leaf(tcb=(4, 0, 23, 219)), ask, ark), "certificate"),
        "no authority": ((leaf, replace(HOUSE, authority=False).ask(), ark), "chain"),
    }
    for what, (beside, reason) in chains.items():
        companions = tuple(Companion(what, one) for one in beside)
        evidence = msgspec.structs.replace(good, beside=companions)
        assert reasons(evidence) == ({reason} if reason else set()), what


def test_times() -> None:
    report = Report().signed()
    day = timedelta(days=1)
    expired = HOUSE.leaf(not_after=AT - day)
    assert reasons(HOUSE.evidence(report, expired)) == {"expired"}
    assert reasons(HOUSE.evidence(report, HOUSE.leaf(not_before=AT + day))) == {"not-yet-valid"}
    old = replace(HOUSE, not_after=AT - day)
    ask = Companion("ask", old.ask())
    evidence = msgspec.structs.replace(
        HOUSE.evidence(report), beside=(Companion("leaf", HOUSE.leaf()), ask, Companion("ark", HOUSE.ark))
    )
    assert reasons(evidence) == {"expired"}
    verified = verify(HOUSE.evidence(report, HOUSE.leaf(not_after=AT + day)), AT)
    assert verified.not_after == AT + day and verified.not_before == HOUSE.not_before


def test_revocation() -> None:
    report = Report().signed()
    serial = HOUSE.serial
    assert reasons(HOUSE.evidence(report, None, HOUSE.revocations(serial + 1))) == set()
    assert reasons(HOUSE.evidence(report, None, HOUSE.revocations(serial))) == {"revoked"}
    stale = HOUSE.revocations(start=AT - timedelta(days=60))
    assert reasons(HOUSE.evidence(report, None, stale)) == {"expired"}
    assert reasons(HOUSE.evidence(report, None, stale, HOUSE.revocations())) == set()
    told = HOUSE.revocations(serial, start=AT - timedelta(days=60))
    assert reasons(HOUSE.evidence(report, None, told, HOUSE.revocations())) == {"revoked"}
    forged = HOUSE.revocations(by="stranger")
    assert reasons(HOUSE.evidence(report, None, forged)) == {"collateral"}
    assert reasons(HOUSE.evidence(report), accepting=policy()) == {"collateral-missing"}
    again = replace(HOUSE, serial=serial + 1)  # the same key, certified once more
    listed = HOUSE.revocations(serial)
    assert reasons(HOUSE.evidence(report, None, listed, again.ask())) == set()


CHANGES: dict[str, tuple[Report, str]] = {
    "measurements": (Report(measurement=b"n" * 48), "policy-workload"),
    "host_data": (Report(host_data=b"h" * 32), "policy-launch"),
    "vmpls": (Report(vmpl=1), "policy-launch"),
    "allow_smt": (Report(policy=0x20000 | 1 << 16), "policy-launch"),
    "allow_cxl": (Report(policy=0x20000 | 1 << 21), "policy-launch"),
    "min_version": (Report(version=2), "policy-platform"),
    "committed": (Report(committed=bytes([4, 0, 0, 0, 0, 0, 23, 219])), "policy-platform"),
    "launch": (Report(launch=bytes([3, 0, 0, 0, 0, 0, 24, 219])), "policy-platform"),
    "provisional": (Report(current=bytes([4, 0, 0, 0, 0, 0, 25, 219])), "policy-platform"),
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_report_that_does_not_fit_the_policy(name: str) -> None:
    report, reason = CHANGES[name]
    listed = HOUSE.revocations()
    assert reasons(HOUSE.evidence(Report().signed(), None, listed), accepting=policy()) == set()
    assert reasons(HOUSE.evidence(report.signed(), None, listed), accepting=policy()) == {reason}


_BASE = HOUSE.evidence(Report().signed(), None, HOUSE.revocations())


def _values(size: int) -> st.SearchStrategy[tuple[bytes]]:
    return st.binary(min_size=size, max_size=size).filter(any).map(lambda value: (value,))


_STRICTER = {
    "measurements": _values(48),
    "host_data": _values(32),
    "id_key_digests": _values(48),
    "author_key_digests": _values(48),
    "chips": _values(64),
    "vmpls": st.integers(1, 3).map(lambda value: (value,)),
    "min_version": st.integers(4, 100),
    "min_guest_svn": st.integers(3, 1 << 31),
    "min_abi": st.tuples(st.integers(0, 255), st.integers(1, 255)),
    "guest_policy_required": st.integers(0, 25).filter(lambda bit: bit != 17).map(lambda bit: 1 << bit),
    "platform_required": st.integers(0, 63).filter(lambda bit: not 0x25 >> bit & 1).map(lambda bit: 1 << bit),
    "mitigations_required": st.integers(0, 63).map(lambda bit: 1 << bit),
    "minima": st.sampled_from(["boot_loader", "tee", "snp", "microcode", "fmc", "product"]).map(
        lambda part: (msgspec.structs.replace(MINIMUM, **{part: "Genoa" if part == "product" else 255}),)
    ),
}


@cache
def _verified() -> Verified:
    return verify(_BASE, AT)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(_STRICTER)).flatmap(lambda name: st.tuples(st.just(name), _STRICTER[name])))
def test_each_field_of_the_policy_refuses_by_itself(change: tuple[str, Any]) -> None:
    name, value = change
    verified = _verified()
    assert list(objections(verified, policy(), AT)) == []
    found = {str(one.reason) for one in objections(verified, policy(**{name: value}), AT)}
    assert len(found) == 1 and found.pop().startswith("policy-"), name


def _table(*parts: bytes, more: bytes = b"") -> bytes:
    head, body = b"", b""
    start = 24 * (len(parts) + 1)
    for index, part in enumerate(parts):
        place = (start + len(body)).to_bytes(4, "little") + len(part).to_bytes(4, "little")
        head, body = head + bytes([index + 1]) * 16 + place, body + part
    return head + bytes(24) + body + more


def test_certificates_may_come_in_the_hosts_table() -> None:
    report = Report().signed()
    chain = (HOUSE.leaf(), HOUSE.ask(), HOUSE.ark)
    table = _table(*chain, more=bytes(500))
    assert reasons(Evidence("sev-snp", report, (Companion("auxblob", table),))) == set()
    assert recognise(report + table) == "sev-snp"
    assert reasons(Evidence("sev-snp", report + table)) == set()
    assert reasons(Evidence("sev-snp", report + _table(*chain[:2]))) == {"root"}
    assert reasons(Evidence("sev-snp", report + _table(*chain, b"stray"))) == {"binding"}
    for broken in (table + b"x", table[1:], table[:100], bytes(24), _table(), _table(*[b"x"] * 17)):
        assert reasons(Evidence("sev-snp", report + broken)) == {"malformed"}
        with pytest.raises(EvidenceRefused):
            recognise(report + broken)


def test_truncated_at_every_length() -> None:
    report, leaf, listed = Report().signed(), HOUSE.leaf(), HOUSE.revocations()
    for size in range(len(report)):
        assert reasons(HOUSE.evidence(report[:size], leaf)) == {"malformed"}
    assert reasons(HOUSE.evidence(report + b"\0", leaf)) == {"malformed"}
    for size in range(1, len(leaf)):
        assert reasons(HOUSE.evidence(report, leaf[:size])) <= {"malformed", "endorsement-missing"}
    for size in range(1, len(listed), 7):
        assert reasons(HOUSE.evidence(report, leaf, listed[:size])) == {"binding"}
