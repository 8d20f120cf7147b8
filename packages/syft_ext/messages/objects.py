"""Objects of a Domain: tensors, plans and bytes with tags, and who may find and read them.

Two lists stand beside each object (PyGrid paper, section 3.2.2): who may *find* it and who may *read* it.
Their members are user ids, ``group:`` + a group's id, or ``*`` for every logged-in user. An object that you
may neither find nor read does not exist for you.
"""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from syft_ext.messages.fields import AnyDigest, Description, Id, Limit, Name, Note, Offset, Size, Tags, Words
from syft_ext.messages.operation import COLUMNS_BODY, Message, Reply, operation
from syft_ext.messages.permissions import USER, flag
from syft_ext.messages.vocabulary import Subjects, TableOptions

_UPLOAD = flag("can_upload_data")


class ObjectView(Reply):
    """An object, without its content.

    Attributes:
        kind: tensor, tensors, list, plan, bytes, str, int, float or bool.
        size: bytes of content; dtype, shape: of a single tensor.
        owner: user id of who put it there.
        may_read: whether you may fetch the content.
        readers, finders: who may read and find it; empty unless you may change them.
        analysts: who may have statistics of it, under the site's policy; empty as well.
        programmers: who may compute on it remotely; what comes out is not readable for that; empty as well.
        created_at: seconds since the epoch.
    """

    id: str
    kind: str
    description: str
    tags: list[str]
    size: int
    dtype: str | None
    shape: list[int] | None
    owner: str
    may_read: bool
    created_at: float
    readers: list[str] = []
    finders: list[str] = []
    analysts: list[str] = []
    programmers: list[str] = []


class ObjectList(Reply):
    """One page of the objects that fit, newest first."""

    objects: list[ObjectView]


class UploadView(Reply):
    """A resumable upload: ``received`` of ``size`` bytes are safely stored; go on from there."""

    upload_id: Id
    size: int
    received: int


class UploadList(Reply):
    """Newest first."""

    uploads: list[UploadView]


@operation(
    "objects.put", rest="POST /objects", reply=ObjectView, permission=_UPLOAD, uploads=True, status=201
)
class PutObject(Message):
    """Keep what is uploaded as a new object of yours; you may read and find it, and nobody else yet.

    Attributes:
        kind: what the bytes are: a tensor file for tensor, tensors and list; a serialized plan; bytes; …
        searchable: every logged-in user may find it.
        readers, finders: who else may read or find it.
    """

    kind: Name = "bytes"
    description: Description = ""
    tags: Tags = []
    searchable: bool = False
    readers: Subjects = []
    finders: Subjects = []


@operation("objects.list", rest="GET /objects", reply=ObjectList, permission=USER)
class ListObjects(Message):
    """The objects that you may find, newest first.

    Attributes:
        text: words that all occur in description or tags, whatever their case and accents.
        tags: tags that are all there, letter by letter.
        kind: of this kind only.
        mine: only those that you put there.
    """

    text: Words = ""
    tags: Tags = []
    kind: Words = ""
    mine: bool = False
    limit: Limit = 100
    offset: Offset = 0


@operation("objects.describe", rest="GET /objects/{object_id}", reply=ObjectView, permission=USER)
class DescribeObject(Message):
    """An object without its content."""

    object_id: Id


@operation(
    "objects.get", rest="GET /objects/{object_id}/content", reply=ObjectView, permission=USER, downloads=True
)
class GetObject(Message):
    """Download an object's content, if you may read it."""

    object_id: Id


@operation("objects.update", rest="PATCH /objects/{object_id}", reply=ObjectView, permission=USER)
class UpdateObject(Message):
    """Change an object of yours; what is None stays. ``readers``, ``finders``, ``analysts`` and
    ``programmers`` replace the whole lists."""

    object_id: Id
    description: Description | None = None
    tags: Tags | None = None
    searchable: bool | None = None
    readers: Subjects | None = None
    finders: Subjects | None = None
    analysts: Subjects | None = None
    programmers: Subjects | None = None


@operation("objects.delete", rest="DELETE /objects/{object_id}", permission=USER)
class DeleteObject(Message):
    """Delete an object of yours. Refused while a dataset uses it."""

    object_id: Id


# -- resumable uploads ---------------------------------------------------------------------------------


