"""Schema, versions, statistics and mocks of assets, at a Domain."""

from __future__ import annotations

import io

import numpy as np
import pytest
from sqlalchemy import select

from grid.catalogue.service import SERVICES as CATALOGUE
from grid.governance.policy_service import PolicyService
from grid.governance.service import SERVICES as GOVERNANCE
from grid.node import Context, Principal
from grid.privacy.budget.ledger_tables import PrivacyLedger
from syft_ext.errors import BadRequest, Conflict, Forbidden, NotFound, TooLarge
from syft_ext.messages.datasets import (
    Asset,
    Column,
    CreateDataset,
    DatasetView,
    GetDataset,
    GetMock,
    MakeMock,
    PublishStatistics,
    SearchPublished,
    SearchQuery,
    UpdateAsset,
    UpdateDataset,
)
from syft_ext.messages.objects import (
    AppendUpload,
    BeginUpload,
    ColumnReading,
    ConvertUpload,
    DeleteObject,
    DescribeObject,
    GetObject,
    ListObjects,
    ListUploads,
    PutObject,
    UpdateObject,
)
from syft_ext.messages.policy import SetPolicy, SitePolicy
from syft_ext.messages.requests import CreateRequest
from syft_ext.messages.vocabulary import PUBLISHED, TableOptions
from syft_ext.sources.frames import content_of
from syft_ext.tensors import decode_tensors
from syft_ext.transport import Connection
from tests.accounts.people import House

NETWORK = Principal("node", id="f" * 32, verify_key="e" * 64, name="a network")
AGE = np.array([61.0, 47.0, 70.0, np.nan])
SEX = np.array([0, 1, 0, 1], dtype=np.int8)
SCHEMA = [
    Column(name="age", unit="years", low=0.0, high=120.0),
    Column(name="sex", categories=["female", "male"]),
]


@pytest.fixture
def owner(house: House) -> Connection:
    return house.set_up()


@pytest.fixture
def house(tmp_path, database_url):  # type: ignore[no-untyped-def]
    from grid.accounts.service import SERVICES as ACCOUNTS
    from grid.node.metadata import MetadataService

    services = (MetadataService, *ACCOUNTS, *CATALOGUE, *GOVERNANCE, PolicyService)
    house = House(tmp_path / "home", database_url, services=services)
    yield house
    house.node.stop()


def put(connection: Connection, **arrays: object) -> str:
    content = content_of(arrays, {}, "t")
    return str(connection.call(PutObject(kind="tensors"), list(map(bytes, content.pieces()))).id)


def patients(owner: Connection, **fields: object) -> DatasetView:
    asset = Asset(name="visits", object_id=put(owner, age=AGE, sex=SEX), columns=SCHEMA)
    values: dict[str, object] = {"name": "patients", "assets": [asset], "subjects": "adults of one ward"}
    view: DatasetView = owner.call(CreateDataset(**{**values, **fields}))
    return view


def tick(connection: Connection, view: DatasetView, **ticks: list[str]) -> DatasetView:
    message = PublishStatistics(dataset_id=view.id, asset=view.assets[0].name, statistics=ticks)
    changed: DatasetView = connection.call(message)
    return changed


def test_the_schema_is_completed_from_the_data(house: House, owner: Connection) -> None:
    view = patients(owner)
    assert [(c.name, c.dtype, c.shape, c.unit) for c in view.assets[0].columns] == [
        ("age", "float64", [], "years"),
        ("sex", "int8", [], ""),
    ]
    assert (view.assets[0].rows, view.subjects) == (4, "adults of one ward")
    bare = owner.call(CreateDataset(name="bare", assets=[Asset(name="a", object_id=put(owner, x=np.eye(3)))]))
    assert [(c.name, c.dtype, c.shape) for c in bare.assets[0].columns] == [("x", "float64", [3])]
    for wrong in (Column(name="age", dtype="int64"), Column(name="age", shape=[2])):
        asset = Asset(name="a", object_id=view.assets[0].object_id, columns=[wrong])
        with pytest.raises(BadRequest, match="its schema says"):
            owner.call(CreateDataset(name="wrong", assets=[asset]))
    twice = Asset(
        name="a", object_id=view.assets[0].object_id, columns=[Column(name="sex", categories=["a", "a"])]
    )
    with pytest.raises(BadRequest, match="named twice"):
        owner.call(CreateDataset(name="wrong", assets=[twice]))


