"""Random people, data, permissions and questions: nobody is ever told what the rules do not let them know.

The rules are written down here a second time, in plain Python over plain data; the node must agree.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from sqlalchemy import delete

from grid.catalogue.published_index import changed
from grid.catalogue.tables import DatasetRow
from grid.node import Context, Principal
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import Forbidden, NotFound
from syft_ext.messages.accounts import CreateGroup, CreateRole, CreateUser, Login
from syft_ext.messages.datasets import (
    Asset,
    Column,
    CreateDataset,
    GetDataset,
    GetMock,
    ListDatasets,
    PublishStatistics,
    SearchPublished,
    SearchQuery,
    UpdateAsset,
)
from syft_ext.messages.objects import DescribeObject, GetObject, ListObjects, PutObject
from syft_ext.sources.frames import content_of
from syft_ext.transport import PayloadReader
from tests.accounts.people import PASSWORD, House

FIELDS = ["description", "tags", "assets", "schema", "size", "mock", "owner", "subjects", "versions"]
#: Who asks: two uploaders, a plain user in a group, a manager, and an associated Network.
ASKERS = ["una", "udo", "ann", "max", "network"]
OWNERS = ["una", "udo"]


@dataclass(frozen=True)
class DatasetSpec:
    owner: str
    visibility: str
    published: frozenset[str]
    viewers: frozenset[str]
    tags: tuple[str, ...]
    has_mock: bool
    ticked: bool
    versions: int


@dataclass(frozen=True)
class ObjectSpec:
    owner: str
    readers: frozenset[str]
    finders: frozenset[str]


#: "group" is the group that Ann is in, "others" one that Ann is not in.
_subjects = st.frozensets(st.sampled_from(["ann", "udo", "group", "others"]), max_size=3)
_datasets = st.builds(
    DatasetSpec,
    owner=st.sampled_from(OWNERS),
    visibility=st.sampled_from(["public", "users", "private"]),
    published=st.frozensets(st.sampled_from(FIELDS)),
    viewers=_subjects,
    tags=st.lists(st.sampled_from(["tagred", "tagblue"]), unique=True).map(tuple),
    has_mock=st.booleans(),
    ticked=st.booleans(),
    versions=st.integers(1, 2),
)
_objects = st.builds(
    ObjectSpec,
    owner=st.sampled_from(OWNERS),
    readers=_subjects,
    finders=st.one_of(_subjects, _subjects.map(lambda names: names | {"*"})),
)

#: Rarely drawn: all is published, and statistics were ticked before there was another version.
TWO_VERSIONS = DatasetSpec("una", "public", frozenset(FIELDS), frozenset(), (), False, True, 2)
EVERYTHING: dict[str, object] = {
    "text": "", "tags": [], "name": "", "kind": "", "columns": [],
    "min_rows": None, "max_rows": None, "min_bytes": None, "limit": 100,
}  # fmt: skip


@st.composite
def _questions(draw: st.DrawFn) -> dict[str, object]:
    number = draw(st.integers(0, 3))
    words = [
        f"describes{number}",
        f"asset{number}",
        f"column{number}",
        f"unit{number}",
        f"subjects{number}",
        f"word{number}",
        "tagred",
        "dataset",
        "",
        "ob",
    ]
    return {
        "text": draw(st.sampled_from(words)),
        "tags": draw(st.sampled_from([[], [], ["tagred"], ["tagred", "tagblue"]])),
        "name": draw(st.sampled_from(["", "", "", f"dataset{number}"])),
        "kind": draw(st.sampled_from(["", "dataset", "object", "model"])),
        "columns": draw(st.sampled_from([[], [], [], [f"COLUMN{number}"]])),
        "min_rows": draw(st.sampled_from([None, None, ROWS, ROWS + 1])),
        "max_rows": draw(st.sampled_from([None, None, ROWS, ROWS - 1])),
        "min_bytes": draw(st.sampled_from([None, None, None, 8 * ROWS, 1 << 20])),
        "limit": 100,
    }


#: Entries that every asset has, and what its only column holds: numbers that occur nowhere else.
ROWS = 23


def values(number: int) -> float:
    return 70_000.25 + number


def table(number: int, rows: int = ROWS) -> bytes:
    content = content_of({f"column{number}": np.full(rows, values(number))}, {}, "t")
    return b"".join(map(bytes, content.pieces()))


def mock_table(number: int) -> bytes:
    content = content_of({f"column{number}": np.full(2, 5.0 + number)}, {}, "t")
    return b"".join(map(bytes, content.pieces()))


@dataclass
class World:
    house: House
    people: dict[str, Principal]
    groups: dict[str, str]
    ids: dict[str, tuple[DatasetSpec | ObjectSpec, int]] = field(default_factory=dict)
    parts: dict[str, str] = field(default_factory=dict)  # objects inside datasets → their owner

    def subject(self, name: str) -> str:
        if name == "*":
            return name
        return f"group:{self.groups[name]}" if name in self.groups else self.people[name].id

    def ask(self, who: str, message: object) -> object:
        return self.house.node.dispatch(Context(self.people[who]), message)


def make_world(house: House) -> World:
    owner = house.set_up()
    owner.call(CreateRole(name="Uploader", can_upload_data=True))
    roles = {"una": "Uploader", "udo": "Uploader", "ann": "User", "max": "Administrator"}
    people = {"network": Principal("node", id="f" * 32)}
    for name, role in roles.items():
        owner.call(CreateUser(email=f"{name}@x.org", password=PASSWORD, role=role))
        token = house.call_in().call(Login(email=f"{name}@x.org", password=PASSWORD)).token
        people[name] = house.node.principal_of_token(token)
    groups = {
        "group": owner.call(CreateGroup(name="group", users=[people["ann"].id])).id,
        "others": owner.call(CreateGroup(name="others")).id,
    }
    return World(house, people, groups)


def fill(world: World, datasets: list[DatasetSpec], objects: list[ObjectSpec]) -> None:
    with world.house.node.db.transaction() as session:
        session.execute(delete(DatasetRow))
        session.execute(delete(ObjectRow))
        changed(session)
    world.ids.clear()
    world.parts.clear()

    def put(owner: str, content: bytes, **fields: object) -> str:
        context = Context(world.people[owner], PayloadReader.of(content))
        reply = world.house.node.dispatch(context, PutObject(**fields))
        return str(reply.id)

    for number, spec in enumerate(datasets):
        viewers = [world.subject(name) for name in spec.viewers]
        dataset_id, parts = register(
            number, spec, viewers, partial(put, spec.owner, kind="tensors"), partial(world.ask, spec.owner)
        )
        world.parts.update(dict.fromkeys(parts, spec.owner))
        world.ids[dataset_id] = (spec, number)
    for number, spec in enumerate(objects):
        object_id = put(
            spec.owner,
            b"object%d" % number,
            description=f"object{number}",
            readers=[world.subject(name) for name in spec.readers],
            finders=[world.subject(name) for name in spec.finders],
        )
        world.ids[object_id] = (spec, number)


def register(
    number: int,
    spec: DatasetSpec,
    viewers: list[str],
    put: Callable[[bytes], str],
    ask: Callable[[Any], Any],
) -> tuple[str, list[str]]:
    """A dataset as its owner registers it; its id, and those of the objects in it."""
    private = put(table(number, ROWS + 9 if spec.versions > 1 else ROWS))
    mock = put(mock_table(number)) if spec.has_mock else None
    column = Column(name=f"column{number}", unit=f"unit{number}", categories=[f"word{number}"])
    asset = Asset(name=f"asset{number}", object_id=private, mock_id=mock, columns=[column])
    message = CreateDataset(
        name=f"dataset{number}",
        description=f"describes{number}",
        tags=list(spec.tags),
        subjects=f"subjects{number}",
        assets=[asset],
        visibility=spec.visibility,
        published=list(spec.published),
        viewers=viewers,
    )
    dataset_id = str(ask(message).id)
    parts = [each for each in (private, mock) if each]
    if spec.ticked:
        ticks = {f"column{number}": ["mean"]}
        ask(PublishStatistics(dataset_id=dataset_id, asset=f"asset{number}", statistics=ticks))
    if spec.versions > 1:
        parts.append(put(table(number)))
        note = f"version of {number}"
        ask(UpdateAsset(dataset_id=dataset_id, asset=f"asset{number}", object_id=parts[-1], note=note))
    return dataset_id, parts


# -- the rules -----------------------------------------------------------------------------------------


def on_list(who: str, names: frozenset[str]) -> bool:
    return who in names or "*" in names or (who == "ann" and "group" in names)


def may_find(who: str, spec: DatasetSpec | ObjectSpec) -> bool:
    if isinstance(spec, ObjectSpec):
        return who == spec.owner or on_list(who, spec.finders)
    if who == "network":
        return spec.visibility == "public"
    return who in (spec.owner, "max") or spec.visibility != "private" or on_list(who, spec.viewers)


def fits(question: dict[str, object], spec: DatasetSpec | ObjectSpec, number: int) -> bool:
    if isinstance(spec, ObjectSpec):
        text, tags, name, kind = f"object{number}", set(), "", "object"
        rows, size = None, len(b"object%d" % number)
        if question["name"] or question["columns"]:
            return False
    else:
        shown = spec.published
        parts = [f"dataset{number}"]
        parts += [f"describes{number}"] if "description" in shown else []
        parts += list(spec.tags) if "tags" in shown else []
        parts += [f"asset{number}"] if "assets" in shown else []
        parts += [f"subjects{number}"] if "subjects" in shown else []
        schema = {"assets", "schema"} <= shown
        parts += [f"column{number}", f"unit{number}", f"word{number}"] if schema else []
        text, name, kind = "\n".join(parts), f"dataset{number}", "dataset"
        sized = {"assets", "size"} <= shown
        rows, size = (ROWS, len(table(number))) if sized else (None, None)
        if question["columns"] and not (schema and question["columns"] == [f"COLUMN{number}"]):
            return False
        tags = set(spec.tags) if "tags" in shown else set()
    return (
        str(question["text"]) in text
        and set(question["tags"]) <= tags
        and question["name"] in ("", name)
        and question["kind"] in ("", kind)
        and within(rows, question["min_rows"], question["max_rows"])
        and within(size, question["min_bytes"], None)
    )


def within(value: int | None, low: Any, high: Any) -> bool:
    if low is None and high is None:
        return True
    return value is not None and value >= (low or 0) and (high is None or value <= high)


def shows_statistics(spec: DatasetSpec) -> bool:
    # A new version has none until its owner ticks them again.
    return spec.ticked and spec.versions == 1 and {"assets", "schema"} <= spec.published


def secrets(who: str, spec: DatasetSpec, number: int) -> list[str]:
    """What ``who`` must not read anywhere in an answer about this dataset."""
    if who in (spec.owner, "max"):
        return []
    hidden = {
        "description": [f"describes{number}"],
        "tags": list(spec.tags),
        "assets": [f"asset{number}", f"column{number}", f"unit{number}", f"version of {number}"],
        "schema": [f"column{number}", f"unit{number}", f"word{number}"],
        "owner": [f"{spec.owner}@x.org"],
        "subjects": [f"subjects{number}"],
        "versions": [f"version of {number}"],
        "size": [f'"rows":{ROWS}', f'"rows":{ROWS + 9}', f'"size":{len(table(number))}'],
    }
    found = [word for name, words in hidden.items() if name not in spec.published for word in words]
    return found if shows_statistics(spec) else [*found, str(values(number))]


# -- the property --------------------------------------------------------------------------------------


def check_search(world: World, who: str, question: dict[str, object]) -> None:
    if who == "network":
        kind = question["kind"]
        rest = {name: value for name, value in question.items() if name != "kind"}
        message: object = SearchPublished(**rest, kinds=[kind] if kind else [])
    else:
        message = SearchQuery(**question)
    entries = world.ask(who, message).entries
    expected = {
        key for key, (spec, n) in world.ids.items() if may_find(who, spec) and fits(question, spec, n)
    }
    parts = {entry.id for entry in entries if entry.id in world.parts}
    assert all(world.parts[part] == who for part in parts)
    assert {entry.id for entry in entries} - parts == expected
    for entry in entries:
        if entry.id in parts:
            continue
        spec, number = world.ids[entry.id]
        if isinstance(spec, DatasetSpec):
            told = msgspec.json.encode(entry).decode()
            assert (str(values(number)) in told) == shows_statistics(spec)
            # What search tells is published, to whomever: managers and owners too.
            assert not [word for word in secrets("nobody", spec, number) if word in told]


def check_dataset(world: World, who: str, key: str) -> None:
    spec, number = world.ids[key]
    assert isinstance(spec, DatasetSpec)
    try:
        view = world.ask(who, GetDataset(dataset_id=key))
    except NotFound:
        assert not may_find(who, spec)
    else:
        assert may_find(who, spec)
        told = msgspec.json.encode(view).decode()
        assert not [word for word in secrets(who, spec, number) if word in told]
        mine = who in (spec.owner, "max")
        if view.assets:
            assert (view.assets[0].size is not None) == (mine or "size" in spec.published)
            assert view.assets[0].has_mock == (spec.has_mock and (mine or "mock" in spec.published))
    shown = who in (spec.owner, "max") or {"assets", "mock"} <= spec.published
    expected = may_find(who, spec) and spec.has_mock and shown
    try:
        answer = world.ask(who, GetMock(dataset_id=key, asset=f"asset{number}"))
    except NotFound:
        assert not expected
    else:
        assert expected
        assert b"".join(answer.chunks(0, answer.size)) == mock_table(number)


def check_object(world: World, who: str, key: str) -> None:
    spec, number = world.ids[key]
    assert isinstance(spec, ObjectSpec)
    readable = who == spec.owner or on_list(who, spec.readers)
    known = readable or may_find(who, spec) or who == "max"
    try:
        view = world.ask(who, DescribeObject(object_id=key))
    except NotFound:
        assert not known
    else:
        assert known
        assert view.may_read == readable
        assert bool(view.readers) == (who in (spec.owner, "max"))
    try:
        answer = world.ask(who, GetObject(object_id=key))
    except Forbidden:
        assert known and not readable
    except NotFound:
        assert not known
    else:
        assert readable
        assert b"".join(answer.chunks(0, answer.size)) == b"object%d" % number


def test_nobody_is_told_what_they_may_not_know(house: House) -> None:
    world = make_world(house)

    @settings(
        max_examples=20 if house.node.db.dialect == "sqlite" else 8,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(
        st.lists(_datasets, min_size=1, max_size=3),
        st.lists(_objects, max_size=2),
        st.lists(_questions(), min_size=2, max_size=4),
    )
    @example([TWO_VERSIONS], [], [EVERYTHING])
    def property_holds(
        datasets: list[DatasetSpec], objects: list[ObjectSpec], questions: list[dict[str, object]]
    ) -> None:
        fill(world, datasets, objects)
        for who in ASKERS:
            for question in questions:
                check_search(world, who, question)
            if who == "network":
                continue
            specs = {key: spec for key, (spec, _) in world.ids.items()}
            findable = {key for key, spec in specs.items() if may_find(who, spec)}
            datasets_of = {key for key, spec in specs.items() if isinstance(spec, DatasetSpec)}
            assert {view.id for view in world.ask(who, ListDatasets()).datasets} == findable & datasets_of
            found = {view.id for view in world.ask(who, ListObjects()).objects} & set(specs)
            assert found == (set(specs) if who == "max" else findable) - datasets_of
            for key, spec in specs.items():
                (check_dataset if isinstance(spec, DatasetSpec) else check_object)(world, who, key)

    property_holds()


def test_private_objects_of_datasets_are_nobody_elses(house: House) -> None:
    world = make_world(house)
    spec = DatasetSpec("una", "public", frozenset(FIELDS), frozenset(), (), True, True, 1)
    fill(world, [spec], [])
    (key,) = world.ids
    object_id = world.ask("ann", GetDataset(dataset_id=key)).assets[0].object_id
    for who in ("udo", "ann"):
        # Both are shown the asset: they are told to ask for it, and nothing else of it.
        with pytest.raises(Forbidden, match=r"you may see this, not read it; ask"):
            world.ask(who, GetObject(object_id=object_id))
        with pytest.raises(NotFound):
            world.ask(who, DescribeObject(object_id=object_id))


def test_the_server_side_does_without_torch() -> None:
    import subprocess

    code = "import sys, grid.catalogue.service, grid.accounts.service; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
