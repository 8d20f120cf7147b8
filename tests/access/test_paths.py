"""The rule, what operations are told, the prepared query and the conditions of listings agree, on each engine."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from hypothesis import strategies as st
from hypothesis.errors import NoSuchExample
from sqlalchemy import ColumnElement, true

import tests.access.stage
from grid.access import conditions, datasets, liveness, rule
from grid.access.scopes import LADDER
from grid.access.tables import Grant
from grid.access.viewer import Viewer
from grid.storage.objects.tables import ObjectRow
from grid.storage.sql.database import Database
from grid.storage.sql.prepared import PreparedSizes
from tests.access.stage import Stage
from tests.access.worlds import SIZES, TIMES, worlds

CASES = st.tuples(worlds(), st.sampled_from(TIMES), st.sampled_from(SIZES))
#: The same worlds each time: what fails here fails everywhere, and the time that it takes is known.
BOUNDED = settings(
    max_examples=20,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=list(HealthCheck),
)


@pytest.fixture
def stage(database: Database) -> Stage:
    return Stage(database)


@pytest.fixture
def sqlite_stage(sqlite_url: str) -> Iterator[Stage]:
    db = Database(sqlite_url)
    yield Stage(db)
    db.close()


def test_all_ways_of_asking_agree(stage: Stage) -> None:
    @BOUNDED
    @given(CASES)
    def check(case: Any) -> None:
        assert list(stage.disagreements(*case)) == []

    check()


# -- each of them, changed, is found out ------------------------------------------------------------


def _any_source(viewer: Viewer, scope: Any, each: str, facts: Any, **how: Any) -> rule.Verdict:
    """Asked of the database: any one of the sources is enough."""
    known = facts.get(each)
    for source in known.sources if known is not None else ():
        if (verdict := rule.decide(viewer, scope, source, facts, **how)).allowed:
            return verdict
    return rule.decide(viewer, scope, each, facts, **how)


def _prepared_of(*lists: str) -> dict[str, PreparedSizes]:
    """The prepared query with lists of its own for computing."""
    rung = type(LADDER["compute"])(lists, "compute")  # type: ignore[arg-type]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(conditions, "LADDER", {**LADDER, "compute": rung})
        return {scope: _built(scope) for scope in LADDER}


def _built(scope: Any) -> PreparedSizes:
    statements = {size: conditions._listed(scope)(size) for size in (1, 8)}
    return PreparedSizes(statements.__getitem__)


def _owned(user_id: str) -> ColumnElement[bool]:
    return ObjectRow.owner == user_id


def _not_revoked(now: float, *, used: bool = False) -> ColumnElement[bool]:
    return Grant.revoked_at.is_(None)


def _only_live(now: float, *, used: bool = False) -> ColumnElement[bool]:
    return liveness.live(now)


def _unnamed(viewer: Viewer, dataset: datasets.DatasetColumns) -> ColumnElement[bool]:
    return datasets.found_by_every_user(dataset) if not viewer.manager else true()


def _readers_too(viewer: Viewer) -> ColumnElement[bool]:
    return conditions.on_a_list(viewer, "search", "read")


MUTANTS: Sequence[tuple[str, Callable[[], object]]] = [
    ("grid.access.decision.decide", lambda: _any_source),
    ("grid.access.decision.live", lambda: _only_live),
    ("grid.access.liveness.live", lambda: _not_revoked),
    ("grid.access.rule.is_live", lambda: lambda grant, now, used: True),
    ("grid.access.conditions.searchable", lambda: _readers_too),
    ("grid.access.conditions.governed", lambda: _owned),
    ("grid.access.decision.governed", lambda: _owned),
    ("grid.access.conditions._LISTED", lambda: _prepared_of("compute")),
    ("grid.access.conditions._LISTED", lambda: _prepared_of("compute", "read", "search")),
    ("grid.catalogue.visibility.found_by", lambda: _unnamed),
]


@pytest.mark.parametrize(("name", "mutant"), MUTANTS)
def test_a_way_that_is_changed_is_found_out(
    sqlite_stage: Stage, name: str, mutant: Callable[[], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(name, mutant())
    quick = settings(BOUNDED, max_examples=200, phases=[Phase.generate])
    try:
        find(CASES, lambda case: any(sqlite_stage.disagreements(*case)), settings=quick)
    except NoSuchExample:
        pytest.fail(f"nobody noticed that {name} was changed")


def test_the_ladder_is_where_all_of_them_look(sqlite_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    """A scope that changes its lists in the one table changes them everywhere."""
    changed = {**LADDER, "compute": LADDER["read"]}
    for module in (rule, conditions, tests.access.stage):
        monkeypatch.setattr(module, "LADDER", changed)
    monkeypatch.setattr(conditions, "_LISTED", {scope: _built(scope) for scope in changed})

    @settings(BOUNDED, max_examples=10)
    @given(CASES)
    def check(case: Any) -> None:
        assert list(sqlite_stage.disagreements(*case)) == []

    check()
