"""Whose word participants are: an authority's, by certificates that hold, or the Domain's; and what is said of
noise."""

from __future__ import annotations

import math
from pathlib import Path

import msgspec
import numpy as np
import pytest

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.certificates import ParticipantCertificate
from syft_ext.errors import RoundRefused
from syft_ext.identity import Identity
from syft_ext.profile.vouching import own_certificate, pinned_authorities
from syft_ext.secure_aggregation.client import ClientRound
from syft_ext.secure_aggregation.identities import subjects
from syft_ext.secure_aggregation.rules import SumRules
from syft_ext.secure_aggregation.statement import epsilon_of, loss_of_round, sentences, tau_of
from syft_ext.secure_aggregation.statements import Advertisement, Roster
from tests.secure_aggregation.machines import Play, Shelf, a_round, rules

AUTHORITY, OTHER = Identity.generate(), Identity.generate()


def certificate(who: Identity, subject: str, by: Identity = AUTHORITY, until: int = 200) -> bytes:
    said = ParticipantCertificate(
        authority=key_of(by), subject=subject, participant=key_of(who), not_before=1, not_after=until
    )
    return Signed.make(said, by).encode()


def keys(found: SumRules, who: Identity, word: bytes) -> Advertisement:
    client = ClientRound(a_round(), found, who, Shelf(), subjects(found, 100), word)
    return Advertisement.decode(client.advertise()[0])


def test_a_certificate_of_the_authority_for_this_key_and_time() -> None:
    found = rules(3, authority=AUTHORITY.verify_key)
    who, stranger = Identity.generate(), Identity.generate()
    said = keys(found, who, certificate(who, "hospital a"))
    assert subjects(found, 100)(said) == "hospital a"
    bad = [
        keys(found, who, certificate(who, "hospital a", by=OTHER)),
        keys(found, who, certificate(who, "hospital a", until=50)),
        keys(found, who, certificate(stranger, "hospital a")),
        keys(found, who, b"no certificate"),
        msgspec.structs.replace(said, certificate=b""),
        msgspec.structs.replace(said, certificate=said.certificate[:-1] + b"x"),
    ]
    for each in bad:
        with pytest.raises(RoundRefused) as caught:
            subjects(found, 100)(each)
        assert caught.value.extra["reason"] == "identity"


def test_two_keys_of_one_subject_are_one_participant() -> None:
    found = rules(3, authority=AUTHORITY.verify_key)
    people = [Identity.generate() for _ in range(3)]
    names = ["hospital a", "hospital b", "hospital a"]
    clients = [
        ClientRound(a_round(), found, who, Shelf(), subjects(found, 100), certificate(who, name))
        for who, name in zip(people, names, strict=True)
    ]
    roster = Roster.of(a_round().digest(), [client.advertise() for client in clients]).encode()
    for client in clients:
        with pytest.raises(RoundRefused, match="one and the same") as caught:
            client.share(roster)
        assert caught.value.extra["reason"] == "roster"


def test_pins_and_the_own_certificate_are_files_of_the_user(own_folder: Path) -> None:
    assert pinned_authorities() == frozenset() and own_certificate() == b""
    (own_folder / "authorities").write_text(f"{AUTHORITY.verify_key}\n{OTHER.verify_key}\n")
    (own_folder / "participant.certificate").write_bytes(b"word")
    assert pinned_authorities() == {AUTHORITY.verify_key, OTHER.verify_key} and own_certificate() == b"word"


# -- what is said of noise -------------------------------------------------------------------------------


def with_variance(variance: float, honest: int = 2) -> SumRules:
    """Rules whose shares of the noise have about this variance, in steps; not checked."""
    found = SumRules(participants=64, threshold=43, minimum=honest, corrupt=0, clip=1.0, bits=64, noise=1.0)
    return msgspec.structs.replace(found, noise=math.sqrt(variance * honest) / found.grid.bound)


def test_tau_is_that_of_kairouz_liu_and_steinke() -> None:
    """As others computed it for 1.4 million numbers: 383 with σ = 1 for τd/2, 5 · 10⁻¹¹ with σ = 2."""
    many = 30
    assert tau_of(with_variance(1.0, many)) * 1.4e6 / 2 == pytest.approx(383, rel=0.02)
    assert tau_of(with_variance(4.0, many)) * 1.4e6 / 2 == pytest.approx(5e-11, rel=0.1)
    assert tau_of(with_variance(9.0, many)) < 1e-36
    assert tau_of(rules(5)) == 0.0 and loss_of_round(rules(5), 10) is None


def test_a_round_costs_what_the_gaussian_does_when_shares_are_wide() -> None:
    found = rules(10, noise=2.0, corrupt=3)
    assert found.honest == 4
    # Four honest shares make a deviation of 2 clipping norms together: ρ = 1 / (2 · 2²).
    assert loss_of_round(found, 10**6) == pytest.approx(1 / 8, rel=1e-6)
    assert epsilon_of(0.125, 1e-6) == pytest.approx(0.125 + 2 * math.sqrt(0.125 * math.log(1e6)))
    told = "\n".join(sentences(found, 10**6, 5))
    assert "5 cycles" in told and "honest survivors" in told


def test_the_honest_ones_alone_make_the_noise_that_is_promised() -> None:
    found = rules(6, noise=1.0, corrupt=1, clip=2.0)
    play = Play(found, [np.zeros(4000)] * 6)
    opened = play.run()
    assert opened is not None
    spread = float(np.std(opened.steps.astype(np.float64))) / found.grid.bound
    assert spread == pytest.approx(math.sqrt(6 / found.honest), rel=0.1)