@operation("uploads.begin", rest="POST /uploads", reply=UploadView, permission=_UPLOAD, status=201)
class BeginUpload(Message):
    """Announce an upload of ``size`` bytes that may come in several parts.

    ``digest``: the content's BLAKE3 digest in hex, if you know it; it is checked at the end.
    """

    size: Size
    digest: AnyDigest = ""


@operation("uploads.list", rest="GET /uploads", reply=UploadList, permission=_UPLOAD)
class ListUploads(Message):
    """Your unfinished uploads; with ``digest`` those of that content, so that another process can go on."""

    digest: AnyDigest = ""


@operation(
    "uploads.append",
    rest="PATCH /uploads/{upload_id}",
    reply=UploadView,
    permission=_UPLOAD,
    uploads=True,
    headers={"offset": "Upload-Offset"},
    audited=False,
)
class AppendUpload(Message):
    """Send bytes from ``offset`` on, which must be ``received`` as the node last told it."""

    upload_id: Id
    offset: Size


@operation("uploads.status", rest="GET /uploads/{upload_id}", reply=UploadView, permission=_UPLOAD)
class UploadStatus(Message):
    """How much of an upload of yours has arrived, also after a crash of either side."""

    upload_id: Id


@operation(
    "uploads.finish",
    rest="POST /uploads/{upload_id}/object",
    reply=ObjectView,
    permission=_UPLOAD,
    status=201,
)
class FinishUpload(Message):
    """Make a complete upload of yours an object; the other fields are those of :class:`PutObject`.

    Repeated, it answers with the same object.
    """

    upload_id: Id
    kind: Name = "bytes"
    description: Description = ""
    tags: Tags = []
    searchable: bool = False
    readers: Subjects = []
    finders: Subjects = []


class ColumnReading(msgspec.Struct, kw_only=True, forbid_unknown_fields=True, omit_defaults=True):
    """What is said of a column of a file for its conversion.

    Attributes:
        categories: the words that its numbers 0, 1, … stand for. Other text is refused.
        unit: of times: what they are counted in (s, ms, µs, ns, min, h, d); µs by default.
        low, high: bounds, both or none: what lies outside is refused.
        dtype: another type than its values have of themselves (int64, float64, bool): what does not fit is
            refused, floats are rounded.
        format: how its times are written, as of ``strptime``. timezone: of times that name none ("Europe/Berlin").
    """

    categories: Annotated[list[Note], msgspec.Meta(max_length=10_000)] = []
    unit: Note = ""
    low: float | None = None
    high: float | None = None
    dtype: Note = ""
    format: Note = ""
    timezone: Note = ""


@operation(
    "uploads.convert",
    rest="POST /uploads/{upload_id}/table",
    reply=ObjectView,
    permission=_UPLOAD,
    status=201,
    max_fields=COLUMNS_BODY,
)
class ConvertUpload(Message):
    """Make a complete upload of yours, a CSV, Parquet or .npy file, an object of kind tensors (tensor for .npy).

    The SDK and the command line convert on their own machine, and know more formats; this is for those who have
    neither. The upload is used up. Repeated, it answers with the same object.

    Attributes:
        columns: only these, in this order; empty: all.
        schema: what is said of columns.
        options: how the text of a CSV is written.
        categories: column → the words that its numbers 0, 1, … stand for: short for ``schema``.
        The other fields are those of :class:`PutObject`.
    """

    upload_id: Id
    format: Literal["csv", "parquet", "npy"] = "csv"
    columns: Annotated[list[Name], msgspec.Meta(max_length=10_000)] = []
    categories: Annotated[
        dict[Name, Annotated[list[Note], msgspec.Meta(max_length=10_000)]], msgspec.Meta(max_length=1000)
    ] = {}
    description: Description = ""
    tags: Tags = []
    searchable: bool = False
    readers: Subjects = []
    finders: Subjects = []
    schema: Annotated[dict[Name, ColumnReading], msgspec.Meta(max_length=10_000)] = {}
    options: TableOptions = TableOptions()


@operation("uploads.abort", rest="DELETE /uploads/{upload_id}", permission=_UPLOAD)
class AbortUpload(Message):
    """Give an upload of yours up; its bytes are removed."""

    upload_id: Id