def test_a_mock_has_the_form_of_the_data(house: House, owner: Connection) -> None:
    data = put(owner, age=AGE, sex=SEX)
    for other in (
        put(owner, age=AGE),
        put(owner, age=AGE, sex=SEX.astype(np.int16)),
        put(owner, sex=SEX, age=AGE),
        put(owner, age=np.ones((4, 2)), sex=SEX),
    ):
        with pytest.raises(BadRequest, match="other columns, types or shapes"):
            owner.call(CreateDataset(name="d", assets=[Asset(name="a", object_id=data, mock_id=other)]))
    fits = put(owner, age=np.ones(2), sex=np.zeros(2, dtype=np.int8))
    assert owner.call(CreateDataset(name="d", assets=[Asset(name="a", object_id=data, mock_id=fits)])).assets


def mock_of(connection: Connection, view: DatasetView) -> dict[str, object]:
    _, content = connection.download(GetMock(dataset_id=view.id, asset=view.assets[0].name))
    return dict(decode_tensors(content))


def test_a_mock_is_made_from_the_schema_alone(house: House, owner: Connection) -> None:
    ann, _ = house.add_user(owner, "ann@x.org")
    view = patients(owner)
    asked = MakeMock(dataset_id=view.id, asset="visits", rows=50, seed=7)
    owner.call(asked)
    first = mock_of(ann, view)
    assert {name: (str(each.dtype), tuple(each.shape)) for name, each in first.items()} == {
        "age": ("torch.float64", (50,)),
        "sex": ("torch.int8", (50,)),
    }
    assert first["age"].min() >= 0 and first["age"].max() <= 120 and first["age"].max() > 100
    assert set(first["sex"].tolist()) == {0, 1}
    owner.call(asked)
    assert all(first[name].equal(each) for name, each in mock_of(ann, view).items()), "seeded"
    owner.call(MakeMock(dataset_id=view.id, asset="visits", rows=50, seed=8))
    assert not first["age"].equal(mock_of(ann, view)["age"])
    mocks = [each for each in owner.call(ListObjects()).objects if each.description.startswith("mock of")]
    assert len(mocks) == 1, "the mocks before are gone"
    # Other private values of the same form make the same mock.
    other = Asset(name="visits", object_id=put(owner, age=AGE * 7, sex=1 - SEX), columns=SCHEMA)
    twin = owner.call(CreateDataset(name="twin", assets=[other]))
    owner.call(MakeMock(dataset_id=twin.id, asset="visits", rows=50, seed=7))
    assert all(first[name].equal(each) for name, each in mock_of(ann, twin).items())


def test_a_mock_knows_bounds_only_where_they_are_published(house: House, owner: Connection) -> None:
    view = patients(owner, published=["assets", "mock"])
    owner.call(MakeMock(dataset_id=view.id, asset="visits", rows=200))
    hidden = mock_of(owner, view)
    assert hidden["age"].abs().max() < 10 and hidden["sex"].max() > 1, "as if nothing were known of them"
    with pytest.raises(BadRequest, match="give one"):
        plain = str(owner.call(PutObject(), [b"bytes"]).id)
        text = owner.call(CreateDataset(name="text", assets=[Asset(name="a", object_id=plain)]))
        owner.call(MakeMock(dataset_id=text.id, asset="a"))
    free = Asset(name="x", object_id=put(owner, x=np.array([5.0, 6.0])))
    loose = owner.call(CreateDataset(name="loose", assets=[free]))
    tick(owner, loose, x=["min", "max"])
    owner.call(MakeMock(dataset_id=loose.id, asset="x", rows=100))
    found = mock_of(owner, loose)["x"]
    assert found.min() >= 5 and found.max() <= 6, "the published extremes are bounds"


