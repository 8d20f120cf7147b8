"""A participant follows a key host to another key by the word of the one that they pinned, and by nothing less."""

from __future__ import annotations

import pytest

from syft_ext.confidential.canonical import Signed, key_of
from syft_ext.confidential.odometer import Odometer, Seen
from syft_ext.confidential.offer import VerifiedOffer, heard
from syft_ext.confidential.transparency.succession import HostSuccession, Succession, current, heirs_of
from syft_ext.errors import BadSignature, InvalidStatement, OfferRefused
from syft_ext.identity import Identity
from tests.confidential.test_offer import offer_of, trust_of, verified
from tests.confidential.world import HEAD, NOW, World


def succession(old: Identity, new: Identity, by: Identity | None = None) -> Succession:
    said = HostSuccession(old=key_of(old), new=key_of(new), at=NOW, head=HEAD, log=bytes(32))
    return Succession(by_old=Signed.make(said, by or old), by_new=Signed.make(said, new))


@pytest.fixture
def world() -> World:
    return World()


def followed(world: World, *given: Succession, pinned: list[Identity], **fields: object) -> VerifiedOffer:
    trust = trust_of(world, hosts=[each.verify_key for each in pinned])
    return verified(world, offer_of(world, successions=given), trust=trust, **fields)


def refused(world: World, *given: Succession, pinned: list[Identity], **fields: object) -> str:
    with pytest.raises(OfferRefused) as refusal:
        followed(world, *given, pinned=pinned, **fields)
    return str(refusal.value.extra["check"])


def test_the_pinned_key_vouches_for_the_one_that_follows_it(world: World) -> None:
    old, *others = Identity.generate(), *world.hosts[1:]
    first = world.hosts[0]
    assert refused(world, pinned=[old, *others]) == "hosts"
    found = followed(world, succession(old, first), pinned=[old, *others])
    assert any("1 under a key that the one you pinned signed" in each.said for each in found.findings)
    # It is remembered: the next offer need not show it.
    followed(world, pinned=[old, *others], odometer=found.odometer)


def test_a_line_of_successions_is_followed_to_its_end(world: World) -> None:
    oldest, old, first = Identity.generate(), Identity.generate(), world.hosts[0]
    given = (succession(old, first), succession(oldest, old))
    followed(world, *given, pinned=[oldest, *world.hosts[1:]])
    assert refused(world, given[0], pinned=[oldest, *world.hosts[1:]]) == "hosts"


def test_nobody_else_names_a_successor(world: World) -> None:
    old, first = Identity.generate(), world.hosts[0]
    for forger in (first, world.owner, Identity.generate()):
        assert refused(world, succession(old, first, by=forger), pinned=[old, *world.hosts[1:]]) == "hosts"


def test_a_key_that_was_given_up_is_taken_no_more(world: World) -> None:
    first, new = world.hosts[0], Identity.generate()
    known = Odometer().succeeding([succession(first, new)])
    assert refused(world, pinned=world.hosts, odometer=known) == "hosts"
    assert refused(world, pinned=[new, *world.hosts], odometer=known) == "hosts"


def test_a_key_with_two_successors_is_followed_to_none(world: World) -> None:
    old, first = Identity.generate(), world.hosts[0]
    known = Odometer().succeeding([succession(old, Identity.generate())])
    assert refused(world, succession(old, first), pinned=[old, *world.hosts[1:]], odometer=known) == "hosts"


def test_the_hosts_of_a_scope_may_follow_each_other(world: World) -> None:
    old, first = Identity.generate(), world.hosts[0]
    before = [key_of(each).hex() for each in (old, *world.hosts[1:])]
    given = Odometer(scopes={world.policy.scope.hex(): tuple(before)})
    assert refused(world, pinned=[old, *world.hosts], odometer=given) == "scope"
    followed(world, succession(old, first), pinned=[old, *world.hosts[1:]], odometer=given)


