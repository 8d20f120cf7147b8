from __future__ import annotations

from pathlib import Path

import msgspec
import pytest
from sqlalchemy import insert

from grid.catalogue.search import offer
from grid.federated.searchable import ModelSearch
from grid.federated.state.tables import Checkpoint, TrainingProcess
from grid.node import Context, Principal
from grid.storage.objects.tables import ObjectRow
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound, Unauthenticated
from syft_ext.messages.accounts import CreateGroup, DeleteUser
from syft_ext.messages.datasets import (
    Asset,
    Column,
    CreateDataset,
    DatasetView,
    DeleteDataset,
    GetDataset,
    GetMock,
    ListDatasets,
    SearchEntry,
    SearchPublished,
    SearchQuery,
    UpdateDataset,
)
from syft_ext.messages.objects import DeleteObject, DescribeObject, GetObject, PutObject
from syft_ext.messages.vocabulary import PUBLISHED
from syft_ext.transport import Connection
from tests.accounts.people import House
from tests.open_site import open_site

NETWORK = Principal("node", id="f" * 32, verify_key="e" * 64, name="a network")


def put(connection: Connection, content: bytes, **fields: object) -> str:
    return str(connection.call(PutObject(**fields), [content]).id)


def wards(connection: Connection, **fields: object) -> DatasetView:
    """A dataset with one asset that has a mock."""
    private, mock = put(connection, b"the private rows"), put(connection, b"the mock rows")
    values: dict[str, object] = {
        "name": "wards",
        "description": "Patients of Énergie clinic",
        "tags": ["#oncology"],
        "assets": [
            Asset(
                name="patients",
                object_id=private,
                mock_id=mock,
                description="one row each",
                columns=[Column(name="age", dtype="float32", unit="years"), Column(name="tumour", shape=[3])],
            )
        ],
    }
    view: DatasetView = connection.call(CreateDataset(**{**values, **fields}))
    return view


def found(house: House, connection: Connection, **query: object) -> list[str]:
    entries: list[SearchEntry] = connection.call(SearchQuery(**query)).entries
    return [entry.name for entry in entries if entry.kind == "dataset"]


def published(house: House, kind: str = "", **query: object) -> list[SearchEntry]:
    query["kinds"] = [kind] if kind else []
    reply = house.node.dispatch(Context(NETWORK), SearchPublished(**query))
    entries: list[SearchEntry] = reply.entries
    return entries