def test_statistics_are_seen_only_where_they_are_ticked(house: House, owner: Connection) -> None:
    ann, _ = house.add_user(owner, "ann@x.org")
    view = patients(owner)
    assert ann.call(GetDataset(dataset_id=view.id)).assets[0].statistics == {}
    tick(owner, view, age=["mean", "missing"], sex=["count"])
    seen = ann.call(GetDataset(dataset_id=view.id)).assets[0]
    assert seen.statistics == {"age": {"mean": pytest.approx(178 / 3), "missing": 1}, "sex": {"count": 4}}
    assert seen.ticked == {}
    (entry,) = house.node.dispatch(Context(NETWORK), SearchPublished(text="patients")).entries
    assert entry.details["assets"][0]["statistics"] == seen.statistics
    (entry,) = ann.call(SearchQuery(columns=["AGE"])).entries
    assert entry.details["assets"][0]["statistics"] == seen.statistics
    assert tick(owner, view, sex=["count"]).assets[0].ticked == {"sex": ["count"]}
    assert ann.call(GetDataset(dataset_id=view.id)).assets[0].statistics == {"sex": {"count": 4}}
    owner.call(UpdateDataset(dataset_id=view.id, published=["assets", "size"]))
    assert ann.call(GetDataset(dataset_id=view.id)).assets[0].statistics == {}
    assert ann.call(SearchQuery(text="patients")).entries[0].details["assets"][0]["statistics"] == {}
    owner.call(UpdateDataset(dataset_id=view.id, published=list(PUBLISHED)))
    tick(owner, view)
    assert ann.call(GetDataset(dataset_id=view.id)).assets[0].statistics == {}
    assert ann.call(SearchQuery(text="patients")).entries[0].details["assets"][0]["statistics"] == {}


def test_all_statistics_of_a_column(house: House, owner: Connection) -> None:
    view = patients(owner)
    names = ["count", "missing", "sum", "mean", "variance", "std", "min", "max"]
    found = tick(owner, view, age=names).assets[0].statistics["age"]
    values = AGE[:3]
    expected = [3, 1, values.sum(), values.mean(), values.var(ddof=1), values.std(ddof=1), 47, 70]
    assert [found[name] for name in names] == pytest.approx(expected)
    with pytest.raises(BadRequest, match="no column"):
        tick(owner, view, height=["mean"])
    assert owner.call(GetDataset(dataset_id=view.id)).assets[0].statistics["age"] == found


def test_the_policy_decides_over_statistics_at_every_look(house: House, owner: Connection) -> None:
    ann, _ = house.add_user(owner, "ann@x.org")
    view = patients(owner)
    tick(owner, view, age=["mean", "max"], sex=["count"])

    def seen() -> dict[str, dict[str, float | None]]:
        found: dict[str, dict[str, float | None]] = (
            ann.call(GetDataset(dataset_id=view.id)).assets[0].statistics
        )
        (entry,) = ann.call(SearchQuery(text="patients")).entries
        assert entry.details["assets"][0]["statistics"] == found
        return found

    owner.call(SetPolicy(policy=SitePolicy(allowed_operations=["statistics.mean"])))
    assert seen() == {"age": {"mean": pytest.approx(178 / 3)}}
    for guarded in (SitePolicy(min_rows=2), SitePolicy(statistics_epsilon=1.0)):
        owner.call(SetPolicy(policy=guarded))
        assert seen() == {}, "exact numbers, of a table that is guarded now"
    for policy, ticks in (
        (SitePolicy(min_rows=2), {"age": ["min"]}),
        (SitePolicy(statistics_epsilon=1.0), {"sex": ["max"]}),
        (SitePolicy(allowed_operations=["statistics.sum"]), {"sex": ["mean"]}),
    ):
        owner.call(SetPolicy(policy=policy))
        with pytest.raises(Forbidden, match="policy"):
            tick(owner, view, **ticks)


