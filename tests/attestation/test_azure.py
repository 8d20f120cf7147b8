"""Evidence of a virtual TPM of our own making: each hop by what breaks it."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
import pytest

from syft_ext.attestation.appraise import appraise, objections, recognise, verify
from syft_ext.attestation.azure.hcl import read_hcl
from syft_ext.attestation.azure.policy import PcrValue, VtpmReferences
from syft_ext.attestation.azure.tpm import read_tpm_quote
from syft_ext.attestation.evidence import Companion, Evidence
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.errors import EvidenceRefused
from tests.attestation.makers.amd import AT, House, Report, trusting
from tests.attestation.makers.azure import Guest
from tests.attestation.test_binding import BINDING
from tests.attestation.test_snp import REFERENCES

GUEST = Guest(nonce=hashlib.sha256(BINDING.digest).digest())
BOOTED = (PcrValue(4, (bytes([4]) * 32,)), PcrValue(11, (bytes([11]) * 32,)))


@pytest.fixture(autouse=True)
def _trusted(monkeypatch: pytest.MonkeyPatch) -> None:
    trusting(monkeypatch, House())


def policy(*pcrs: PcrValue, **changes: Any) -> AttestationPolicy:
    """A policy of what the guest booted, and of its paravisor, changed."""
    paravisor = msgspec.structs.replace(REFERENCES, **changes)
    return AttestationPolicy(
        production=True, azure_vtpm=VtpmReferences(paravisor=paravisor, pcrs=pcrs or BOOTED)
    )


def reasons(evidence: Evidence, accepting: AttestationPolicy | None = None) -> set[str]:
    """Why it is refused, whether its signature holds or not."""
    try:
        return {str(one.reason) for one in objections(verify(evidence, AT), accepting, AT)}
    except EvidenceRefused as error:
        return {error.extra["reason"]}


def test_a_guest_of_this_session_is_accepted() -> None:
    assert recognise(GUEST.evidence().content) == "azure-snp-vtpm"
    appraisal = appraise(GUEST.evidence(), policy(), AT, BINDING)
    assert appraisal.workload[0].startswith("azure-vtpm:") and appraisal.workload[1].startswith("snp:")
    other = msgspec.structs.replace(BINDING, challenge=b"stale")
    with pytest.raises(EvidenceRefused) as caught:
        appraise(GUEST.evidence(), policy(), AT, other)
    assert caught.value.extra["reason"] == "binding"


def test_b_itself_is_no_nonce() -> None:
    with pytest.raises(EvidenceRefused) as caught:
        appraise(Guest(nonce=BINDING.digest).evidence(), policy(), AT, BINDING)
    assert caught.value.extra["reason"] == "binding"


def test_a_report_without_a_quote_is_bound_to_no_session() -> None:
    assert reasons(GUEST.report_evidence()) == set()
    assert recognise(GUEST.hcl()) == "azure-snp-hcl"
    assert reasons(GUEST.report_evidence(), policy()) == {"policy-workload"}
    alone = verify(GUEST.report_evidence(), AT)
    assert alone.binding == b"" and alone.claims["nonce"] is None
    quoted = verify(GUEST.report_evidence(GUEST.message(), GUEST.signature()), AT)
    assert quoted.binding == GUEST.nonce and quoted.claims["quoted_pcrs"] == [0, 4, 11]


@dataclass(frozen=True)
class Broken:
    """A guest that is not as it must be."""

    guest: Guest
    reason: str


@pytest.mark.parametrize(
    "broken",
    [
        Broken(Guest(commits=bytes(64)), "signature"),
        Broken(Guest(commits=hashlib.sha256(GUEST.runtime()).digest() + b"x" * 32), "signature"),
        Broken(
            Guest(stated_key="another", commits=hashlib.sha256(GUEST.runtime()).digest() + bytes(32)),
            "signature",
        ),
        Broken(Guest(stated_key="another"), "signature"),
        Broken(Guest(signing_key="another"), "signature"),
        Broken(Guest(magic=bytes.fromhex("ff5443478017")), "malformed"),
        Broken(Guest(magic=bytes.fromhex("005443478018")), "malformed"),
        Broken(Guest(bank=0x0004), "unsupported"),
        Broken(Guest(quoted=()), "malformed"),
        Broken(Guest(kind=4), "unsupported"),
        Broken(Guest(report=Report(policy=0x20000 | 1 << 19)), "debug"),
        Broken(Guest(report=Report(key="another chip")), "signature"),
        Broken(Guest(house=House(root="stranger")), "root"),
    ],
    ids=lambda broken: broken.reason,
)
def test_what_breaks_a_hop(broken: Broken) -> None:
    assert reasons(broken.guest.evidence()) == {broken.reason}


def test_the_registers_are_those_that_were_signed() -> None:
    quote = GUEST.document()["tpm_quote"]

    def changed(**changes: Any) -> set[str]:
        return reasons(GUEST.evidence(tpm_quote={**quote, **changes}))

    other = ["00" * 32 if index == 4 else value for index, value in enumerate(quote["pcrs"])]
    assert changed(pcrs=other) == {"signature"}
    assert changed(pcrs=quote["pcrs"][:11]) == {"signature"}
    assert changed(pcrs=[*quote["pcrs"], "00" * 32]) == {"malformed"}
    assert changed(pcrs=None) == {"malformed"}
    assert changed(pcrs=["00"] * 24) == {"signature"}
    assert changed(message=quote["message"] + "00") == {"malformed"}
    assert changed(signature=5) == {"malformed"}
    # Registers that are not in the quote are said by nobody.
    unquoted = ["ff" * 32 if index == 5 else value for index, value in enumerate(quote["pcrs"])]
    assert changed(pcrs=unquoted) == set()
    with_unquoted = GUEST.evidence(tpm_quote={**quote, "pcrs": unquoted})
    assert reasons(with_unquoted, policy(PcrValue(5, (b"\xff" * 32,)))) == {"policy-workload"}


def test_the_policy_is_for_both_hops() -> None:
    assert reasons(GUEST.evidence(), policy()) == set()
    assert reasons(GUEST.evidence(), policy(PcrValue(4, (b"x" * 32,)))) == {"policy-workload"}
    assert reasons(GUEST.evidence(), policy(measurements=(b"n" * 48,))) == {"policy-workload"}
    assert reasons(GUEST.evidence(), policy(vmpls=(2,))) == {"policy-launch"}


def test_what_lies_beside_a_report_is_its_own() -> None:
    message, signature = GUEST.message(), GUEST.signature()
    assert reasons(GUEST.report_evidence(message)) == {"signature"}
    assert reasons(GUEST.report_evidence(signature)) == {"endorsement-missing"}
    assert reasons(GUEST.report_evidence(message, message, signature)) == {"malformed"}
    assert reasons(GUEST.report_evidence(Guest(signing_key="another").message(), signature)) == {"signature"}
    assert reasons(GUEST.report_evidence(b"stray")) == {"binding"}


def test_bytes_may_stand_in_the_document_in_many_ways() -> None:
    document = GUEST.document()
    quote = document["tpm_quote"]
    numbers = {name: list(bytes.fromhex(quote[name])) for name in ("message", "signature")}
    pcrs = [list(bytes.fromhex(value)) for value in quote["pcrs"]]
    other: dict[str, Any] = {
        "report": list(GUEST.hcl()),
        "quote": {**numbers, "pcrs": pcrs},
        "vcek": list(GUEST.house.leaf()),
    }
    whole = msgspec.json.encode(other)
    assert recognise(whole) == "azure-snp-vtpm"
    assert reasons(msgspec.structs.replace(GUEST.evidence(), content=whole)) == set()


def test_truncated() -> None:
    hcl, message = GUEST.hcl(), GUEST.message()
    beside = GUEST.report_evidence().beside
    for size in range(0, len(hcl) - 100, 53):
        found = reasons(Evidence("azure-snp-hcl", hcl[:size], beside))
        assert found == {"malformed"}, size
    for size in range(1, len(message), 3):
        more = (Companion("quote", message[:size]), Companion("signature", GUEST.signature()))
        found = reasons(Evidence("azure-snp-hcl", hcl, (*beside, *more)))
        assert found <= {"malformed", "endorsement-missing", "signature"} and found, size
    content = GUEST.evidence().content
    for size in range(0, len(content), 211):
        assert reasons(msgspec.structs.replace(GUEST.evidence(), content=content[:size])) == {"malformed"}


def test_readers_at_every_length() -> None:
    hcl, message = GUEST.hcl(), GUEST.message()
    for size in range(len(hcl) - 100):
        with pytest.raises(EvidenceRefused):
            read_hcl(hcl[:size])
    for size in range(len(message)):
        with pytest.raises(EvidenceRefused):
            read_tpm_quote(message[:size])
