"""Random worlds: people, groups, objects and what was made of them, lists, grants, datasets, a policy, a time."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from hypothesis import strategies as st

from grid.access.rule import Facts, KnownGrant, KnownObject
from grid.access.scopes import LADDER, Scope
from grid.access.viewer import EVERYBODY, GROUP, Viewer
from syft_ext.messages.policy import SitePolicy

NOW = 1000.0
USERS = [f"{number:032x}" for number in (0xA0, 0xA1, 0xA2)]
GROUPS = [f"{number:032x}" for number in (0xB0, 0xB1)]
OBJECTS = [f"{number:032x}" for number in range(6)]
ROOTS, DERIVED = OBJECTS[:3], OBJECTS[3:]
DATASETS = [f"{number:032x}" for number in range(0xC0, 0xC3)]
LISTS = ("search", "statistics", "compute", "read")
SCOPES: tuple[Scope, ...] = tuple(LADDER)
TIMES = (NOW - 1, NOW, NOW + 1)  # before, at and after the moments at which grants may expire
SIZES = (0, 5, 7)


@dataclass(frozen=True)
class SomeDataset:
    owner: str
    visibility: str
    named: frozenset[str]


@dataclass(frozen=True)
class World:
    """Attributes:
    members: (group, user). managers: who carries the flag of one. disabled: who may not log in.
    owners, sources: by object. gone: objects that were there, and were deleted.
    places: (object, list, subject). grants: (object, grant), on objects that may be gone too.
    spent: ids of grants of which somebody has had a use, the last one maybe.
    """

    members: frozenset[tuple[str, str]]
    managers: frozenset[str]
    disabled: frozenset[str]
    owners: dict[str, str | None]
    sources: dict[str, frozenset[str]]
    gone: frozenset[str]
    places: frozenset[tuple[str, str, str]]
    grants: tuple[tuple[str, KnownGrant], ...]
    spent: frozenset[str]
    datasets: dict[str, SomeDataset]
    policy: SitePolicy

    @property
    def there(self) -> list[str]:
        return [each for each in OBJECTS if each not in self.gone]

    def viewer(self, user: str) -> Viewer:
        groups = {f"{GROUP}{group}" for group, member in self.members if member == user}
        return Viewer(user, frozenset({EVERYBODY, user, *groups}), user in self.managers)

    def facts(self) -> Facts:
        """All that is known: every place and every grant, whosever it is."""
        return {
            each: KnownObject(
                self.owners[each],
                {
                    name: frozenset(who for at, on, who in self.places if (at, on) == (each, name))
                    for name in LISTS
                },
                self.sources.get(each, frozenset()),
                tuple(grant for at, grant in self.grants if at == each),
            )
            for each in self.there
        }


_users = st.sampled_from(USERS)
_subjects = st.sampled_from([EVERYBODY, *USERS, *(f"{GROUP}{group}" for group in GROUPS)])
_some_subjects = st.frozensets(_subjects.filter(lambda subject: subject != EVERYBODY), max_size=2)
_grants = st.lists(
    st.tuples(
        st.sampled_from(OBJECTS),
        st.sampled_from(("statistics", "compute", "read", "plan")),
        _users,
        st.sampled_from((None, None, NOW - 1, NOW, NOW + 1)),
        st.sampled_from((None, 0, 0, 1)),
        st.sampled_from((None, 5, 6)),
        st.sampled_from((None, None, 1.0)),
    ),
    max_size=8,
).map(
    lambda made: tuple(
        (at, KnownGrant(f"{number:032x}", scope, user, ends, uses, cap, revoked))
        for number, (at, scope, user, ends, uses, cap, revoked) in enumerate(made)
    )
)
_policies = st.builds(
    SitePolicy,
    min_rows=st.sampled_from((1, 1000)),
    max_output_bytes=st.sampled_from((None, 1)),
    required_approvals=st.sampled_from((1, 3)),
)


def _some_of(values: Collection[str]) -> st.SearchStrategy[frozenset[str]]:
    return st.frozensets(st.sampled_from(sorted(values)), max_size=2)


@st.composite
def worlds(draw: st.DrawFn) -> World:
    grants = draw(_grants)
    return World(
        members=draw(st.frozensets(st.tuples(st.sampled_from(GROUPS), _users), max_size=3)),
        managers=draw(st.frozensets(_users, max_size=1)),
        disabled=draw(st.frozensets(_users, max_size=1)),
        # Few owners, so that somebody owns all that something was made from now and then.
        owners={each: draw(st.sampled_from([*USERS[:2], None])) for each in OBJECTS},
        sources={each: draw(st.frozensets(st.sampled_from(ROOTS), min_size=1)) for each in DERIVED},
        gone=draw(_some_of(OBJECTS)),
        places=draw(
            st.frozensets(st.tuples(st.sampled_from(OBJECTS), st.sampled_from(LISTS), _subjects), max_size=12)
        ),
        grants=grants,
        spent=frozenset(grant.id for _, grant in grants if draw(st.booleans())),
        datasets={
            each: SomeDataset(
                draw(_users), draw(st.sampled_from(("public", "users", "private"))), draw(_some_subjects)
            )
            for each in DATASETS
        },
        policy=draw(_policies),
    )
