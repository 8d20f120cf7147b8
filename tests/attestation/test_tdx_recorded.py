"""Recorded TDX quotes with Intel's collateral: what they state, and each change refused."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from syft_ext.attestation.appraise import objections, recognise, verify
from syft_ext.attestation.evidence import Companion, Evidence, Reason, Verified
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.attestation.tdx.policy import TdxReferences, TdxWorkload
from syft_ext.attestation.tdx.quote import read_quote
from syft_ext.errors import EvidenceRefused
from tests.attestation.policies import full_policy
from tests.attestation.recorded import companion, entries, evidence, expected, moment

NAMES = entries("tdx")
WITH_COLLATERAL = [name for name in NAMES if "/" not in name or expected(name)["collateral"]]
UNSTATED = {"kind", "note", "must_refuse", "collateral", "tcb_status"}
UP_TO_DATE = ("tdx/gotdx-quote-v5.bin", "tdx/phala-quote-v4.bin")
OTHER = "tdx/trustee-quote-v4.collateral-2026.json"


def piece(name: str) -> tuple[Evidence, dict[str, Any], datetime]:
    """A recorded quote, what it yields, and a time inside its window, or its certificate's."""
    said = expected(name)
    beside = [said["collateral"]] if said["collateral"] else []
    start = moment((said["valid_from"] or said["pck_valid"][0]).rstrip("Z"))
    return evidence("tdx", name, *beside), said, start + timedelta(hours=1)


def fitting(verified: Verified) -> AttestationPolicy:
    """A policy of exactly what a quote states."""
    body = verified.facts.body
    tdx = TdxReferences(
        workloads=(TdxWorkload(body.mrtd, *body.registers),),
        attributes_required=0,
        attributes_allowed=body.attributes & ~0xFF,
        service_tds=(body.service_td,) if body.service_td else (),
    )
    return AttestationPolicy(production=True, tdx=tdx)


def reasons(verified: Verified, policy: AttestationPolicy | None, at: datetime) -> set[Reason]:
    """Why it is refused."""
    return {objection.reason for objection in objections(verified, policy, at)}


@pytest.mark.parametrize("name", NAMES)
def test_it_yields_what_it_states(name: str) -> None:
    quote, said, at = piece(name)
    assert recognise(quote.content) == "tdx"
    verified = verify(quote, at)
    for field in said.keys() - UNSTATED:
        assert verified.claims[field] == said[field], field
    wanted = set()
    if said["debug"]:
        wanted |= {Reason.DEBUG}
    if said["collateral"] is None:
        wanted |= {Reason.COLLATERAL_MISSING}
    elif said["tcb_status"].startswith("no TCB level"):
        wanted |= {Reason.TCB_UNKNOWN}
    else:
        assert verified.claims["tcb_status"] == said["tcb_status"].split(";")[0]
        wanted |= set() if verified.claims["tcb_status"] == "UpToDate" else {Reason.TCB_STATUS}
    found = reasons(verified, None, at)
    assert found - {Reason.INTEGRITY} == wanted
    assert (Reason.INTEGRITY in found) == bool(int(said.get("mrservicetd", "0"), 16))
    with_policy = reasons(verified, fitting(verified), at)
    if said["debug"]:  # no policy can allow it
        wanted |= {Reason.POLICY_LAUNCH}
    assert with_policy - {Reason.TCB_UNKNOWN} == wanted - {Reason.TCB_UNKNOWN}


@pytest.mark.parametrize("name", WITH_COLLATERAL)
def test_it_holds_in_its_window_only(name: str) -> None:
    quote, said, _ = piece(name)
    start, end = moment(said["valid_from"][:-1]), moment(said["valid_to"][:-1])
    times = {Reason.NOT_YET_VALID, Reason.EXPIRED}
    second = timedelta(seconds=1)
    for at, wanted in [
        (start - second, {Reason.NOT_YET_VALID}),
        (start, set()),
        (end, set()),
        (end + second, {Reason.EXPIRED}),
    ]:
        assert reasons(verify(quote, at), None, at) & times == wanted


