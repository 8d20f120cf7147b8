"""One contract, three stores: memory, disk on SQLite, disk on PostgreSQL."""

from __future__ import annotations

import itertools
import math
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from grid.storage.blobs.files import FileBlobStore
from grid.storage.objects.store import DiskObjectStore
from grid.storage.sql.database import Database
from syft_ext.encrypted.forms import Form
from syft_ext.encrypted.frames import frame
from syft_ext.errors import BadRequest, InvalidTensors, NotFound, TooLarge
from syft_ext.ids import new_id
from syft_ext.store import VERIFYALL, MemoryStore, ObjectInfo, ObjectStore, StorableObject
from syft_ext.store.content import encode
from syft_ext.tensors import encode_tensors

ALICE, BOB = "a" * 64, "b" * 64


@pytest.fixture(
    params=["memory", "sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)],
)
def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[], ObjectStore]]:
    """Opens the store as after a restart; the memory store is the same one."""
    if request.param == "memory":
        memory = MemoryStore()
        yield lambda: memory
        return
    url = request.getfixturevalue(f"{request.param}_url")
    opened: list[Database] = []

    def open_store() -> ObjectStore:
        opened.append(Database(url))
        return DiskObjectStore(opened[-1], FileBlobStore(tmp_path / "blobs"))

    yield open_store
    for db in opened:
        db.close()


@pytest.fixture
def store(reopen: Callable[[], ObjectStore]) -> ObjectStore:
    return reopen()


def obj(data: object = 1, **fields: object) -> StorableObject:
    return StorableObject(id=new_id(), data=data, **fields)  # type: ignore[arg-type]


VALUES = [
    torch.arange(6.0).reshape(2, 3),
    torch.tensor(3, dtype=torch.int64),
    torch.empty(0, 4),
    torch.randn(3, 5).to(torch.bfloat16).t(),
    torch.tensor([True, False]),
    {"b": torch.ones(2), "a": torch.zeros(2, 2, dtype=torch.int8), "": torch.ones(1)},
    {},
    [torch.ones(1), torch.zeros(2), *(torch.full((1,), i) for i in range(10))],
    [],
    True,
    False,
    0,
    -1,
    128,
    2**200,
    -(2**63),
    1.5,
    -0.0,
    math.inf,
    math.nan,
    "",
    "coração ❤",
    b"",
    b"\x00\xff" * 5000,
]


def same(one: object, other: object) -> bool:
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return one.dtype == other.dtype and one.shape == other.shape and bool((one == other).all())
    if isinstance(one, dict) and isinstance(other, dict):
        return list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, float) and math.isnan(one):
        return isinstance(other, float) and math.isnan(other)
    return type(one) is type(other) and repr(one) == repr(other)


def test_every_kind_comes_back_after_a_restart(reopen: Callable[[], ObjectStore]) -> None:
    originals = [obj(value) for value in VALUES]
    store = reopen()
    for original in originals:
        store[original.id] = original
    store = reopen()
    for original in originals:
        found = store[original.id]
        assert same(found.data, original.data)
        assert (found.kind, found.dtype, found.shape) == (original.kind, original.dtype, original.shape)


def test_all_fields_come_back(reopen: Callable[[], ObjectStore]) -> None:
    original = StorableObject(
        id=new_id(),
        data=b"a plan",
        kind="plan",
        description="what it is",
        tags=("#one", "two", "#one"),
        read_permissions=frozenset({ALICE, BOB}),
        search_permissions=frozenset({VERIFYALL}),
        owner=ALICE,
        created_at=1234.5678901234,
    )
    reopen().put(original)
    found = reopen()[original.id]
    for name in ("kind", "data", "description", "tags", "owner", "created_at"):
        assert getattr(found, name) == getattr(original, name)
    assert found.read_permissions == {ALICE, BOB}
    assert found.search_permissions == {VERIFYALL}
    assert reopen().info(original.id) == original.info()


def test_it_behaves_like_a_mapping(store: ObjectStore) -> None:
    objects = [obj(i) for i in range(5)]
    for each in objects:
        store[each.id] = each
    assert len(store) == 5
    assert list(store.keys()) == list(store) == sorted(each.id for each in objects)
    assert objects[0].id in store and new_id() not in store and "../etc" not in store
    del store[objects[0].id]
    assert objects[0].id not in store and len(store) == 4
    assert store.get_object(objects[0].id) is None
    store.clear()
    assert len(store) == 0


def test_what_is_missing_is_not_found(store: ObjectStore) -> None:
    for call in (
        lambda key: store[key],
        lambda key: store.info(key),
        lambda key: store.open(key),
        lambda key: store.describe(key, description="x"),
        lambda key: store.grant(key, ALICE, read=True),
        lambda key: store.revoke(key, ALICE, read=True),
        lambda key: store.__delitem__(key),
    ):
        with pytest.raises(NotFound):
            call(new_id())
        with pytest.raises(BadRequest):
            call("../../etc/passwd")


