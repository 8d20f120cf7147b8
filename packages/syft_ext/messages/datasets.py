"""Datasets of a Domain, and search: what data there is, described by its owner, with mocks to write code on.

A dataset holds named assets. The private data of an asset is an object that its owner put there before; a
mock of the same form may stand beside it. What others see of a dataset is what its owner published of it.
"""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import msgspec

from syft_ext.messages.fields import Description, Id, Limit, Name, Note, Offset, Size, Tags, Words
from syft_ext.messages.operation import COLUMNS_BODY, Message, Reply, operation
from syft_ext.messages.permissions import NODE, USER, flag
from syft_ext.messages.vocabulary import (
    Field,
    Kind,
    MockOptions,
    Publication,
    SearchOptions,
    SearchTerms,
    Subjects,
    Visibility,
)
from syft_ext.messages.wire_order import wire_order

ColumnStatistic = Literal["count", "missing", "sum", "mean", "variance", "std", "min", "max"]

_UPLOAD = flag("can_upload_data")


class Column(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """One column (or tensor) of an asset's schema.

    Attributes:
        shape: of one entry; empty for a scalar.
        unit: physical unit, if it has one.
        low, high: bounds that the owner vouches for (guarded statistics cut values off there); both or none.
        categories: what the numbers 0, 1, … stand for, where they stand for words.
        rows_per_person: above 0, the column's numbers say who a row is about; guarded statistics protect a person,
            and count so many rows of each at most.
    """

    name: Name
    dtype: Note = ""
    shape: Annotated[list[Size], msgspec.Meta(max_length=16)] = []
    unit: Note = ""
    description: Note = ""
    low: float | None = None
    high: float | None = None
    categories: Annotated[list[Note], msgspec.Meta(max_length=10_000)] = []
    rows_per_person: Annotated[int, msgspec.Meta(ge=0, le=100_000)] = 0

    def __post_init__(self) -> None:
        if (self.low is None) != (self.high is None):
            raise ValueError("a column has both bounds or none")
        if self.low is not None and self.high is not None and not -math.inf < self.low < self.high < math.inf:
            raise ValueError("the bounds of a column are finite, and low is less than high")


class Asset(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What a dataset is made of: ``object_id`` is the private data, ``mock_id`` the mock. Both are yours.

    What ``columns`` leave open of the data's form (types, shapes) is taken from the data.
    """

    name: Name
    object_id: Id
    mock_id: Id | None = None
    description: Note = ""
    columns: Annotated[list[Column], msgspec.Meta(max_length=10000)] = []


class VersionView(msgspec.Struct, kw_only=True):
    """One version of an asset's content.

    Attributes:
        number: from 1 on. created_at: seconds since the epoch. note: what its owner says of it.
        changed: which of content, schema and mock are not as they were in the version before.
        object_id: names its content; "" when that was deleted.
        size, rows: of the content, if the dataset's size is published.
    """

    number: int
    created_at: float
    note: str
    changed: list[str]
    object_id: str
    size: int | None
    rows: int | None


Assets = Annotated[list[Asset], msgspec.Meta(max_length=1000)]


class AssetView(Reply):
    """An asset as you may see it; what its owner does not publish is empty or None.

    Attributes:
        object_id: names the private data in plans and requests; it does not let you read it.
        kind, dtype, shape, size: of the private data (size in bytes); rows: entries that all its columns have.
        has_mock: whether there is a mock that you may download.
        statistics: column → statistic → number, of those that the owner ticked. A number is None where the
            site's policy keeps it back.
        ticked: what the owner ticked, for whoever may change it.
        version, versions: of the content, oldest first.
    """

    name: str
    description: str
    object_id: str
    columns: list[Column]
    kind: str
    dtype: str | None
    shape: list[int] | None
    size: int | None
    has_mock: bool
    rows: int | None = None
    statistics: dict[str, dict[str, float | None]] = {}
    ticked: dict[str, list[str]] = {}
    version: int | None = None
    versions: list[VersionView] = []


class DatasetView(Reply):
    """A dataset as you may see it.

    Attributes:
        subjects: whom the data are about, as their owner puts it.
        owner: e-mail of its owner, if they publish it.
        visibility, published, viewers: shown to whoever may change them.
        created_at, updated_at: seconds since the epoch.
    """

    id: str
    name: str
    description: str
    tags: list[str]
    assets: list[AssetView]
    owner: str
    created_at: float
    updated_at: float
    subjects: str = ""
    visibility: str = ""
    published: list[str] = []
    viewers: list[str] = []


class DatasetList(Reply):
    """One page of the datasets that you may find, newest first, each as far as it is published."""

    datasets: list[DatasetView]


class MockView(Reply):
    """What comes with a mock's bytes: what they are, and their tensor's form."""

    kind: str
    size: int
    dtype: str | None
    shape: list[int] | None


class SearchEntry(Reply):
    """One thing that was found, described by what its owner published.

    Attributes:
        kind: dataset, model or object.
        id: dataset id, process id or object id.
        details: what only this kind has (assets and columns, version and status, dtype and shape).
    """

    kind: str
    id: str
    name: str
    description: str
    tags: list[str]
    created_at: float
    details: dict[str, Any] = {}


class SearchResults(Reply):
    """Newest first."""

    entries: list[SearchEntry]


class PublishedResults(SearchResults):
    """As :class:`SearchResults`.

    Attributes:
        digest: names exactly these entries: the BLAKE3 digest of their msgpack.
        unchanged: the entries are those that the question named as known, and are not repeated.
    """

    digest: bytes
    unchanged: bool = False


# -- datasets ------------------------------------------------------------------------------------------


@operation(
    "datasets.create",
    rest="POST /datasets",
    reply=DatasetView,
    permission=_UPLOAD,
    status=201,
    max_fields=COLUMNS_BODY,
)
@wire_order("name", "description", "tags", "subjects", "assets")
class CreateDataset(Publication, Message, kw_only=True):
    """Describe data of yours, so that others find it. It gives nobody access to the private data.

    Attributes:
        assets: upload private data and mocks first (``objects.put``, ``uploads.*``); every id must be yours.
    """

    name: Name
    assets: Assets = []


@operation("datasets.list", rest="GET /datasets", reply=DatasetList, permission=USER)
class ListDatasets(Message):
    """The datasets that you may find, newest first; ``name`` is the exact name, ``mine`` only your own."""

    name: Words = ""
    mine: bool = False
    limit: Limit = 100
    offset: Offset = 0


@operation("datasets.get", rest="GET /datasets/{dataset_id}", reply=DatasetView, permission=USER)
class GetDataset(Message):
    """One dataset."""

    dataset_id: Id


@operation(
    "datasets.mock",
    rest="GET /datasets/{dataset_id}/assets/{asset}/mock",
    reply=MockView,
    permission=USER,
    downloads=True,
)
class GetMock(Message):
    """Download the mock of an asset, of any dataset that you may find and that publishes it."""

    dataset_id: Id
    asset: Name


@operation(
    "datasets.update",
    rest="PATCH /datasets/{dataset_id}",
    reply=DatasetView,
    permission=USER,
    max_fields=COLUMNS_BODY,
)
class UpdateDataset(Message):
    """Change a dataset of yours; what is None stays. Lists are replaced whole.

    An asset that gets other content has a new version; ``note`` is said of it.
    """

    dataset_id: Id
    name: Name | None = None
    description: Description | None = None
    tags: Tags | None = None
    subjects: Note | None = None
    assets: Assets | None = None
    note: Note = ""
    visibility: Visibility | None = None
    published: list[Field] | None = None
    viewers: Subjects | None = None


@operation("datasets.delete", rest="DELETE /datasets/{dataset_id}", permission=USER)
class DeleteDataset(Message):
    """Delete a dataset of yours; with ``objects``, its private data and mocks too."""

    dataset_id: Id
    objects: bool = False


# -- assets --------------------------------------------------------------------------------------------


@operation(
    "datasets.update_asset",
    rest="PATCH /datasets/{dataset_id}/assets/{asset}",
    reply=DatasetView,
    permission=USER,
    max_fields=COLUMNS_BODY,
)
class UpdateAsset(Message):
    """Change an asset of a dataset of yours; what is None stays. Another ``object_id`` is a new version.

    Whoever may read the old content still may, and nobody gets the new one by that. No statistics of the new
    content are published until its owner ticks some: beside those of the old one they may tell single rows.

    Attributes:
        note: what is new in this version.
        delete_old: delete the content that this replaces.
    """

    dataset_id: Id
    asset: Name
    object_id: Id | None = None
    mock_id: Id | None = None
    description: Note | None = None
    columns: Annotated[list[Column], msgspec.Meta(max_length=10000)] | None = None
    note: Note = ""
    delete_old: bool = False


@operation(
    "datasets.publish_statistics",
    rest="PUT /datasets/{dataset_id}/assets/{asset}/statistics",
    reply=DatasetView,
    permission=USER,
)
class PublishStatistics(Message):
    """Tick the statistics of an asset's columns that others may see; what is not named is no longer shown.

    The node computes them now, under the site's policy; they are of this version of the content. Whoever sees
    the schema sees them, in views and in search. Columns are named as ``statistics.describe`` names them.

    Of a guarded table they carry noise, and are charged to its ledger like those of any user.

    Attributes:
        exact: of a guarded table, publish exact numbers, on its owner's word: what is guaranteed of its statistics
            does not hold for them. Of one version only, ever: those of two tell the rows between them.
    """

    dataset_id: Id
    asset: Name
    statistics: Annotated[
        dict[Name, Annotated[list[ColumnStatistic], msgspec.Meta(max_length=8)]],
        msgspec.Meta(max_length=1000),
    ]
    exact: bool = False


@operation(
    "datasets.make_mock",
    rest="POST /datasets/{dataset_id}/assets/{asset}/mock",
    reply=DatasetView,
    permission=_UPLOAD,
)
@wire_order("dataset_id", "asset")
class MakeMock(MockOptions, Message, kw_only=True):
    """Make a mock for an asset of yours from its form: the right types and shapes, made-up numbers.

    Numbers lie within the bounds and categories of the schema, and the ticked minimum and maximum, if these are
    published; nothing else of the private data has any influence on it.
    """

    dataset_id: Id
    asset: Name


# -- search --------------------------------------------------------------------------------------------


@operation("search.query", rest="POST /search", reply=SearchResults, permission=USER, audited=False)
@wire_order("text", "tags", "columns", "name", "kind")
class SearchQuery(SearchOptions, Message, kw_only=True):
    """Search the datasets, models and objects that you may find, in what is published of them.

    Without a kind, all of them. Nothing is found by a size that is not published.
    """


@operation(
    "search.published", rest="POST /search/published", reply=PublishedResults, permission=NODE, audited=False
)
@wire_order("text", "tags", "columns", "name", "kinds")
class SearchPublished(SearchTerms, Message, kw_only=True):
    """As ``search.query``, for an associated Network: only what its owners made public.

    Attributes:
        kinds: only these; all when empty.
        known: the digest of an earlier answer; if the answer would be the same, it is not sent again.
    """

    kinds: Annotated[list[Kind], msgspec.Meta(max_length=3)] = []
    known: Annotated[bytes, msgspec.Meta(max_length=32)] = b""