def test_a_dataset_is_found_and_its_mock_fetched_but_not_its_data(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    view = wards(owner)
    seen = ann.call(GetDataset(dataset_id=view.id))
    asset = seen.assets[0]
    assert (asset.name, asset.has_mock, asset.size) == ("patients", True, len(b"the private rows"))
    assert [column.name for column in asset.columns] == ["age", "tumour"]
    assert (seen.visibility, seen.published, seen.viewers, seen.owner) == ("", [], [], "")
    reply, data = ann.download(GetMock(dataset_id=view.id, asset="patients"))
    assert (bytes(data), reply.size) == (b"the mock rows", 13)
    with pytest.raises(Forbidden, match="you may see this, not read it"):
        ann.call(GetObject(object_id=asset.object_id))
    with pytest.raises(NotFound):
        ann.call(DescribeObject(object_id=asset.object_id))
    with pytest.raises(NotFound):
        ann.call(GetMock(dataset_id=view.id, asset="nothing"))
    with pytest.raises(Unauthenticated):
        house.call_in().call(GetMock(dataset_id=view.id, asset="patients"))


QUERIES = [
    {"text": "energie"},
    {"text": "PATIENTS clinic"},
    {"text": "tumour years"},
    {"text": "one row"},
    {"text": "onco"},
    {"tags": ["#oncology"]},
    {"name": "wards"},
    {"kind": "dataset"},
    {},
]


def test_search_by_text_tag_column_name_and_kind(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    wards(owner)
    for query in QUERIES:
        assert found(house, ann, **query) == ["wards"], query
        assert [entry.name for entry in published(house, **query)] == ["wards"], query


OTHER_QUERIES = [
    {"text": "cardiology"},
    {"tags": ["oncology"]},
    {"name": "ward"},
    {"kind": "model"},
    {"text": "%"},
]


def test_search_finds_nothing_else(house: House) -> None:
    owner = house.set_up()
    wards(owner)
    for query in OTHER_QUERIES:
        assert found(house, owner, **query) == [], query


@pytest.mark.parametrize(
    ("visibility", "users", "network"),
    [("public", True, True), ("users", True, False), ("private", False, False)],
)
def test_visibility(house: House, visibility: str, users: bool, network: bool) -> None:
    owner = house.set_up()
    ann, ann_view = house.add_user(owner, "ann@x.org")
    view = wards(owner, visibility=visibility)
    assert (found(house, ann) == ["wards"]) is users
    assert bool(ann.call(ListDatasets()).datasets) is users
    assert bool(published(house)) is network
    if not users:
        for refused in (
            GetDataset(dataset_id=view.id),
            GetMock(dataset_id=view.id, asset="patients"),
            UpdateDataset(dataset_id=view.id, name="mine"),
            DeleteDataset(dataset_id=view.id),
        ):
            with pytest.raises(NotFound, match=r"^there is no such dataset$"):
                ann.call(refused)
        group = owner.call(CreateGroup(name="oncology", users=[ann_view.id]))
        owner.call(UpdateDataset(dataset_id=view.id, viewers=[f"group:{group.id}"]))
        assert found(house, ann) == ["wards"]
        assert ann.call(GetDataset(dataset_id=view.id)).name == "wards"
        assert published(house) == []


def test_what_is_not_published_is_neither_shown_nor_found_out(house: House) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    view = wards(owner, published=[])
    seen = ann.call(GetDataset(dataset_id=view.id))
    assert (seen.description, seen.tags, seen.assets) == ("", [], [])
    with pytest.raises(NotFound):
        ann.call(GetMock(dataset_id=view.id, asset="patients"))
    for query in ({"text": "patients"}, {"text": "age"}, {"text": "oncology"}, {"tags": ["#oncology"]}):
        assert found(house, ann, **query) == []
        assert found(house, owner, **query) == []  # also for the owner: search knows what is published
    assert found(house, ann, text="ward") == ["wards"]
    owner.call(UpdateDataset(dataset_id=view.id, published=["assets"]))
    asset = ann.call(GetDataset(dataset_id=view.id)).assets[0]
    assert (asset.columns, asset.size, asset.shape, asset.dtype, asset.has_mock) == (
        [],
        None,
        None,
        None,
        False,
    )
    assert found(house, ann, text="patients") == ["wards"]
    assert found(house, ann, text="tumour") == []
    owner.call(UpdateDataset(dataset_id=view.id, published=[*PUBLISHED, "owner"]))
    assert ann.call(GetDataset(dataset_id=view.id)).owner == "owner@hospital.org"
    assert published(house)[0].details["owner"] == "owner@hospital.org"
    assert found(house, ann, tags=["#oncology"], text="tumour") == ["wards"]


def test_an_update_is_what_search_finds(house: House) -> None:
    owner = house.set_up()
    view = wards(owner)
    changed = owner.call(UpdateDataset(dataset_id=view.id, name="clinics", description="", tags=["#heart"]))
    assert (changed.name, changed.assets) == ("clinics", view.assets)
    assert found(house, owner, text="energie") == []
    assert found(house, owner, tags=["#oncology"]) == []
    assert found(house, owner, tags=["#heart"], name="clinics") == ["clinics"]


def test_only_the_owner_and_managers_change_a_dataset(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    ann, _ = house.add_user(owner, "ann@x.org")
    view = wards(owner)
    for refused in (UpdateDataset(dataset_id=view.id, name="mine"), DeleteDataset(dataset_id=view.id)):
        with pytest.raises(Forbidden):
            ann.call(refused)
    with pytest.raises(Forbidden, match="can_upload_data"):
        ann.call(CreateDataset(name="mine"))
    assert admin.call(UpdateDataset(dataset_id=view.id, description="checked")).description == "checked"
    admin.call(DeleteDataset(dataset_id=view.id))
    with pytest.raises(NotFound):
        owner.call(GetDataset(dataset_id=view.id))


def test_nobody_publishes_what_is_not_theirs(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    theirs, mine = put(owner, b"secret", searchable=True), put(admin, b"mine")
    for asset in (
        Asset(name="a", object_id=theirs),
        Asset(name="a", object_id=mine, mock_id=theirs),
        Asset(name="a", object_id="0" * 32),
    ):
        with pytest.raises(NotFound):
            admin.call(CreateDataset(name="stolen", assets=[asset]))
    view = wards(owner)
    with pytest.raises(Forbidden):  # a manager cannot slip an object in either
        admin.call(UpdateDataset(dataset_id=view.id, assets=[Asset(name="a", object_id=mine)]))
    assert owner.call(GetDataset(dataset_id=view.id)).assets == view.assets
    assert found(house, admin) == ["wards"]


def test_a_mock_is_not_the_data(house: House) -> None:
    owner = house.set_up()
    private, same, other = put(owner, b"secret"), put(owner, b"secret"), put(owner, b"text", kind="str")
    for mock in (private, same, other):
        with pytest.raises(BadRequest):
            owner.call(CreateDataset(name="a", assets=[Asset(name="a", object_id=private, mock_id=mock)]))
    twice = [Asset(name="a", object_id=private), Asset(name="a", object_id=private)]
    with pytest.raises(BadRequest, match="same name"):
        owner.call(CreateDataset(name="a", assets=twice))
    assert owner.call(ListDatasets()).datasets == []


def test_names_are_an_owners_own(house: House) -> None:
    owner = house.set_up()
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    wards(owner, visibility="private")
    with pytest.raises(Conflict):
        wards(owner)
    wards(admin)  # tells nobody that there is another of that name
    other = owner.call(CreateDataset(name="clinics"))
    with pytest.raises(Conflict):
        owner.call(UpdateDataset(dataset_id=other.id, name="wards"))
    assert [view.name for view in owner.call(ListDatasets(mine=True, name="wards")).datasets] == ["wards"]


def test_objects_of_a_dataset_stay_until_it_goes(house: House) -> None:
    owner = house.set_up()
    view, other = wards(owner), put(owner, b"shared")
    owner.call(CreateDataset(name="one", assets=[Asset(name="a", object_id=other)]))
    both = owner.call(CreateDataset(name="two", assets=[Asset(name="a", object_id=other)]))
    private = view.assets[0].object_id
    with pytest.raises(Conflict):
        owner.call(DeleteObject(object_id=private))
    owner.call(DeleteDataset(dataset_id=view.id))
    assert owner.call(DescribeObject(object_id=private)).id == private
    owner.call(DeleteObject(object_id=private))
    owner.call(DeleteDataset(dataset_id=both.id, objects=True))
    owner.call(DescribeObject(object_id=other))  # the other dataset uses it
    again = wards(owner)
    owner.call(DeleteDataset(dataset_id=again.id, objects=True))
    with pytest.raises(NotFound):
        owner.call(DescribeObject(object_id=again.assets[0].object_id))


def test_datasets_outlive_their_owner(house: House) -> None:
    owner = house.set_up()
    admin, view = house.add_user(owner, "admin@x.org", "Administrator")
    wards(admin, published=[*PUBLISHED, "owner"])
    owner.call(DeleteUser(user_id=view.id))
    (left,) = owner.call(ListDatasets()).datasets
    assert (left.name, left.owner) == ("wards", "")
    owner.call(DeleteDataset(dataset_id=left.id, objects=True))
    assert found(house, owner) == []


def test_only_associated_nodes_ask_for_what_is_published(house: House) -> None:
    owner = house.set_up()
    with pytest.raises(Forbidden):
        owner.call(SearchPublished())
    with pytest.raises(Unauthenticated):
        house.call_in().call(SearchPublished())
    with pytest.raises(Forbidden):
        house.node.dispatch(Context(NETWORK), SearchQuery())


def test_objects_and_models_are_found_too(house: House) -> None:
    offer(house.node, ModelSearch(house.node.db))  # as the training pipeline does when it starts
    owner = house.set_up()
    open_site(house.node.db)
    ann, _ = house.add_user(owner, "ann@x.org")
    put(owner, b"hidden", description="weights")
    shown = put(owner, b"shown", description="weights of a model", searchable=True, tags=["w"])
    dataset = wards(owner, description="weights and heights")
    with house.node.db.transaction() as session:
        for number, checkpoint in enumerate((0, 3)):
            values = {
                "id": f"{number:032x}",
                "name": f"Weights-{number}",
                "version": "1.0",
                "owner": "x",
                "status": "running",
                "reason": "",
                "server_config": {},
                "client_config": {},
                "cycle": 1,
                "cycles_completed": 0,
                "latest_checkpoint": checkpoint,
                "model_size": 10,
                "history_seq": 0,
                "created_at": house.clock.now() + 5,
                "updated_at": 0.0,
            }
            session.execute(insert(TrainingProcess).values(values))
        digest = session.get_one(ObjectRow, shown).blob_digest
        model = {"process_id": f"{1:032x}", "number": 3, "blob_digest": digest, "size": 5, "created_at": 0.0}
        session.execute(insert(Checkpoint).values(model))
    entries = ann.call(SearchQuery(text="weights")).entries
    assert entries[0].kind == "model"  # the newest
    assert {entry.id for entry in entries} == {f"{1:032x}", dataset.id, shown}
    assert entries[0].details["version"] == "1.0"
    assert [entry.kind for entry in ann.call(SearchQuery(kind="model", name="Weights-1")).entries] == [
        "model"
    ]
    assert ann.call(SearchQuery(kind="model", name="Weights-0")).entries == []
    assert ann.call(SearchQuery(kind="model", tags=["w"])).entries == []
    assert [entry.id for entry in ann.call(SearchQuery(tags=["w"])).entries] == [shown]
    assert ann.call(SearchQuery(kind="object", name="weights")).entries == []
    assert len(ann.call(SearchQuery(text="weights", limit=2)).entries) == 2
    assert {entry.kind for entry in published(house, text="weights")} == {"model", "dataset", "object"}


def test_everything_survives_a_restart(house: House, tmp_path: Path) -> None:
    owner = house.set_up()
    ann, _ = house.add_user(owner, "ann@x.org")
    view = wards(owner)
    before = msgspec.json.encode(owner.call(GetDataset(dataset_id=view.id)))
    node_id = house.node.id
    house.clock.advance(1)
    house.restart()
    owner, ann = house.call_in(owner.identity, owner.token), house.call_in(ann.identity, ann.token)
    assert house.node.id == node_id
    assert msgspec.json.encode(owner.call(GetDataset(dataset_id=view.id))) == before
    _, data = owner.download(GetObject(object_id=view.assets[0].object_id))
    assert bytes(data) == b"the private rows"
    assert found(house, ann, text="tumour") == ["wards"]