def test_ticked_statistics_of_a_guarded_table(house: House, owner: Connection) -> None:
    """They come from the ledger that every question is charged to, unless the owner gives their word, once."""
    ann, _ = house.add_user(owner, "ann@x.org")
    random = np.random.default_rng(4)
    ages = random.integers(20, 90, 2000)
    first = put(owner, age=ages)
    columns = [Column(name="age", low=0.0, high=120.0)]
    asset = Asset(name="visits", object_id=first, columns=columns)
    view = owner.call(CreateDataset(name="cohort", assets=[asset]))

    def seen() -> dict[str, dict[str, float | None]]:
        (entry,) = ann.call(SearchQuery(text="cohort")).entries
        (told,) = house.node.dispatch(Context(NETWORK), SearchPublished(kinds=["dataset"])).entries
        found: dict[str, dict[str, float | None]] = entry.details["assets"][0]["statistics"]
        assert told.details["assets"][0]["statistics"] == found
        return found

    owner.call(SetPolicy(policy=SitePolicy(min_rows=10)))
    tick(owner, view, age=["count", "mean"])
    noisy = seen()["age"]
    # One time in twenty-five or so a noisy count is exact by chance; a mean never is.
    assert abs(noisy["count"] - 2000) < 60  # type: ignore[operator]
    assert noisy["mean"] == pytest.approx(ages.mean(), abs=1.0) and noisy["mean"] != ages.mean()
    tick(owner, view, age=["count", "mean"])
    assert seen()["age"] == noisy, "ticked again, the same"
    with house.node.db.read() as session:
        (spent,) = session.scalars(select(PrivacyLedger.spent))
    tick(owner, view, age=["count"])
    with house.node.db.read() as session:
        assert session.scalars(select(PrivacyLedger.spent)).all() == [spent]
    owner.call(SetPolicy(policy=SitePolicy(min_rows=20)))
    assert seen() == {}, "more noise is demanded now than these numbers carry"
    owner.call(SetPolicy(policy=SitePolicy(min_rows=10)))

    word = PublishStatistics(dataset_id=view.id, asset="visits", statistics={"age": ["count"]}, exact=True)
    owner.call(word)
    assert seen() == {"age": {"count": 2000}}
    second = put(owner, age=ages[1:])
    owner.call(UpdateAsset(dataset_id=view.id, asset="visits", object_id=second))
    assert seen() == {}
    with pytest.raises(Conflict, match="rows between them"):
        owner.call(word)
    assert seen() == {}
    tick(owner, view, age=["count", "mean"])
    assert seen()["age"]["mean"] not in (ages[1:].mean(), None)
    owner.call(SetPolicy(policy=SitePolicy(min_rows=10, strict=True)))
    with pytest.raises(Forbidden, match="told what its owner lets out"):
        tick(owner, view, age=["std"])


def test_who_a_row_belongs_to_is_a_column_of_whole_numbers(owner: Connection) -> None:
    content = put(owner, patient=np.arange(4), age=AGE)
    for wrong in ("age", "nobody"):
        asset = Asset(name="a", object_id=content, columns=[Column(name=wrong, rows_per_person=3)])
        with pytest.raises(BadRequest, match="whole numbers"):
            owner.call(CreateDataset(name="wrong", assets=[asset]))
    twice = [Column(name="patient", rows_per_person=3), Column(name="age", rows_per_person=1)]
    with pytest.raises(BadRequest, match="two columns"):
        owner.call(CreateDataset(name="wrong", assets=[Asset(name="a", object_id=content, columns=twice)]))
    right = [Column(name="patient", rows_per_person=3), Column(name="age")]
    view = owner.call(CreateDataset(name="ok", assets=[Asset(name="a", object_id=content, columns=right)]))
    assert [column.rows_per_person for column in view.assets[0].columns] == [3, 0]