def test_an_object_is_stored_under_its_own_id(store: ObjectStore) -> None:
    with pytest.raises(BadRequest):
        store[new_id()] = obj()
    assert len(store) == 0


def test_put_replaces_everything(store: ObjectStore) -> None:
    first = obj(1, tags=["a", "b"], description="old", read_permissions=[ALICE], search_permissions=[BOB])
    store.put(first)
    second = StorableObject(id=first.id, data="two", tags=("c",))
    store.put(second)
    assert store.info(first.id) == second.info() and store[first.id].data == "two"
    assert store.search("old") == [] and len(store) == 1


def test_the_store_shares_no_memory_with_its_users(store: ObjectStore) -> None:
    tensor = torch.zeros(3)
    original = obj({"x": tensor})
    store.put(original)
    tensor.add_(1)
    read = store[original.id].data
    assert isinstance(read, dict) and read["x"].tolist() == [0, 0, 0]
    read["x"].add_(5)  # must neither crash (read-only pages) nor be seen
    again = store[original.id].data
    assert isinstance(again, dict) and again["x"].tolist() == [0, 0, 0]


def test_equal_contents_are_independent_objects(store: ObjectStore) -> None:
    one, two = obj(torch.ones(100)), obj(torch.ones(100))
    store.put(one)
    store.put(two)
    del store[one.id]
    assert same(store[two.id].data, two.data)


def test_search(store: ObjectStore) -> None:
    old = obj(1, description="Diagnóstico de mama", tags=["#cancer", "Wisconsin"], created_at=1.0)
    new = obj("x", description="100% digits_ of MNIST", tags=["#digits"], created_at=2.0)
    for each in (old, new):
        store.put(each)

    def found(*args: object, **kwargs: object) -> list[str]:
        return [info.id for info in store.search(*args, **kwargs)]  # type: ignore[arg-type]

    assert found() == [new.id, old.id]
    assert found(limit=1) == [new.id] and found(limit=1, offset=1) == [old.id]
    assert found("diagnostico") == found("MAMA wisconsin") == found(tags=["#cancer", "Wisconsin"]) == [old.id]
    assert found("100%") == found("S_ O") == found(kind="str") == [new.id]
    assert found("1%0") == found("digits__") == found(tags=["wisconsin"]) == []
    assert found(tags=["#cancer", "#digits"]) == found("mama mnist") == []


def test_search_is_limited_by_permissions(store: ObjectStore) -> None:
    hidden = obj(read_permissions=[BOB, VERIFYALL])
    alices = obj(search_permissions=[ALICE])
    everybodys = obj(search_permissions=[VERIFYALL])
    for each in (hidden, alices, everybodys):
        store.put(each)

    def seen(key: str | None) -> set[str]:
        return {info.id for info in store.search(visible_to=key)}

    assert seen(ALICE) == {alices.id, everybodys.id}
    assert seen(BOB) == seen("") == {everybodys.id}
    assert seen(None) == {hidden.id, alices.id, everybodys.id}


def test_permissions_are_granted_and_revoked(reopen: Callable[[], ObjectStore]) -> None:
    original = obj(1)
    reopen().put(original)
    reopen().grant(original.id, ALICE, read=True)
    reopen().grant(original.id, ALICE, read=True, search=True)
    reopen().grant(original.id, VERIFYALL, search=True)
    info = reopen().info(original.id)
    assert info.read_permissions == {ALICE} and info.search_permissions == {ALICE, VERIFYALL}
    reopen().revoke(original.id, ALICE, search=True)
    reopen().revoke(original.id, BOB, read=True, search=True)
    info = reopen().info(original.id)
    assert info.read_permissions == {ALICE} and info.search_permissions == {VERIFYALL}
    assert reopen()[original.id].search_permissions == {VERIFYALL}
    with pytest.raises(BadRequest):
        reopen().grant(original.id, "not a key", read=True)


def test_describe_changes_what_search_finds(store: ObjectStore) -> None:
    original = obj(1, description="one", tags=["first"])
    store.put(original)
    store.describe(original.id, description="two")
    assert store.info(original.id).tags == ("first",)
    store.describe(original.id, tags=["second", "first"])
    assert store.info(original.id).description == "two"
    assert store[original.id].tags == ("second", "first")
    assert not store.search("one") and store.search("two SECOND")
    with pytest.raises(BadRequest):
        store.describe(original.id, tags=[""])


def test_content_can_be_streamed_in_and_out(store: ObjectStore) -> None:
    for value in VALUES:
        source = obj(value)
        content = b"".join(encode(source.data, source.kind))
        stated = ObjectInfo(id=source.id, kind=source.kind, created_at=source.created_at)
        info = store.put_stream(stated, (content[i : i + 7] for i in range(0, len(content), 7)))
        assert info == store.info(source.id) == source.info()
        assert same(store[source.id].data, source.data)
        with store.open(source.id) as file:
            assert file.read() == content


