"""Objects at a Domain: put, describe, get, and who may read them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from syft_ext.client.caller import Caller, DomainCaller
from syft_ext.client.collection import Collection
from syft_ext.client.requestable import Requestable
from syft_ext.client.transfer import download, save
from syft_ext.client.upload import put_content
from syft_ext.display.table import Table, fields_table, size, when
from syft_ext.messages.objects import (
    DeleteObject,
    DescribeObject,
    GetObject,
    ListObjects,
    ObjectList,
    ObjectView,
    UpdateObject,
)
from syft_ext.readable import readable
from syft_ext.store.content import decode, kind_of

if TYPE_CHECKING:
    from syft_ext.sources.content import Content

__all__ = ["Objects", "RemoteObject"]


class RemoteObject(Requestable):
    """An object at a node: its description, and the way to it. The content stays there until ``get()``."""

    def __init__(self, client: Caller, view: ObjectView) -> None:
        self.client, self.view = client, view

    @property
    def id(self) -> str:
        return self.view.id

    def get(self) -> Any:
        """Download the content. Raises :class:`~syft_ext.errors.Forbidden` when you may not read it."""
        view, content = download(self.client, GetObject(object_id=self.id), self.view.description or "object")
        return decode(view.kind, memoryview(content))

    def save(self, path: str | Path) -> Path:
        """Download the content to a file without holding it in memory: tensors as safetensors."""
        return save(self.client, GetObject(object_id=self.id), Path(path), self.view.description or "object")

    def pointer(self, environment: str = "") -> Any:
        """A pointer to it, to compute with where it is (see :func:`syft_ext.pointers.stored.pointer`)."""
        client = cast(DomainCaller, self.client)  # objects are at Domains
        return client.pointer(self.id, environment)

    def update(self, **changes: Any) -> RemoteObject:
        """Change ``description``, ``tags``, ``searchable``, ``readers``, ``finders``, ``analysts`` or
        ``programmers``."""
        self.view = self.client.call(UpdateObject(object_id=self.id, **changes))
        return self

    def _object_to_request(self, reason: str) -> tuple[Caller, str]:
        return self.client, self.id

    def delete(self) -> None:
        """Delete it at the Domain. Raises :class:`~syft_ext.errors.Conflict` while a dataset uses it."""
        self.client.call(DeleteObject(object_id=self.id))

    def table(self) -> Table:
        """Its description and whether you may read it; the content stays where it is."""
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
        return readable(f"<RemoteObject {what} at {self.client.name}, id {self.id}>")

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
        from syft_ext.sources.values import value_content  # numpy: only where something is sent

        kind = kind or kind_of(data)
        fields: dict[str, Any] = {
            "description": description,
            "tags": list(tags),
            "searchable": searchable,
            "readers": list(readers),
            "finders": list(finders),
        }
        return self.put_content(value_content(data, kind), **fields)

    def put_content(self, content: Content, **fields: Any) -> RemoteObject:
        """Upload what :mod:`syft_ext.sources` has opened; ``fields`` as of :meth:`put`, without its kind.

        More than 64 MiB go in parts: after a broken line, a restart of the node or the death of this process,
        calling this again (in another process, too) goes on where it stopped.
        """
        label = str(fields.get("description", ""))[:40] or content.kind
        return RemoteObject(self.client, put_content(self.client, content, fields, label))

    def describe(self, object_id: str) -> RemoteObject:
        """The object without its content."""
        return RemoteObject(self.client, self.client.call(DescribeObject(object_id=self.id_of(object_id))))

    def get(self, object_id: str) -> Any:
        """Download an object's content."""
        return self.describe(object_id).get()

    def update(self, object_id: str, **changes: Any) -> RemoteObject:
        """As :meth:`RemoteObject.update`, by id."""
        return self.describe(object_id).update(**changes)

    def delete(self, object_id: str) -> None:
        """As :meth:`RemoteObject.delete`, by id."""
        self.client.call(DeleteObject(object_id=self.id_of(object_id)))

    def key(self, item: RemoteObject) -> tuple[str, ...]:
        return (item.id,)

    def row(self, item: RemoteObject) -> tuple[Any, ...]:
        view = item.view
        readable = "yes" if view.may_read else ""
        return (view.description, view.kind, view.shape, size(view.size), view.tags, readable, view.id)
