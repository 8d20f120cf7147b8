"""Recorded evidence of Azure's virtual TPM: two hops, and each change refused."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import msgspec
import pytest

from syft_ext.attestation.appraise import objections, recognise, verify
from syft_ext.attestation.azure.policy import PcrValue, VtpmReferences
from syft_ext.attestation.evidence import Companion, Evidence, Reason
from syft_ext.attestation.policy import AttestationPolicy
from syft_ext.errors import EvidenceRefused
from tests.attestation.recorded import companion, evidence, expected, moment
from tests.attestation.test_snp_recorded import fitting_report

DOCUMENT = "azure-vtpm/trustee-az-snp-evidence-v1.json"
REPORT = "azure-vtpm/trustee-az-snp-hcl-report.bin"
QUOTE = "azure-vtpm/trustee-az-snp-tpm-quote.msg"
SIGNATURE = "azure-vtpm/trustee-az-snp-tpm-quote.sig"


def piece(name: str) -> tuple[Evidence, dict[str, Any]]:
    """A recorded piece, and what it yields."""
    said = expected(name)
    return evidence(said["kind"], name, *said["files"]), said


@pytest.mark.parametrize("name", [DOCUMENT, REPORT])
def test_it_holds_in_its_window_only(name: str) -> None:
    found, said = piece(name)
    assert recognise(found.content) == said["kind"]
    start, end = moment(said["valid_from"][:-1]), moment(said["valid_to"][:-1])
    second = timedelta(seconds=1)
    for at, wanted in [
        (start - second, [Reason.NOT_YET_VALID]),
        (start, []),
        (end, []),
        (end + second, [Reason.EXPIRED]),
    ]:
        verified = verify(found, at)
        assert [one.reason for one in objections(verified, None, at)] == wanted
        assert (verified.claims["valid_from"], verified.claims["valid_to"]) == (
            said["valid_from"],
            said["valid_to"],
        )


def test_what_the_virtual_tpm_signed_counts() -> None:
    found, said = piece(DOCUMENT)
    at = moment(said["valid_from"][:-1]) + timedelta(days=1)
    document = json.loads(found.content)
    assert verify(found, at).binding == b"challenge"

    def refuses(**changes: Any) -> None:
        changed = {**document, **changes}
        with pytest.raises(EvidenceRefused):
            verify(msgspec.structs.replace(found, content=json.dumps(changed).encode()), at)

    quote = document["tpm_quote"]
    message = bytes.fromhex(quote["message"])
    for byte in range(0, len(message), 7):
        other = bytearray(message)
        other[byte] ^= 1
        refuses(tpm_quote={**quote, "message": other.hex()})
    other_nonce = message.replace(b"challenge", b"challengf")
    refuses(tpm_quote={**quote, "message": other_nonce.hex()})
    refuses(tpm_quote={**quote, "pcrs": ["00" * 32, *quote["pcrs"][1:]]})
    refuses(tpm_quote={**quote, "pcrs": quote["pcrs"][:-1]})
    refuses(tpm_quote={**quote, "signature": "00" * 256})
    refuses(td_quote="")
    text = document["hcl_report"]
    for place in range(0, len(text) - 400, 331):
        swapped = "B" if text[place] == "A" else "A"
        if place > 3000 and text[place:].strip("A=") == "":
            break  # zeros behind the runtime document
        refuses(hcl_report=text[:place] + swapped + text[place + 1 :])


def test_a_quote_of_another_machine_is_refused() -> None:
    found, said = piece(REPORT)
    at = moment(said["valid_from"][:-1]) + timedelta(days=1)
    for beside in [(QUOTE, SIGNATURE), (QUOTE,), (SIGNATURE,)]:
        more = (*found.beside, *map(companion, beside))
        with pytest.raises(EvidenceRefused):
            verify(msgspec.structs.replace(found, beside=more), at)
    stray = (*found.beside, Companion("stray", b"something"))
    verified = verify(msgspec.structs.replace(found, beside=stray), at)
    assert [objection.reason for objection in verified.objections] == [Reason.BINDING]


def test_a_policy_names_what_the_guest_booted() -> None:
    found, said = piece(DOCUMENT)
    at = moment(said["valid_from"][:-1]) + timedelta(days=1)
    verified = verify(found, at)
    registers = verified.facts.registers
    paravisor = fitting_report(verified.facts.hardware)

    def reasons(*pcrs: PcrValue) -> list[Reason]:
        policy = AttestationPolicy(production=True, azure_vtpm=VtpmReferences(paravisor=paravisor, pcrs=pcrs))
        return [objection.reason for objection in objections(verified, policy, at)]

    assert reasons(PcrValue(4, (registers[4],)), PcrValue(11, (registers[11],))) == []
    assert reasons(PcrValue(4, (registers[5],))) == [Reason.POLICY_WORKLOAD]
    alone, _ = piece(REPORT)
    without_quote = verify(alone, at)
    policy = AttestationPolicy(
        production=True, azure_vtpm=VtpmReferences(paravisor=paravisor, pcrs=(PcrValue(4, (registers[4],)),))
    )
    assert Reason.POLICY_WORKLOAD in {one.reason for one in objections(without_quote, policy, at)}
    no_kind = AttestationPolicy(production=True, snp=paravisor)
    assert [one.reason for one in objections(verified, no_kind, at)] == [Reason.POLICY_KIND]


def test_the_report_of_a_guest_on_tdx_is_refused() -> None:
    expected(REPORT)
    found = evidence("azure-snp-hcl", "azure-vtpm/trustee-az-tdx-hcl-report.bin")
    with pytest.raises(EvidenceRefused) as caught:
        verify(found, moment("2026-01-01"))
    assert caught.value.extra["reason"] == "unsupported"
