"""TDX quotes of our own making: each rule by what breaks it, and it alone."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import cache
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from syft_ext.attestation.appraise import appraise, objections, verify
from syft_ext.attestation.evidence import Evidence, Reason, Verified
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.tdx.policy import SEPT_VE_DISABLE, TdxReferences, TdxWorkload
from syft_ext.errors import EvidenceRefused
from tests.attestation.makers.intel import AT, Intel, Quote, level, module_level, trusting
from tests.attestation.test_binding import BINDING

HOUSE = Intel()
WORKLOAD = TdxWorkload(b"t" * 48, b"", b"1" * 48, b"2" * 48, b"")
REFERENCES = TdxReferences(workloads=(WORKLOAD,))
DAY = timedelta(days=1)


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    trusting(monkeypatch, HOUSE)


def policy(**changes: Any) -> AttestationPolicy:
    """The policy that the quote as it must be fits, changed."""
    return AttestationPolicy(production=True, tdx=msgspec.structs.replace(REFERENCES, **changes))


def reasons(evidence: Evidence, at: datetime = AT, accepting: AttestationPolicy | None = None) -> set[str]:
    """Why it is refused, whether its signature holds or not."""
    try:
        return {str(one.reason) for one in objections(verify(evidence, at), accepting, at)}
    except EvidenceRefused as error:
        return {error.extra["reason"]}


@pytest.mark.parametrize("version", [4, 5])
def test_a_quote_of_this_session_is_accepted(version: int) -> None:
    evidence = HOUSE.evidence(Quote(version=version, report_data=BINDING.digest).signed())
    appraisal = appraise(evidence, policy(), AT, BINDING)
    assert appraisal.kind == "tdx" and appraisal.platform["tcb_status"] == "UpToDate"
    assert appraisal.not_after == AT + 20 * DAY and appraisal.not_before == AT - DAY
    other = msgspec.structs.replace(BINDING, challenge=b"stale")
    with pytest.raises(EvidenceRefused) as caught:
        appraise(evidence, policy(), AT, other)
    assert caught.value.extra["reason"] == "binding"


@dataclass(frozen=True)
class Broken:
    """A quote that is not as it must be."""

    quote: Quote
    reason: str


@pytest.mark.parametrize(
    "broken",
    [
        Broken(Quote(attributes=1 << 28 | 1), "debug"),
        Broken(Quote(attributes=1 << 28 | 2), "integrity"),
        Broken(Quote(attributes=1 << 28 | 1 << 40), "integrity"),
        Broken(Quote(features=0x2), "integrity"),
        Broken(Quote(seam_signer=b"x" * 48), "integrity"),
        Broken(Quote(seam_attributes=b"\1" + bytes(7)), "integrity"),
        Broken(Quote(qe_signer=b"x" * 32), "integrity"),
        Broken(Quote(qe_product=1), "integrity"),
        Broken(Quote(qe_attributes=b"\x17" + bytes(15)), "integrity"),
        Broken(Quote(qe_svn=0), "tcb-unknown"),
        Broken(Quote(svn=bytes([0, 1]) + bytes([3]) * 14), "tcb-unknown"),
        Broken(Quote(svn=bytes([3, 2]) + bytes([3]) * 14), "tcb-unknown"),
        Broken(Quote(svn=bytes([3, 1]) + bytes(14)), "tcb-unknown"),
        Broken(Quote(svn=bytes([0, 0]) + bytes([3]) * 14), "tcb-unknown"),
        Broken(Quote(svn=bytes([3, 0]) + bytes([3]) * 14), "tcb-unknown"),
        Broken(Quote(key_type=3), "unsupported"),
        Broken(Quote(version=3), "unsupported"),
        Broken(Quote(vendor=bytes(16)), "unsupported"),
        Broken(Quote(platform_key="another platform"), "signature"),
        Broken(Quote(signing_key="another enclave"), "signature"),
        Broken(Quote(signing_key="another enclave", qe_key="another enclave"), "signature"),
        Broken(Quote(committed="another enclave"), "signature"),
        Broken(Quote(surplus=b"\0"), "malformed"),
        Broken(Quote(version=5, service_td=b"x" * 48), "integrity"),
    ],
    ids=lambda broken: broken.reason,
)
def test_what_makes_a_quote_no_good(broken: Broken) -> None:
    assert reasons(HOUSE.evidence(broken.quote.signed())) == {broken.reason}


def test_a_module_without_an_identity_of_its_own_has_the_platforms_level() -> None:
    old = Quote(svn=bytes([3, 0]) + bytes([3]) * 14)
    low = {"svn": 0}
    parts = [{"svn": 1}, low, *[{"svn": 1}] * 14]
    levels = level()
    levels["tcb"] = {**levels["tcb"], "tdxtcbcomponents": parts}
    assert reasons(replace(HOUSE, levels=(levels,)).evidence(old.signed())) == set()


@dataclass(frozen=True)
class Stated:
    """What Intel states about a platform, and what comes of it."""

    house: Intel
    status: str | None
    reasons: set[str]


_OLD = level("OutOfDate", svn=1)


@pytest.mark.parametrize(
    "stated",
    [
        Stated(Intel(levels=(level(svn=4), _OLD)), "OutOfDate", {"tcb-status"}),
        Stated(Intel(levels=(level(svn=3), _OLD)), "UpToDate", set()),
        Stated(Intel(levels=(level(svn=4),)), None, {"tcb-unknown"}),
        Stated(Intel(levels=()), None, {"tcb-unknown"}),
        Stated(Intel(levels=(level("Revoked"),)), "Revoked", {"revoked", "tcb-status"}),
        Stated(Intel(levels=(level("SomethingNew"),)), "SomethingNew", {"tcb-status"}),
        Stated(Intel(levels=(level("SWHardeningNeeded"),)), "SWHardeningNeeded", {"tcb-status"}),
        Stated(Intel(modules=(module_level("OutOfDate"),)), "OutOfDate", {"tcb-status"}),
        Stated(Intel(enclaves=(module_level("OutOfDate"),)), "OutOfDate", {"tcb-status"}),
        Stated(Intel(enclaves=(module_level("Revoked"),)), "Revoked", {"revoked", "tcb-status"}),
        Stated(
            Intel(levels=(level("ConfigurationNeeded"),), modules=(module_level("OutOfDate"),)),
            "OutOfDateConfigurationNeeded",
            {"tcb-status"},
        ),
        Stated(
            Intel(levels=(level("ConfigurationNeeded"),), modules=(module_level("SWHardeningNeeded"),)),
            "ConfigurationAndSWHardeningNeeded",
            {"tcb-status"},
        ),
        Stated(Intel(svn=0), None, {"tcb-unknown"}),
    ],
    ids=lambda stated: str(stated.status),
)
def test_the_worst_level_counts(stated: Stated) -> None:
    evidence = stated.house.evidence(Quote(house=stated.house).signed())
    assert verify(evidence, AT).claims["tcb_status"] == stated.status
    assert reasons(evidence) == stated.reasons
    # What no policy can accept is refused with any.
    accepting = policy(statuses=("UpToDate", "SWHardeningNeeded", "ConfigurationAndSWHardeningNeeded"))
    acceptable = stated.status in accepting.tdx.statuses if accepting.tdx else False
    assert (reasons(evidence, accepting=accepting) == set()) == acceptable


def test_advisories_are_accepted_by_name() -> None:
    house = replace(
        HOUSE, levels=(level("SWHardeningNeeded", advisoryIDs=["INTEL-SA-00001", "INTEL-SA-00002"]),)
    )
    evidence = house.evidence()
    statuses = ("UpToDate", "SWHardeningNeeded")
    both = ("INTEL-SA-00001", "INTEL-SA-00002")
    assert reasons(evidence, accepting=policy(statuses=statuses, advisories=both)) == set()
    assert reasons(evidence, accepting=policy(statuses=statuses, advisories=both[:1])) == {"tcb-status"}
    assert reasons(evidence, accepting=policy(advisories=both)) == {"tcb-status"}


@pytest.mark.parametrize(
    ("house", "reason"),
    [
        (Intel(info={"fmspc": "000000000000"}), {"collateral", "collateral-missing"}),
        (Intel(info={"pceId": "0001"}), {"collateral", "collateral-missing"}),
        (Intel(info={"id": "SGX"}), {"collateral-missing"}),
        (Intel(info={"version": 4}), {"collateral-missing"}),
        (Intel(identity={"id": "QE"}), {"collateral-missing"}),
        (Intel(info={"tcbLevels": 1}), {"collateral", "collateral-missing"}),
        (Intel(info={"issueDate": "2026-05-31T00:00:00"}), {"collateral", "collateral-missing"}),
        (Intel(levels=(level(tcbDate="2026-03-01T00:00:00"),)), {"collateral", "collateral-missing"}),
        (Intel(info={"tdxModuleIdentities": []}), {"tcb-unknown"}),
        (Intel(info={"issueDate": "2026-06-02T00:00:00Z"}), {"not-yet-valid"}),
        (Intel(info={"nextUpdate": "2026-05-31T00:00:00Z"}), {"expired"}),
        (Intel(identity={"nextUpdate": "2026-05-31T00:00:00Z"}), {"expired"}),
        (Intel(list_until=AT - DAY), {"expired"}),
        (Intel(leaf_until=AT - DAY), {"expired"}),
        (Intel(revoked=(3,)), {"revoked"}),
        (Intel(revoked=(2,)), {"revoked"}),
        (Intel(revoked=(4,)), {"revoked"}),
        (Intel(revoked=(5,)), set()),
        (Intel(statements_by="platform"), {"collateral", "collateral-missing"}),
        (Intel(statements_by="intel root platforms"), {"collateral", "collateral-missing"}),
        (Intel(root="a stranger's root"), {"root"}),
        (Intel(authority=False), {"chain"}),
    ],
)
def test_collateral(house: Intel, reason: set[str]) -> None:
    assert reasons(house.evidence(Quote(house=house).signed())) == reason


@pytest.mark.parametrize(
    "name", ["tcb_info", "qe_identity", "root_ca_crl", "pck_crl", "tcb_info_issuer_chain"]
)
def test_no_part_of_the_collateral_may_be_missing(name: str) -> None:
    assert "collateral-missing" in reasons(HOUSE.evidence(None, **{name: None}))


_STRICTER: dict[str, st.SearchStrategy[Any]] = {
    "workloads": st.sampled_from(TdxWorkload.__struct_fields__).map(
        lambda name: (msgspec.structs.replace(WORKLOAD, **{name: b"x" * 48}),)
    ),
    "min_evaluation_number": st.integers(21, 1 << 40),
    "max_level_age": st.integers(0, 3600 * 24 * 90),
    "attributes_required": st.sampled_from([30, 63]).map(lambda bit: SEPT_VE_DISABLE | 1 << bit),
    "features_allowed": st.integers(0, 2),
    "modules": st.binary(min_size=48, max_size=48).map(lambda value: (value,)),
    "config_ids": st.binary(min_size=48, max_size=48).filter(any).map(lambda value: (value,)),
    "owners": st.binary(min_size=48, max_size=48).filter(any).map(lambda value: (value,)),
    "owner_configs": st.binary(min_size=48, max_size=48).filter(any).map(lambda value: (value,)),
    "service_tds": st.binary(min_size=48, max_size=48).filter(any).map(lambda value: (value,)),
}


@cache
def _verified() -> Verified:
    return verify(HOUSE.evidence(Quote(version=5).signed()), AT)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(sorted(_STRICTER)).flatmap(lambda name: st.tuples(st.just(name), _STRICTER[name])))
def test_each_field_of_the_policy_refuses_by_itself(change: tuple[str, Any]) -> None:
    name, value = change
    verified = _verified()
    assert list(objections(verified, policy(), AT)) == []
    changes = {name: value}
    if name == "attributes_required":
        changes["attributes_allowed"] = value
    found = {str(one.reason) for one in objections(verified, policy(**changes), AT)}
    assert len(found) == 1 and found.pop().startswith("policy-"), name


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("attributes", 0),
        ("attributes", SEPT_VE_DISABLE | 1 << 30),
        ("features", 0x3 | 1 << 31),
        ("config_id", b"x" * 48),
        ("owner", b"x" * 48),
        ("owner_config", b"x" * 48),
    ],
)
def test_what_a_policy_does_not_allow(field: str, value: Any) -> None:
    evidence = HOUSE.evidence(replace(Quote(), **{field: value}).signed())
    assert reasons(evidence) == set()
    assert reasons(evidence, accepting=policy()) == {str(Reason.POLICY_LAUNCH)}


def test_truncated_at_every_length() -> None:
    for version in (4, 5):
        content = Quote(version=version).signed()
        for size in range(len(content)):
            assert reasons(Evidence("tdx", content[:size])) & {"malformed", "unsupported"}, size
