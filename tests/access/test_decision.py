"""The access rules against an independent model: random lists, groups, grants, derived objects, deletions."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete, insert

from grid import schema
from grid.access.decision import Scope, allowed
from grid.access.tables import Grant, ObjectSource
from grid.access.viewer import Viewer
from grid.storage.objects.tables import BlobRow, ObjectPermission, ObjectRow
from grid.storage.sql.database import Database

NOW, USER, GROUP, OTHER = 1000.0, "a" * 32, "group:" + "b" * 32, "c" * 32
VIEWER = Viewer(USER, frozenset({"*", USER, GROUP}))
OBJECTS = [f"{n:032x}" for n in range(5)]  # 0–2 were put there, 3 and 4 may be derived
LISTS = ("search", "statistics", "compute", "read")


@dataclass(frozen=True)
class Given:
    """A grant, with what makes it worth something or not."""

    object: int
    scope: str
    mine: bool
    expires_at: float | None
    uses: int | None
    cap: int | None
    revoked: bool

    def counts(self, size: int) -> bool:
        alive = not self.revoked and (self.expires_at is None or self.expires_at > NOW) and self.uses != 0
        return self.mine and alive and (self.cap is None or self.cap >= size)


GRANTS = st.builds(
    Given,
    object=st.integers(0, 4),
    scope=st.sampled_from(("statistics", "compute", "read")),
    mine=st.booleans(),
    expires_at=st.sampled_from((None, NOW - 1, NOW, NOW + 1)),
    uses=st.sampled_from((None, 0, 1)),
    cap=st.sampled_from((None, 5, 10)),
    revoked=st.booleans(),
)
LISTED = st.sets(
    st.tuples(st.integers(0, 4), st.sampled_from(LISTS), st.sampled_from(("*", USER, GROUP, OTHER)))
)
SOURCES = st.sets(st.tuples(st.sampled_from((3, 4)), st.integers(0, 2)))

#: What each list or grant is good for, said here once more and in another form.
GOOD_FOR = {
    "search": {"find"},
    "statistics": {"find", "statistics"},
    "compute": {"find", "compute"},
    "read": {"find", "statistics", "compute", "read"},
}


def model(
    scope: str,
    listed: set[tuple[int, str, str]],
    grants: list[Given],
    sources: set[tuple[int, int]],
    gone: set[int],
    size: int,
) -> set[int]:
    """Objects on which the viewer may do this."""

    def itself(number: int, wanted: str, size: int) -> bool:
        if number in gone:
            return False
        by_list = any(n == number and who != OTHER and wanted in GOOD_FOR[name] for n, name, who in listed)
        return by_list or any(
            g.object == number and wanted in GOOD_FOR[g.scope] and g.counts(size) for g in grants
        )

    may = set()
    for number in range(5):
        made_from = {source for derived, source in sources if derived == number}
        needed = (
            "read" if scope == "statistics" else scope
        )  # aggregates of what they chose to compute tell rows
        inherited = made_from and all(itself(source, needed, size) for source in made_from)
        if itself(number, scope, size) or (inherited and scope != "find" and itself(number, "find", 0)):
            may.add(number)
    return may


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    path: Path = tmp_path_factory.mktemp("access") / "node.db"
    db = Database(f"sqlite:///{path}")
    schema.upgrade(db)
    with db.transaction() as session:
        session.add(BlobRow(digest="d" * 64, size=0))
    yield db
    db.close()


@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(
    listed=LISTED,
    grants=st.lists(GRANTS, max_size=6),
    sources=SOURCES,
    gone=st.sets(st.integers(0, 4), max_size=2),
    scope=st.sampled_from(("find", "statistics", "compute", "read")),
    size=st.sampled_from((0, 5, 7, 11)),
)
def test_the_rules_are_those_of_the_model(
    db: Database,
    listed: set[tuple[int, str, str]],
    grants: list[Given],
    sources: set[tuple[int, int]],
    gone: set[int],
    scope: Scope,
    size: int,
) -> None:
    with db.transaction() as session:
        for table in (ObjectSource, ObjectPermission, Grant, ObjectRow):
            session.execute(delete(table))
        for number in set(range(5)) - gone:
            session.add(
                ObjectRow(id=OBJECTS[number], kind="bytes", blob_digest="d" * 64, size=0, description="",
                          search_text="", owner=OTHER, created_at=0.0)
            )  # fmt: skip
        session.flush()
        for number, name, who in listed:
            if number not in gone:
                row = {"object_id": OBJECTS[number], "scope": name, "verify_key": who}
                session.execute(insert(ObjectPermission).values(row))
        for derived, source in sources:
            if derived not in gone:
                session.add(ObjectSource(object_id=OBJECTS[derived], source_id=OBJECTS[source]))
        for index, grant in enumerate(grants):
            session.add(
                Grant(id=f"{index:032x}", scope=grant.scope, user_id=USER if grant.mine else OTHER,
                      object_id=OBJECTS[grant.object], granted_by=OTHER, created_at=0.0,
                      expires_at=grant.expires_at, uses_left=grant.uses, max_output_bytes=grant.cap,
                      revoked_at=1.0 if grant.revoked else None)
            )  # fmt: skip
        session.flush()
        found = allowed(session, VIEWER, scope, OBJECTS, now=NOW, output_bytes=size)
    kept = {(d, s) for d, s in sources if d not in gone}
    assert {OBJECTS.index(each) for each in found} == model(scope, listed, grants, kept, gone, size)
