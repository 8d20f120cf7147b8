"""Lists of revoked certificates that somebody has by themselves, against each kind of evidence that takes them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from syft_ext.attestation.evidence import Evidence
from syft_ext.attestation.revocation import read_lists, revoked
from syft_ext.errors import EvidenceRefused
from tests.attestation.makers import amd, intel
from tests.attestation.makers.azure import Guest

HOUSE = amd.House()
INTEL = intel.Intel()
GUEST = Guest(house=HOUSE)
SNP: dict[str, Callable[[], Evidence]] = {
    "sev-snp": lambda: HOUSE.evidence(amd.Report().signed(), None, HOUSE.revocations()),
    "azure-snp-vtpm": GUEST.evidence,
    "azure-snp-hcl": GUEST.report_evidence,
}


@pytest.mark.parametrize("kind", SNP)
def test_amds_lists_count_for_what_amds_chips_signed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    amd.trusting(monkeypatch, HOUSE)
    evidence = SNP[kind]()
    assert evidence.kind == kind
    assert revoked(evidence, [], amd.AT) == ""
    assert revoked(evidence, [HOUSE.revocations(5)], amd.AT) == ""
    assert "revoked" in revoked(evidence, [HOUSE.revocations(HOUSE.serial)], amd.AT)
    assert "did not sign" in revoked(evidence, [HOUSE.revocations(by="somebody")], amd.AT)
    assert revoked(evidence, [_intels(3)], amd.AT) == ""  # about others


def test_intels_lists_count_for_quotes(monkeypatch: pytest.MonkeyPatch) -> None:
    intel.trusting(monkeypatch, INTEL)
    evidence = INTEL.evidence()
    assert evidence.kind == "tdx"
    assert revoked(evidence, [HOUSE.revocations(3)], intel.AT) == ""
    assert revoked(evidence, [_intels()], intel.AT) == ""
    assert "revoked" in revoked(evidence, [_intels(3)], intel.AT)  # the platform's certificate


def _intels(*serials: int) -> bytes:
    house = replace(INTEL, revoked=serials)
    return bytes.fromhex(house.collateral()["pck_crl"])


def test_what_is_kept_says_of_whom_it_is() -> None:
    one, other = HOUSE.revocations(5, 6), _intels()
    found = read_lists(one + other)
    assert [(each.issuer[:4], each.entries) for each in found] == [("ARK-", 2), ("Inte", 0)]
    with pytest.raises(EvidenceRefused, match="nobody"):
        read_lists(one.replace(b"ARK-Milan", b"nobody---"))
