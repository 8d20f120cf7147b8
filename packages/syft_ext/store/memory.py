"""The object store in this process's memory: for workers, simulations and tests."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any, BinaryIO

from syft_ext.errors import NotFound
from syft_ext.ids import check_id
from syft_ext.store.content import copy_data, decode, encode
from syft_ext.store.interface import ObjectStore
from syft_ext.store.objects import ObjectInfo, StorableObject, described, fold, searchable
from syft_ext.store.permissions import allows, check_keys

__all__ = ["MemoryStore"]


@dataclass(slots=True)
class _Entry:
    """An object and its permissions. The sets change in place, one atomic step at a time."""

    obj: StorableObject
    info: ObjectInfo
    readers: set[str]
    searchers: set[str]


class MemoryStore(ObjectStore):
    """Objects in a dict. Tensors are copied in and out, so nobody shares memory with the store.

    It has no locks: every step is atomic under the interpreter's own, in threads and under gevent.
    """

    def __init__(self) -> None:
        self._entries: dict[str, _Entry] = {}

    def get_object(self, key: str) -> StorableObject | None:
        entry = self._entries.get(check_id(key))
        if entry is None:
            return None
        return replace(
            entry.obj,
            data=copy_data(entry.obj.data),
            read_permissions=frozenset(entry.readers),
            search_permissions=frozenset(entry.searchers),
        )

    def put(self, obj: StorableObject) -> ObjectInfo:
        return self._keep(replace(obj, data=copy_data(obj.data)))

    def put_stream(self, info: ObjectInfo, chunks: Iterable[bytes | bytearray | memoryview]) -> ObjectInfo:
        content = bytearray()
        for chunk in chunks:
            content += chunk
        data = decode(info.kind, memoryview(content))
        return self._keep(StorableObject(**described(info), data=data))

    def _keep(self, obj: StorableObject) -> ObjectInfo:
        info = obj.info()
        self._entries[obj.id] = _Entry(obj, info, set(obj.read_permissions), set(obj.search_permissions))
        return info

    def open(self, key: str) -> BinaryIO:
        obj = self._entry(key).obj
        return io.BytesIO(b"".join(encode(obj.data, obj.kind)))

    def info(self, key: str) -> ObjectInfo:
        return _info(self._entry(key))

    def __delitem__(self, key: str) -> None:
        if self._entries.pop(check_id(key), None) is None:
            raise NotFound("there is no such object", id=key)

    def __contains__(self, key: object) -> bool:
        return key in self._entries

    def __len__(self) -> int:
        return len(self._entries)

    def keys(self) -> Iterator[str]:
        return iter(sorted(self._entries))

    def search(
        self,
        text: str = "",
        *,
        tags: Iterable[str] = (),
        kind: str | None = None,
        visible_to: str | None = None,
        limit: int = 100,
        offset: int = 0,
    ) -> list[ObjectInfo]:
        words, wanted = fold(text).split(), set(tags)
        found = [
            info
            for info in map(_info, list(self._entries.values()))
            if wanted <= set(info.tags)
            and kind in (None, info.kind)
            and (visible_to is None or allows(info.search_permissions, visible_to))
            and all(word in searchable(info.description, info.tags) for word in words)
        ]
        found.sort(key=lambda info: (-info.created_at, info.id))
        return found[offset : offset + limit]

    def describe(
        self, key: str, *, description: str | None = None, tags: Iterable[str] | None = None
    ) -> None:
        entry = self._entry(key)
        changes: dict[str, Any] = {}
        if description is not None:
            changes["description"] = description
        if tags is not None:
            changes["tags"] = tuple(tags)
        obj, info = replace(entry.obj, **changes), replace(entry.info, **changes)
        entry.obj, entry.info = obj, info

    def grant(self, key: str, verify_key: str, *, read: bool = False, search: bool = False) -> None:
        entry, keys = self._entry(key), check_keys([verify_key])
        if read:
            entry.readers |= keys
        if search:
            entry.searchers |= keys

    def revoke(self, key: str, verify_key: str, *, read: bool = False, search: bool = False) -> None:
        entry, keys = self._entry(key), check_keys([verify_key])
        if read:
            entry.readers -= keys
        if search:
            entry.searchers -= keys

    def _entry(self, key: str) -> _Entry:
        entry = self._entries.get(check_id(key))
        if entry is None:
            raise NotFound("there is no such object", id=key)
        return entry


def _info(entry: _Entry) -> ObjectInfo:
    return replace(
        entry.info,
        read_permissions=frozenset(entry.readers),
        search_permissions=frozenset(entry.searchers),
    )
