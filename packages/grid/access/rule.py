"""The rule itself, pure: from what is known of objects, their lists and their grants, who may do what, and why.

Scopes (:data:`grid.access.scopes.LADDER`), each with its own list at the object and its own grants:

- *find*: see that the object is there, and its description. Everything else includes it. A derived object
  is found by its own lists, and by who governs it.
- *statistics*: have aggregates of it, under the site's policy.
- *compute*: name it in remote operations. What comes out is not readable for that: see below.
- *read*: have its content; includes compute and statistics.

Derived objects (with rows in ``object_source``) are nobody's by default: a viewer may do with one what they
may do with *every one* of its sources, or what a list or a grant on itself says (an approved request for
exactly this result). Statistics of a derived object need *read* on its sources: whoever chose what was
computed chose what an aggregate of it tells. A source that is gone grants nothing. Owners are on the lists
of what they put there; being the owner of an object grants nothing by itself, but that they know of it and may
change it. Managers see and decide, and read what they may read: no role reads everything. Networks only find.

Who *governs* an object decides for others who reads it: whoever owns every one of its sources. Having
computed something from somebody else's data is not governing it.

A grant whose last use was spent counts no more, but for what that use was spent on (``spent``: one analysis, one
session of computing): there it counts until it is revoked or expires.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from grid.access.liveness import has_room, is_live
from grid.access.scopes import LADDER, Scope
from grid.access.viewer import Viewer

__all__ = ["Facts", "KnownGrant", "KnownObject", "Reason", "Verdict", "decide", "governs", "on_a_list"]


@dataclass(frozen=True, slots=True)
class KnownGrant:
    """A grant to one user, as the rule sees it; None is "unlimited"."""

    id: str
    scope: str
    user_id: str
    expires_at: float | None = None
    uses_left: int | None = None
    max_output_bytes: int | None = None
    revoked_at: float | None = None


@dataclass(frozen=True, slots=True)
class KnownObject:
    """An object that is there, as the rule sees it.

    Attributes:
        lists: the subjects on each list.
        sources: what it was computed from; empty when nobody computed it here.
    """

    owner: str | None
    lists: Mapping[str, Collection[str]]
    sources: frozenset[str] = frozenset()
    grants: tuple[KnownGrant, ...] = ()


#: Objects by id; what is not in it is not there (any more).
Facts = Mapping[str, KnownObject]


class Reason(StrEnum):
    """Why something is allowed, or why not."""

    LIST = "the viewer is on a list of the object"
    GRANT = "the viewer was granted it"
    SOURCES = "the viewer may do it with every source"
    GOVERNS = "the viewer owns every source"
    CHANGES = "the viewer may change the object"
    OUTPUT = "only the cap of a grant stands in the way"
    SCOPE = "the viewer may find the object, and not do this"
    UNKNOWN = "there is no such object for the viewer"


_REFUSALS = frozenset({Reason.OUTPUT, Reason.SCOPE, Reason.UNKNOWN})


@dataclass(frozen=True, slots=True)
class Verdict:
    """``grants`` are those that an allowed thing rests on, empty when lists suffice."""

    reason: Reason
    grants: frozenset[str] = frozenset()

    @property
    def allowed(self) -> bool:
        """Whether the reason is one to say yes."""
        return self.reason not in _REFUSALS


def decide(
    viewer: Viewer,
    scope: Scope,
    object_id: str,
    facts: Facts,
    *,
    now: float,
    output_bytes: int = 0,
    spent: Collection[str] = (),
) -> Verdict:
    """Whether the viewer may ``scope`` the object at ``now``.

    Args:
        facts: the object and all its sources, as far as they are there.
        output_bytes: how much would be handed out; grants with a smaller cap do not count.
        spent: grants that count although used up: see above.
    """
    known = facts.get(object_id)
    if known is None:
        return Verdict(Reason.UNKNOWN)
    question = _Question(viewer, facts, now, spent)
    verdict = question.answer(scope, known, output_bytes)
    if verdict is not None:
        return verdict
    if output_bytes and question.answer(scope, known, 0) is not None:
        return Verdict(Reason.OUTPUT)
    findable = question.answer("find", known, 0) is not None
    return Verdict(Reason.SCOPE if findable else Reason.UNKNOWN)


def on_a_list(viewer: Viewer, scope: Scope, lists: Mapping[str, Collection[str]]) -> bool:
    """Whether the viewer is on a list that allows the scope."""
    return any(not viewer.subjects.isdisjoint(lists.get(name, ())) for name in LADDER[scope].lists)


def governs(user_id: str, object_id: str, facts: Facts) -> bool:
    """Whether the user decides who else may have the object. A Network ("") governs nothing."""
    known = facts.get(object_id)
    return known is not None and _governs(user_id, known, facts)


def _governs(user_id: str, known: KnownObject, facts: Facts) -> bool:
    if not user_id:
        return False
    if not known.sources:
        return known.owner == user_id
    return all(source in facts and facts[source].owner == user_id for source in known.sources)


@dataclass(frozen=True, slots=True)
class _Question:
    viewer: Viewer
    facts: Facts
    now: float
    spent: Collection[str]

    def answer(self, scope: Scope, known: KnownObject, output_bytes: int) -> Verdict | None:
        """What allows the scope; None when nothing does."""
        if self.viewer.is_network and scope != "find":
            return None
        found = self._direct(scope, known, output_bytes)
        if found is not None:
            return found
        if scope != "find":
            return self._by_sources(scope, known, output_bytes)
        if self._governs_derived(known):
            return Verdict(Reason.GOVERNS)
        return Verdict(Reason.CHANGES) if self.viewer.may_change(known.owner) else None

    def _direct(self, scope: Scope, known: KnownObject, output_bytes: int) -> Verdict | None:
        """By a list or a grant on the object itself. Lists first: they cost no use."""
        if on_a_list(self.viewer, scope, known.lists):
            return Verdict(Reason.LIST)
        grant = min(self._counting(scope, known.grants, output_bytes), key=self._cost, default=None)
        return None if grant is None else Verdict(Reason.GRANT, frozenset({grant.id}))

    def _counting(
        self, scope: Scope, grants: Iterable[KnownGrant], output_bytes: int
    ) -> Iterable[KnownGrant]:
        for grant in grants:
            if (
                grant.user_id == self.viewer.user_id != ""
                and grant.scope in LADDER[scope].grants
                and is_live(grant, self.now, used=grant.id in self.spent)
                and has_room(grant.max_output_bytes, output_bytes)
            ):
                yield grant

    def _cost(self, grant: KnownGrant) -> tuple[int, bool, float, str]:
        """Unlimited grants before those whose use is spent already, these before the ones that would lose a use;
        of each the one that expires first."""
        use = 0 if grant.uses_left is None else 1 if grant.id in self.spent else 2
        return use, grant.expires_at is None, grant.expires_at or 0.0, grant.id

    def _by_sources(self, scope: Scope, known: KnownObject, output_bytes: int) -> Verdict | None:
        needed = LADDER[scope].of_sources
        if needed is None or not known.sources:
            return None
        # Reading all that it was made from does not let one find what somebody else made; owning all of that does.
        if self._direct("find", known, 0) is None and not self._governs_derived(known):
            return None
        grants: frozenset[str] = frozenset()
        for source in known.sources:
            there = self.facts.get(source)
            part = None if there is None else self._direct(needed, there, output_bytes)
            if part is None:
                return None
            grants |= part.grants
        return Verdict(Reason.SOURCES, grants)

    def _governs_derived(self, known: KnownObject) -> bool:
        """Who owns all of the data finds what is to be decided about."""
        return bool(known.sources) and _governs(self.viewer.user_id, known, self.facts)