@pytest.mark.parametrize(
    ("seen", "taken"),
    [
        (Seen(NOW, HEAD.incarnation.hex(), HEAD.sequence, HEAD.hash.hex()), True),
        (Seen(NOW, "ee" * 32, HEAD.sequence + 9, "aa" * 32), True),  # it recovered, and was given up then
        (Seen(NOW, HEAD.incarnation.hex(), HEAD.sequence + 1, "aa" * 32), False),
        (Seen(NOW, HEAD.incarnation.hex(), HEAD.sequence, "aa" * 32), False),
        (Seen(NOW, "ee" * 32, 0, "aa" * 32, past=(HEAD.incarnation.hex(),)), False),
    ],
)
def test_a_host_is_not_followed_from_before_what_was_seen_of_it(
    world: World, seen: Seen, taken: bool
) -> None:
    old, first = Identity.generate(), world.hosts[0]
    before = Odometer(hosts={key_of(old).hex(): seen})
    pinned = [old, *world.hosts[1:]]
    if taken:
        followed(world, succession(old, first), pinned=pinned, odometer=before)
    else:
        assert refused(world, succession(old, first), pinned=pinned, odometer=before) == "heads"


def test_what_a_refused_offer_showed_is_remembered(world: World) -> None:
    """A Domain shows it once, and then never again."""
    first, new = world.hosts[0], Identity.generate()
    trust = trust_of(world)
    shown = offer_of(world, successions=(succession(first, new),))
    with pytest.raises(OfferRefused, match="given up"):
        verified(world, shown, trust=trust)
    known = heard(shown.encode(), trust, Odometer())
    assert refused(world, pinned=world.hosts, odometer=known) == "hosts"
    assert heard(b"?", trust, known) == known


def test_of_a_key_in_two_hands_both_are_remembered(world: World) -> None:
    old, first, new = Identity.generate(), world.hosts[0], Identity.generate()
    pinned = [old, *world.hosts[1:]]
    trust = trust_of(world, hosts=[each.verify_key for each in pinned])
    known = followed(world, succession(old, first), pinned=pinned).odometer
    known = heard(offer_of(world, successions=(succession(old, new),)).encode(), trust, known)
    assert refused(world, pinned=pinned, odometer=known) == "hosts"
    followed(world, pinned=world.hosts, odometer=known)  # who pins the other one has decided
    forger = Identity.generate()
    forged = offer_of(world, successions=(succession(world.hosts[1], new, by=forger),)).encode()
    assert heard(forged, trust, known) == known


def test_strangers_keys_are_not_remembered(world: World) -> None:
    """A Domain makes as many as it likes, that follow each other."""
    old, first, strangers = Identity.generate(), world.hosts[0], [Identity.generate() for _ in range(3)]
    pinned = [old, *world.hosts[1:]]
    junk = [succession(strangers[0], strangers[1]), succession(strangers[1], strangers[2])]
    found = followed(world, succession(old, first), *junk, pinned=pinned).odometer
    trust = trust_of(world, hosts=[each.verify_key for each in pinned])
    told = heard(offer_of(world, successions=junk).encode(), trust, Odometer())
    assert (list(found.heirs), told) == ([key_of(old).hex()], Odometer())


def test_keys_do_not_follow_themselves() -> None:
    one, other = Identity.generate(), Identity.generate()
    with pytest.raises(InvalidStatement, match="circle"):
        heirs_of([succession(one, other), succession(other, one)])
    with pytest.raises(InvalidStatement, match="different"):
        succession(one, one).open()
    heirs = heirs_of([succession(one, other), succession(one, other)])
    assert current(key_of(one), heirs) == current(key_of(other), heirs) == key_of(other)


def test_both_keys_have_to_sign() -> None:
    old, new = Identity.generate(), Identity.generate()
    good = succession(old, new)
    with pytest.raises(BadSignature):
        Succession(by_old=good.by_old, by_new=good.by_old).open()