def test_statistics_and_mocks_are_for_the_owner_alone_to_publish(house: House, owner: Connection) -> None:
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    ann, _ = house.add_user(owner, "ann@x.org")
    view = patients(owner)
    for person in (admin, ann):
        for message in (
            PublishStatistics(dataset_id=view.id, asset="visits", statistics={"age": ["mean"]}),
            MakeMock(dataset_id=view.id, asset="visits"),
            UpdateAsset(dataset_id=view.id, asset="visits", note="mine"),
        ):
            with pytest.raises(Forbidden):
                person.call(message)
    with pytest.raises(NotFound):
        owner.call(UpdateAsset(dataset_id=view.id, asset="other", note="x"))


def test_other_content_is_a_new_version(house: House, owner: Connection) -> None:
    ann, ann_view = house.add_user(owner, "ann@x.org")
    view = patients(owner)
    first = view.assets[0].object_id
    owner.call(UpdateObject(object_id=first, readers=[ann_view.id]))
    tick(owner, view, age=["max"])
    house.clock.advance(10)
    second = put(owner, age=AGE[:2] + 1, sex=SEX[:2])
    change = UpdateAsset(dataset_id=view.id, asset="visits", object_id=second, note="two left")
    changed = owner.call(change).assets[0]
    assert (changed.version, changed.rows, changed.object_id) == (2, 2, second)
    assert changed.statistics == {}, "ticked of the old content only"
    assert tick(owner, view, age=["max"]).assets[0].statistics == {"age": {"max": 62}}
    assert [c.unit for c in changed.columns] == ["years", ""], "what was said of columns stays"
    seen = ann.call(GetDataset(dataset_id=view.id)).assets[0]
    assert [(v.number, v.note, v.changed, v.object_id, v.rows) for v in seen.versions] == [
        (1, "", ["content"], first, 4),
        (2, "two left", ["content"], second, 2),
    ]
    assert seen.versions[1].created_at - seen.versions[0].created_at == 10
    ann.download(GetObject(object_id=first))  # whoever was given the old content keeps it
    with pytest.raises(NotFound):
        ann.call(DescribeObject(object_id=second))
    assert (
        ann.call(CreateRequest(object_id=first, scope="statistics")).object == "patients: visits, version 1"
    )
    with pytest.raises(Conflict):
        owner.call(DeleteObject(object_id=second))
    owner.call(DeleteObject(object_id=first))
    assert ann.call(GetDataset(dataset_id=view.id)).assets[0].versions[0].object_id == "", "deleted"
    third = put(owner, age=AGE[:1], sex=SEX[:1])
    owner.call(UpdateAsset(dataset_id=view.id, asset="visits", object_id=third, delete_old=True))
    with pytest.raises(NotFound):
        owner.call(DescribeObject(object_id=second))
    owner.call(UpdateDataset(dataset_id=view.id, published=["assets"]))
    seen = ann.call(GetDataset(dataset_id=view.id)).assets[0]
    assert (seen.version, seen.versions) == (None, [])


def test_a_version_that_is_not_published_cannot_be_asked_for(house: House, owner: Connection) -> None:
    ann, _ = house.add_user(owner, "ann@x.org")
    view = patients(owner, published=["assets"])
    first = view.assets[0].object_id
    second = put(owner, age=AGE, sex=SEX[::-1])
    owner.call(UpdateAsset(dataset_id=view.id, asset="visits", object_id=second))
    ann.call(CreateRequest(object_id=second))
    with pytest.raises(NotFound):
        ann.call(CreateRequest(object_id=first))


