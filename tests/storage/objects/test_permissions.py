from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from syft_ext.errors import BadRequest
from syft_ext.ids import new_id
from syft_ext.store import VERIFYALL, ObjectInfo, StorableObject, allows, intersect_permissions

A, B, C = "a" * 64, "b" * 64, "c" * 64
KEYS = st.frozensets(st.sampled_from([A, B, C, VERIFYALL]))


def obj(
    read: frozenset[str], search: frozenset[str] = frozenset(), owner: str | None = None
) -> StorableObject:
    return StorableObject(id=new_id(), data=1, read_permissions=read, search_permissions=search, owner=owner)


@given(st.lists(st.tuples(KEYS, KEYS), min_size=1, max_size=4))
def test_a_derived_object_is_for_those_who_have_every_source(
    sources: list[tuple[frozenset[str], frozenset[str]]],
) -> None:
    derived = intersect_permissions([obj(read, search) for read, search in sources])
    for key in (A, B, C, "d" * 64):
        assert allows(derived.read_permissions, key) == all(allows(read, key) for read, _ in sources)
        assert allows(derived.search_permissions, key) == all(allows(search, key) for _, search in sources)


def test_containers_count_as_their_members() -> None:
    public, private = obj(frozenset({VERIFYALL})), obj(frozenset({A}))
    nested = [public, {"x": (private, [public])}]
    assert intersect_permissions(nested).read_permissions == {A}
    assert intersect_permissions(public).read_permissions == {VERIFYALL}
    info = ObjectInfo(id=new_id(), kind="int", read_permissions=frozenset({B}))
    assert intersect_permissions([nested, info]).read_permissions == frozenset()


def test_what_is_derived_from_nothing_is_nobodys() -> None:
    for nothing in ([], {}, [[], ()]):
        derived = intersect_permissions(nothing)
        assert derived.read_permissions == derived.search_permissions == frozenset()


def test_an_owner_is_not_a_permission() -> None:
    assert (
        intersect_permissions([obj(frozenset(), owner=A), obj(frozenset({A}))]).read_permissions
        == frozenset()
    )


@pytest.mark.parametrize("key", ["", "a", "A" * 64, "g" * 64, "a" * 64 + "\n", "**"])
def test_what_is_no_key_is_refused(key: str) -> None:
    with pytest.raises(BadRequest):
        obj(frozenset({key}))