@pytest.mark.parametrize("name", NAMES)
def test_each_bit_that_is_signed_counts(name: str) -> None:
    quote, said, at = piece(name)
    for byte in range(0, len(quote.content) - said["trailing_bytes"] - 1, 23):
        content = bytearray(quote.content)
        content[byte] ^= 1 << byte % 8
        try:
            read_quote(bytes(content))
            verify(msgspec.structs.replace(quote, content=bytes(content)), at)
        except EvidenceRefused:
            continue
        # Between the blocks of PEM a line may end otherwise: nothing is said there.
        assert quote.content[byte : byte + 1] in b"\r\n\0", byte


@pytest.mark.parametrize("name", NAMES)
def test_what_is_behind_a_quote_is_ignored_up_to_a_size(name: str) -> None:
    quote, said, at = piece(name)
    plain = quote.content[: len(quote.content) - said["trailing_bytes"]]
    for more in (0, 1, 4096):
        longer = msgspec.structs.replace(quote, content=plain + bytes(more))
        assert verify(longer, at).claims["trailing_bytes"] == more
    with pytest.raises(EvidenceRefused):
        verify(msgspec.structs.replace(quote, content=plain + bytes(4097)), at)


@pytest.mark.parametrize("name", WITH_COLLATERAL)
def test_collateral_is_signed_and_about_this_platform(name: str) -> None:
    quote, said, at = piece(name)
    other = (
        companion(OTHER)
        if said["fmspc"] != "50806f000000"
        else companion("tdx/phala-quote-v4.collateral.json")
    )
    swapped = msgspec.structs.replace(quote, beside=(other,))
    assert Reason.COLLATERAL in reasons(verify(swapped, at), None, at)
    document = json.loads(quote.beside[0].content)
    for field in ("tcb_info", "qe_identity"):
        said_there = re.sub(r'("tcbEvaluationDataNumber":)\d+', r"\g<1>99", document[field])
        changed = json.dumps({**document, field: said_there}).encode()
        beside = (Companion("changed", changed),)
        found = reasons(verify(msgspec.structs.replace(quote, beside=beside), at), None, at)
        assert {Reason.COLLATERAL, Reason.COLLATERAL_MISSING} <= found
    for field in ("root_ca_crl", "pck_crl", "tcb_info_signature", "qe_identity_signature"):
        last = document[field][-1]
        changed = json.dumps(
            {**document, field: document[field][:-1] + ("0" if last != "0" else "1")}
        ).encode()
        beside = (Companion("changed", changed),)
        found = reasons(verify(msgspec.structs.replace(quote, beside=beside), at), None, at)
        assert Reason.COLLATERAL in found
    for field in ("tcb_info", "qe_identity", "root_ca_crl", "pck_crl"):
        lacking = json.dumps({key: value for key, value in document.items() if key != field}).encode()
        beside = (Companion("lacking", lacking),)
        found = reasons(verify(msgspec.structs.replace(quote, beside=beside), at), None, at)
        assert Reason.COLLATERAL_MISSING in found


def _layouts(document: dict[str, str]) -> dict[str, list[bytes]]:
    """The same collateral as services, tools and people keep it."""
    info = f'{{"tcbInfo":{document["tcb_info"]},"signature":"{document["tcb_info_signature"]}"}}'
    identity = (
        f'{{"enclaveIdentity":{document["qe_identity"]},"signature":"{document["qe_identity_signature"]}"}}'
    )
    chain, lists = document["tcb_info_issuer_chain"], [document["root_ca_crl"], document["pck_crl"]]
    laid_out = json.dumps(json.loads(info), indent=4)
    camel = {
        "tcbInfoIssuerChain": chain,
        "tcbInfo": info,
        "qeIdentity": identity,
        "rootCaCrl": lists[0],
        "pckCrl": lists[1],
    }
    nested = {"tcb": json.loads(info), "qe": json.loads(identity), "chain": chain, "lists": lists}
    numbers = {
        **document,
        "root_ca_crl": list(bytes.fromhex(lists[0])),
        "pck_crl": list(bytes.fromhex(lists[1])),
    }
    der = [bytes.fromhex(one) for one in lists]
    percent = "".join(f"%{byte:02X}" if chr(byte) in "\n +/=" else chr(byte) for byte in chain.encode())
    return {
        "answers of Intel's service": [info.encode(), identity.encode(), chain.encode(), *der],
        "laid out": [laid_out.encode(), identity.encode(), chain.encode(), *der],
        "headers": [info.encode(), identity.encode(), percent.encode(), *(one.hex().encode() for one in der)],
        "camel": [json.dumps(camel).encode()],
        "nested": [json.dumps(nested, separators=(",", ":")).encode()],
        "numbers": [json.dumps(numbers).encode()],
    }