SIZES = [
    ({"min_rows": 4}, True),
    ({"min_rows": 5}, False),
    ({"max_rows": 4}, True),
    ({"max_rows": 3}, False),
    ({"min_bytes": 36}, True),
    ({"min_bytes": 10_000}, False),
    ({"max_bytes": 10_000, "columns": ["sex"]}, True),
    ({"max_bytes": 36}, False),
    ({"columns": ["age", "Sex"]}, True),
    ({"columns": ["ag"]}, False),
    ({"text": "female"}, True),
    ({"text": "ward"}, True),
]


def test_search_by_size_and_column(house: House, owner: Connection) -> None:
    view = patients(owner)

    def finds(**query: object) -> bool:
        found = [entry.name for entry in owner.call(SearchQuery(kind="dataset", **query)).entries]
        told = house.node.dispatch(Context(NETWORK), SearchPublished(kinds=["dataset"], **query)).entries
        assert [entry.name for entry in told] == found
        return found == ["patients"]

    for query, expected in SIZES:
        assert finds(**query) is expected, query
    owner.call(UpdateDataset(dataset_id=view.id, published=["assets", "description", "tags"]))
    for query, _ in SIZES:
        assert not finds(**query), query
    assert finds(text="visits")


def test_objects_are_found_by_size_too(house: House, owner: Connection) -> None:
    content = content_of(np.zeros((6, 2)), {}, "t")
    found = owner.call(PutObject(kind="tensor", searchable=True), list(map(bytes, content.pieces()))).id
    for query, expected in (
        ({"min_rows": 6}, True),
        ({"min_rows": 7}, False),
        ({"min_bytes": 96}, True),
        ({"max_bytes": 95}, False),
        ({"columns": ["x"]}, False),
    ):
        ids = [entry.id for entry in owner.call(SearchQuery(kind="object", **query)).entries]
        assert (found in ids) is expected, query


CSV = b"age,sex,bmi\n61,f,1.5\n47,m,\n70,f,2.5\n"


def upload(connection: Connection, content: bytes) -> str:
    begun = connection.call(BeginUpload(size=len(content)))
    connection.call(AppendUpload(upload_id=begun.upload_id, offset=0), [content])
    return str(begun.upload_id)


def test_an_uploaded_csv_is_converted_here(house: House, owner: Connection) -> None:
    upload_id = upload(owner, CSV)
    with pytest.raises(BadRequest, match=r"column 'sex'.*row 1.*'f' is not numbers") as refused:
        owner.call(ConvertUpload(upload_id=upload_id))
    assert "the upload" in refused.value.detail, "not the name of a file here"
    message = ConvertUpload(upload_id=upload_id, categories={"sex": ["f", "m"]}, description="visits")
    view = owner.call(message)
    assert (view.kind, view.description, view.id) == ("tensors", "visits", upload_id)
    assert owner.call(message).id == view.id, "repeated"
    _, content = owner.download(GetObject(object_id=view.id))
    found = decode_tensors(content)
    assert found["age"].tolist() == [61, 47, 70] and found["sex"].tolist() == [0, 1, 0]
    assert found["bmi"][1].isnan()
    digests = list(house.node.blobs.digests())
    assert len(digests) == 1, "the uploaded text is gone"
    assert list(house.node.blobs.inner.temporary.iterdir()) == []
    some = owner.call(ConvertUpload(upload_id=upload(owner, CSV), columns=["bmi"]))
    assert list(decode_tensors(owner.download(GetObject(object_id=some.id))[1])) == ["bmi"]
    for bad in (b"", b"a\n\xff", b"a,b\n1\n"):
        with pytest.raises(BadRequest):
            owner.call(ConvertUpload(upload_id=upload(owner, bad)))
    ann, _ = house.add_user(owner, "admin@x.org", "Administrator")
    with pytest.raises(NotFound):
        ann.call(ConvertUpload(upload_id=upload(owner, CSV)))


