"""Policies here: handed in by anybody, decided about by the operator; and keys made ahead under them."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Literal

import msgspec
import pytest

from grid.key_host.core import HostCore, HostLimits
from grid.key_host.policies import decide, register, views
from grid.key_host.rounds import MOST_AHEAD, open_rounds
from syft_ext.attestation.policy import encode_policy
from syft_ext.attestation.references import InvalidPolicy
from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.policy import ConfidentialPolicy, Host
from syft_ext.confidential.rounds import OpenRounds, RoundKey
from syft_ext.errors import (
    BadRequest,
    BadSignature,
    Conflict,
    ExpiredMessage,
    Forbidden,
    GridError,
    InvalidStatement,
    NotFound,
    TooManyRequests,
)
from syft_ext.identity import Identity
from syft_ext.messages.key_host import DecidePolicy
from tests.key_host.parties import Party
from tests.key_host.test_grants import refused


def test_a_policy_is_signed_by_its_scopes_owner_and_names_this_host(party: Party) -> None:
    core, policy = party.hosts[0], party.policy()
    with pytest.raises(InvalidStatement, match="owner"):
        register(core, Signed.make(policy, Identity.generate()), "")
    signed = Signed.make(policy, party.owner)
    forged = msgspec.structs.replace(signed, signature=bytes(64))
    with pytest.raises(BadSignature):
        register(core, forged, "")
    kept = party.hosts
    party.hosts = [kept[1], _stranger(kept[1])]
    elsewhere = party.policy()
    party.hosts = kept
    with pytest.raises(Forbidden, match="none of the policy's hosts"):
        register(core, Signed.make(elsewhere, party.owner), "")


def _stranger(core: HostCore) -> HostCore:
    other = copy(core)
    other.key = key_of(Identity.generate())
    return other


def test_the_operator_decides_by_digest_and_what_is_revoked_stays_revoked(party: Party) -> None:
    core, policy = party.hosts[0], party.policy()
    assert register(core, Signed.make(policy, party.owner), "").state == "registered"
    assert refused(lambda: party.open(policy, party.context(policy))) == "policy"
    digest = policy.digest().hex()
    states: list[Literal["approved", "retired", "revoked"]] = ["approved", "retired", "approved", "revoked"]
    for state in states:
        assert decide(core, DecidePolicy(digest=digest, state=state)).state == state
        # Handed in again, it stays what it is.
        assert register(core, Signed.make(policy, party.owner), "").state == state
    with pytest.raises(Conflict, match="for ever"):
        decide(core, DecidePolicy(digest=digest, state="approved"))
    with pytest.raises(NotFound):
        decide(core, DecidePolicy(digest="0" * 64, state="approved"))


def test_simulated_evidence_is_for_hosts_that_were_started_for_it(party: Party) -> None:
    """The second of the four places (design 12): no production policy with it is even made, let alone kept."""
    core, policy = party.hosts[0], party.policy()
    core.limits = HostLimits()
    register(core, Signed.make(policy, party.owner), "")
    with pytest.raises(Conflict, match="protects nothing"):
        decide(core, DecidePolicy(digest=policy.digest().hex(), state="approved"))
    with pytest.raises(InvalidPolicy):
        party.attestation(production=True)
    lying = encode_policy(party.attestation()).replace(b"\xc2\xc3", b"\xc3\xc3", 1)
    with pytest.raises(GridError):
        party.policy(attestation=lying)


def test_policies_that_nobody_decides_about_make_room(party: Party) -> None:
    core = party.hosts[0]
    core.limits = replace(core.limits, policies=3)
    kept = party.policy(scope="kept")
    register(core, Signed.make(kept, party.owner), "")
    decide(core, DecidePolicy(digest=kept.digest().hex(), state="approved"))
    for number in range(5):
        party.clock.advance(1)
        register(core, Signed.make(party.policy(scope=f"scope {number}"), party.owner), "")
    with core.db.read() as session:
        found = views(session).policies
    newest = [party.policy(scope=f"scope {number}").digest().hex() for number in (4, 3, 2)]
    assert [each.digest for each in found] == [*newest, kept.digest().hex()]


def test_a_domain_opens_its_own_rounds_once_each(party: Party) -> None:
    policy = party.approved(party.policy())
    core = party.hosts[0]
    context = party.context(policy)
    (first,) = open_rounds(core, party.opening(core, context))
    (again,) = open_rounds(core, party.opening(core, context))
    assert first == again
    assert RoundKey.decode(first.body).simulated
    other = msgspec.structs.replace(context, layout=bytes([1]) * 32)
    assert refused(lambda: open_rounds(core, party.opening(core, other))) == "other-context"
    stranger = Identity.generate()
    taken = OpenRounds(host=core.key, contexts=(context,), at=party.now)
    with pytest.raises(Forbidden, match="its own rounds"):
        open_rounds(core, Signed.make(taken, stranger))
    with pytest.raises(BadRequest, match="another host"):
        open_rounds(core, party.opening(party.hosts[1], context))
    old = Signed.make(OpenRounds(host=core.key, contexts=(context,), at=party.now - 301), party.domain)
    with pytest.raises(ExpiredMessage):
        open_rounds(core, old)


def test_rounds_are_opened_only_as_the_policy_allows(party: Party) -> None:
    policy = party.approved(party.policy())
    core = party.hosts[0]
    context = party.context(policy)
    for change in (
        {"suite": "mlkem768-x25519"},
        {"plans": (bytes([9]) * 32,)},
        {"sequence": (1 << 20) + 1},
    ):
        with pytest.raises(InvalidStatement):
            open_rounds(core, party.opening(core, msgspec.structs.replace(context, **change)))
    party.clock.advance(366 * 86_400)
    assert refused(lambda: open_rounds(core, party.opening(core, context))) == "policy"


def test_so_many_rounds_are_open_at_once(party: Party) -> None:
    policy = party.approved(party.policy())
    core = party.hosts[0]
    core.limits = replace(core.limits, rounds=MOST_AHEAD + 1)
    for sequence in range(1, MOST_AHEAD + 1):
        open_rounds(core, party.opening(core, party.context(policy, sequence)))
    with pytest.raises(TooManyRequests, match="of this training"):
        open_rounds(core, party.opening(core, party.context(policy, MOST_AHEAD + 1)))
    open_rounds(core, party.opening(core, party.context(policy, 1, "f" * 32)))
    with pytest.raises(TooManyRequests, match="of this Domain"):
        open_rounds(core, party.opening(core, party.context(policy, 1, "e" * 32)))
    party.clock.advance(86_400)
    open_rounds(core, party.opening(core, party.context(policy, MOST_AHEAD + 1)))


def test_the_operator_says_for_which_domains(party: Party) -> None:
    named = party.approved(party.policy(), domains=[key_of(party.domain).hex()])
    party.open(named, party.context(named))
    party.domain = Identity.generate()
    with pytest.raises(Forbidden, match="did not name"):
        party.open(named, party.context(named, 2))


# -- the hosts of a scope --------------------------------------------------------------------------------


def test_no_policy_leaves_out_a_host_that_knows_what_the_scope_has_spent(party: Party) -> None:
    """Those of its first policy know all of it; more may come, none may go."""
    policy = party.policy()
    core = party.hosts[0]

    def approve(other: ConfidentialPolicy) -> None:
        register(core, Signed.make(other, party.owner), "")
        decide(core, DecidePolicy(digest=other.digest().hex(), state="approved"))

    def with_hosts(*keys: bytes) -> ConfidentialPolicy:
        hosts = tuple(Host(key=key, name="host", url="http://localhost:1") for key in sorted(keys))
        return party.policy(hosts=hosts, threshold=len(hosts))

    own, other = core.key, next(each.key for each in party.hosts if each is not core)
    new = bytes([5]) * 32
    party.approved(policy)
    for keys in ((own, new), (own, new, bytes([6]) * 32)):
        with pytest.raises(Conflict, match="carry what it has spent"):
            approve(with_hosts(*keys))
    more = with_hosts(own, other, new)
    approve(more)
    decide(core, DecidePolicy(digest=policy.digest().hex(), state="retired"))
    with pytest.raises(Conflict):  # not even the first one again, now that there is one with more
        approve(policy)
    decide(core, DecidePolicy(digest=more.digest().hex(), state="retired"))
    approve(with_hosts(own, new))  # neither had a round: nothing was spent that others would have to know
    decide(core, DecidePolicy(digest=with_hosts(own, new).digest().hex(), state="retired"))
    approve(policy)
    open_rounds(core, party.opening(core, party.context(policy)))
    decide(core, DecidePolicy(digest=policy.digest().hex(), state="retired"))
    with pytest.raises(Conflict):  # a retired policy's rounds are granted still
        approve(with_hosts(own, new))
    elsewhere = with_hosts(own, new)
    approve(msgspec.structs.replace(elsewhere, budget=msgspec.structs.replace(elsewhere.budget, scope="new")))
