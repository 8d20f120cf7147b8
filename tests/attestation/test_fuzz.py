"""A slice of the fuzzer: ``python -m tests.attestation.fuzz`` goes on."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from syft_ext.attestation.appraise import kinds
from syft_ext.attestation.evidence import Evidence
from tests.attestation import fuzz
from tests.attestation.fuzz import Outcome, pieces, remembered


def test_no_change_is_taken_for_something_else() -> None:
    with pieces() as found, remembered():
        outcome = fuzz.fuzz(found, 1_200, Random(20261130))
    assert outcome.findings == []
    assert outcome.refused.total() > 600  # else it changes nothing that counts


def test_it_knows_a_hole() -> None:
    """A signature that is not looked at is found at once."""
    with pieces() as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr("syft_ext.attestation.jws.Jws.verify_rs256", lambda *_: None)
        outcome = fuzz.fuzz([piece for piece in found if "oidc" in piece.evidence.kind], 300, Random(1))
    assert outcome.findings


def test_it_knows_another_exception() -> None:
    with pieces() as found, pytest.MonkeyPatch.context() as patch:
        patch.setattr(fuzz, "verify", lambda *_: 1 / 0)
        outcome = fuzz.fuzz(found, 50, Random(1))
    assert "ZeroDivisionError" in outcome.findings[0]


def test_evidence_of_every_kind_is_changed() -> None:
    with pieces() as found:
        changed = {piece.evidence.kind for piece in found}
    if len(found) > 5:  # recorded evidence is here
        assert changed >= set(kinds()) - {"sgx"}


def test_what_is_unchanged_is_no_finding() -> None:
    with pieces() as found:
        outcome = Outcome()
        for piece in found:
            same = msgspec.structs.replace(piece.evidence)
            assert isinstance(same, Evidence)
            fuzz._judge(outcome, piece, same, True)
    assert outcome.same == {"unchanged": len(found)}
