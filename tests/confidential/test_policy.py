"""A policy that does not hold what it promises is not read."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import (
    MOST_CLIP,
    NANO,
    Budget,
    Cohort,
    ConfidentialPolicy,
    Mechanism,
    scope_id,
)
from syft_ext.errors import InvalidStatement
from tests.confidential.world import World, changed, digest


def refused(policy: ConfidentialPolicy, **fields: Any) -> str:
    with pytest.raises(InvalidStatement) as caught:
        altered = changed(policy, **fields)
        ConfidentialPolicy.decode(altered.encode())
    return str(caught.value)


def test_quorums_meet_in_an_honest_host() -> None:
    policy = World().policy
    assert "not built" in refused(policy, threshold=2)
    assert "quorums must meet" in refused(policy, threshold=1)
    assert "quorums must meet" in refused(policy, dishonest=3)
    assert changed(policy, dishonest=2)
    assert "above" in refused(policy, threshold=4)
    assert "order" in refused(policy, hosts=policy.hosts[::-1])
    assert "order" in refused(policy, hosts=(policy.hosts[0],) * 3)
    refused(policy, hosts=policy.hosts[:1], threshold=1)


def test_sums_do_not_wrap_around() -> None:
    policy = World().policy
    mechanism = policy.mechanism
    refused(policy, mechanism=changed(mechanism, clip=MOST_CLIP + 1))
    largest = changed(mechanism, clip=MOST_CLIP, noise_multiplier=1_000_000 * NANO)
    assert largest.sigma * 64 + MOST_CLIP * policy.cohort.most < 1 << 62
    assert changed(policy, mechanism=largest)


def test_a_policy_without_noise_is_no_production_policy_and_has_no_budget() -> None:
    policy = World(noise=0).policy
    assert policy.mechanism.rho == 0
    with pytest.raises(InvalidStatement, match="has noise"):
        _ = World(noise=0, production=True).policy
    assert "budget" in refused(policy, budget=Budget("study", 1, 1))
    assert "budget" in refused(World().policy, budget=Budget("study", 0, 1))
    assert "one round" in refused(World().policy, budget=Budget("study", 1, 1))


def test_a_policy_names_the_evidence_that_it_takes() -> None:
    assert not World().policy.production
    production = World(production=True).policy
    assert production.production
    assert not production.evidence.allow_simulator
    refused(production, attestation=b"\x90")
    refused(production, attestation=production.attestation + b"\0")
    simulating = production.attestation.replace(b"\xc3\xc2", b"\xc3\xc3", 1)
    assert simulating != production.attestation
    assert "simulator" in refused(production, attestation=simulating)


def test_what_is_named_twice_is_refused() -> None:
    policy = World().policy
    refused(policy, plans=(digest("a"),) * 2)
    key = policy.cohort.authorities[0]
    with pytest.raises(InvalidStatement):
        Cohort(2, 4, (key, key), 1, 1)
    with pytest.raises(InvalidStatement):
        Cohort(5, 4, (key,), 1, 1)


@given(z=st.integers(1, 1_000_000 * NANO))
def test_rho_rounds_up(z: int) -> None:
    exact = Fraction(NANO) * NANO * NANO / (2 * z * z)
    rho = Mechanism(1 << 20, 20, z, 1).rho
    assert rho - 1 < exact <= rho


def test_a_scope_is_its_owners() -> None:
    assert scope_id(bytes(32), "a") != scope_id(b"\1" * 32, "a")
    assert scope_id(bytes(32), "a") != scope_id(bytes(32), "b")
    world = World()
    assert world.policy.scope == scope_id(key_of(world.owner), "study")
    other = World()
    with pytest.raises(Exception, match="nobody who may"):
        Signed.make(world.policy, other.owner).open(ConfidentialPolicy, world.policy.owner)


def test_a_domain_invents_no_participants_in_production() -> None:
    world = World(production=True)
    world.policy.check_domain(key_of(world.domain))
    with pytest.raises(InvalidStatement, match="authority"):
        world.policy.check_domain(key_of(world.authority))
    with pytest.raises(InvalidStatement, match="hosts"):
        world.policy.check_domain(key_of(world.hosts[0]))
    World().policy.check_domain(key_of(world.authority))