def test_content_that_is_not_of_its_kind_is_refused(store: ObjectStore) -> None:
    one, file = torch.ones(1), encode_tensors({"": torch.ones(4)})
    for kind, content in (
        ("tensor", b""),
        ("tensor", b"\xff" * 100),
        ("tensor", encode_tensors({"x": one})),
        ("tensor", file[:-1]),
        ("tensor", file + b"\0"),
        ("list", encode_tensors({"0": one, "2": one})),
        ("list", encode_tensors({"1": one, "0": one})),
        ("int", b""),
        ("float", b"1.0"),
        ("bool", b"\2"),
        ("str", b"\xff"),
    ):
        info = ObjectInfo(id=new_id(), kind=kind)
        with pytest.raises((BadRequest, TooLarge)):
            store.put_stream(info, [content])
        assert info.id not in store and len(store) == 0


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"data": None}, BadRequest),
        ({"data": object()}, BadRequest),
        ({"data": {"x": 1}}, BadRequest),
        ({"data": [1, 2]}, BadRequest),
        ({"data": "\ud800"}, BadRequest),
        ({"data": {"__metadata__": torch.ones(1)}}, InvalidTensors),
        ({"data": torch.ones(2).to_sparse()}, InvalidTensors),
        ({"data": torch.ones(2, dtype=torch.complex64)}, InvalidTensors),
        ({"data": torch.ones(2, device="meta")}, InvalidTensors),
        ({"data": {"x" * (17 << 20): torch.ones(1)}}, TooLarge),
        ({"kind": "pickle"}, BadRequest),
        ({"kind": "plan"}, BadRequest),
        ({"id": "../x"}, BadRequest),
        ({"tags": [""]}, BadRequest),
        ({"tags": ["x"] * 65}, BadRequest),
        ({"tags": ["x" * 257]}, BadRequest),
        ({"tags": ["a\0b"]}, BadRequest),
        ({"description": "\udc80"}, BadRequest),
        ({"description": "x" * 70000}, BadRequest),
        ({"read_permissions": ["A" * 64]}, BadRequest),
        ({"search_permissions": ["**"]}, BadRequest),
        ({"owner": "x" * 65}, BadRequest),
    ],
)
def test_what_cannot_be_stored_is_refused_at_once(fields: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        StorableObject(**{"id": new_id(), "data": 1} | fields)  # type: ignore[arg-type]


def test_tensors_are_detached(store: ObjectStore) -> None:
    parameter = torch.nn.Parameter(torch.ones(2))
    original = obj(parameter * 2)
    store.put(original)
    found = store[original.id].data
    assert isinstance(found, torch.Tensor) and not found.requires_grad and found.tolist() == [2, 2]


def test_concurrent_writers_and_readers_see_whole_objects(store: ObjectStore) -> None:
    key = new_id()
    versions = [
        StorableObject(id=key, data=torch.full((1000,), float(i)), tags=(str(i),), description=str(i))
        for i in range(4)
    ]
    store.put(versions[0])
    errors: list[BaseException] = []

    def write(version: StorableObject) -> None:
        try:
            for _ in range(8):
                store.put(version)
        except BaseException as error:
            errors.append(error)

    def read() -> None:
        try:
            for _ in range(30):
                found = store[key]
                assert isinstance(found.data, torch.Tensor)
                assert found.data.unique().tolist() == [float(found.description)]
                assert found.tags == (found.description,)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=write, args=(v,)) for v in versions]
    threads += [threading.Thread(target=read) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_unknown_fields_of_info_are_found_from_the_content(store: ObjectStore) -> None:
    content = encode_tensors({"": torch.ones(2, 3)})
    claimed = ObjectInfo(id=new_id(), kind="tensor", size=1, dtype="int8", shape=(9,))
    found = store.put_stream(claimed, [content])
    assert (found.size, found.dtype, found.shape) == (len(content), "float32", (2, 3))
    assert replace(claimed, size=found.size, dtype="float32", shape=(2, 3)) == store.info(claimed.id)


def test_a_large_encrypted_value_is_looked_through_piece_by_piece(sqlite_url: str, tmp_path: Path) -> None:
    form = Form(
        layout="vector", parameters="add4096", context="0" * 64, shape=[2048 * 400], bound=1.0
    ).check()
    database = Database(sqlite_url)
    store = DiskObjectStore(database, FileBlobStore(tmp_path / "blobs"))
    info = ObjectInfo(id=new_id(), kind="he.ckks", description="")
    tracemalloc.start()
    try:
        kept = store.put_stream(info, frame(form, itertools.repeat(b"", form.ciphertexts)))
        assert tracemalloc.get_traced_memory()[1] < kept.size / 4
    finally:
        tracemalloc.stop()
        database.close()
