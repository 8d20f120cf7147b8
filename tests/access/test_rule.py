"""What the rule never does, whatever the world; and that each of these properties can fail."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample

from grid.access import rule
from grid.access.liveness import is_live
from grid.access.rule import Facts, KnownGrant, KnownObject, Reason, Verdict, decide
from grid.access.scopes import LADDER, Rung, Scope
from grid.access.viewer import NETWORK, Viewer
from tests.access.worlds import DERIVED, OBJECTS, SCOPES, SIZES, TIMES, USERS, World, worlds

Judge = Callable[[Viewer, Scope, str], Verdict]


def judge(world: World, facts: Facts, now: float, size: int, *, spent: bool = True) -> Judge:
    return lambda viewer, scope, each: decide(
        viewer, scope, each, facts, now=now, output_bytes=size, spent=world.spent if spent else ()
    )


def viewers(world: World) -> list[Viewer]:
    return [*map(world.viewer, USERS), NETWORK]


def a_source_that_is_gone_grants_nothing(world: World, now: float, size: int) -> bool:
    ask = judge(world, world.facts(), now, size)
    return all(
        ask(viewer, scope, each).reason not in (Reason.SOURCES, Reason.GOVERNS)
        for viewer in viewers(world)
        for scope in SCOPES
        for each in DERIVED
        if world.sources[each] & world.gone
    ) and not any(
        rule.governs(user, each, world.facts())
        for user in USERS
        for each in DERIVED
        if world.sources[each] & world.gone
    )


def what_is_derived_needs_every_source(world: World, now: float, size: int) -> bool:
    """By its sources one may do with it what one may do with all of them, if one may find it: no more, no less."""
    facts = world.facts()
    ask = judge(world, facts, now, size)
    # A source is what nobody computed here: what it allows, it allows by its own lists and grants.
    for viewer in map(world.viewer, USERS):
        for scope in ("statistics", "compute", "read"):
            needed = LADDER[scope].of_sources
            assert needed is not None
            for each in DERIVED:
                if each in world.gone:
                    continue
                parts = [ask(viewer, needed, source) for source in sorted(world.sources[each])]
                found = judge(world, facts, now, 0)(viewer, "find", each)
                by_itself = found.reason in (Reason.LIST, Reason.GRANT, Reason.GOVERNS)
                verdict = ask(viewer, scope, each)
                if verdict.reason in (Reason.LIST, Reason.GRANT):
                    continue
                if verdict.allowed != (by_itself and all(part.allowed for part in parts)):
                    return False
                if verdict.allowed and verdict.grants != frozenset().union(*(p.grants for p in parts)):
                    return False
    return True


def a_grant_that_is_over_gives_nothing(world: World, now: float, size: int) -> bool:
    """Without the revoked, the expired and the used-up ones the verdicts are the same."""
    facts = world.facts()
    worth = {
        each: replace(known, grants=tuple(g for g in known.grants if _worth(g, world, now)))
        for each, known in facts.items()
    }
    ask, again = judge(world, facts, now, size), judge(world, worth, now, size)
    return all(
        ask(viewer, scope, each) == again(viewer, scope, each)
        for viewer in viewers(world)
        for scope in SCOPES
        for each in OBJECTS
    )


def _worth(grant: KnownGrant, world: World, now: float) -> bool:
    """Said once more: not revoked, not expired, and not used up unless by this very use."""
    over = grant.revoked_at is not None or (grant.expires_at is not None and not now < grant.expires_at)
    return not over and (grant.uses_left != 0 or grant.id in world.spent)


def the_ladder_only_goes_up(world: World, now: float, size: int) -> bool:
    ask = judge(world, world.facts(), now, size)
    includes: dict[Scope, tuple[Scope, ...]] = {
        "read": ("statistics", "compute", "find"),
        "statistics": ("find",),
        "compute": ("find",),
    }
    return all(
        ask(viewer, lower, each).allowed
        for viewer in viewers(world)
        for scope, lowers in includes.items()
        for each in OBJECTS
        if ask(viewer, scope, each).allowed
        for lower in lowers
    )


def who_owns_every_source_governs(world: World, now: float, size: int) -> bool:
    facts = world.facts()
    for user in [*USERS, ""]:
        for each in OBJECTS:
            behind = world.sources.get(each, {each})
            owns = bool(user) and all(s in world.there and world.owners[s] == user for s in behind)
            if rule.governs(user, each, facts) != (each in world.there and owns):
                return False
            derived = each in DERIVED and each in world.there
            if (
                owns
                and derived
                and not judge(world, facts, now, size)(world.viewer(user), "find", each).allowed
            ):
                return False
    return True


def a_network_only_finds(world: World, now: float, size: int) -> bool:
    ask = judge(world, world.facts(), now, size)
    return not any(
        ask(NETWORK, scope, each).allowed if scope != "find" else ask(NETWORK, scope, each).grants
        for scope in SCOPES
        for each in OBJECTS
    )


def managing_and_owning_only_let_one_find(world: World, now: float, size: int) -> bool:
    ask = judge(world, world.facts(), now, size)
    nobody = {each: replace(known, owner=None) for each, known in world.facts().items() if each in DERIVED}
    without = judge(world, {**world.facts(), **nobody}, now, size)
    return all(
        ask(replace(viewer, manager=True), scope, each).allowed
        == without(replace(viewer, manager=False), scope, each).allowed
        for viewer in viewers(world)
        for scope in SCOPES
        if scope != "find"
        for each in OBJECTS
    )


def time_size_and_sources_only_take_away(world: World, now: float, size: int) -> bool:
    facts = world.facts()
    more = {
        each: replace(known, sources=known.sources | {OBJECTS[0]}) if known.sources else known
        for each, known in facts.items()
    }
    ask = judge(world, facts, now, size)
    harder = [
        judge(world, facts, now + 1, size),
        judge(world, facts, now, size + 2),
        judge(world, more, now, size),
        judge(world, facts, now, size, spent=False),
    ]
    return all(
        ask(viewer, scope, each).allowed
        for viewer in viewers(world)
        for scope in SCOPES
        for each in OBJECTS
        if any(ask_harder(viewer, scope, each).allowed for ask_harder in harder)
    )


def a_verdict_rests_on_what_it_names(world: World, now: float, size: int) -> bool:
    """Taking its grants away takes what they allow away, or it costs others; each of them counts."""
    facts = world.facts()
    ask = judge(world, facts, now, size)
    for viewer in map(world.viewer, USERS):
        for scope in SCOPES:
            for each in world.there:
                verdict = ask(viewer, scope, each)
                named = [g for known in facts.values() for g in known.grants if g.id in verdict.grants]
                if not all(
                    g.user_id == viewer.user_id and is_live(g, now, used=g.id in world.spent) for g in named
                ):
                    return False
                without = {
                    at: replace(known, grants=tuple(g for g in known.grants if g not in named))
                    for at, known in facts.items()
                }
                rest = judge(world, without, now, size)(viewer, scope, each)
                if verdict.grants and rest == verdict:
                    return False
    return True


PROPERTIES = [
    a_source_that_is_gone_grants_nothing,
    what_is_derived_needs_every_source,
    a_grant_that_is_over_gives_nothing,
    the_ladder_only_goes_up,
    who_owns_every_source_governs,
    a_network_only_finds,
    managing_and_owning_only_let_one_find,
    time_size_and_sources_only_take_away,
    a_verdict_rests_on_what_it_names,
]
Property = Callable[[World, float, int], bool]


@pytest.mark.parametrize("holds", PROPERTIES, ids=lambda each: each.__name__)
def test_in_every_world(holds: Property) -> None:
    @settings(max_examples=60, deadline=None, derandomize=True, database=None)
    @given(world=worlds(), now=st.sampled_from(TIMES), size=st.sampled_from(SIZES))
    def check(world: World, now: float, size: int) -> None:
        assert holds(world, now, size)

    check()


# -- each of them can fail --------------------------------------------------------------------------


def _governs_what_is_left(user_id: str, known: KnownObject, facts: Facts) -> bool:
    owners = [facts[source].owner for source in known.sources if source in facts]
    return bool(user_id) and all(owner == user_id for owner in owners or [known.owner])


def _one_source_is_enough(self: object, scope: Scope, known: KnownObject, size: int) -> Verdict | None:
    needed = LADDER[scope].of_sources
    for source in known.sources:
        if needed and source in self.facts:  # type: ignore[attr-defined]
            part = self._direct(needed, self.facts[source], size)  # type: ignore[attr-defined]
            if part is not None:
                return Verdict(Reason.SOURCES, part.grants)
    return None


def _owners_read(viewer: Viewer, scope: Scope, lists: object) -> bool:
    return viewer.manager and scope == "read"


MUTATIONS: list[tuple[Property, str, object]] = [
    (a_source_that_is_gone_grants_nothing, "_governs", _governs_what_is_left),
    (what_is_derived_needs_every_source, "_Question._by_sources", _one_source_is_enough),
    (a_grant_that_is_over_gives_nothing, "is_live", lambda grant, now, used: grant.revoked_at is None),
    (a_grant_that_is_over_gives_nothing, "is_live", lambda grant, now, used: True),
    (the_ladder_only_goes_up, "LADDER", {**LADDER, "compute": Rung(("compute",), "compute")}),
    (who_owns_every_source_governs, "_governs", lambda user, known, facts: known.owner == user != ""),
    (a_network_only_finds, "Viewer.is_network", False),
    (managing_and_owning_only_let_one_find, "on_a_list", _owners_read),
    (time_size_and_sources_only_take_away, "has_room", lambda cap, size: cap is None or size >= cap),
    (a_verdict_rests_on_what_it_names, "is_live", lambda grant, now, used: True),
]


@pytest.mark.parametrize(("holds", "name", "mutant"), MUTATIONS)
def test_a_mutant_is_found_out(
    holds: Property, name: str, mutant: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(f"grid.access.rule.{name}", mutant)
    cases = st.tuples(worlds(), st.sampled_from(TIMES), st.sampled_from(SIZES))
    quick = settings(
        max_examples=2000,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    try:
        find(cases, lambda case: not holds(*case), settings=quick)
    except NoSuchExample:
        pytest.fail(f"{holds.__name__} holds although {name} was changed")