@pytest.mark.parametrize("name", UP_TO_DATE)
def test_collateral_may_be_kept_in_many_ways(name: str) -> None:
    quote, _, at = piece(name)
    for what, contents in _layouts(json.loads(quote.beside[0].content)).items():
        beside = tuple(Companion(str(index), content) for index, content in enumerate(contents))
        found = list(objections(verify(msgspec.structs.replace(quote, beside=beside), at), None, at))
        assert found == [], what


def test_collateral_of_several_families_may_lie_together() -> None:
    quote, _, at = piece("tdx/gotdx-quote-v5.bin")
    files = [
        "tcb_info_50806f000000.json",
        "tcb_info_90c06f000000.json",
        "td_qe_identity.json",
        "tcb_signing_chain.pem",
        "root_ca_crl.der",
        "pck_crl_platform.der",
    ]
    beside = tuple(companion(f"tdx/lunal-{name}") for name in files)
    assert list(objections(verify(msgspec.structs.replace(quote, beside=beside), at), None, at)) == []


@pytest.mark.parametrize(
    "change",
    ["mrtd", "rtmr1", "rtmr2", "status", "evaluation", "age", "attributes", "features", "module", "kind"],
)
@pytest.mark.parametrize("name", UP_TO_DATE)
def test_one_value_of_the_policy_that_differs_is_enough(name: str, change: str) -> None:
    quote, _, at = piece(name)
    verified = verify(quote, at)
    policy = fitting(verified)
    tdx = policy.tdx
    assert tdx is not None
    workload = tdx.workloads[0]
    another = b"x" * 48
    changes: dict[str, tuple[dict[str, Any], Reason]] = {
        "mrtd": ({"workloads": (msgspec.structs.replace(workload, mrtd=another),)}, Reason.POLICY_WORKLOAD),
        "rtmr1": ({"workloads": (msgspec.structs.replace(workload, rtmr1=another),)}, Reason.POLICY_WORKLOAD),
        "rtmr2": ({"workloads": (msgspec.structs.replace(workload, rtmr2=another),)}, Reason.POLICY_WORKLOAD),
        "status": ({"statuses": ("SWHardeningNeeded",)}, Reason.TCB_STATUS),
        "evaluation": ({"min_evaluation_number": 99}, Reason.POLICY_PLATFORM),
        "age": ({"max_level_age": 3600}, Reason.POLICY_AGE),
        "attributes": ({"attributes_allowed": 0}, Reason.POLICY_LAUNCH),
        "features": ({"features_allowed": 3}, Reason.POLICY_LAUNCH),
        "module": ({"modules": (another,)}, Reason.POLICY_PLATFORM),
    }
    assert reasons(verified, policy, at) == set()
    if change == "kind":
        policy = AttestationPolicy(production=True, snp=full_policy().snp)
        assert reasons(verified, policy, at) == {Reason.POLICY_KIND}
        return
    values, reason = changes[change]
    policy = AttestationPolicy(production=True, tdx=msgspec.structs.replace(tdx, **values))
    assert reasons(verified, policy, at) == {reason}


@pytest.mark.parametrize("name", entries("sgx"))
def test_quotes_of_sgx_are_recognised_and_refused(name: str) -> None:
    expected(name)
    quote = evidence("sgx", name)
    assert recognise(quote.content) == "sgx"
    for kind in ("sgx", "tdx"):
        with pytest.raises(EvidenceRefused) as caught:
            verify(msgspec.structs.replace(quote, kind=kind), moment("2025-06-20"))
        assert caught.value.extra["reason"] == "unsupported"


def test_statements_about_enclaves_may_lie_beside() -> None:
    quote, _, _ = piece("tdx/phala-quote-v4.bin")
    beside = (*quote.beside, companion("sgx/phala-quote-v3.collateral.json"))
    both = msgspec.structs.replace(quote, beside=beside)
    at = moment("2025-06-20")
    assert list(objections(verify(both, at), None, at)) == []
