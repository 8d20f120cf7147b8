"""Objects at a Domain: put, describe, get, and who may read them."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from syft_ext.client.collection import Collection
from syft_ext.client.display import Table, fields_table, size, when
from syft_ext.client.progress import track
from syft_ext.client.transfer import download, upload
from syft_ext.errors import DeadlineExceeded, Unavailable
from syft_ext.messages.objects import (
    AppendUpload,
    BeginUpload,
    DeleteObject,
    DescribeObject,
    FinishUpload,
    GetObject,
    ListObjects,
    ObjectList,
    ObjectView,
    PutObject,
    UpdateObject,
    UploadStatus,
    UploadView,
)
from syft_ext.store.content import decode, encode, kind_of

if TYPE_CHECKING:
    from syft_ext.client.node_client import NodeClient
    from syft_ext.client.requests import DataRequest

__all__ = ["Objects", "RemoteObject"]

RESUMABLE = 64 << 20  # above, an upload goes in parts and survives a broken line
PART = 16 << 20
ATTEMPTS = 8


class RemoteObject:
    """An object at a node: its description, and the way to it. The content stays there until ``get()``."""

    def __init__(self, client: NodeClient, view: ObjectView) -> None:
        self.client, self.view = client, view

    @property
    def id(self) -> str:
        return self.view.id

    def get(self) -> Any:
        """Download the content. Raises :class:`~syft_ext.errors.Forbidden` when you may not read it."""
        view, content = download(self.client, GetObject(object_id=self.id), self.view.description or "object")
        return decode(view.kind, memoryview(content))

    def update(self, **changes: Any) -> RemoteObject:
        """Change ``description``, ``tags``, ``searchable``, ``readers``, ``finders``, ``analysts`` or
        ``programmers``."""
        self.view = self.client.call(UpdateObject(object_id=self.id, **changes))
        return self

    def request(self, reason: str, scope: Literal["read", "compute", "statistics"] = "read") -> DataRequest:
        """Ask its owner (or a reviewer) to let you read it, or have statistics of it."""
        from syft_ext.client.requests import Requests

        return Requests(self.client).create(self.id, reason, scope)

    def delete(self) -> None:
        self.client.call(DeleteObject(object_id=self.id))

    def table(self) -> Table:
        view = self.view
        fields = [
            ("id", view.id),
            ("description", view.description),
            ("tags", view.tags),
            ("type", f"{view.dtype} {view.shape}" if view.dtype else view.kind),
            ("size", size(view.size)),
            ("you may read it", "yes" if view.may_read else "no"),
            ("created", when(view.created_at)),
        ]
        return fields_table(f"Object at {self.client.name}", fields)

    def __repr__(self) -> str:
        what = f"{self.view.dtype}{self.view.shape}" if self.view.dtype else self.view.kind
        return f"<RemoteObject {what} at {self.client.name}, id {self.id}>"

    def _repr_html_(self) -> str:
        return self.table()._repr_html_()


class Objects(Collection[RemoteObject]):
    """The objects at a Domain that you may find, newest first (at most 1,000)."""

    title = "Objects"
    headings = ("description", "kind", "shape", "size", "tags", "readable", "id")

    def all(self) -> list[RemoteObject]:
        return self.search()

    def search(
        self, text: str = "", *, tags: Sequence[str] = (), kind: str = "", mine: bool = False
    ) -> list[RemoteObject]:
        """Objects with all these words and tags, of this kind; ``mine``: only those that you put there."""
        message = ListObjects(text=text, tags=list(tags), kind=kind, mine=mine, limit=1000)
        reply: ObjectList = self.client.call(message)
        return [RemoteObject(self.client, view) for view in reply.objects]

    def put(
        self,
        data: Any,
        *,
        kind: str = "",
        description: str = "",
        tags: Sequence[str] = (),
        searchable: bool = False,
        readers: Sequence[str] = (),
        finders: Sequence[str] = (),
    ) -> RemoteObject:
        """Upload a tensor, a list or dict of tensors, a number, text or bytes; only you may read it.

        Args:
            kind: "plan" for the bytes of a plan; found from ``data`` otherwise.
            searchable: every logged-in user may find it.
            readers, finders: who else may: user ids, ``group:`` + group id, or ``*``.
        """
        kind = kind or kind_of(data)
        fields: dict[str, Any] = {
            "kind": kind,
            "description": description,
            "tags": list(tags),
            "searchable": searchable,
            "readers": list(readers),
            "finders": list(finders),
        }
        pieces = list(encode(data, kind))
        total = sum(len(piece) for piece in pieces)
        label = description[:40] or kind
        view: ObjectView
        if total <= RESUMABLE:
            view = upload(self.client, PutObject(**fields), pieces, label)
        else:
            upload_id = _in_parts(self.client, pieces, total, label)
            view = self.client.call(FinishUpload(upload_id=upload_id, **fields), timeout=600.0)
        return RemoteObject(self.client, view)

    def describe(self, object_id: str) -> RemoteObject:
        """The object without its content."""
        return RemoteObject(self.client, self.client.call(DescribeObject(object_id=object_id)))

    def get(self, object_id: str) -> Any:
        """Download an object's content."""
        return self.describe(object_id).get()

    def update(self, object_id: str, **changes: Any) -> RemoteObject:
        return self.describe(object_id).update(**changes)

    def delete(self, object_id: str) -> None:
        self.client.call(DeleteObject(object_id=object_id))

    def key(self, item: RemoteObject) -> tuple[str, ...]:
        return (item.id,)

    def row(self, item: RemoteObject) -> tuple[Any, ...]:
        view = item.view
        readable = "yes" if view.may_read else ""
        return (view.description, view.kind, view.shape, size(view.size), view.tags, readable, view.id)


def _in_parts(client: NodeClient, pieces: Sequence[memoryview], total: int, label: str) -> str:
    """Upload part by part; after a break, go on from what the node has safely stored."""
    begun: UploadView = client.call(BeginUpload(size=total))
    with track(label, total, unit="B") as advance:
        done, failures = 0, 0
        while done < total:
            try:
                for part in _parts(pieces, done):
                    message = AppendUpload(upload_id=begun.upload_id, offset=done)
                    state: UploadView = client.call(message, part, timeout=600.0)
                    advance(state.received - done)
                    done, failures = state.received, 0
            except (Unavailable, DeadlineExceeded):
                failures += 1
                if failures >= ATTEMPTS:
                    raise
                time.sleep(min(0.2 * 2**failures, 10.0))
                done = _received(client, begun.upload_id, done)
    return begun.upload_id


def _received(client: NodeClient, upload_id: str, known: int) -> int:
    try:
        state: UploadView = client.call(UploadStatus(upload_id=upload_id))
    except (Unavailable, DeadlineExceeded):
        return known
    return state.received


def _parts(pieces: Sequence[memoryview], start: int) -> Iterator[list[memoryview]]:
    """The bytes from ``start`` on, about :data:`PART` at a time; nothing is copied."""
    part: list[memoryview] = []
    length = position = 0
    for piece in pieces:
        view = piece[max(start - position, 0) :]
        position += len(piece)
        while len(view):
            room = view[: PART - length]
            part.append(room)
            length += len(room)
            view = view[len(room) :]
            if length == PART:
                yield part
                part, length = [], 0
    if part:
        yield part