def test_a_converted_table_says_itself_what_its_values_mean(house: House, owner: Connection) -> None:
    """Whoever has only HTTP gets the units of times and the words of categoricals into their schema, too."""
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    words = arrow.DictionaryArray.from_arrays(arrow.array([1, 0, None]), arrow.array(["low", "high"]))
    seen = arrow.array([0, 1, 2], arrow.timestamp("s", "UTC"))
    file = io.BytesIO()
    parquet.write_table(arrow.table({"seen": seen, "risk": words}), file)
    reading = {"seen": ColumnReading(unit="s", low=0.0, high=2.0)}
    converting = ConvertUpload(upload_id=upload(owner, file.getvalue()), format="parquet", schema=reading)
    object_id = owner.call(converting).id
    view = owner.call(CreateDataset(name="risks", assets=[Asset(name="t", object_id=object_id)]))
    columns = [
        (column.name, column.dtype, column.unit, column.categories) for column in view.assets[0].columns
    ]
    assert columns == [
        ("seen", "int64", "s since 1970-01-01 00:00 UTC", []),
        ("risk", "float64", "", ["low", "high"]),
    ]
    other = Asset(name="t", object_id=object_id, columns=[Column(name="risk", categories=["high", "low"])])
    with pytest.raises(BadRequest, match="has the categories low, high; its schema says high, low"):
        owner.call(CreateDataset(name="turned", assets=[other]))
    narrow = ConvertUpload(
        upload_id=upload(owner, file.getvalue()),
        format="parquet",
        schema={
            "seen": ColumnReading(unit="s", low=0.0, high=1.0),
            "risk": ColumnReading(categories=["low"]),
        },
    )
    with pytest.raises(BadRequest, match=r"2 problems: column 'seen', row 3.*column 'risk', row 1: 'high'"):
        owner.call(narrow)
    text = "größe;tag\n1,5;01.07.2024 12:00\n".encode("latin-1")
    told = ConvertUpload(
        upload_id=upload(owner, text),
        schema={"tag": ColumnReading(format="%d.%m.%Y %H:%M", timezone="Europe/Berlin", unit="s")},
        options=TableOptions(encoding="latin-1", decimal=","),
    )
    found = decode_tensors(owner.download(GetObject(object_id=owner.call(told).id))[1])
    assert (found["größe"].tolist(), found["tag"].tolist()) == ([1.5], [1719828000])


def test_unfinished_uploads_are_listed_by_content(house: House, owner: Connection) -> None:
    begun = owner.call(BeginUpload(size=4, digest="a" * 64))
    owner.call(AppendUpload(upload_id=begun.upload_id, offset=0), [b"ab"])
    owner.call(BeginUpload(size=4))
    assert len(owner.call(ListUploads()).uploads) == 2
    (found,) = owner.call(ListUploads(digest="a" * 64)).uploads
    assert (found.upload_id, found.received, found.size) == (begun.upload_id, 2, 4)
    assert owner.call(ListUploads(digest="b" * 64)).uploads == []
    admin, _ = house.add_user(owner, "admin@x.org", "Administrator")
    assert admin.call(ListUploads()).uploads == []


def test_a_table_that_blows_up_is_refused(house: House, owner: Connection) -> None:
    """Millions of equal values are a few bytes of Parquet."""
    parquet, arrow = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    file = io.BytesIO()
    values = arrow.array(np.zeros(40_000_000, np.float32))
    parquet.write_table(arrow.table({"x": values}), file, row_group_size=1_000_000)
    assert len(file.getvalue()) < 200_000
    upload_id = upload(owner, file.getvalue())
    with pytest.raises(TooLarge):
        owner.call(ConvertUpload(upload_id=upload_id, format="parquet"))
    assert owner.call(ListObjects(mine=True)).objects == []
